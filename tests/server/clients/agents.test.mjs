// OpenAI's agents SDK, unmodified, over both of the APIs that it speaks.
import assert from "node:assert/strict";
import test from "node:test";
import { Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, run, setTracingDisabled, tool } from "@openai/agents";
import OpenAI from "openai";
import { baseURL, city, expectCancelled, model as name, place } from "./common.mjs";

setTracingDisabled(true);
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });

for (const Model of [OpenAIChatCompletionsModel, OpenAIResponsesModel]) {
  const model = new Model(client, name);
  const settings = { maxTokens: 1000, reasoning: { effort: "none" }, providerData: { seed: 7 } };

  test(`${Model.name}: text, whole and streamed`, async () => {
    // The SDK wants answers that end by themselves, which this random model's never would.
    const ends = Array.from({ length: 36 }, (_, i) => 300 + 20 * i);
    const modelSettings = { ...settings, providerData: { seed: 7, stop_token_ids: ends } };
    const agent = new Agent({ name: "tiny", instructions: "Say something.", model, modelSettings });
    const whole = await run(agent, "Hello");
    assert.ok(whole.finalOutput.length > 0);
    const stream = await run(agent, "Hello", { stream: true });
    let text = "";
    for await (const part of stream.toTextStream()) text += part;
    await stream.completed;
    assert.equal(text, whole.finalOutput);
  });

  // The first turn must call; after it the agent may call again or end with what is asked for.
  test(`${Model.name}: tools, and at the end an answer of a form`, async () => {
    for (const stream of [false, true]) {
      const seen = [];
      const weather = tool({
        name: "get_weather",
        description: "Tells the weather",
        parameters: place,
        execute: (args) => (seen.push(place.parse(args)), "sunny"),
      });
      const agent = new Agent({
        name: "tiny",
        instructions: "Find a city.",
        model,
        tools: [weather],
        outputType: city,
        modelSettings: { ...settings, toolChoice: "required", parallelToolCalls: false },
      });
      const result = await run(agent, "Hello", { stream, maxTurns: 40 });
      if (stream) await result.completed;
      assert.ok(seen.length >= 1);
      city.parse(result.finalOutput);
    }
  });

  test(`${Model.name}: aborting ends it on the server`, () =>
    expectCancelled(1, async () => {
      const controller = new AbortController();
      const modelSettings = { ...settings, maxTokens: 3900, providerData: { ignore_eos: true } };
      const agent = new Agent({ name: "tiny", instructions: "Say something.", model, modelSettings });
      const stream = await run(agent, "Hello", { stream: true, signal: controller.signal });
      let parts = 0;
      try {
        for await (const part of stream.toTextStream()) {
          assert.ok(part);
          if (++parts === 5) controller.abort();
        }
        await stream.completed;
      } catch (error) {
        assert.match(String(error), /abort/i);
      }
      assert.ok(parts >= 5);
    }));

  test(`${Model.name}: errors`, async () => {
    const agent = new Agent({ name: "other", instructions: "", model: new Model(client, "other") });
    await assert.rejects(run(agent, "Hello"), /does not exist/);
  });
}
