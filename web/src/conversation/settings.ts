import { carries, type Carry, type Mode, modes, type Prompt, prompts, rsaRequest, type Selection, selections } from "./rsa";

/** How a conversation is answered. null leaves the choice to the server (generation_config.json). */
export interface Settings {
  model: string;
  system: string;
  temperature: number | null;
  topP: number | null;
  topK: number | null;
  minP: number | null;
  maxTokens: number | null;
  seed: number | null;
  thinking: "default" | "on" | "off";
  thinkingBudget: number | null;
  /** Markovian RSA: off, a preset, or the members below. */
  rsa: Mode;
  prompt: Prompt;
  rounds: number | null;
  population: number | null;
  subset: number | null;
  beta: number | null;
  tau: number | null;
  finalTokens: number | null;
  carry: Carry;
  selection: Selection;
}

export const serverDefaults: Settings = {
  model: "",
  system: "",
  temperature: null,
  topP: null,
  topK: null,
  minP: null,
  maxTokens: null,
  seed: null,
  thinking: "default",
  thinkingBudget: null,
  rsa: "off",
  prompt: "mathematics",
  rounds: null,
  population: null,
  subset: null,
  beta: null,
  tau: null,
  finalTokens: null,
  carry: "reasoning_tail",
  selection: "majority",
};

type Numeric = { [K in keyof Settings]: Settings[K] extends number | null ? K : never }[keyof Settings];

export interface Range {
  min: number;
  max: number;
  step: number;
  whole?: boolean;
}

/** What the server accepts. Steps are those of the sliders and arrow keys, not limits. */
export const ranges: Record<Numeric, Range> = {
  temperature: { min: 0, max: 2, step: 0.05 },
  topP: { min: 0, max: 1, step: 0.01 },
  topK: { min: 0, max: 1000, step: 1, whole: true },
  minP: { min: 0, max: 1, step: 0.01 },
  maxTokens: { min: 1, max: 1_000_000, step: 256, whole: true },
  seed: { min: 0, max: Number.MAX_SAFE_INTEGER, step: 1, whole: true },
  thinkingBudget: { min: 0, max: 1_000_000, step: 256, whole: true },
  rounds: { min: 0, max: 1000, step: 1, whole: true },
  population: { min: 1, max: 1024, step: 1, whole: true },
  subset: { min: 1, max: 1024, step: 1, whole: true },
  beta: { min: 1, max: 2 ** 24, step: 1024, whole: true },
  tau: { min: 1, max: 2 ** 24, step: 1024, whole: true },
  finalTokens: { min: 1, max: 2 ** 24, step: 1024, whole: true },
};

export type NumericSetting = Numeric;

/** A number typed by a person, or null for an empty field; undefined when it is out of range. */
export function parseNumber(name: Numeric, typed: string): number | null | undefined {
  if (typed.trim() === "") return null;
  const value = Number(typed);
  const { min, max, whole } = ranges[name];
  return Number.isFinite(value) && value >= min && value <= max && (!whole || Number.isInteger(value))
    ? value
    : undefined;
}

const oneOf = <T>(names: readonly T[], value: unknown, otherwise: T): T =>
  names.find((name) => name === value) ?? otherwise;

/** Settings out of storage or an imported file: whatever is missing or wrong is left to the server. */
export function readSettings(value: unknown): Settings {
  const stored = (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;
  const settings = { ...serverDefaults };
  if (typeof stored.model === "string") settings.model = stored.model;
  if (typeof stored.system === "string") settings.system = stored.system;
  if (stored.thinking === "on" || stored.thinking === "off") settings.thinking = stored.thinking;
  settings.rsa = oneOf(modes, stored.rsa, settings.rsa);
  settings.prompt = oneOf(prompts, stored.prompt, settings.prompt);
  settings.carry = oneOf(carries, stored.carry, settings.carry);
  settings.selection = oneOf(selections, stored.selection, settings.selection);
  for (const name of Object.keys(ranges) as Numeric[]) {
    if (typeof stored[name] === "number") settings[name] = parseNumber(name, String(stored[name])) ?? null;
  }
  return settings;
}

export interface Turn {
  role: "user" | "assistant";
  content: string;
}

/** The body of a chat request. What is left to the server is not in it. */
export function chatRequest(turns: readonly Turn[], settings: Settings, model: string): Record<string, unknown> {
  const rsa = rsaRequest(settings);
  const given = {
    temperature: settings.temperature,
    top_p: settings.topP,
    top_k: settings.topK,
    min_p: settings.minP,
    seed: settings.seed,
    // A run has limits of its own, and all its candidates think.
    ...(rsa === null ? limits(settings) : { rsa }),
  };
  return {
    model,
    messages: [
      ...(settings.system.trim() ? [{ role: "system", content: settings.system }] : []),
      ...turns.map(({ role, content }) => ({ role, content })),
    ],
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== null)),
  };
}

const limits = ({ maxTokens, thinking, thinkingBudget }: Settings): Record<string, unknown> => ({
  max_tokens: maxTokens,
  thinking_token_budget: thinking === "off" ? null : thinkingBudget,
  chat_template_kwargs: thinking === "default" ? null : { enable_thinking: thinking === "on" },
});
