// Runs the clients against a server of their own, with a small random model.
// node run.mjs ZAYA: the program to test. The last line is "N passed, N failed".
import { spawn, spawnSync } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const zaya = path.resolve(process.argv[2]);
const here = path.dirname(fileURLToPath(import.meta.url));
const recipe = path.join(here, "../../../models/random-tiny");
const scratch = await mkdtemp(path.join(tmpdir(), "zaya-clients-"));
const model = path.join(scratch, "model");

const made = spawnSync(
  zaya,
  ["init", "--config", path.join(recipe, "config.json"), "--seed", "1", "--dtype", "f32", "--text-from", recipe, "-o", model],
  { stdio: ["ignore", "ignore", "inherit"] },
);
if (made.status !== 0) process.exit(1);

const server = spawn(
  zaya,
  ["serve", model, "--port", "0", "--threads", "1", "--kv-memory", "64MB", "--served-model-name", "tiny"],
  { stdio: ["ignore", "ignore", "pipe"] },
);
const log = [];
const address = await new Promise((resolve) => {
  createInterface({ input: server.stderr }).on("line", (line) => {
    log.push(line);
    const found = /serving at (http:\S+)$/.exec(line);
    if (found) resolve(found[1]);
  });
  server.on("exit", () => resolve(undefined));
});

let passed = 0;
let failed = address ? 0 : 1;
// One file after the other: some count what others would also do to the server.
const files = address ? (await readdir(here)).filter((name) => name.endsWith(".test.mjs")).sort() : [];
for (const name of files) {
  const report = path.join(scratch, "report.tap");
  const reporters = ["spec", "stdout", "tap", report].map((value, index) =>
    index % 2 === 0 ? `--test-reporter=${value}` : `--test-reporter-destination=${value}`,
  );
  const runner = spawn(process.execPath, ["--test", ...reporters, path.join(here, name)], {
    stdio: "inherit",
    env: { ...process.env, ZAYA_URL: address, ZAYA_MODEL: "tiny" },
  });
  const status = await new Promise((resolve) => runner.on("exit", resolve));
  const tap = await readFile(report, "utf8");
  const count = (what) => Number(new RegExp(`^# ${what} (\\d+)$`, "m").exec(tap)?.[1] ?? 0);
  const broken = count("fail") + count("cancelled");
  passed += count("pass");
  failed += broken || status === 0 ? broken : 1;
}
const died = server.exitCode !== null || server.signalCode !== null;
server.kill("SIGKILL");
await rm(scratch, { recursive: true, force: true });
if (died) console.log(`the server has ended:\n${log.slice(-20).join("\n")}`);
console.log(`${passed} passed, ${failed + (died ? 1 : 0)} failed`);
process.exit(failed || died ? 1 : 0);
