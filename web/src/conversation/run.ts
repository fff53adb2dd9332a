import { amount, fields, type Fields, list, measure, text, time } from "./read";

/** A run of Markovian RSA, as it is kept with its answer. */

export const candidateStates = ["waiting", "running", "done", "failed", "cancelled"] as const;
export type CandidateState = (typeof candidateStates)[number];

/** One generation of a run. */
export interface Candidate {
  state: CandidateState;
  /** Slots of the stage before that it was shown. */
  sources: readonly number[];
  tokens: number;
  cachedTokens?: number;
  seconds?: number;
  /** Why it ended, in the server's words. */
  finish?: string;
  answer?: string;
  error?: string;
  reasoning: string;
  content: string;
  /** Characters that the beginning of its reasoning was cut by, to keep a run within bounds. */
  cut?: number;
}

export interface Vote {
  answer: string;
  candidates: readonly number[];
}

export interface RunResult {
  stage: number;
  chosen: number | null;
  votes: readonly Vote[];
  largestContext?: number;
  contextBound?: number;
  stopped: boolean;
}

export interface Run {
  stages: readonly (readonly Candidate[])[];
  /** Most tokens of a generation: before the last stage, and in it. */
  beta?: number;
  finalTokens?: number;
  kvForecast?: number;
  kvBudget?: number;
  result?: RunResult;
  /** When the page heard of it first, and for how long it did. */
  started: number;
  ms: number;
}

export interface CandidateAddress {
  stage: number;
  slot: number;
}

// A run with more candidates shows the first of them.
const mostCandidates = 2048;
const mostStages = 1001;
const mostSlots = 1024;
// Characters of one candidate's text, and of all of them: what 48 candidates write is kept whole in most
// cases, and a run stays small enough to be stored again and again while it grows.
const mostText = 96_000;
const mostTextOfRun = 4_000_000;
const mostAnswer = 500;

export const waiting: Candidate = { state: "waiting", sources: [], tokens: 0, reasoning: "", content: "" };

export const tokensOf = ({ stages }: Run): number => stages.flat().reduce((sum, { tokens }) => sum + tokens, 0);

/** The vote for the answer that was chosen. */
export const chosenVote = ({ result }: Run): Vote | undefined =>
  result?.votes.find(({ candidates }) => result.chosen !== null && candidates.includes(result.chosen));

const slotsIn = (value: unknown): number[] => [
  ...new Set(list(value).slice(0, mostSlots).filter((slot): slot is number => amount(slot, mostSlots - 1) !== undefined)),
];

const optional = <K extends string, V>(name: K, value: V | undefined): Partial<Record<K, V>> =>
  value === undefined ? {} : ({ [name]: value } as Record<K, V>);

const shortText = (value: unknown): string | undefined => text(value).slice(0, mostAnswer) || undefined;

const readVotes = (value: unknown): Vote[] =>
  list(value)
    .slice(0, mostSlots)
    .map((vote) => ({ answer: text(fields(vote)?.answer).slice(0, mostAnswer), candidates: slotsIn(fields(vote)?.candidates) }));

const resultOf = (given: Fields, largest: unknown, bound: unknown): RunResult => ({
  stage: amount(given.stage, mostStages) ?? 0,
  chosen: amount(given.chosen, mostSlots) ?? null,
  votes: readVotes(given.votes),
  ...optional("largestContext", amount(largest)),
  ...optional("contextBound", amount(bound)),
  stopped: given.stopped === true,
});

/** Collects the events of a run. What is unknown, out of place or beyond the bounds is passed over. */
export class RunCollector {
  readonly #stages: Candidate[][] = [];
  #candidates = 0;
  #limits: Pick<Run, "beta" | "finalTokens" | "kvForecast" | "kvBudget"> = {};
  #result: RunResult | undefined;
  readonly #started = Date.now();
  readonly #begin = performance.now();

  add(event: unknown): void {
    const given = fields(event);
    if (!given) return;
    if (given.type === "run") this.#begins(given);
    else if (given.type === "start") this.#change(given, (one) => start(one, given));
    else if (given.type === "progress") this.#change(given, (one) => this.#progress(one, given));
    else if (given.type === "done") this.#change(given, (one) => done(one, given));
    else if (given.type === "result") this.#result = resultOf(given, given.largest_context, given.context_bound);
  }

  /** The run as far as it has come; a candidate that did not change is the same object as before. */
  part(): Run {
    return {
      stages: this.#stages.map((stage) => [...stage]),
      ...this.#limits,
      ...(this.#result ? { result: this.#result } : {}),
      started: this.#started,
      ms: Math.round(performance.now() - this.#begin),
    };
  }

  /** The run as it stays: nobody writes on. */
  end(): Run {
    for (const stage of this.#stages) {
      stage.forEach((one, slot) => {
        if (one.state === "running") stage[slot] = { ...one, state: "cancelled" };
      });
    }
    return this.part();
  }

  #begins(given: Fields): void {
    list(given.widths).slice(0, mostStages).forEach((width, stage) => {
      const last = (amount(width, mostSlots) ?? 0) - 1;
      if (last >= 0) this.#room(stage, last);
    });
    const settings = fields(given.settings) ?? {};
    this.#limits = {
      ...optional("beta", amount(settings.beta)),
      ...optional("finalTokens", amount(settings.final_tokens)),
      ...optional("kvForecast", amount(given.kv_forecast_bytes)),
      ...optional("kvBudget", amount(given.kv_budget_bytes)),
    };
  }

