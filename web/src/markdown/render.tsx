import { Component, Fragment, type ComponentChildren, h } from "preact";
import type Token from "markdown-it/lib/token.mjs";
import { CodeBlock } from "./code";
import { Formula } from "./formula";
import { safeAddress } from "./links";
import type { Block } from "./parse";

/*
 * Tokens become elements directly. No HTML text is made on the way, so an answer can only ever
 * contain the elements and attributes that are written here.
 */

interface Open {
  token: Token | undefined;
  children: ComponentChildren[];
}

const plainTags: Record<string, string> = {
  paragraph_open: "p",
  bullet_list_open: "ul",
  list_item_open: "li",
  blockquote_open: "blockquote",
  thead_open: "thead",
  tbody_open: "tbody",
  tr_open: "tr",
  em_open: "em",
  strong_open: "strong",
  s_open: "s",
};

function link(token: Token, children: ComponentChildren): ComponentChildren {
  const address = safeAddress(token.attrGet("href") ?? "");
  if (address === undefined) return children;
  return (
    <a href={address} target="_blank" rel="noopener noreferrer nofollow">
      {children}
    </a>
  );
}

function cell(token: Token, children: ComponentChildren): ComponentChildren {
  const align = /text-align:(left|center|right)/.exec(String(token.attrGet("style") ?? ""))?.[1];
  return h(token.type === "th_open" ? "th" : "td", { class: align && `align-${align}` }, children);
}

function element(token: Token, children: ComponentChildren[]): ComponentChildren {
  const tag = plainTags[token.type];
  if (tag !== undefined) return token.hidden ? <Fragment>{children}</Fragment> : h(tag, null, children);
  switch (token.type) {
    case "heading_open": {
      // The page's own headings come first in the outline: the largest of an answer is a third level.
      const level = Number(token.tag.slice(1));
      return h(`h${Math.min(level + 2, 6)}`, { class: `heading-${level}` }, children);
    }
    case "ordered_list_open":
      return <ol start={Number(token.attrGet("start") ?? 1)}>{children}</ol>;
    case "table_open":
      return (
        <div class="table-frame" tabIndex={0} role="region" aria-label="Table">
          <table>{children}</table>
        </div>
      );
    case "th_open":
    case "td_open":
      return cell(token, children);
    case "link_open":
      return link(token, children);
    default:
      return <Fragment>{children}</Fragment>;
  }
}

// Nothing is loaded for an image, be it from elsewhere or from here: it shows as a link to it.
function image(token: Token): ComponentChildren {
  const label = token.content || "image";
  const address = safeAddress(String(token.attrGet("src") ?? ""));
  if (address === undefined) return <span class="image-link">{label}</span>;
  return (
    <a class="image-link" href={address} target="_blank" rel="noopener noreferrer nofollow">
      {label}
    </a>
  );
}

// The one piece of HTML that models use where Markdown has nothing: a new line in a table's cell.
function withBreaks(text: string): ComponentChildren {
  const lines = text.split(/<br\s*\/?>/i);
  if (lines.length === 1) return text;
  return lines.map((line, index) => (
    <Fragment key={index}>
      {index > 0 && <br />}
      {line}
    </Fragment>
  ));
}

function leaf(token: Token): ComponentChildren {
  switch (token.type) {
    case "inline":
      return renderTokens(token.children ?? []);
    case "softbreak":
    case "hardbreak":
      return <br />;
    case "hr":
      return <hr />;
    case "code_inline":
      return <code>{token.content}</code>;
    case "code_block":
      return <CodeBlock code={token.content} language="" />;
    case "fence":
      return <CodeBlock code={token.content} language={token.info.trim().split(/[\s{,]/, 1)[0] ?? ""} />;
    case "math":
      return <Formula tex={token.content} source={token.meta.source} display={token.meta.display} />;
    case "image":
      return image(token);
    default:
      return withBreaks(token.content);
  }
}

export function renderTokens(tokens: readonly Token[]): ComponentChildren[] {
  const stack: Open[] = [{ token: undefined, children: [] }];
  for (const token of tokens) {
    if (token.nesting > 0) {
      stack.push({ token, children: [] });
    } else if (token.nesting < 0 && stack.length > 1) {
      const { token: opened, children } = stack.pop()!;
      stack.at(-1)!.children.push(element(opened!, children));
    } else {
      stack.at(-1)!.children.push(leaf(token));
    }
  }
  return stack[0]!.children;
}

/** A block of Markdown; rendered again only when it is another object. */
export class BlockView extends Component<{ block: Block }> {
  override shouldComponentUpdate(next: { block: Block }): boolean {
    return next.block !== this.props.block;
  }

  override render() {
    return renderTokens(this.props.block.tokens);
  }
}
