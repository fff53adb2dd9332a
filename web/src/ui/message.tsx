import { Component } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Trouble } from "../api/errors";
import type { Answer, Message } from "../conversation/tree";
import { Markdown } from "../markdown/markdown";
import { retry, send } from "../state/answering";
import { choose, growing } from "../state/conversations";
import { IconButton } from "./button";
import { CopyButton } from "./copy";
import { figures, thinkingLength } from "./format";
import { Icon } from "./icons";
import { RunView } from "./run";
import { Thinking } from "./thinking";
import { dialog, editing } from "./view";

const advice: Record<Trouble["kind"], string> = {
  key: "The server wants an API key, or another one.",
  busy: "The server is busy.",
  refused: "The server refused the request.",
  server: "The server failed.",
  network: "No connection to the server.",
  cut: "The answer was cut off.",
};

/** Seconds left until `end`, counted down. */
function useCountdown(end: number): number {
  const left = Math.max(0, Math.ceil((end - Date.now()) / 1000));
  const [, tick] = useState(0);
  useEffect(() => {
    if (left === 0) return;
    const timer = setTimeout(() => tick((ticks) => ticks + 1), 1000);
    return () => clearTimeout(timer);
  });
  return left;
}

function TroubleCard({ message, trouble }: { message: Message; trouble: Trouble }) {
  const wait = useCountdown(message.created + (message.answer?.stats?.totalMs ?? 0) + (trouble.retryAfter ?? 0) * 1000);
  return (
    <div class="trouble" role="alert">
      <Icon name="warning" />
      <div>
        <strong>{advice[trouble.kind]}</strong>
        <p>
          {trouble.message}
          {trouble.status !== undefined && <span class="faint"> (status {trouble.status})</span>}
        </p>
        <div class="row">
          <button type="button" class="button" disabled={wait > 0} onClick={() => retry(message)}>
            {wait > 0 ? `Try again in ${wait} s` : "Try again"}
          </button>
          {trouble.kind === "key" && (
            <button type="button" class="button" onClick={() => (dialog.value = "settings")}>
              Enter a key
            </button>
          )}
        </div>
      </div>
    </div>
  );
}

const endings: Partial<Record<Answer["state"] | "interrupted", string>> = {
  stopped: "Stopped.",
  length: "The limit of tokens was reached before the answer was complete.",
  interrupted: "Not complete: the page was closed meanwhile, or another tab is still at it.",
};

function Siblings({ message, siblings }: { message: Message; siblings: Message[] }) {
  if (siblings.length < 2) return null;
  const at = siblings.indexOf(message);
  const go = (step: number) => choose(siblings[at + step]!);
  const what = message.role === "user" ? "version" : "answer";
  return (
    <span class="siblings">
      <IconButton icon="branchBack" label={`Previous ${what}`} disabled={at === 0} onClick={() => go(-1)} />
      <span aria-label={`${what} ${at + 1} of ${siblings.length}`}>
        {at + 1} / {siblings.length}
      </span>
      <IconButton icon="branchOn" label={`Next ${what}`} disabled={at === siblings.length - 1} onClick={() => go(1)} />
    </span>
  );
}

function AnswerView({ message, siblings }: Props) {
  const answer = message.answer!;
  const busy = answer.state === "streaming" && growing.has(message.id);
  const interrupted = answer.state === "streaming" && !busy;
  const ending = endings[interrupted ? "interrupted" : answer.state];
  const figureList = figures(answer);
  return (
    <article class="message answer" aria-label="Answer" tabIndex={-1} data-message={message.id} aria-busy={busy}>
      <h2 class="visually-hidden">Answer</h2>
      {answer.run && <RunView run={answer.run} message={message.id} busy={busy} />}
      {answer.reasoning && (
        <Thinking text={answer.reasoning} length={thinkingLength(answer)} busy={busy && message.content === ""} />
      )}
      {message.content && <Markdown text={message.content} />}
      {busy && !message.content && !answer.reasoning && !answer.run && (
        <p class="waiting" role="status">
          <span class="visually-hidden">Waiting for the first token</span>
          <i /> <i /> <i />
        </p>
      )}
      {ending && <p class="ending">{ending}</p>}
      {answer.trouble && <TroubleCard message={message} trouble={answer.trouble} />}
      {!busy && (
        <footer>
          <div class="actions">
            <Siblings message={message} siblings={siblings} />
            {message.content && <CopyButton text={message.content} label="Copy answer" />}
            <IconButton icon="retry" label="Answer again" onClick={() => retry(message)} />
          </div>
          <ul class="figures" aria-label="Figures of this answer">
            {answer.model && <li>{answer.model}</li>}
            {figureList.map((figure) => (
              <li key={figure}>{figure}</li>
            ))}
          </ul>
        </footer>
      )}
    </article>
  );
}

function Editor({ message }: { message: Message }) {
  const ref = useRef<HTMLTextAreaElement>(null);
  useLayoutEffect(() => {
    ref.current!.focus();
    ref.current!.selectionStart = ref.current!.value.length;
  }, []);
  const done = () => {
    editing.value = null;
    document.querySelector<HTMLElement>(`[data-message="${message.parent ?? message.id}"]`)?.focus();
  };
  const submit = () => {
    const content = ref.current!.value;
    if (!content.trim()) return;
    editing.value = null;
    send(content, message.parent);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Escape") done();
    else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) submit();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <div class="editor">
      <textarea
        ref={ref}
        aria-label="Edit your message"
        defaultValue={message.content}
        rows={Math.min(12, message.content.split("\n").length + 1)}
        onKeyDown={onKeyDown}
      />
      <div class="row end">
        <button type="button" class="button" onClick={done}>
          Cancel
        </button>
        <button type="button" class="button primary" onClick={submit}>
          Send
        </button>
      </div>
    </div>
  );
}

function UserView({ message, siblings }: Props) {
  if (editing.value === message.id) return <Editor message={message} />;
  return (
    <article class="message user" aria-label="Your message" tabIndex={-1} data-message={message.id}>
      <h2 class="visually-hidden">Your message</h2>
      <div class="bubble">{message.content}</div>
      <footer>
        <div class="actions">
          <Siblings message={message} siblings={siblings} />
          <IconButton icon="edit" label="Edit" onClick={() => (editing.value = message.id)} />
          <CopyButton text={message.content} label="Copy message" />
        </div>
      </footer>
    </article>
  );
}

interface Props {
  message: Message;
  siblings: Message[];
}

/** One turn. While an answer grows, only its own message is another object, so the others stay as they are. */
export class MessageView extends Component<Props> {
  override shouldComponentUpdate(next: Props): boolean {
    const { message, siblings } = this.props;
    return next.message !== message || next.siblings.length !== siblings.length;
  }

  override render({ message, siblings }: Props) {
    const View = message.role === "user" ? UserView : AnswerView;
    return <View message={message} siblings={siblings} />;
  }
}
