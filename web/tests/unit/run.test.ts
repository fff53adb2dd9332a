import assert from "node:assert/strict";
import { test } from "node:test";
import { cost, planOf, planProblem, presets } from "../../src/conversation/rsa";
import { chosenVote, readRun, RunCollector, tokensOf } from "../../src/conversation/run";
import { chatRequest, serverDefaults, type Settings } from "../../src/conversation/settings";
import { agreement, candidateLine, fedBy, runLine, sourcesOf } from "../../src/ui/run_text";

function collect(...events: unknown[]): RunCollector {
  const collector = new RunCollector();
  for (const event of events) collector.add(event);
  return collector;
}

const begins = { type: "run", settings: { beta: 100, final_tokens: 200 }, widths: [3, 3], kv_forecast_bytes: 5, kv_budget_bytes: 9 };

const events = [
  begins,
  { type: "start", stage: 0, candidate: 0, sources: [] },
  { type: "start", stage: 0, candidate: 1, sources: [] },
  { type: "progress", stage: 0, candidate: 0, tokens: 5, reasoning: "a ", content: "" },
  { type: "progress", stage: 0, candidate: 0, tokens: 9, reasoning: "b", content: "c" },
  { type: "done", stage: 0, candidate: 0, finish_reason: "stop", tokens: 10, cached_tokens: 7, seconds: 1.5, answer: "42" },
  { type: "done", stage: 0, candidate: 1, finish_reason: "error", tokens: 2, answer: null, error: "no endpoint" },
  { type: "stage", stage: 0, usage: { prompt_tokens: 1, cached_tokens: 1, completion_tokens: 1 } },
  { type: "start", stage: 1, candidate: 2, sources: [0, 2] },
  { type: "progress", stage: 1, candidate: 2, tokens: 3 },
  { type: "done", stage: 1, candidate: 2, finish_reason: "length", tokens: 30, answer: "42" },
  {
    type: "result", stage: 1, chosen: 2, votes: [{ answer: "42", candidates: [0, 2] }, { answer: "7", candidates: [1] }],
    largest_context: 50, context_bound: 60, stopped: false,
  },
];

test("events become a run", () => {
  const run = collect(...events).end();
  assert.deepEqual(run.stages[0]![0], {
    state: "done", sources: [], tokens: 10, finish: "stop", cachedTokens: 7, seconds: 1.5, answer: "42", reasoning: "a b", content: "c",
  });
  assert.equal(run.stages[0]![1]!.state, "failed");
  assert.equal(run.stages[0]![1]!.error, "no endpoint");
  assert.equal(run.stages[0]![2]!.state, "waiting");
  assert.deepEqual(run.stages.map(({ length }) => length), [3, 3]);
  assert.deepEqual([run.beta, run.finalTokens, run.kvForecast, run.kvBudget], [100, 200, 5, 9]);
  assert.equal(tokensOf(run), 42);
  assert.equal(run.result!.contextBound, 60);
  assert.deepEqual(chosenVote(run), { answer: "42", candidates: [0, 2] });
});

test("in any order the run is the same, but for the text", () => {
  const plain = events.map((event) => ({ ...event, reasoning: undefined, content: undefined }));
  const wanted = collect(...plain).end();
  // Some order that is another each time, and the same in every run of the test.
  let seed = 1;
  for (let round = 0; round < 200; round++) {
    const shuffled = plain
      .map((event) => ({ event, key: (seed = (seed * 48271) % 2147483647) }))
      .sort((a, b) => a.key - b.key)
      .map(({ event }) => event);
    const run = collect(...shuffled).end();
    assert.deepEqual({ ...run, started: 0, ms: 0 }, { ...wanted, started: 0, ms: 0 });
  }
});

