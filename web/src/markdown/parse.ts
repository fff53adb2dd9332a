import MarkdownIt from "markdown-it";
import type Token from "markdown-it/lib/token.mjs";
import { mathematics } from "./math";

/*
 * html: false: markup in an answer is text. Reference links are off: a definition may follow its
 * use at any distance, and a block that is finished must stay as it is while the stream goes on;
 * so "[1]: https://…" shows as it was written, which readers of a list of sources prefer anyway.
 */
const md = new MarkdownIt({ html: false, linkify: true, breaks: true });
md.linkify.set({ fuzzyLink: false, fuzzyEmail: false, fuzzyIP: false });
md.disable("reference");
md.use(mathematics);

/** A piece of Markdown that stands by itself at the top level: a paragraph, a list, a table. */
export interface Block {
  /** Where it starts in the text. */
  start: number;
  tokens: Token[];
}

/** Where each line of `text` starts; the parser takes the same line ends. */
function lineStarts(text: string): number[] {
  const starts = [0];
  for (const { 0: end, index } of text.matchAll(/\r\n?|\n/g)) starts.push(index + end.length);
  return starts;
}

/**
 * Markdown that grows at its end. CommonMark decides line by line which blocks go on, so a block is
 * finished as soon as another begins in a line that is complete. Finished blocks are parsed once and
 * stay the same objects; only the last one is parsed again when text comes.
 */
export class GrowingMarkdown {
  #finished: Block[] = [];
  /** Where the text after the finished blocks starts, and that text. */
  #start = 0;
  #tail = "";

  /**
   * The blocks of `text`, which goes on where the text of the last call ended. Of that, only the part
   * that is not finished is compared; where it differs, everything is parsed anew.
   */
  update(text: string): readonly Block[] {
    if (!text.startsWith(this.#tail, this.#start)) {
      this.#finished = [];
      this.#start = 0;
    }
    const tail = text.slice(this.#start);
    const starts = lineStarts(tail);
    const completeLines = starts.length - 1;
    const blocks: (Block & { line: number })[] = [];
    let depth = 0;
    for (const token of md.parse(tail, {})) {
      if (depth === 0) {
        const line = token.map?.[0] ?? 0;
        blocks.push({ start: this.#start + starts[line]!, tokens: [], line });
      }
      blocks.at(-1)!.tokens.push(token);
      depth += token.nesting;
    }

    let open = blocks.length - 1;
    while (open > 0 && blocks[open]!.line >= completeLines) open--;
    const ended = blocks.splice(0, Math.max(open, 0));
    if (ended.length > 0) {
      this.#finished = this.#finished.concat(ended);
      this.#start = blocks[0]!.start;
    }
    this.#tail = text.slice(this.#start);
    return this.#finished.concat(blocks);
  }
}
