import { type ComponentChildren } from "preact";
import { useMemo } from "preact/hooks";
import { CopyButton } from "../ui/copy";
import { highlight, type Span } from "./highlight";

const spans = (parts: (Span | string)[]): ComponentChildren =>
  parts.map((part, index) =>
    typeof part === "string" ? part : (
      <span key={index} class={part.className}>
        {spans(part.children)}
      </span>
    ),
  );

export function CodeBlock({ code, language }: { code: string; language: string }) {
  const coloured = useMemo(() => highlight(code, language.toLowerCase()), [code, language]);
  return (
    <div class="code-block">
      <div class="code-head">
        <span>{language.slice(0, 40) || "text"}</span>
        <CopyButton text={code} label="Copy code" />
      </div>
      <pre tabIndex={0}>
        <code>{coloured ? spans(coloured) : code}</code>
      </pre>
    </div>
  );
}
