import { type Candidate, type CandidateAddress, chosenVote, type Run, tokensOf } from "../conversation/run";
import { count, duration } from "./format";

/** Runs of Markovian RSA in words. People count from one. */

const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** A text that may be long, in a line. */
export function inLine(text: string, most = 60): string {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length > most ? `${line.slice(0, most - 1)}…` : line;
}

export const candidateAt = (run: Run, { stage, slot }: CandidateAddress): Candidate | undefined => run.stages[stage]?.[slot];

/** Slots of the next stage whose candidates were shown this one. */
export const fedBy = (run: Run, { stage, slot }: CandidateAddress): number[] =>
  (run.stages[stage + 1] ?? []).flatMap(({ sources }, fed) => (sources.includes(slot) ? [fed] : []));

/** Slots of the stage before that it was shown, as far as they are there. */
export const sourcesOf = (run: Run, at: CandidateAddress): number[] =>
  (candidateAt(run, at)?.sources ?? []).filter((slot) => run.stages[at.stage - 1]?.[slot]);

/** "3 stages of 16", "2 stages of 16, then 1" */
function shape({ stages }: Run): string {
  const widths = stages.map(({ length }) => length);
  const last = widths.at(-1) ?? 0;
  const first = widths[0] ?? 0;
  if (widths.length < 2 || widths.every((width) => width === first)) return `${count(widths.length, "stage")} of ${first}`;
  return widths.slice(0, -1).every((width) => width === first)
    ? `${count(widths.length - 1, "stage")} of ${first}, then ${last}`
    : `stages of ${widths.join(", ")}`;
}

/** Where a run is: the last stage that has begun. */
function place({ stages }: Run): string {
  const all = stages.flat();
  const at = stages.findLastIndex((stage) => stage.some(({ state }) => state !== "waiting"));
  const done = all.filter(({ state }) => state === "done" || state === "failed").length;
  return `stage ${Math.max(0, at) + 1} of ${stages.length}, ${done} of ${all.length} done`;
}

export function agreement(run: Run): string {
  const vote = chosenVote(run);
  const width = run.stages[run.result?.stage ?? -1]?.length;
  if (!vote || !width) return "";
  return width === 1 ? `answer ${inLine(vote.answer)}` : `${vote.candidates.length} of ${width} agree on ${inLine(vote.answer)}`;
}

/** The line that a run is folded to. */
export function runLine(run: Run, busy: boolean, now = Date.now()): string {
  const tokens = tokensOf(run);
  if (busy && !run.result) {
    const seconds = (now - run.started) / 1000;
    const speed = tokens > 0 && seconds >= 1 ? `${(tokens / seconds).toFixed(1)} tokens/s` : "";
    return join([place(run), count(tokens, "token"), speed, seconds >= 1 ? duration(seconds * 1000) : ""]);
  }
  const whole = run.result !== undefined && !run.result.stopped;
  return join([whole ? shape(run) : `ended in ${place(run)}`, count(tokens, "token"), agreement(run)]);
}

const join = (parts: string[]): string => parts.filter(Boolean).join(", ");

const people = (slots: readonly number[]): string => slots.map((slot) => slot + 1).join(", ");

function condition({ state, tokens, finish, error }: Candidate, live: boolean): string {
  if (state === "waiting") return live ? "waits" : "did not begin";
  if (state === "running") return `${live ? "writes" : "was cut off"}, ${count(tokens, "token")} so far`;
  if (state === "failed") return `failed${error ? `: ${inLine(error)}` : ""}`;
  if (state === "cancelled") return `stopped after ${count(tokens, "token")}`;
  return `${finish === "length" ? "cut at its limit of" : "done with"} ${count(tokens, "token")}`;
}

/** What is known of a candidate, in a line: shown below the grid and read by screen readers. */
export function candidateLine(run: Run, at: CandidateAddress, live: boolean): string {
  const candidate = candidateAt(run, at);
  if (!candidate) return "";
  const [sources, feeds] = [sourcesOf(run, at), fedBy(run, at)];
  return [
    `${candidateName(at)} ${condition(candidate, live)}`,
    candidate.answer === undefined ? "" : `answer ${inLine(candidate.answer)}`,
    sources.length ? `fed by ${people(sources)} of stage ${at.stage}` : "",
    feeds.length ? `feeds ${people(feeds)} of stage ${at.stage + 2}` : "",
    isChosen(run, at) ? "chosen" : "",
  ]
    .filter(Boolean)
    .join("; ");
}

export const candidateName = ({ stage, slot }: CandidateAddress): string => `Candidate ${slot + 1} of stage ${stage + 1}`;

export const isChosen = ({ result }: Run, { stage, slot }: CandidateAddress): boolean =>
  result !== undefined && result.stage === stage && result.chosen === slot;

/** What fits into a cell of the grid. */
export function cellText({ state, tokens, answer }: Candidate): string {
  if (state === "failed") return "!";
  if (state === "done") return answer === undefined ? "–" : inLine(answer, 24);
  return tokens > 0 ? compact.format(tokens) : "";
}

/** Figures of a candidate, for its dialog. */
export function candidateFigures({ tokens, cachedTokens, seconds }: Candidate): string[] {
  return [
    count(tokens, "token"),
    seconds === undefined ? "" : duration(seconds * 1000),
    seconds ? `${(tokens / seconds).toFixed(1)} tokens/s` : "",
    cachedTokens ? `${count(cachedTokens, "token")} of its prompt from the cache` : "",
  ].filter(Boolean);
}

const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`;

/** Bounds beside what was reached. */
export function runFacts({ result, kvForecast, kvBudget, ms }: Run, busy: boolean): string[] {
  const { largestContext, contextBound } = result ?? {};
  return [
    busy || ms === 0 ? "" : duration(ms),
    largestContext === undefined
      ? ""
      : `largest context ${count(largestContext, "token")}${contextBound === undefined ? "" : ` of at most ${count(contextBound, "token")}`}`,
    kvForecast === undefined ? "" : `KV cache: at most ${gib(kvForecast)}${kvBudget === undefined ? "" : ` of ${gib(kvBudget)}`}`,
  ].filter(Boolean);
}