  /** Makes candidates up to this one; false when there would be too many. */
  #room(stage: number, slot: number): boolean {
    while (this.#stages.length <= stage) this.#stages.push([]);
    const its = this.#stages[stage]!;
    while (its.length <= slot && this.#candidates < mostCandidates) {
      its.push(waiting);
      this.#candidates++;
    }
    return slot < its.length;
  }

  #change(given: Fields, change: (one: Candidate) => Candidate): void {
    const stage = amount(given.stage, mostStages - 1);
    const slot = amount(given.candidate, mostSlots - 1);
    // An event may come before the one that tells how many there are.
    if (stage === undefined || slot === undefined || !this.#room(stage, slot)) return;
    this.#stages[stage]![slot] = change(this.#stages[stage]![slot]!);
  }

  #progress(one: Candidate, given: Fields): Candidate {
    const bound = Math.min(mostText, Math.floor(mostTextOfRun / this.#candidates));
    return bounded(
      {
        ...one,
        state: one.state === "waiting" ? "running" : one.state,
        tokens: Math.max(one.tokens, amount(given.tokens) ?? 0),
        reasoning: one.reasoning + text(given.reasoning),
        content: one.content + text(given.content),
      },
      bound,
    );
  }
}

const start = (one: Candidate, given: Fields): Candidate => ({
  ...one,
  state: one.state === "waiting" ? "running" : one.state,
  sources: slotsIn(given.sources),
});

const endings = new Map<unknown, CandidateState>([
  ["error", "failed"],
  ["cancelled", "cancelled"],
]);

const done = (one: Candidate, given: Fields): Candidate => ({
  ...one,
  state: endings.get(given.finish_reason) ?? "done",
  tokens: amount(given.tokens) ?? one.tokens,
  ...optional("finish", shortText(given.finish_reason)),
  ...optional("cachedTokens", amount(given.cached_tokens)),
  ...optional("seconds", measure(given.seconds)),
  ...optional("answer", shortText(given.answer)),
  ...optional("error", shortText(given.error)),
});

/**
 * Of the reasoning the end is kept, which is what the next stage saw, and of the answer the
 * beginning. More than needed is cut at once, so that most steps cut nothing.
 */
function bounded(one: Candidate, bound: number): Candidate {
  if (one.reasoning.length + one.content.length <= bound) return one;
  const content = one.content.slice(0, bound >> 1);
  const left = (bound - content.length) >> 1;
  const reasoning = one.reasoning.length > left ? one.reasoning.slice(one.reasoning.length - left) : one.reasoning;
  const cut = (one.cut ?? 0) + one.reasoning.length - reasoning.length;
  return { ...one, content, reasoning, ...(cut > 0 ? { cut } : {}) };
}

function readCandidate(value: unknown, bound: number): Candidate {
  const given = fields(value) ?? {};
  const state = candidateStates.find((name) => name === given.state) ?? "waiting";
  const candidate: Candidate = {
    state: state === "running" ? "cancelled" : state,
    sources: slotsIn(given.sources),
    tokens: amount(given.tokens) ?? 0,
    ...optional("cachedTokens", amount(given.cachedTokens)),
    ...optional("seconds", measure(given.seconds)),
    ...optional("finish", shortText(given.finish)),
    ...optional("answer", shortText(given.answer)),
    ...optional("error", shortText(given.error)),
    reasoning: text(given.reasoning),
    content: text(given.content),
    ...optional("cut", amount(given.cut) || undefined),
  };
  return bounded(candidate, bound);
}

/** A run out of a file that may hold anything; undefined where it holds none. */
export function readRun(value: unknown): Run | undefined {
  const given = fields(value);
  if (!given || !Array.isArray(given.stages)) return undefined;
  let left = mostCandidates;
  const raw = given.stages.slice(0, mostStages).map((stage) => {
    const its = list(stage).slice(0, Math.min(left, mostSlots));
    left -= its.length;
    return its;
  });
  const bound = Math.min(mostText, Math.floor(mostTextOfRun / Math.max(1, mostCandidates - left)));
  const result = fields(given.result);
  return {
    stages: raw.map((stage) => stage.map((one) => readCandidate(one, bound))),
    ...optional("beta", amount(given.beta)),
    ...optional("finalTokens", amount(given.finalTokens)),
    ...optional("kvForecast", amount(given.kvForecast)),
    ...optional("kvBudget", amount(given.kvBudget)),
    ...(result ? { result: resultOf(result, result.largestContext, result.contextBound) } : {}),
    started: time(given.started),
    ms: measure(given.ms) ?? 0,
  };
}
