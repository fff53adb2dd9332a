import assert from "node:assert/strict";
import { test } from "node:test";
import { type ComponentChildren, Fragment, type VNode } from "preact";
import { CodeBlock } from "../../src/markdown/code";
import { Formula } from "../../src/markdown/formula";
import { highlight } from "../../src/markdown/highlight";
import { safeAddress } from "../../src/markdown/links";
import { GrowingMarkdown } from "../../src/markdown/parse";
import { renderTokens } from "../../src/markdown/render";
import { document as sample } from "./sample";

interface Element {
  tag: string;
  attributes: Record<string, unknown>;
  text: string;
}

/** What would be in the page: every element with its attributes, and the text inside it. */
function elements(children: ComponentChildren, found: Element[] = []): { found: Element[]; text: string } {
  if (children === null || children === undefined || typeof children === "boolean") return { found, text: "" };
  if (typeof children !== "object") return { found, text: String(children) };
  if (Array.isArray(children)) return { found, text: children.map((child) => elements(child, found).text).join("") };
  const { type, props } = children as VNode<any>;
  const { children: inner, ...attributes } = props;
  if (type === Fragment) return elements(inner, found);
  const tag = type === CodeBlock ? "CodeBlock" : type === Formula ? "Formula" : String(type);
  const element: Element = { tag, attributes, text: "" };
  found.push(element);
  element.text = elements(inner, found).text;
  return { found, text: element.text };
}

const render = (text: string) => elements(new GrowingMarkdown().update(text).map(({ tokens }) => renderTokens(tokens)));
const formulas = (text: string) =>
  render(text).found.filter(({ tag }) => tag === "Formula").map(({ attributes }) => [attributes.tex, attributes.display]);
const tags = (text: string) => render(text).found.map(({ tag }) => tag);

const allowed: Record<string, string[]> = {
  a: ["class", "href", "target", "rel"],
  blockquote: [], br: [], code: [], em: [], hr: [], li: [], p: [], s: [], strong: [], ul: [], tbody: [], thead: [], tr: [], table: [],
  div: ["class", "tabIndex", "role", "aria-label"],
  h3: ["class"], h4: ["class"], h5: ["class"], h6: ["class"],
  ol: ["start"],
  span: ["class"],
  td: ["class"], th: ["class"],
  CodeBlock: ["code", "language"],
  Formula: ["tex", "source", "display"],
};

function assertSafe(text: string): void {
  for (const { tag, attributes } of render(text).found) {
    assert.ok(tag in allowed, `<${tag}> from ${text}`);
    for (const name of Object.keys(attributes)) assert.ok(allowed[tag]!.includes(name), `${tag} ${name} from ${text}`);
    if (tag !== "a") continue;
    assert.match(String(attributes.href), /^(https?:|mailto:)/);
    assert.match(String(attributes.rel), /noopener noreferrer/);
    assert.equal(attributes.target, "_blank");
  }
}

const hostile = [
  "<script>alert(1)</script>",
  '<img src=x onerror=alert(1)> <svg/onload=alert(1)> <iframe src="javascript:alert(1)">',
  "[a](javascript:alert(1)) [b](JaVaScRiPt:alert(1)) [c](&#106;avascript:alert(1)) [d](java\tscript:alert(1))",
  "[a](data:text/html;base64,PHNjcmlwdD4=) [b](vbscript:x) [c](file:///etc/passwd) [d](/v1/models) [e](//evil.example) [f](#x)",
  "<javascript:alert(1)> <data:text/html,x>",
  '![x](https://evil.example/x.png) ![x](data:image/svg+xml,<svg>) ![" onerror="alert(1)](x)',
  '[x](https://a.example "\\" onmouseover=\\"alert(1)")',
  "```\" onclick=\"alert(1)\n</code><script>alert(1)</script>\n```",
  "$\\href{javascript:alert(1)}{x}$ \\[\\includegraphics{https://evil.example}\\]",
  "| <b onclick=x> | <br onload=x> |\n|---|:-:|\n| <script>x</script> | a<br>b |",
  "&lt;script&gt; &#60;script&#62; \0<script>",
  "http://a.example/<script>alert(1)</script> https://a.example/\"onmouseover=alert(1)",
  "<style>*{background:url(https://evil.example)}</style><base href=//evil.example><meta http-equiv=refresh>",
];

