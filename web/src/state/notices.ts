import { signal } from "@preact/signals";

/** Short messages at the edge of the page that go away by themselves. */
export interface Notice {
  id: number;
  text: string;
  tone: "plain" | "bad";
  action?: { label: string; run: () => void };
}

export const notices = signal<Notice[]>([]);
/** What screen readers are told and nobody sees. */
export const announcement = signal("");

let next = 1;

export function notify(text: string, tone: Notice["tone"] = "plain", action?: Notice["action"]): void {
  const notice: Notice = { id: next++, text, tone, ...(action ? { action } : {}) };
  notices.value = [...notices.peek().slice(-2), notice];
  setTimeout(() => dismiss(notice.id), action || tone === "bad" ? 10_000 : 4_000);
}

export function dismiss(id: number): void {
  notices.value = notices.peek().filter((notice) => notice.id !== id);
}
