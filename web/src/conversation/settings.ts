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

/** Settings out of storage or an imported file: whatever is missing or wrong is left to the server. */
export function readSettings(value: unknown): Settings {
  const given = (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;
  const settings = { ...serverDefaults };
  if (typeof given.model === "string") settings.model = given.model;
  if (typeof given.system === "string") settings.system = given.system;
  if (given.thinking === "on" || given.thinking === "off") settings.thinking = given.thinking;
  for (const name of Object.keys(ranges) as Numeric[]) {
    if (typeof given[name] === "number") settings[name] = parseNumber(name, String(given[name])) ?? null;
  }
  return settings;
}

export interface Turn {
  role: "user" | "assistant";
  content: string;
}

/** The body of a chat request. What is left to the server is not in it. */
export function chatRequest(turns: readonly Turn[], settings: Settings, model: string): Record<string, unknown> {
  const given = {
    temperature: settings.temperature,
    top_p: settings.topP,
    top_k: settings.topK,
    min_p: settings.minP,
    max_tokens: settings.maxTokens,
    seed: settings.seed,
    thinking_token_budget: settings.thinking === "off" ? null : settings.thinkingBudget,
    chat_template_kwargs: settings.thinking === "default" ? null : { enable_thinking: settings.thinking === "on" },
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
