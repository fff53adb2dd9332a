// What the mock server says of a run of Markovian RSA: the events of its stream, one after the other.

const presets = {
  light: { rounds: 2, population: 8, beta: 8192 },
  recommended: { rounds: 2, population: 16, beta: 16384 },
  headline: { rounds: 2, population: 16, beta: 40960 },
  "apex-high": { rounds: 8, population: 16, beta: 16384 },
  "extra-high": { rounds: 8, population: 32, beta: 32768 },
};

export const candidateText = (stage, slot, answer) => ({
  reasoning:
    `I am candidate ${slot + 1} of stage ${stage + 1}. ` +
    (stage === 0
      ? "I count the lattice points with $x^2 + y^2 \\le 13$ row by row.\n\n"
      : "The tails that I was shown agree on the rows $|y| \\le 2$; I check the outer ones.\n\n") +
    "For $|y| = 3$ there are $5$ points each, for $|y| = 2$ seven, and the middle rows have seven too. ".repeat(4),
  content: `The rows hold

$$
2 \\cdot 5 + 2 \\cdot 7 + 2 \\cdot 7 + 7 = 45
$$

points, and so the answer is $\\boxed{${answer}}$.`,
});

/** The answer of a candidate: the stages come to agree, and some find none. */
function answerOf(stage, slot) {
  const turn = (7 * slot + 3 * stage) % 10;
  if (stage === 0) return turn < 3 ? "45" : turn < 6 ? "37" : turn < 8 ? "41" : null;
  if (stage === 1) return turn < 6 ? "45" : turn < 8 ? "37" : null;
  return turn < 8 ? "45" : turn === 8 ? "37" : "49";
}

/** Different slots below `population` that follow from the place alone. */
const drawn = (stage, slot, count, population) =>
  Array.from({ length: count }, (_, index) => (5 * slot + 3 * stage + index * (1 + (slot % 2) * 2)) % population)
    .filter((source, index, all) => all.indexOf(source) === index)
    .sort((a, b) => a - b);

/**
 * Yields [event, pause]: what the server says of a run that was asked for with `asked`, and whether the
 * reader of a slow run is given time. Options: failing (slot of stage 0 that fails), text (of all candidates),
 * steps (events of progress of each candidate).
 */
export function* runEvents(asked, { failing = 5, hostile, steps = 6 } = {}) {
  const given = typeof asked === "string" ? { preset: asked } : asked === true ? {} : asked;
  const settings = { ...presets.recommended, subset: 4, tau: 4096, final_tokens: 40960, ...presets[given.preset], ...given };
  const { rounds, population, beta } = settings;
  const widths = Array.from({ length: rounds + 1 }, (_, stage) => (stage === rounds && settings.selection === "single" ? 1 : population));
  yield [{ type: "run", settings, widths, kv_forecast_bytes: 1.5 * 2 ** 30, kv_budget_bytes: 8 * 2 ** 30, later: "member" }, true];
  let chosen = 0;
  let votes = new Map();
  for (const [stage, width] of widths.entries()) {
    for (let slot = 0; slot < width; slot++) {
      const sources = stage === 0 ? [] : drawn(stage, slot, Math.min(settings.subset, population), population);
      yield [{ type: "start", stage, candidate: slot, sources }, false];
    }
    const texts = Array.from({ length: width }, (_, slot) =>
      hostile ? { reasoning: hostile, content: hostile } : candidateText(stage, slot, answerOf(stage, slot) ?? "?"),
    );
    for (let step = 1; step <= steps; step++) {
      for (let slot = 0; slot < width; slot++) {
        const last = steps - (slot % 4);
        if (step > last || (stage === 0 && slot === failing && step > 1)) continue;
        const { reasoning, content } = texts[slot];
        const piece = (text) => text.slice(Math.floor((text.length * (step - 1)) / last), Math.floor((text.length * step) / last));
        const tokens = Math.floor(((beta / 24) * step * (8 + ((slot * 5) % 7))) / steps);
        yield [{ type: "progress", stage, candidate: slot, tokens, ...(given.stream_candidates ? { reasoning: piece(reasoning), content: piece(content) } : {}) }, slot % 4 === 0];
        if (step < last) continue;
        const answer = hostile ? hostile.slice(0, 300) : answerOf(stage, slot);
        yield [{ type: "done", stage, candidate: slot, finish_reason: answer === null ? "length" : "stop", tokens, cached_tokens: stage * 70, seconds: tokens / 40, answer }, true];
      }
    }
    if (stage === 0 && failing < width) {
      yield [{ type: "done", stage, candidate: failing, finish_reason: "error", tokens: 12, cached_tokens: 0, seconds: 1, answer: null, error: "The endpoint did not answer." }, true];
    }
    yield [{ type: "stage", stage, usage: { prompt_tokens: 900, cached_tokens: 70, completion_tokens: 5000 } }, true];
    if (stage < rounds) continue;
    votes = new Map();
    for (let slot = 0; slot < width; slot++) {
      const answer = hostile ? hostile.slice(0, 300) : answerOf(stage, slot);
      if (answer !== null) votes.set(answer, [...(votes.get(answer) ?? []), slot]);
    }
  }
  const list = [...votes].map(([answer, candidates]) => ({ answer, candidates })).sort((a, b) => b.candidates.length - a.candidates.length);
  chosen = list[0].candidates[0];
  yield [{ type: "weather", stage: 0, rain: true }, false];
  yield [{ type: "result", stage: rounds, chosen, votes: list, largest_context: 33_411, context_bound: 58_900, stopped: false }, true];
}
