import { type DBSchema, type IDBPDatabase, openDB } from "idb";
import type { Conversation, Message } from "./tree";

interface Schema extends DBSchema {
  conversations: { key: string; value: Conversation };
  messages: { key: string; value: Message; indexes: { conversation: string } };
}

const name = "zaya";

/** Where conversations are kept. Each call is one transaction: done whole or not at all. */
export interface Store {
  list(): Promise<Conversation[]>;
  messages(conversation: string): Promise<Message[]>;
  putConversation(conversation: Conversation): Promise<void>;
  putMessage(message: Message): Promise<void>;
  putAll(conversation: Conversation, messages: Iterable<Message>): Promise<void>;
  removeMessage(id: string): Promise<void>;
  remove(conversation: string): Promise<void>;
  clear(): Promise<void>;
}

class BrowserStore implements Store {
  constructor(private readonly db: IDBPDatabase<Schema>) {}

  list() {
    return this.db.getAll("conversations");
  }

  messages(conversation: string) {
    return this.db.getAllFromIndex("messages", "conversation", conversation);
  }

  async putConversation(conversation: Conversation) {
    await this.db.put("conversations", conversation);
  }

  async putMessage(message: Message) {
    await this.db.put("messages", message);
  }

  async putAll(conversation: Conversation, messages: Iterable<Message>) {
    const change = this.db.transaction(["conversations", "messages"], "readwrite");
    void change.objectStore("conversations").put(conversation);
    for (const message of messages) void change.objectStore("messages").put(message);
    await change.done;
  }

  async removeMessage(id: string) {
    await this.db.delete("messages", id);
  }

  async remove(conversation: string) {
    const change = this.db.transaction(["conversations", "messages"], "readwrite");
    void change.objectStore("conversations").delete(conversation);
    const messages = change.objectStore("messages");
    for (const key of await messages.index("conversation").getAllKeys(conversation)) void messages.delete(key);
    await change.done;
  }

  async clear() {
    const change = this.db.transaction(["conversations", "messages"], "readwrite");
    void change.objectStore("conversations").clear();
    void change.objectStore("messages").clear();
    await change.done;
  }
}

/** For browsers that keep nothing, as some do in private windows: lost with the page. */
export class MemoryStore implements Store {
  readonly #conversations = new Map<string, Conversation>();
  readonly #messages = new Map<string, Message>();

  async list() {
    return [...this.#conversations.values()];
  }

  async messages(conversation: string) {
    return [...this.#messages.values()].filter((message) => message.conversation === conversation);
  }

  async putConversation(conversation: Conversation) {
    this.#conversations.set(conversation.id, conversation);
  }

  async putMessage(message: Message) {
    this.#messages.set(message.id, message);
  }

  async putAll(conversation: Conversation, messages: Iterable<Message>) {
    this.#conversations.set(conversation.id, conversation);
    for (const message of messages) this.#messages.set(message.id, message);
  }

  async removeMessage(id: string) {
    this.#messages.delete(id);
  }

  async remove(conversation: string) {
    this.#conversations.delete(conversation);
    for (const { id } of await this.messages(conversation)) this.#messages.delete(id);
  }

  async clear() {
    this.#conversations.clear();
    this.#messages.clear();
  }
}

/** Throws when the browser keeps nothing. */
export async function openStore(): Promise<Store> {
  const db = await openDB<Schema>(name, 1, {
    upgrade(fresh) {
      fresh.createObjectStore("conversations", { keyPath: "id" });
      fresh.createObjectStore("messages", { keyPath: "id" }).createIndex("conversation", "conversation");
    },
    // Another tab with a newer page waits for this one to let go.
    blocking: (_old, _new, event) => (event.target as IDBDatabase).close(),
  });
  return new BrowserStore(db);
}
