import { computed, signal } from "@preact/signals";
import { MemoryStore, openStore, type Store } from "../conversation/store";
import { type Conversation, type Message, type Messages, newId, shownBranch, titleOf } from "../conversation/tree";
import type { Whole } from "../conversation/transfer";
import { notify } from "./notices";
import { defaults } from "./preferences";

/** The list of conversations and the one that is open. Every change is shown at once and then stored. */

let store: Store = new MemoryStore();

// Other tabs of this page are told what changed, and read it from the store.
const channel = new BroadcastChannel("zaya");

/** Newest first. A conversation is in the list from its first message on. */
export const conversations = signal<Conversation[]>([]);
export const open = signal<Conversation>(draft());
export const messages = signal<Messages>(new Map());
export const branch = computed(() => shownBranch(messages.value, open.value.chosen));

/** Messages that are being written by this page, ahead of what is stored. */
export const growing = new Map<string, Message>();

function draft(): Conversation {
  const now = Date.now();
  return { id: newId(), title: titleOf(""), created: now, updated: now, settings: { ...defaults.peek() }, chosen: {} };
}

const byUpdate = (list: Conversation[]): Conversation[] => list.sort((a, b) => b.updated - a.updated);

let storeFailed = false;

/** Stores; a full or broken store is told once, and the page goes on without. */
async function keep(change: Promise<void>, conversation?: string): Promise<void> {
  try {
    await change;
    channel.postMessage(conversation ?? "");
  } catch (error) {
    if (!storeFailed) notify(`This browser did not store the conversation: ${(error as Error).message}`, "bad");
    storeFailed = true;
  }
}

/** Opens the store and the conversation that the address names. */
export async function start(): Promise<void> {
  try {
    store = await openStore();
  } catch {
    notify("This browser keeps no data for this page: conversations are lost when it is closed.", "bad");
  }
  conversations.value = byUpdate(await store.list());
  channel.onmessage = async ({ data }) => {
    const { id } = open.peek();
    const wasListed = isListed(id);
    conversations.value = byUpdate(await store.list());
    if (wasListed && !isListed(id)) newConversation();
    else if (data === id) await load(id);
  };
  window.addEventListener("hashchange", () => void followAddress());
  await followAddress();
}

/** The conversation's id out of the page's address. */
const addressed = (): string => /^#c=(\w+)$/.exec(location.hash)?.[1] ?? "";

async function followAddress(): Promise<void> {
  const id = addressed();
  if (id === open.peek().id) return;
  if (!(await load(id))) {
    open.value = draft();
    messages.value = new Map();
    if (id) history.replaceState(null, "", location.pathname + location.search);
  }
}

async function load(id: string): Promise<boolean> {
  const conversation = conversations.peek().find((one) => one.id === id);
  if (!conversation) return false;
  const stored = await store.messages(id);
  const all = new Map(stored.map((message) => [message.id, message]));
  for (const message of growing.values()) if (message.conversation === id) all.set(message.id, message);
  messages.value = all;
  open.value = conversation;
  return true;
}

export function openConversation(id: string): void {
  location.hash = `c=${id}`;
}

/** An empty conversation; nothing is stored before its first message. */
export function newConversation(): void {
  if (location.hash) history.pushState(null, "", location.pathname + location.search);
  open.value = draft();
  messages.value = new Map();
}

function show(conversation: Conversation): void {
  if (open.peek().id === conversation.id) open.value = conversation;
  const others = conversations.peek().filter(({ id }) => id !== conversation.id);
  conversations.value = byUpdate([conversation, ...others]);
}

const isListed = (id: string): boolean => conversations.peek().some((one) => one.id === id);

/** Changes a conversation, wherever it is shown; the empty draft is changed but not stored. */
export function changeConversation(id: string, change: Partial<Conversation>): void {
  const conversation = id === open.peek().id ? open.peek() : conversations.peek().find((one) => one.id === id);
  if (!conversation) return;
  const changed = { ...conversation, ...change };
  if (!isListed(id)) {
    open.value = changed;
    return;
  }
  show(changed);
  void keep(store.putConversation(changed), id);
}

/** Adds a message to the open conversation and shows the branch that it is on. */
export function addMessage(message: Message): void {
  const conversation = open.peek();
  const first = !isListed(conversation.id);
  const changed: Conversation = {
    ...conversation,
    title: first ? titleOf(message.content) : conversation.title,
    updated: Date.now(),
    chosen: { ...conversation.chosen, [message.parent ?? ""]: message.id },
  };
  messages.value = new Map(messages.peek()).set(message.id, message);
  show(changed);
  void keep(store.putAll(changed, [message]), changed.id);
  if (first) history.pushState(null, "", `#c=${changed.id}`);
}

/** Shows a newer state of a message that was added before. */
export function showMessage(message: Message): void {
  if (messages.peek().has(message.id)) messages.value = new Map(messages.peek()).set(message.id, message);
}

/** Stores a message; `quietly` while it still grows, when other tabs need not look. */
export async function storeMessage(message: Message, quietly = false): Promise<void> {
  // It may have been deleted with its conversation while it grew.
  if (!isListed(message.conversation)) return;
  if (quietly) await store.putMessage(message).catch(() => {});
  else await keep(store.putMessage(message), message.conversation);
}

export function removeMessage(message: Message): void {
  const rest = new Map(messages.peek());
  rest.delete(message.id);
  messages.value = rest;
  void keep(store.removeMessage(message.id), message.conversation);
}

export function choose(message: Message): void {
  const conversation = open.peek();
  changeConversation(conversation.id, { chosen: { ...conversation.chosen, [message.parent ?? ""]: message.id } });
}

/** A conversation with all its branches, oldest message first. */
export async function whole(conversation: Conversation): Promise<Whole> {
  const stored = await store.messages(conversation.id);
  return { conversation, messages: stored.sort((a, b) => a.created - b.created) };
}

export function everything(): Promise<Whole[]> {
  return Promise.all(conversations.peek().map(whole));
}

/** Puts conversations into the list: read from a file, or deleted a moment ago. */
export async function restore(all: readonly Whole[]): Promise<void> {
  for (const { conversation, messages: its } of all) {
    show(conversation);
    await keep(store.putAll(conversation, its), conversation.id);
  }
}

export async function removeConversation(conversation: Conversation): Promise<void> {
  const kept = await whole(conversation);
  conversations.value = conversations.peek().filter(({ id }) => id !== conversation.id);
  if (open.peek().id === conversation.id) newConversation();
  await keep(store.remove(conversation.id));
  notify(`Deleted “${conversation.title}”.`, "plain", { label: "Undo", run: () => void restore([kept]) });
}

export async function removeEverything(): Promise<void> {
  conversations.value = [];
  newConversation();
  await keep(store.clear());
}
