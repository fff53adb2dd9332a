// Bundles the tests, which are in TypeScript like the page, and runs them with Node's own runner.
// node tests/run.mjs unit|e2e [NAME]: NAME is a pattern for the tests to run. The last line is "N passed, N failed".
import { spawnSync } from "node:child_process";
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

const [kind = "unit", pattern] = process.argv.slice(2);
const root = path.join(path.dirname(fileURLToPath(import.meta.url)), "..");
const folder = path.join(root, "tests", kind);
const files = (await readdir(folder)).filter((name) => /\.test\.(ts|mjs)$/.test(name));

let runnable = files.map((name) => path.join(folder, name));
if (kind === "unit") {
  const out = path.join(root, "node_modules/.cache/unit");
  await rm(out, { recursive: true, force: true });
  await esbuild.build({
    entryPoints: runnable,
    outdir: out,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node18",
    jsx: "automatic",
    jsxImportSource: "preact",
    outExtension: { ".js": ".mjs" },
    // Browsers and Node 19 have this name; Node 18 has only the module.
    banner: { js: 'import { webcrypto } from "node:crypto"; globalThis.crypto ??= webcrypto;' },
    logLevel: "warning",
  });
  runnable = (await readdir(out)).map((name) => path.join(out, name));
}
const report = path.join(root, `node_modules/.cache/${kind}.tap`);
await mkdir(path.dirname(report), { recursive: true });
const reporters = ["spec", "stdout", "tap", report].map((value, index) =>
  index % 2 === 0 ? `--test-reporter=${value}` : `--test-reporter-destination=${value}`,
);
const named = pattern ? [`--test-name-pattern=${pattern}`] : [];
const { status } = spawnSync(process.execPath, ["--test", ...named, ...reporters, ...runnable], { stdio: "inherit" });

const tap = await readFile(report, "utf8");
const count = (what) => Number(new RegExp(`^# ${what} (\\d+)$`, "m").exec(tap)?.[1] ?? 0);
const failed = count("fail") + count("cancelled");
console.log(`${count("pass")} passed, ${failed || status === 0 ? failed : 1} failed`);
process.exit(status ?? 1);
