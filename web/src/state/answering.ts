import { signal } from "@preact/signals";
import { type Delta, streamChat } from "../api/client";
import { ApiError, type Trouble } from "../api/errors";
import { RunCollector } from "../conversation/run";
import { chatRequest, type Settings } from "../conversation/settings";
import { type Answer, type Message, newId, type Stats, turnsTo } from "../conversation/tree";
import * as kept from "./conversations";
import { loadModels, model, serverTrouble } from "./models";
import { announcement } from "./notices";
import { painter } from "./paint";
import { apiKey } from "./preferences";

/** Asks the server, and lets answers grow. A conversation has one answer under way at most. */

/** What stops the answer that is under way, by conversation. */
export const answering = signal<ReadonlyMap<string, AbortController>>(new Map());

// A page that is closed loses at most this much of an answer. A run is megabytes and takes an hour.
const storeEveryMs = 1000;
const storeRunEveryMs = 15_000;

/** Sends a user's turn after `parent`: at the end of the branch, or beside an earlier turn that was edited. */
export function send(content: string, parent: string | null): void {
  const message: Message = {
    id: newId(),
    conversation: kept.open.peek().id,
    parent,
    role: "user",
    content,
    created: Date.now(),
  };
  stop(message.conversation);
  kept.addMessage(message);
  void answer(message.id);
}

/** Another answer to the same turn. One that ended before it said anything is replaced. */
export function retry(message: Message): void {
  if (message.parent === null) return;
  stop(message.conversation);
  const ended = message.answer?.state !== "streaming";
  if (ended && !message.content && !message.answer?.reasoning && !message.answer?.run) kept.removeMessage(message);
  void answer(message.parent);
}

export function stop(conversation = kept.open.peek().id): void {
  answering.peek().get(conversation)?.abort();
}

export function stopAll(): void {
  for (const abort of answering.peek().values()) abort.abort();
}

/** Collects deltas into a message and measures. */
class Growth {
  content = "";
  reasoning = "";
  #stats: Stats = {};
  #finish: string | undefined;
  #thinkingMs: number | undefined;
  #run: RunCollector | undefined;
  readonly #asked = performance.now();
  #first: number | undefined;
  #last = this.#asked;

  add(delta: Delta): void {
    const now = performance.now();
    if (delta.rsa !== undefined) (this.#run ??= new RunCollector()).add(delta.rsa);
    if (delta.reasoning || delta.content) {
      this.#first ??= now;
      this.#last = now;
    }
    this.reasoning += delta.reasoning;
    this.content += delta.content;
    // The answer of a run was written before it is sent: its times say nothing.
    if (!this.#run && this.reasoning && (delta.reasoning || this.#thinkingMs === undefined)) {
      this.#thinkingMs = now - (this.#first ?? now);
    }
    this.#finish = delta.finish ?? this.#finish;
    const { usage, timings } = delta;
    if (usage) {
      this.#stats.promptTokens = usage.prompt_tokens;
      this.#stats.tokens = usage.completion_tokens;
      this.#stats.cachedTokens = usage.prompt_tokens_details?.cached_tokens;
      this.#stats.reasoningTokens = usage.completion_tokens_details?.reasoning_tokens;
    }
    // An answer of one token has no speed.
    if (timings?.predicted_per_second) this.#stats.tokensPerSecond = timings.predicted_per_second;
  }

  /** The answer as far as it has come. */
  part(before: Message): Message {
    const answer: Answer = { ...before.answer!, reasoning: this.reasoning };
    if (this.#thinkingMs !== undefined) answer.thinkingMs = this.#thinkingMs;
    if (this.#run) answer.run = this.#run.part();
    return { ...before, content: this.content, answer };
  }

  /** The answer as it stays. */
  end(before: Message, trouble?: Trouble, stopped = false): Message {
    const message = this.part(before);
    const stats: Stats = { ...this.#stats, totalMs: performance.now() - this.#asked };
    if (this.#run) {
      // Usage is the sum over all candidates, and so is the speed.
      delete stats.reasoningTokens;
      if (stats.tokens) stats.tokensPerSecond = stats.tokens / (stats.totalMs! / 1000);
    } else if (this.#first !== undefined) {
      stats.firstTokenMs = this.#first - this.#asked;
      const seconds = (this.#last - this.#first) / 1000;
      // The first token's time is the prompt's; the others came within the seconds that are left.
      if (stats.tokensPerSecond === undefined && stats.tokens && stats.tokens > 1 && seconds > 0) {
        stats.tokensPerSecond = (stats.tokens - 1) / seconds;
      }
    }
    const answer: Answer = { ...message.answer!, stats };
    if (this.#run) answer.run = this.#run.end();
    if (trouble) Object.assign(answer, { state: "failed", trouble });
    else answer.state = stopped ? "stopped" : this.#finish === "length" ? "length" : "done";
    return { ...message, answer };
  }
}

async function answer(parent: string): Promise<void> {
  const { id: conversation, settings: wanted } = kept.open.peek();
  const turns = turnsTo(kept.messages.peek(), parent);
  if (model.peek() === undefined) await loadModels();
  const served = model.peek()?.id ?? wanted.model;
  const settings: Settings = model.peek()?.rsa ? wanted : { ...wanted, rsa: "off" };
  let message: Message = {
    id: newId(),
    conversation,
    parent,
    role: "assistant",
    content: "",
    created: Date.now(),
    answer: { state: "streaming", model: served, reasoning: "", settings: { ...settings } },
  };
  kept.growing.set(message.id, message);
  kept.addMessage(message);

  const abort = new AbortController();
  answering.value = new Map(answering.peek()).set(conversation, abort);
  announcement.value = "The answer begins.";

  const growth = new Growth();
  const show = painter(() => {
    message = growth.part(message);
    kept.growing.set(message.id, message);
    kept.showMessage(message);
  });
  const storing = setInterval(
    () => void kept.storeMessage(growth.part(message), true),
    settings.rsa === "off" ? storeEveryMs : storeRunEveryMs,
  );
  let trouble: Trouble | undefined;
  try {
    for await (const delta of streamChat(chatRequest(turns, settings, served), apiKey.peek(), abort.signal)) {
      growth.add(delta);
      show.request();
    }
  } catch (error) {
    if (error instanceof ApiError) trouble = error.trouble;
    else if (!abort.signal.aborted) trouble = { kind: "server", message: (error as Error).message };
  }
  clearInterval(storing);
  show.cancel();

  message = growth.end(message, trouble, abort.signal.aborted);
  kept.growing.delete(message.id);
  kept.showMessage(message);
  const rest = new Map(answering.peek());
  if (rest.get(conversation) === abort) rest.delete(conversation);
  answering.value = rest;
  announcement.value = trouble ? `The answer failed: ${trouble.message}` : "The answer is complete.";
  await kept.storeMessage(message);
  // A server that came back, or went away, is noticed by the next question.
  if (trouble?.kind === "network" || serverTrouble.peek()) await loadModels();
}
