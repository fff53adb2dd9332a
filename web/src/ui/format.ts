import type { Answer } from "../conversation/tree";

const number = new Intl.NumberFormat("en");

export const count = (value: number, unit: string): string =>
  `${number.format(value)} ${unit}${value === 1 ? "" : "s"}`;

export function duration(milliseconds: number): string {
  const seconds = milliseconds / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

export const words = (text: string): number => text.match(/\S+/g)?.length ?? 0;

/** "Thought for 12 s · 1,024 tokens": tokens where the server counts them, words where it does not. */
export function thinkingLength({ reasoning, thinkingMs, stats }: Answer): string {
  const length =
    stats?.reasoningTokens === undefined ? count(words(reasoning), "word") : count(stats.reasoningTokens, "token");
  return [thinkingMs === undefined ? "" : `for ${duration(thinkingMs)}`, length].filter(Boolean).join(" · ");
}

/** The line of figures below an answer; what the server does not say is left out. */
export function figures({ stats }: Answer): string[] {
  if (!stats) return [];
  const { tokens, tokensPerSecond, firstTokenMs, promptTokens, cachedTokens } = stats;
  return [
    tokens === undefined ? "" : count(tokens, "token"),
    tokensPerSecond === undefined ? "" : `${tokensPerSecond.toFixed(1)} tokens/s`,
    firstTokenMs === undefined ? "" : `first token after ${duration(firstTokenMs)}`,
    promptTokens === undefined
      ? ""
      : `prompt ${count(promptTokens, "token")}${cachedTokens ? `, ${number.format(cachedTokens)} cached` : ""}`,
  ].filter(Boolean);
}

const day = 24 * 3600 * 1000;

/** The heading in the list of conversations that a time falls under. */
export function age(time: number, now = Date.now()): string {
  const today = new Date(now).setHours(0, 0, 0, 0);
  if (time >= today) return "Today";
  if (time >= today - day) return "Yesterday";
  if (time >= today - 7 * day) return "Last seven days";
  return new Intl.DateTimeFormat("en", { month: "long", year: "numeric" }).format(time);
}
