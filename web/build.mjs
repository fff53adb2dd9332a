// Builds the page into one folder of static files: node build.mjs [--out DIR]
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import zlib from "node:zlib";
import * as esbuild from "esbuild";

const root = path.dirname(fileURLToPath(import.meta.url));

// KaTeX names each font in three formats; every browser that runs this page reads the smallest.
const onlyWoff2 = {
  name: "only-woff2",
  setup(build) {
    build.onLoad({ filter: /katex\.css$/ }, async ({ path: file }) => ({
      contents: (await readFile(file, "utf8")).replace(/,\s*url\([^)]*\.(woff|ttf)\)\s*format\([^)]*\)/g, ""),
      loader: "css",
    }));
  },
};

function options(out) {
  return {
    absWorkingDir: root,
    entryPoints: { app: "src/main.tsx" },
    outdir: out,
    entryNames: "assets/[name]-[hash]",
    assetNames: "assets/[name]-[hash]",
    loader: { ".woff2": "file" },
    bundle: true,
    minify: true,
    format: "esm",
    jsx: "automatic",
    jsxImportSource: "preact",
    // The first versions that have the CSS function light-dark().
    target: ["chrome123", "firefox120", "safari17.5"],
    legalComments: "none", // licenses.txt has them whole
    metafile: true,
    plugins: [onlyWoff2],
    logLevel: "warning",
  };
}

// The packages in the bundle ask that their licence goes with them.
async function licenses(inputs) {
  const packages = new Set();
  for (const input of Object.keys(inputs)) {
    const found = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input);
    if (found) packages.add(found[1]);
  }
  const texts = await Promise.all(
    [...packages].sort().map(async (name) => {
      const folder = path.join(root, "node_modules", name);
      const { version, license } = JSON.parse(await readFile(path.join(folder, "package.json"), "utf8"));
      const file = (await readdir(folder)).find((entry) => /^licen[cs]e/i.test(entry));
      if (!file) throw new Error(`the package ${name} has no licence file`);
      return `${name} ${version} (${license})\n\n${(await readFile(path.join(folder, file), "utf8")).trim()}\n`;
    }),
  );
  return texts.join(`\n${"-".repeat(80)}\n\n`);
}

async function writePage(out, { outputs, inputs }) {
  const names = Object.keys(outputs).map((file) => path.relative(out, path.join(root, file)));
  const icon = await readFile(path.join(root, "src/icon.svg"));
  const iconName = `assets/icon-${createHash("sha256").update(icon).digest("hex").slice(0, 8)}.svg`;
  await mkdir(path.join(out, "assets"), { recursive: true });
  await writeFile(path.join(out, iconName), icon);
  await writeFile(path.join(out, "licenses.txt"), await licenses(inputs));
  const named = {
    icon: iconName,
    style: names.find((name) => name.endsWith(".css")),
    script: names.find((name) => name.endsWith(".js")),
  };
  const page = await readFile(path.join(root, "src/index.html"), "utf8");
  await writeFile(path.join(out, "index.html"), page.replace(/\{\{(\w+)\}\}/g, (_, key) => named[key]));
}

async function report(out, { outputs }) {
  let fonts = 0;
  for (const [file, { bytes }] of Object.entries(outputs)) {
    if (file.endsWith(".woff2")) {
      fonts += bytes;
      continue;
    }
    const packed = zlib.gzipSync(await readFile(path.join(root, file))).length;
    console.log(`${path.relative(out, path.join(root, file))}: ${(bytes / 1000).toFixed(0)} kB, ${(packed / 1000).toFixed(0)} kB gzipped`);
  }
  console.log(`fonts of KaTeX: ${(fonts / 1000).toFixed(0)} kB, loaded one by one when a formula needs them`);
}

export async function build(out) {
  await rm(out, { recursive: true, force: true });
  const { metafile } = await esbuild.build(options(out));
  await writePage(out, metafile);
  return metafile;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { out: { type: "string", default: path.join(root, "dist") } } });
  const out = path.resolve(values.out);
  await report(out, await build(out));
}
