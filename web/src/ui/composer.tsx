import { useLayoutEffect, useRef } from "preact/hooks";
import { answering, send, stop } from "../state/answering";
import { branch, changeConversation, open } from "../state/conversations";
import { model } from "../state/models";
import { Icon } from "./icons";
import { dialog, editing, isNarrow } from "./view";

// What was typed and not sent, by conversation: it is there again after a look at another one.
const drafts = new Map<string, string>();

export function Composer() {
  const ref = useRef<HTMLTextAreaElement>(null);
  const { id, settings } = open.value;
  const busy = answering.value.has(id);

  const fit = () => {
    const area = ref.current!;
    area.style.height = "auto";
    area.style.height = `${area.scrollHeight}px`;
  };

  // Before the next key arrives, which an effect after painting may miss.
  useLayoutEffect(() => {
    ref.current!.value = drafts.get(id) ?? "";
    fit();
    // On a phone the keyboard would cover the conversation that was asked for.
    if (!isNarrow()) ref.current!.focus();
  }, [id]);

  const submit = () => {
    const text = ref.current!.value;
    if (busy || !text.trim()) return;
    ref.current!.value = "";
    drafts.delete(id);
    fit();
    send(text, branch.peek().at(-1)?.message.id ?? null);
  };

  const onKeyDown = (event: KeyboardEvent) => {
    // While a word is being composed (Japanese, say), Enter belongs to the input method.
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      // On a phone there is no Shift: there Enter is a new line and the button sends.
      if (isNarrow() && !event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      submit();
    } else if (event.key === "ArrowUp" && !event.altKey && ref.current!.value === "") {
      const last = branch.peek().findLast(({ message }) => message.role === "user");
      if (!last) return;
      event.preventDefault();
      editing.value = last.message.id;
    }
  };

  const thinks = settings.thinking !== "off";
  const runs = settings.rsa !== "off" && model.value?.rsa;
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <textarea
        ref={ref}
        id="composer"
        rows={1}
        placeholder={model.value ? `Ask ${model.value.id}` : "Ask"}
        aria-label="Your message"
        enterkeyhint={isNarrow() ? "enter" : "send"}
        onInput={() => {
          drafts.set(id, ref.current!.value);
          fit();
        }}
        onKeyDown={onKeyDown}
      />
      <div class="row">
        {runs ? (
          <button
            type="button"
            class="chip on"
            title="Many candidates answer, and the last ones vote: see the settings"
            onClick={() => (dialog.value = "settings")}
          >
            <Icon name="grid" />
            Markovian RSA: {settings.rsa}
          </button>
        ) : (
          <button
            type="button"
            class="chip"
            aria-pressed={thinks}
            title={thinks ? "The model thinks before it answers" : "The model answers at once"}
            onClick={() => changeConversation(id, { settings: { ...settings, thinking: thinks ? "off" : "on" } })}
          >
            <Icon name="brain" />
            Thinking
          </button>
        )}
        <span class="spring" />
        {busy ? (
          <button key="stop" type="button" class="send stop" aria-label="Stop" title="Stop (Esc)" onClick={() => stop()}>
            <span class="square" />
          </button>
        ) : (
          <button key="send" type="submit" class="send" aria-label="Send" title="Send (Enter)">
            <Icon name="send" />
          </button>
        )}
      </div>
    </form>
  );
}
