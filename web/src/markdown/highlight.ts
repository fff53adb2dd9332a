import hljs from "highlight.js/lib/core";
import bash from "highlight.js/lib/languages/bash";
import c from "highlight.js/lib/languages/c";
import cpp from "highlight.js/lib/languages/cpp";
import css from "highlight.js/lib/languages/css";
import diff from "highlight.js/lib/languages/diff";
import go from "highlight.js/lib/languages/go";
import ini from "highlight.js/lib/languages/ini";
import java from "highlight.js/lib/languages/java";
import javascript from "highlight.js/lib/languages/javascript";
import json from "highlight.js/lib/languages/json";
import latex from "highlight.js/lib/languages/latex";
import markdown from "highlight.js/lib/languages/markdown";
import python from "highlight.js/lib/languages/python";
import rust from "highlight.js/lib/languages/rust";
import sql from "highlight.js/lib/languages/sql";
import typescript from "highlight.js/lib/languages/typescript";
import xml from "highlight.js/lib/languages/xml";
import yaml from "highlight.js/lib/languages/yaml";

const languages = {
  bash, c, cpp, css, diff, go, ini, java, javascript, json, latex, markdown, python, rust, sql,
  typescript, xml, yaml,
};
for (const [name, definition] of Object.entries(languages)) hljs.registerLanguage(name, definition);

/** A run of code with the class that colours it, or without. */
export interface Span {
  className: string;
  children: (Span | string)[];
}

// Longer code stays in one colour: it would hold the page up for longer than a blink.
const longest = 100_000;

const entities: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', "#x27": "'" };
const unescape = (html: string): string => html.replace(/&(amp|lt|gt|quot|#x27);/g, (_, name) => entities[name]!);

/**
 * Code as coloured spans, or undefined for a language that is not known. highlight.js gives HTML, of
 * which only its own spans are read and everything else is text; so no HTML reaches the page.
 */
export function highlight(code: string, language: string): (Span | string)[] | undefined {
  if (code.length > longest || !hljs.getLanguage(language)) return undefined;
  const html = hljs.highlight(code, { language, ignoreIllegals: true }).value;
  const stack: (Span | string)[][] = [[]];
  for (const part of html.split(/(<span class="[^"<>]*">|<\/span>)/)) {
    const open = /^<span class="([^"]*)">$/.exec(part);
    if (open) {
      const span: Span = { className: open[1]!, children: [] };
      stack.at(-1)!.push(span);
      stack.push(span.children);
    } else if (part === "</span>") {
      if (stack.length > 1) stack.pop();
    } else if (part !== "") {
      stack.at(-1)!.push(unescape(part));
    }
  }
  return stack[0];
}
