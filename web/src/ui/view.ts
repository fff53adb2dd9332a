import { signal } from "@preact/signals";
import type { CandidateAddress } from "../conversation/run";

/** A candidate of the run that is with a message. */
export type CandidateView = CandidateAddress & { message: string };

/** What of the page is open, and commands that several parts give. */
export const dialog = signal<"settings" | "help" | CandidateView | null>(null);
/** The list of conversations over the page, on a narrow screen. */
export const listOpen = signal(false);
/** The user's turn that is being edited. */
export const editing = signal<string | null>(null);

export const isNarrow = (): boolean => matchMedia("(max-width: 50rem)").matches;

export const focusComposer = (): void => document.querySelector<HTMLTextAreaElement>("#composer")?.focus();
/** The conversation whose title is being typed. */
export const renaming = signal<string | null>(null);
