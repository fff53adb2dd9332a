// Load and encode times (CPU) of zaya.cpp and of Hugging Face's tokenizers library (Rust, through its
// npm binding), side by side on the same file and texts. Started by run.sh:
//
//   NODE_PATH=... node compare.mjs TOKENIZER_JSON BENCH_PROGRAM WORK_DIR
//
// Every round loads both anew and encodes each text once, so that neither has seen it before; the
// rounds alternate and the best time of each counts. The ids must be the same.
import { createRequire } from 'module';
import { execFileSync } from 'child_process';
import fs from 'fs';
import os from 'os';
import path from 'path';
const require = createRequire(process.env.NODE_PATH + '/');
const { Tokenizer } = require('tokenizers');

const [tokenizerFile, program, workDir] = process.argv.slice(2);
const root = path.resolve(import.meta.dirname, '../..');
const rounds = 5;

function filesUnder(folder, endings) {
  return fs.readdirSync(path.join(root, folder), { recursive: true })
    .filter((name) => endings.some((ending) => name.endsWith(ending)))
    .sort()
    .map((name) => fs.readFileSync(path.join(root, folder, name), 'utf8'));
}

const words = fs.readFileSync(path.join(root, 'tests/data/tokenizer/gemma3-zaya.json'), 'utf8');
const texts = {
  'English (README, ARCHITECTURE)':
    ['README.md', 'ARCHITECTURE.md'].map((f) => fs.readFileSync(path.join(root, f), 'utf8')).join(''),
  'C++ (src/)': filesUnder('src', ['.cpp', '.h']).join(''),
  'many scripts (tests/data)': JSON.parse(words).map((c) => c.text).join(' '),
  '200,000 times one letter': 'a'.repeat(200000),
};
const names = Object.keys(texts);
const files = names.map((name, i) => {
  const file = path.join(workDir, `text${i}.txt`);
  fs.writeFileSync(file, texts[name]);
  return file;
});

// CPU time of the process, all threads: other programs on the machine disturb it little.
const now = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

async function library() {
  let start = now();
  const tokenizer = Tokenizer.fromFile(tokenizerFile);
  const result = { load: now() - start, texts: [] };
  for (const file of files) {
    const text = fs.readFileSync(file, 'utf8');
    start = now();
    const encoding = await tokenizer.encode(text, null, { addSpecialTokens: false });
    const time = now() - start;
    result.texts.push({ seconds: time, ids: encoding.getIds() });
  }
  return result;
}

const ours = () =>
  JSON.parse(execFileSync(program, [tokenizerFile, ...files], { maxBuffer: 1 << 30 }).toString());

const best = { zaya: null, library: null };
function keepBest(who, result) {
  const known = (best[who] ??= result);
  known.load = Math.min(known.load, result.load);
  result.texts.forEach((text, i) => {
    known.texts[i].seconds = Math.min(known.texts[i].seconds, text.seconds);
  });
}
for (let round = 0; round < rounds; ++round) {
  keepBest('zaya', ours());
  keepBest('library', await library());
}

console.log(`${os.cpus()[0].model}, ${rounds} rounds, best CPU time of each\n`);
const row = (...cells) => console.log(
  cells[0].padEnd(34) + cells.slice(1).map((cell) => cell.padStart(14)).join(''));
row('', 'zaya.cpp', 'library', 'ratio');
const milliseconds = (s) => `${(s * 1000).toFixed(1)} ms`;
row('load', milliseconds(best.zaya.load), milliseconds(best.library.load),
    `${(best.library.load / best.zaya.load).toFixed(1)} x`);
let failed = false;
names.forEach((name, i) => {
  const [a, b] = [best.zaya.texts[i], best.library.texts[i]];
  const rate = (s) => `${(fs.statSync(files[i]).size / 1e6 / s).toFixed(2)} MB/s`;
  row(name, rate(a.seconds), rate(b.seconds), `${(b.seconds / a.seconds).toFixed(1)} x`);
  if (JSON.stringify(a.ids) !== JSON.stringify(b.ids)) {
    console.error(`${name}: the ids differ`);
    failed = true;
  }
});
process.exit(failed ? 1 : 0);
