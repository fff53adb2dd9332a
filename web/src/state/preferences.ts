import { effect, signal } from "@preact/signals";
import { readSettings, type Settings } from "../conversation/settings";

/** What belongs to this browser and to no conversation; kept in localStorage. */

export type Theme = "system" | "light" | "dark";

function read(name: string): unknown {
  try {
    return JSON.parse(localStorage.getItem(`zaya.${name}`) ?? "null");
  } catch {
    return null; // storage is closed to the page, or holds something else
  }
}

function write(name: string, value: unknown): void {
  try {
    localStorage.setItem(`zaya.${name}`, JSON.stringify(value));
  } catch {
    // The preference then lasts as long as the page.
  }
}

const storedTheme = read("theme");
const storedKey = read("key");

export const theme = signal<Theme>(storedTheme === "light" || storedTheme === "dark" ? storedTheme : "system");
/** The API key, sent to this server alone. */
export const apiKey = signal(typeof storedKey === "string" ? storedKey : "");
/** What new conversations start with. */
export const defaults = signal<Settings>(readSettings(read("defaults")));
/** Whether the list of conversations is shown on a wide screen. */
export const listShown = signal(read("list") !== false);

effect(() => {
  if (theme.value === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.value;
  write("theme", theme.value);
});
effect(() => write("key", apiKey.value));
effect(() => write("defaults", defaults.value));
effect(() => write("list", listShown.value));
