import type { Settings } from "./settings";

/** What a conversation asks of Markovian RSA, in the words of the server's settings. */

export const carries = ["reasoning_tail", "answer_or_tail", "full", "own_tail"] as const;
// The server knows "all" as well, which answers with every candidate: a conversation goes on from one.
export const selections = ["majority", "single", "pick"] as const;
export const prompts = ["mathematics", "code", "choice", "open"] as const;

export type Carry = (typeof carries)[number];
export type Selection = (typeof selections)[number];
export type Prompt = (typeof prompts)[number];

/** The shape of a run, with the letters of the ZAYA1-8B report (arXiv:2605.05365, section VI). */
export interface Plan {
  /** T: aggregations; there is one stage more. */
  rounds: number;
  /** N */
  population: number;
  /** C */
  subset: number;
  /** Most tokens of a generation before the last stage. */
  beta: number;
  /** Tokens of a tail. */
  tau: number;
  /** Most tokens of a generation of the last stage. */
  finalTokens: number;
  carry: Carry;
  selection: Selection;
}

// As the server has them: the report's tables XI to XIII.
const common = { subset: 4, tau: 4096, finalTokens: 40960, carry: "reasoning_tail", selection: "majority" } as const;
export const presets = {
  light: { ...common, rounds: 2, population: 8, beta: 8192 },
  recommended: { ...common, rounds: 2, population: 16, beta: 16384 },
  headline: { ...common, rounds: 2, population: 16, beta: 40960 },
  "apex-high": { ...common, rounds: 8, population: 16, beta: 16384 },
  "extra-high": { ...common, rounds: 8, population: 32, beta: 32768 },
} satisfies Record<string, Plan>;

export type Preset = keyof typeof presets;
export const modes = ["off", ...(Object.keys(presets) as Preset[]), "custom"] as const;
export type Mode = "off" | Preset | "custom";

/** The run that the settings ask for; null: an ordinary answer. What a custom run leaves open is as recommended. */
export function planOf(settings: Settings): Plan | null {
  const { rsa, carry, selection } = settings;
  if (rsa === "off") return null;
  if (rsa !== "custom") return presets[rsa];
  const base = presets.recommended;
  const population = settings.population ?? base.population;
  const beta = settings.beta ?? base.beta;
  return {
    rounds: settings.rounds ?? base.rounds,
    population,
    // Who sees only its own tail sees one.
    subset: carry === "own_tail" ? 1 : (settings.subset ?? Math.min(base.subset, population)),
    beta,
    tau: settings.tau ?? Math.min(base.tau, beta),
    finalTokens: settings.finalTokens ?? base.finalTokens,
    carry,
    selection,
  };
}

/** What contradicts itself in a plan, as the server would refuse it. */
export function planProblem({ subset, population, tau, beta, carry }: Plan): string | undefined {
  if (subset > population) return `A subset of ${subset} cannot be drawn from a population of ${population}.`;
  if (tau > beta && carry !== "full") return `A tail of ${tau} tokens cannot be cut from ${beta}.`;
  return undefined;
}

export function cost({ rounds, population, beta, finalTokens, selection }: Plan): { generations: number; tokens: number } {
  const before = rounds * population;
  const last = selection === "single" ? 1 : population;
  return { generations: before + last, tokens: before * beta + last * finalTokens };
}

/** The member `rsa` of a chat request. */
export function rsaRequest(settings: Settings): Record<string, unknown> | null {
  const plan = planOf(settings);
  if (plan === null) return null;
  const { rounds, population, subset, beta, tau, finalTokens, carry, selection } = plan;
  return {
    ...(settings.rsa === "custom"
      ? { rounds, population, subset, beta, tau, final_tokens: finalTokens, carry, selection }
      : { preset: settings.rsa }),
    prompt: settings.prompt,
    stream_candidates: true,
  };
}