test("unknown types, unknown members and wrong values are passed over", () => {
  const odd: unknown[] = [
    null, 3, "run", [], {}, { type: "weather", stage: 0, candidate: 0 }, { type: 3 }, { type: "start" },
    { type: "start", stage: -1, candidate: 0 }, { type: "start", stage: 0.5, candidate: 0 }, { type: "start", stage: 0, candidate: "1" },
    { type: "progress", stage: 1e9, candidate: 0, tokens: 1 }, { type: "progress", stage: 0, candidate: 5000, tokens: 1 },
    { type: "run", widths: "many", settings: [] }, { type: "run", widths: [null, -3, 1e300] },
  ];
  const run = collect(...odd, ...events.map((event) => ({ ...event, later: { member: 1 } })), ...odd).end();
  const wanted = collect(...events).end();
  assert.deepEqual({ ...run.stages }, { ...wanted.stages });
  const wrong = collect(begins, {
    type: "done", stage: 0, candidate: 0, finish_reason: 7, tokens: -4, seconds: "x", answer: { a: 1 }, error: ["x"], cached_tokens: 1.5,
  }, { type: "start", stage: 1, candidate: 0, sources: [0, 0, -1, "2", 1.5, 1e9, 2] }, { type: "result", stage: "x", chosen: "y", votes: [3, { answer: 4, candidates: 5 }] }).end();
  assert.deepEqual(wrong.stages[0]![0], { state: "done", sources: [], tokens: 0, reasoning: "", content: "" });
  assert.deepEqual(wrong.stages[1]![0]!.sources, [0, 2]);
  assert.deepEqual(wrong.result, { stage: 0, chosen: null, votes: [{ answer: "", candidates: [] }, { answer: "", candidates: [] }], stopped: false });
  const inherited = JSON.parse('{"type":"done","stage":0,"candidate":0,"finish_reason":"__proto__"}');
  assert.equal(collect(begins, inherited).part().stages[0]![0]!.state, "done");
});

test("a run is bounded, however much is sent", () => {
  const huge = collect({ type: "run", widths: Array.from({ length: 5000 }, () => 1024) }).part();
  assert.equal(huge.stages.flat().length, 2048);
  const collector = collect({ type: "run", widths: [1] });
  for (let step = 0; step < 300; step++) collector.add({ type: "progress", stage: 0, candidate: 0, tokens: step, reasoning: `${step} `.repeat(300), content: "x".repeat(600) });
  const { reasoning, content, cut } = collector.end().stages[0]![0]!;
  assert.ok(reasoning.length + content.length <= 96_000);
  assert.ok(content.length >= 40_000 && reasoning.length >= 20_000);
  assert.match(reasoning, /299 $/);
  assert.ok(cut! > 100_000);
  const many = collect({ type: "run", widths: [1024, 1024] });
  for (let slot = 0; slot < 1024; slot++) many.add({ type: "progress", stage: 0, candidate: slot, tokens: 1, reasoning: "y".repeat(50_000) });
  assert.ok(many.part().stages.flat().reduce((sum, one) => sum + one.reasoning.length, 0) <= 4_000_000);
});

test("what did not change is the same object from one step to the next", () => {
  const collector = collect(...events.slice(0, 4));
  const before = collector.part();
  collector.add(events[4]);
  const after = collector.part();
  assert.notEqual(after.stages[0]![0], before.stages[0]![0]);
  assert.equal(after.stages[0]![1], before.stages[0]![1]);
  assert.equal(before.stages[0]![0]!.tokens, 5);
});

test("who still writes when a run ends was stopped", () => {
  const collector = collect(...events.slice(0, 4));
  assert.equal(collector.part().stages[0]![0]!.state, "running");
  assert.deepEqual(collector.end().stages[0]!.map(({ state }) => state), ["cancelled", "cancelled", "waiting"]);
});

