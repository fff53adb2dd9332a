import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { answering, send } from "../state/answering";
import { branch, changeConversation, open } from "../state/conversations";
import { loadModels, model, models, serverTrouble } from "../state/models";
import { listShown } from "../state/preferences";
import { IconButton } from "./button";
import { Composer } from "./composer";
import { conversationMenu } from "./conversation_menu";
import { Icon } from "./icons";
import { Menu } from "./menu";
import { MessageView } from "./message";
import { dialog, focusComposer, isNarrow, listOpen } from "./view";

function ModelChoice() {
  const { id, settings } = open.value;
  if (models.value.length < 2) return <span class="model-name">{model.value?.id}</span>;
  return (
    <select
      class="model-choice"
      aria-label="Model"
      value={model.value?.id}
      onChange={(event) => changeConversation(id, { settings: { ...settings, model: event.currentTarget.value } })}
    >
      {models.value.map((one) => (
        <option key={one.id}>{one.id}</option>
      ))}
    </select>
  );
}

function Header() {
  const conversation = open.value;
  return (
    <header class="thread-head">
      <IconButton
        icon="panel"
        label="Conversations"
        class={listShown.value ? "list-toggle shown" : "list-toggle"}
        aria-expanded={isNarrow() ? listOpen.value : listShown.value}
        onClick={() => {
          if (isNarrow()) listOpen.value = true;
          else listShown.value = !listShown.value;
        }}
      />
      <ModelChoice />
      <span class="spring" />
      {branch.value.length > 0 && (
        <Menu label="This conversation" items={conversationMenu(conversation)}>
          <Icon name="dots" />
        </Menu>
      )}
      <IconButton icon="sliders" label="Settings" shortcut="Ctrl+," onClick={() => (dialog.value = "settings")} />
    </header>
  );
}

function ServerTrouble() {
  const trouble = serverTrouble.value;
  if (!trouble) return null;
  return (
    <div class="banner" role="alert">
      <Icon name="warning" />
      <span>{trouble.kind === "key" ? "The server wants an API key." : trouble.message}</span>
      <span class="spring" />
      {trouble.kind === "key" ? (
        <button type="button" class="button" onClick={() => (dialog.value = "settings")}>
          Enter a key
        </button>
      ) : (
        <button type="button" class="button" onClick={() => void loadModels()}>
          Try again
        </button>
      )}
    </div>
  );
}

const examples = [
  "Prove that there are infinitely many primes.",
  "Write a C++ function that merges overlapping intervals.",
  "Explain how a mixture-of-experts model routes a token.",
];

function Welcome() {
  return (
    <div class="welcome">
      <h1>What shall we work on?</h1>
      <p>Everything stays between this browser and the server that gave you this page.</p>
      <ul>
        {examples.map((example) => (
          <li key={example}>
            <button
              type="button"
              onClick={() => {
                send(example, null);
                focusComposer();
              }}
            >
              {example}
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}

// Within this many pixels of the end, the reader counts as being at the end.
const near = 48;

/** Keeps the end in view while an answer grows, until the reader scrolls away from it. */
function useFollowing(conversation: string, version: unknown) {
  const frame = useRef<HTMLDivElement>(null);
  const following = useRef(true);
  const [away, setAway] = useState(false);

  const toEnd = () => {
    following.current = true;
    frame.current!.scrollTop = frame.current!.scrollHeight;
    setAway(false);
  };
  useLayoutEffect(toEnd, [conversation]);
  useLayoutEffect(() => {
    if (following.current) frame.current!.scrollTop = frame.current!.scrollHeight;
  }, [version]);
  useEffect(() => {
    // Formulas, fonts and an unfolded block change the height without any message changing.
    const observer = new ResizeObserver(() => {
      if (following.current) frame.current!.scrollTop = frame.current!.scrollHeight;
    });
    observer.observe(frame.current!.firstElementChild!);
    return () => observer.disconnect();
  }, []);

  const onScroll = () => {
    const { scrollTop, scrollHeight, clientHeight } = frame.current!;
    following.current = scrollHeight - scrollTop - clientHeight < near;
    setAway(!following.current);
  };
  return { frame, away, toEnd, onScroll };
}

export function Thread() {
  const steps = branch.value;
  const { id, title } = open.value;
  const { frame, away, toEnd, onScroll } = useFollowing(id, steps);
  const count = useRef(0);
  useLayoutEffect(() => {
    // A new turn is always shown, wherever the reader was.
    if (steps.length > count.current && answering.peek().has(id)) toEnd();
    count.current = steps.length;
  });
  return (
    <main class="thread">
      <Header />
      <ServerTrouble />
      <div class="scroll" ref={frame} onScroll={onScroll} id="conversation" tabIndex={-1}>
        <div class="column" role="log" aria-live="off" aria-label="Conversation">
          {steps.length === 0 ? <Welcome /> : <h1 class="visually-hidden">{title}</h1>}
          {steps.map(({ message, siblings }) => (
            <MessageView key={message.id} message={message} siblings={siblings} />
          ))}
        </div>
      </div>
      <div class="column dock">
        {away && <IconButton icon="arrowDown" label="To the end" class="to-end" onClick={toEnd} />}
        <Composer />
        <p class="footnote">Models make mistakes. Check what matters.</p>
      </div>
    </main>
  );
}
