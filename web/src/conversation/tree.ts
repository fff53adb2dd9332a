import type { Trouble } from "../api/errors";
import type { Run } from "./run";
import type { Settings } from "./settings";

/** Figures of an answer. Times are measured by the page, in milliseconds. */
export interface Stats {
  promptTokens?: number;
  cachedTokens?: number;
  tokens?: number;
  reasoningTokens?: number;
  tokensPerSecond?: number;
  firstTokenMs?: number;
  totalMs?: number;
}

/**
 * "streaming" is also what storage holds of an answer whose page was closed: it means streaming
 * only while this page, or another one, still works on it.
 */
export type AnswerState = "streaming" | "done" | "length" | "stopped" | "failed";

export interface Answer {
  state: AnswerState;
  model: string;
  reasoning: string;
  thinkingMs?: number;
  trouble?: Trouble;
  stats?: Stats;
  /** Of an answer of Markovian RSA: how it came about. */
  run?: Run;
  settings: Settings;
}

/** A turn. Several messages with the same parent are branches of the conversation. */
export interface Message {
  id: string;
  conversation: string;
  parent: string | null;
  role: "user" | "assistant";
  content: string;
  created: number;
  /** Of an assistant's message only. */
  answer?: Answer;
}

export interface Conversation {
  id: string;
  title: string;
  created: number;
  updated: number;
  settings: Settings;
  /** Which branch is shown after each message; the key of the first turn is "". */
  chosen: Record<string, string>;
}

export type Messages = ReadonlyMap<string, Message>;

/** An id without crypto.randomUUID, which browsers give to pages on https and localhost only. */
export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const byAge = (a: Message, b: Message): number => a.created - b.created || (a.id < b.id ? -1 : 1);

/** The messages after each message, oldest first; the key of the first turn is "". */
function childrenByParent(messages: Messages): Map<string, Message[]> {
  const children = new Map<string, Message[]>();
  for (const message of messages.values()) {
    const key = message.parent ?? "";
    const group = children.get(key);
    if (group) group.push(message);
    else children.set(key, [message]);
  }
  for (const group of children.values()) group.sort(byAge);
  return children;
}

/** A message of the branch that is shown, with the messages it could be exchanged for. */
export interface Step {
  message: Message;
  siblings: Message[];
}

/** The shown branch: from the first turn on, the chosen message, else the newest. */
export function shownBranch(messages: Messages, chosen: Record<string, string>): Step[] {
  const children = childrenByParent(messages);
  const steps: Step[] = [];
  for (let key = ""; ; ) {
    const siblings = children.get(key);
    const message = siblings?.find(({ id }) => id === chosen[key]) ?? siblings?.at(-1);
    // An imported file can hold a message that is its own ancestor.
    if (!siblings || !message || steps.length > messages.size) return steps;
    steps.push({ message, siblings });
    key = message.id;
  }
}

/** The turns from the first to this message, as the server needs them. */
export function turnsTo(messages: Messages, id: string): Message[] {
  const turns: Message[] = [];
  for (let at = messages.get(id); at && turns.length <= messages.size; ) {
    turns.push(at);
    at = at.parent === null ? undefined : messages.get(at.parent);
  }
  return turns.reverse();
}

export function titleOf(text: string): string {
  const line = text.trim().split("\n", 1)[0]?.replace(/\s+/g, " ").trim() ?? "";
  return (line.length > 60 ? `${line.slice(0, 59).trimEnd()}…` : line) || "New conversation";
}
