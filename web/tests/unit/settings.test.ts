import assert from "node:assert/strict";
import { test } from "node:test";
import { chatRequest, parseNumber, readSettings, serverDefaults } from "../../src/conversation/settings";

const turns = [{ role: "user", content: "Hi", id: "secret" }] as never;

test("what is left to the server is not in the request", () => {
  assert.deepEqual(chatRequest(turns, serverDefaults, "m"), { model: "m", messages: [{ role: "user", content: "Hi" }] });
});

test("every setting has its field", () => {
  const settings = {
    ...serverDefaults,
    system: "Be brief.",
    temperature: 0,
    topP: 0.9,
    topK: 0,
    minP: 0.05,
    maxTokens: 100,
    seed: 7,
    thinking: "on" as const,
    thinkingBudget: 512,
  };
  assert.deepEqual(chatRequest(turns, settings, "m"), {
    model: "m",
    messages: [
      { role: "system", content: "Be brief." },
      { role: "user", content: "Hi" },
    ],
    temperature: 0,
    top_p: 0.9,
    top_k: 0,
    min_p: 0.05,
    max_tokens: 100,
    seed: 7,
    thinking_token_budget: 512,
    chat_template_kwargs: { enable_thinking: true },
  });
});

test("without thinking there is no budget for it", () => {
  const request = chatRequest(turns, { ...serverDefaults, thinking: "off", thinkingBudget: 512 }, "m");
  assert.deepEqual(request.chat_template_kwargs, { enable_thinking: false });
  assert.equal("thinking_token_budget" in request, false);
});

test("numbers are checked as they are typed", () => {
  assert.equal(parseNumber("temperature", ""), null);
  assert.equal(parseNumber("temperature", " 0.7 "), 0.7);
  for (const wrong of ["x", "-1", "2.1", "1e999", "NaN"]) assert.equal(parseNumber("temperature", wrong), undefined, wrong);
  assert.equal(parseNumber("topK", "1.5"), undefined);
});

test("settings out of storage are what they should be, whatever was stored", () => {
  assert.deepEqual(readSettings(null), serverDefaults);
  assert.deepEqual(
    readSettings({ model: 3, system: "s", temperature: 9, topP: 0.5, topK: "4", thinking: "maybe", extra: 1, __proto__: { seed: 1 } }),
    { ...serverDefaults, system: "s", topP: 0.5, seed: 1 },
  );
});
