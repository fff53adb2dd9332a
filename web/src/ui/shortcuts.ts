import { branch, choose, newConversation } from "../state/conversations";
import { answering, stop } from "../state/answering";
import { open } from "../state/conversations";
import { listShown } from "../state/preferences";
import { dialog, focusComposer, isNarrow, listOpen } from "./view";

/** What the keyboard does anywhere on the page; the help dialog shows the same table. */
export const shortcuts: [keys: string, does: string][] = [
  ["Enter", "send the message"],
  ["Shift + Enter", "new line"],
  ["↑ in an empty message", "edit the last message"],
  ["Esc", "stop the answer; close what is open"],
  ["/", "to the message"],
  ["Ctrl + Shift + O", "new conversation"],
  ["Ctrl + K", "search conversations"],
  ["Ctrl + ,", "settings"],
  ["Alt + ↑ ↓", "to the turn before or after"],
  ["Alt + ← →", "other version of the turn"],
  ["?", "this help"],
];

const isTyping = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && target.matches("input, textarea, select");

function focusSearch(): void {
  const shown = isNarrow() ? listOpen : listShown;
  const focus = () => document.querySelector<HTMLInputElement>("#search")?.focus();
  // A list that was hidden takes no focus before it is drawn.
  if (!shown.peek()) requestAnimationFrame(focus);
  shown.value = true;
  focus();
}

const turns = (): HTMLElement[] => [...document.querySelectorAll<HTMLElement>("[data-message]")];
const focusedTurn = (): HTMLElement | null | undefined => document.activeElement?.closest<HTMLElement>("[data-message]");

function moveTurn(step: number): void {
  const all = turns();
  const at = focusedTurn();
  const target = at ? all[all.indexOf(at) + step] : all.at(-1);
  if (!target) {
    if (step > 0) focusComposer();
    return;
  }
  target.focus({ preventScroll: true });
  target.scrollIntoView({ block: "nearest" });
}

/** Switches the focused turn, else the last one that has other versions. */
function moveSibling(step: number): void {
  const id = focusedTurn()?.dataset.message;
  const at = branch.peek().findLast(({ message, siblings }) => (id ? message.id === id : siblings.length > 1));
  const target = at && at.siblings[at.siblings.indexOf(at.message) + step];
  if (!target) return;
  choose(target);
  if (id) requestAnimationFrame(() => document.querySelector<HTMLElement>(`[data-message="${target.id}"]`)?.focus());
}

function run(event: KeyboardEvent): boolean {
  const command = event.ctrlKey || event.metaKey;
  const key = event.key.toLowerCase();
  if (command && event.shiftKey && key === "o") {
    newConversation();
    focusComposer();
  } else if (command && key === "k") {
    focusSearch();
  } else if (command && key === ",") {
    dialog.value = "settings";
  } else if (event.altKey && !command && (key === "arrowup" || key === "arrowdown")) {
    moveTurn(key === "arrowup" ? -1 : 1);
  } else if (event.altKey && !command && (key === "arrowleft" || key === "arrowright")) {
    // In a text field these keys may move by words.
    if (isTyping(event.target) && (event.target as HTMLTextAreaElement).value !== "") return false;
    moveSibling(key === "arrowleft" ? -1 : 1);
  } else if (key === "escape" && answering.peek().has(open.peek().id)) {
    stop();
  } else if (!isTyping(event.target) && !command && !event.altKey && key === "?") {
    dialog.value = "help";
  } else if (!isTyping(event.target) && !command && !event.altKey && key === "/") {
    focusComposer();
  } else {
    return false;
  }
  return true;
}

export function listenForShortcuts(): void {
  document.addEventListener("keydown", (event) => {
    // An open dialog has the keyboard for itself.
    if (event.defaultPrevented || dialog.peek() !== null) return;
    if (run(event)) event.preventDefault();
  });
}