test("a stored run is read as it was, and anything else as something harmless", () => {
  const run = collect(...events).end();
  assert.deepEqual(readRun(JSON.parse(JSON.stringify(run))), run);
  for (const none of [undefined, null, 3, "x", [], {}, { stages: 4 }]) assert.equal(readRun(none), undefined);
  const odd = readRun({
    stages: [null, 3, [null, { state: "running", sources: "x", tokens: "y", answer: "z".repeat(9999), reasoning: 3, content: [] }]],
    result: { votes: {}, chosen: -1, stage: 1e12, stopped: "yes" }, started: "x", ms: -3, beta: null,
  })!;
  assert.deepEqual(odd.stages.map(({ length }) => length), [0, 0, 2]);
  assert.equal(odd.stages[2]![1]!.state, "cancelled");
  assert.equal(odd.stages[2]![1]!.answer!.length, 500);
  assert.deepEqual(odd.result, { stage: 0, chosen: null, votes: [], stopped: false });
  assert.equal(odd.ms, 0);
  const wordy = { state: "done", reasoning: "r".repeat(5000) };
  const large = readRun({ stages: new Array(3000).fill(new Array(3000).fill(wordy)) })!;
  assert.equal(large.stages.flat().length, 2048);
  assert.ok(large.stages.flat().reduce((sum, one) => sum + one.reasoning.length, 0) <= 4_000_000);
  // The words about it hold out as well.
  for (const one of [odd, large]) {
    assert.ok(runLine(one, false));
    assert.equal(agreement(one), "");
  }
});

test("a run in words", () => {
  const run = collect(...events).end();
  assert.equal(runLine(run, false), "2 stages of 3, 42 tokens, 2 of 3 agree on 42");
  assert.deepEqual(sourcesOf(run, { stage: 1, slot: 2 }), [0, 2]);
  assert.deepEqual(fedBy(run, { stage: 0, slot: 2 }), [2]);
  assert.equal(candidateLine(run, { stage: 1, slot: 2 }, false), "Candidate 3 of stage 2 cut at its limit of 30 tokens; answer 42; fed by 1, 3 of stage 1; chosen");
  assert.equal(candidateLine(run, { stage: 0, slot: 1 }, false), "Candidate 2 of stage 1 failed: no endpoint");
  const part = collect(...events.slice(0, 6)).part();
  assert.match(runLine(part, true, part.started + 4000), /^stage 1 of 2, 1 of 6 done, 10 tokens, 2.5 tokens\/s, 4.0 s$/);
  assert.equal(runLine(collect(...events.slice(0, 5)).end(), false), "ended in stage 1 of 2, 0 of 6 done, 9 tokens");
  assert.match(runLine(part, false), /^ended in stage 1 of 2, 1 of 6 done, 10 tokens$/);
  assert.equal(runLine(collect({ type: "run", widths: [4, 4, 1] }, { ...events.at(-1), stage: 2, chosen: 0 }).end(), false), "2 stages of 4, then 1, 0 tokens, answer 42");
});

test("settings of runs: presets, cost, contradictions, the request", () => {
  const asked = (part: Partial<Settings>): Settings => ({ ...serverDefaults, ...part });
  assert.equal(planOf(serverDefaults), null);
  assert.deepEqual(cost(presets.light), { generations: 24, tokens: 2 * 8 * 8192 + 8 * 40960 });
  assert.deepEqual(cost(presets["extra-high"]), { generations: 288, tokens: 8 * 32 * 32768 + 32 * 40960 });
  const small = planOf(asked({ rsa: "custom", population: 2, beta: 1000 }))!;
  assert.equal(planProblem(small), undefined);
  assert.deepEqual([small.subset, small.tau, small.rounds], [2, 1000, 2]);
  assert.equal(planOf(asked({ rsa: "custom", carry: "own_tail", subset: 4 }))!.subset, 1);
  assert.match(planProblem(planOf(asked({ rsa: "custom", beta: 10, tau: 11 }))!)!, /tail of 11/);
  const request = chatRequest([{ role: "user", content: "Hi" }], asked({ rsa: "light", maxTokens: 5, thinking: "off", topP: 0.5 }), "m");
  assert.deepEqual(request, {
    model: "m",
    messages: [{ role: "user", content: "Hi" }],
    top_p: 0.5,
    rsa: { preset: "light", prompt: "mathematics", stream_candidates: true },
  });
});
