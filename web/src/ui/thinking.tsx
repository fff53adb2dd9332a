import { useState } from "preact/hooks";
import { Markdown } from "../markdown/markdown";
import { Icon } from "./icons";

/** What a model thought, folded under its length. */
export function Thinking({ text, length, busy }: { text: string; length: string; busy: boolean }) {
  const [unfolded, setUnfolded] = useState(false);
  return (
    <details class={busy ? "thinking busy" : "thinking"} onToggle={(event) => setUnfolded(event.currentTarget.open)}>
      <summary>
        <Icon name="brain" />
        <span>
          {busy ? "Thinking" : "Thought"} {length}
        </span>
        <Icon name="branchOn" />
      </summary>
      {unfolded && <Markdown text={text} />}
    </details>
  );
}
