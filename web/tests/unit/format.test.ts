import assert from "node:assert/strict";
import { test } from "node:test";
import { serverDefaults } from "../../src/conversation/settings";
import { age, count, duration, figures, thinkingLength } from "../../src/ui/format";

const answer = { state: "done" as const, model: "m", reasoning: "one two  three\n", settings: serverDefaults };

test("durations, counts and ages read like words", () => {
  assert.deepEqual([0, 94, 9949, 12_400, 61_000, 600_000].map(duration), ["0.0 s", "0.1 s", "9.9 s", "12 s", "1 min 1 s", "10 min 0 s"]);
  assert.equal(count(1, "token"), "1 token");
  assert.equal(count(12_345, "token"), "12,345 tokens");
  const now = new Date(2026, 4, 20, 15).getTime();
  const at = (day: number, hour: number) => age(new Date(2026, 4, day, hour).getTime(), now);
  assert.deepEqual([at(20, 0), at(19, 23), at(18, 0), at(3, 1)], ["Today", "Yesterday", "Last seven days", "May 2026"]);
});

test("the length of thinking: the server's tokens, else words", () => {
  assert.equal(thinkingLength({ ...answer, thinkingMs: 12_000 }), "for 12 s · 3 words");
  assert.equal(thinkingLength({ ...answer, stats: { reasoningTokens: 1024 } }), "1,024 tokens");
});

test("figures that the server does not give are left out", () => {
  assert.deepEqual(figures(answer), []);
  assert.deepEqual(
    figures({ ...answer, stats: { tokens: 7, tokensPerSecond: 12.34, firstTokenMs: 400, promptTokens: 90, cachedTokens: 64 } }),
    ["7 tokens", "12.3 tokens/s", "first token after 0.4 s", "prompt 90 tokens, 64 cached"],
  );
  assert.deepEqual(figures({ ...answer, stats: { promptTokens: 90, cachedTokens: 0 } }), ["prompt 90 tokens"]);
});
