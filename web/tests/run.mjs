// Bundles the tests, which are in TypeScript like the page, and runs them with Node's own runner.
// node tests/run.mjs unit|e2e [FILTER]
import { spawnSync } from "node:child_process";
import { readdir, rm } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

const [kind = "unit", filter = ""] = process.argv.slice(2);
const folder = path.join(path.dirname(fileURLToPath(import.meta.url)), kind);
const files = (await readdir(folder)).filter((name) => /\.test\.(ts|mjs)$/.test(name) && name.includes(filter));

let runnable = files.map((name) => path.join(folder, name));
if (kind === "unit") {
  const out = path.join(folder, "../../node_modules/.cache/unit");
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
    logLevel: "warning",
  });
  runnable = (await readdir(out)).map((name) => path.join(out, name));
}
const { status } = spawnSync(process.execPath, ["--test", "--test-reporter=spec", ...runnable], { stdio: "inherit" });
process.exit(status ?? 1);
