import { fields, type Fields, text, time } from "./read";
import { readRun } from "./run";
import { runMarkdown } from "./run_markdown";
import { readSettings } from "./settings";
import { type Answer, type AnswerState, type Conversation, type Message, newId, shownBranch, titleOf } from "./tree";

/** Conversations as files: JSON with every branch, to be read again; Markdown with the shown one, to be read by people. */

export interface Whole {
  conversation: Conversation;
  messages: Message[];
}

const format = "zaya-conversations";
const version = 1;

export function toJson(all: readonly Whole[]): string {
  const conversations = all.map(({ conversation, messages }) => ({
    ...conversation,
    messages: messages.map(({ conversation: _, ...message }) => message),
  }));
  return `${JSON.stringify({ format, version, conversations }, null, 1)}\n`;
}

const states: AnswerState[] = ["done", "length", "stopped", "failed"];

function readAnswer(value: unknown): Answer {
  const given = fields(value) ?? {};
  const stats = Object.entries(fields(given.stats) ?? {}).filter(([, figure]) => typeof figure === "number");
  const trouble = fields(given.trouble);
  const run = readRun(given.run);
  return {
    state: states.find((state) => state === given.state) ?? "stopped",
    model: text(given.model),
    reasoning: text(given.reasoning),
    ...(typeof given.thinkingMs === "number" ? { thinkingMs: given.thinkingMs } : {}),
    ...(trouble ? { trouble: { kind: "server", message: text(trouble.message) } } : {}),
    ...(stats.length ? { stats: Object.fromEntries(stats) } : {}),
    ...(run ? { run } : {}),
    settings: readSettings(given.settings),
  };
}

/**
 * Reads what toJson wrote, from a file that may hold anything. Everything gets a new id, so that
 * a file can be read twice and nothing is overwritten. Throws an Error that says what is wrong.
 */
export function fromJson(file: string): Whole[] {
  let root: Fields | undefined;
  try {
    root = fields(JSON.parse(file));
  } catch {
    throw new Error("The file is not JSON.");
  }
  if (root?.format !== format || !Array.isArray(root.conversations)) {
    throw new Error("The file holds no exported conversations.");
  }
  if (root.version !== version) throw new Error(`The file has version ${String(root.version)}; this page reads ${version}.`);
  return root.conversations.map(readConversation);
}

function readConversation(value: unknown): Whole {
  const given = fields(value);
  if (!given || !Array.isArray(given.messages)) throw new Error("The file holds a conversation without messages.");
  const id = newId();
  const read = given.messages.map((item) => {
    const message = fields(item);
    const role = message?.role;
    if (!message || typeof message.id !== "string" || (role !== "user" && role !== "assistant")) {
      throw new Error("The file holds a message without id or role.");
    }
    return { ...message, id: message.id, role } as Fields & { id: string; role: Message["role"] };
  });

  const ids = new Map(read.map((message) => [message.id, newId()]));
  if (ids.size !== read.length) throw new Error("The file holds two messages with the same id.");
  const messages = read.map((message): Message => {
    const parent = message.parent === null ? null : ids.get(text(message.parent));
    if (parent === undefined) throw new Error("The file holds an answer to a message that is not there.");
    return {
      id: ids.get(message.id)!,
      conversation: id,
      parent,
      role: message.role,
      content: text(message.content),
      created: time(message.created),
      ...(message.role === "assistant" ? { answer: readAnswer(message.answer) } : {}),
    };
  });

  const chosen = Object.entries(fields(given.chosen) ?? {}).flatMap(([from, to]) => {
    const [key, target] = [from === "" ? "" : ids.get(from), ids.get(text(to))];
    return key === undefined || target === undefined ? [] : [[key, target] as const];
  });
  const conversation: Conversation = {
    id,
    title: titleOf(text(given.title)),
    created: time(given.created),
    updated: time(given.updated),
    settings: readSettings(given.settings),
    chosen: Object.fromEntries(chosen),
  };
  return { conversation, messages };
}

export function toMarkdown({ conversation, messages }: Whole): string {
  const parts = [`# ${conversation.title}`];
  if (conversation.settings.system.trim()) parts.push(`**System**\n\n${conversation.settings.system.trim()}`);
  const byId = new Map(messages.map((message) => [message.id, message]));
  for (const { message } of shownBranch(byId, conversation.chosen)) {
    const { role, content, answer } = message;
    parts.push(`## ${role === "user" ? "User" : answer?.model || "Assistant"}`);
    if (answer?.run) parts.push(runMarkdown(answer.run));
    if (answer?.reasoning.trim()) {
      parts.push(`<details>\n<summary>Thinking</summary>\n\n${answer.reasoning.trim()}\n\n</details>`);
    }
    parts.push(content.trim());
  }
  return `${parts.join("\n\n")}\n`;
}

/** A file name out of a title, for every system. */
export function fileName(title: string, extension: string): string {
  const stem = title.normalize("NFKC").replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-+|-+$/g, "");
  return `${stem.slice(0, 60) || "conversation"}.${extension}`;
}

/** Has the browser save a file. It comes out of the page's memory: nothing is requested. */
export function save(name: string, type: string, contents: string): void {
  const address = URL.createObjectURL(new Blob([contents], { type }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  // The browser reads the blob after the click has returned.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