test("hostile answers give only the elements and attributes that the page makes", () => {
  for (const text of hostile) assertSafe(text);
  assertSafe(hostile.join("\n\n"));
  assertSafe(sample);
});

test("random splices of hostile and harmless pieces stay safe", () => {
  const pieces = [...hostile.join(" ").split(/(?<=[<>[\]()"`$\\|])/), "\n", "\n\n", "- ", "> ", "    ", "1. ", "$$", "\\[", "```"];
  let state = 12345;
  const random = (below: number): number => (state = (state * 1103515245 + 12345) % 2 ** 31) % below;
  for (let round = 0; round < 500; round++) {
    assertSafe(Array.from({ length: 40 }, () => pieces[random(pieces.length)]).join(""));
  }
});

test("markup shows as it was written", () => {
  assert.equal(render("a <b>c</b>").text, "a <b>c</b>");
  assert.equal(render("<script>x</script>").text, "<script>x</script>");
});

test("links lead to other sites or to mail, images are never loaded", () => {
  assert.equal(safeAddress("https://a.example/x?y#z"), "https://a.example/x?y#z");
  assert.equal(safeAddress("mailto:a@b.example"), "mailto:a@b.example");
  for (const bad of ["javascript:x", " javascript:x", "java\nscript:x", "data:,x", "/x", "x", "//x", "blob:https://x", "ftp://x", ""]) {
    assert.equal(safeAddress(bad), undefined, bad);
  }
  const { found } = render("![a cat](https://a.example/cat.png)");
  assert.deepEqual(found.map(({ tag, attributes }) => [tag, attributes.href]), [["p", undefined], ["a", "https://a.example/cat.png"]]);
});

test("formulas in a line", () => {
  assert.deepEqual(formulas("a $x^2$ b \\(y\\) c $$z$$ d"), [["x^2", false], ["y", false], ["z", true]]);
  assert.deepEqual(formulas("a \\[x\n\\cdot y\\] b"), [["x\n\\cdot y", true]]);
  assert.deepEqual(formulas("**bold $a_1$ and $b_1$**, *it $c$*"), [["a_1", false], ["b_1", false], ["c", false]]);
  assert.deepEqual(formulas("$a\\$b$"), [["a\\$b", false]]);
});

test("prices, code and escapes are no formulas", () => {
  for (const text of ["$5 and $6", "costs $5, or $ 6$ now", "`$x$`", "\\$x\\$", "$x $y", "a $$ b", "\\\\(x\\\\)", "```\n$x$\n```"]) {
    assert.deepEqual(formulas(text), [], text);
  }
});

test("formulas as blocks", () => {
  assert.deepEqual(formulas("$$\nx\n$$"), [["\nx\n", true]]);
  assert.deepEqual(formulas("text\n\\[\nx \\\\[2pt] y\n\\]\nmore"), [["\nx \\\\[2pt] y\n", true]]);
  assert.deepEqual(formulas("1. one\n\n   $$\n   x\n   $$\n2. two"), [["\nx\n", true]]);
  assert.deepEqual(formulas("\\begin{align}\na &= b\n\\end{align}"), [["\\begin{align}\na &= b\n\\end{align}", true]]);
  assert.deepEqual(formulas("> $$x$$"), [["x", true]]);
  // A block that does not close ends at the empty line, and is text.
  assert.deepEqual(tags("$$\nx *y*\n\n# z"), ["p", "br", "em", "h3"]);
  assert.deepEqual(formulas("$$x$$ is a formula\n- and $y$"), [["x", true], ["y", false]]);
});

test("the pieces of Markdown", () => {
  assert.deepEqual(tags("# a\n\n- b\n- c\n\n1. d\n\n> e\n\n---\n\n~~f~~ `g`"), [
    "h3", "ul", "li", "li", "ol", "li", "blockquote", "p", "hr", "p", "s", "code",
  ]);
  assert.deepEqual(tags("| a | b |\n|---|--:|\n| c<br>d | e |"), ["div", "table", "thead", "tr", "th", "th", "tbody", "tr", "td", "br", "td"]);
  assert.equal(render("7. x").found[0]!.attributes.start, 7);
  const [code] = render("```c++ {1}\nx\n```").found;
  assert.deepEqual(code!.attributes, { code: "x\n", language: "c++" });
});

test("code is coloured and stays the same text", () => {
  const code = 'if (a < b && c > "d") { return \'<span class="x">\' + `&amp;`; } // </span>\n';
  const flat = (parts: ReturnType<typeof highlight>): string =>
    parts!.map((part) => (typeof part === "string" ? part : flat(part.children))).join("");
  for (const language of ["javascript", "cpp", "python", "html", "rust", "sql", "yaml", "tex", "md", "diff"]) {
    assert.equal(flat(highlight(code, language)), code, language);
  }
  assert.ok(highlight(code, "js")!.some((part) => typeof part !== "string"));
  assert.equal(highlight(code, "klingon"), undefined);
  assert.equal(highlight("x".repeat(200_000), "js"), undefined);
});

/** A picture of the blocks to compare: positions and everything that is rendered. */
const picture = (blocks: readonly { start: number; tokens: any[] }[]) =>
  blocks.map(({ start, tokens }) => [start, elements(renderTokens(tokens))]);

test("text that grows gives, at every character, what the whole text gives", () => {
  const texts = [sample, ...hostile, "$$\na\n- b\n\n$$\nc\n$$", "- a\n\n\n- b\n\n    c\n\nd\n=\n", "a\r\nb\r\n\r\nc", "\n\n\n# x\n\n\n", "```\na\n\n\nb", "[x]: http://a\n\n[x]\n\n| a\n|-\n| b\n\nc"];
  for (const text of texts) {
    const growing = new GrowingMarkdown();
    for (let end = 0; end <= text.length; end++) {
      const part = text.slice(0, end);
      assert.deepEqual(picture(growing.update(part)), picture(new GrowingMarkdown().update(part)), JSON.stringify(part.slice(-60)));
    }
  }
});

test("finished blocks stay the same objects, only the tail is parsed again", () => {
  const growing = new GrowingMarkdown();
  const first = growing.update("# a\n\nb\n\n- c\n");
  const second = growing.update("# a\n\nb\n\n- c\n- d");
  assert.equal(first.length, 3);
  assert.equal(second[0], first[0]);
  assert.equal(second[1], first[1]);
  assert.notEqual(second[2], first[2]);
});

test("other text than before starts anew", () => {
  const growing = new GrowingMarkdown();
  growing.update("# a\n\nb\n\nc");
  assert.deepEqual(picture(growing.update("x")), picture(new GrowingMarkdown().update("x")));
});

test("a long answer that grows is parsed in time that grows with its length", () => {
  const text = `${sample}\n\n`.repeat(Math.ceil(120_000 / sample.length));
  const growing = new GrowingMarkdown();
  const start = process.cpuUsage();
  for (let end = 0; end < text.length; end += 40) growing.update(text.slice(0, end));
  const seconds = process.cpuUsage(start).user / 1e6;
  assert.ok(seconds < 5, `${seconds} s`); // 3,000 steps; parsing everything at each takes a minute
});

test("texts made to be slow are not", () => {
  for (const piece of ["$", "$$", "\\(", "\\[", "\\begin{align}", "[", "![", "*a _b ", "`", "> ", "- ", "|", "<", "http://", "$a\\"]) {
    const start = process.cpuUsage();
    new GrowingMarkdown().update(piece.repeat(20_000));
    const seconds = process.cpuUsage(start).user / 1e6;
    assert.ok(seconds < 2, `${piece}: ${seconds} s`);
  }
});
