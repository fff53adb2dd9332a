import type MarkdownIt from "markdown-it";
import type StateBlock from "markdown-it/lib/rules_block/state_block.mjs";
import type StateInline from "markdown-it/lib/rules_inline/state_inline.mjs";

/*
 * Formulas in Markdown, as models write them: $…$ and \(…\) in a line, $$…$$, \[…\] and a few
 * environments in a line or as a block. A block ends at its closer or at an empty line, as in TeX:
 * so whether a line belongs to it never depends on later lines, which reading a stream relies on.
 */

const backslash = 0x5c;
const dollar = 0x24;
const environment = /^\\begin\{((?:equation|align|alignat|gather|multline|CD)\*?)\}/;

/** Where `closer` is in `text` at or after `from`, not behind a backslash; -1 where it is not. */
function findCloser(text: string, closer: string, from: number): number {
  for (let at = text.indexOf(closer, from); at >= 0; at = text.indexOf(closer, at + 1)) {
    let escapes = 0;
    // The backslash that a closer itself begins with may be escaped too: \\[ is a line break.
    while (text.charCodeAt(at - 1 - escapes) === backslash) escapes++;
    if (escapes % 2 === 0) return at;
  }
  return -1;
}

interface Opening {
  start: string;
  closer: string;
  display: boolean;
  /** The formula keeps the delimiters: an environment is a part of it. */
  whole?: boolean;
}

function openingAt(text: string, at: number): Opening | undefined {
  if (text.startsWith("$$", at)) return { start: "$$", closer: "$$", display: true };
  if (text.startsWith("\\[", at)) return { start: "\\[", closer: "\\]", display: true };
  if (text.startsWith("\\(", at)) return { start: "\\(", closer: "\\)", display: false };
  const name = text.charCodeAt(at) === backslash && environment.exec(text.slice(at, at + 32))?.[1];
  if (name) return { start: `\\begin{${name}}`, closer: `\\end{${name}}`, display: true, whole: true };
  if (text.charCodeAt(at) === dollar) return { start: "$", closer: "$", display: false };
  return undefined;
}

// A price is no formula: "$5 and $6". The rule is Pandoc's: no space inside the dollars at either
// end, no digit after the closing one.
function isPrice(text: string, start: number, end: number): boolean {
  return end === start || /\s/.test(text[start]!) || /\s/.test(text[end - 1]!) || /\d/.test(text[end + 1] ?? "");
}

function inlineMath(state: StateInline, silent: boolean): boolean {
  const { src, pos } = state;
  const code = src.charCodeAt(pos);
  if (code !== dollar && code !== backslash) return false;
  const opening = openingAt(src, pos);
  if (!opening) return false;
  const start = pos + opening.start.length;
  // Without this note, a text full of openers would be searched to its end from each of them.
  const missing: Set<string> = (state.env.missingClosers ??= new WeakMap()).get(state) ?? new Set();
  if (missing.has(opening.closer)) return false;
  const end = findCloser(src, opening.closer, start);
  if (end < 0 || end >= state.posMax) {
    if (end < 0) state.env.missingClosers.set(state, missing.add(opening.closer));
    return false;
  }
  const inner = src.slice(start, end);
  if (opening.start === "$" ? isPrice(src, start, end) : inner.trim() === "") return false;
  const after = end + opening.closer.length;
  if (!silent) {
    const token = state.push("math", "", 0);
    token.content = opening.whole ? src.slice(pos, after) : inner;
    token.meta = { display: opening.display, source: src.slice(pos, after) };
  }
  state.pos = after;
  return true;
}

function blockMath(state: StateBlock, startLine: number, endLine: number, silent: boolean): boolean {
  const first = state.bMarks[startLine]! + state.tShift[startLine]!;
  if (state.sCount[startLine]! - state.blkIndent >= 4) return false;
  const opening = openingAt(state.src, first);
  if (!opening?.display) return false;

  // Lines up to the closer or the end of the block; the closer must be the last thing in its line.
  let line = startLine;
  let closed = false;
  for (; line < endLine; line++) {
    const from = state.bMarks[line]! + state.tShift[line]!;
    const to = state.eMarks[line]!;
    if (from >= to || (line > startLine && state.sCount[line]! < state.blkIndent)) break;
    const text = state.src.slice(from, to);
    const at = findCloser(text, opening.closer, line === startLine ? opening.start.length : 0);
    if (at < 0) continue;
    closed = text.slice(at + opening.closer.length).trim() === "";
    // A formula and text after it in one line are an ordinary paragraph.
    if (!closed && line === startLine) return false;
    line++;
    break;
  }
  if (silent) return true;

  const content = state.getLines(startLine, line, state.blkIndent, false).trim();
  state.line = line;
  if (closed) {
    const token = state.push("math", "", 0);
    const inner = content.slice(opening.start.length, content.length - opening.closer.length);
    token.content = opening.whole ? content : inner;
    token.meta = { display: true, source: content };
    token.map = [startLine, line];
    return true;
  }
  state.push("paragraph_open", "p", 1).map = [startLine, line];
  const text = state.push("inline", "", 0);
  text.content = content;
  text.map = [startLine, line];
  text.children = [];
  state.push("paragraph_close", "p", -1);
  return true;
}

export function mathematics(md: MarkdownIt): void {
  md.inline.ruler.before("escape", "math", inlineMath);
  md.block.ruler.before("fence", "math", blockMath, { alt: ["paragraph", "blockquote", "list"] });
}
