// Vercel's AI SDK with its OpenAI-compatible provider, unmodified.
import assert from "node:assert/strict";
import test from "node:test";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateObject, generateText, stepCountIs, streamObject, streamText, tool } from "ai";
import { baseURL, city, expectCancelled, model as name, place } from "./common.mjs";

const provider = createOpenAICompatible({ name: "zaya", baseURL, apiKey: "none", includeUsage: true, supportsStructuredOutputs: true });
const model = provider(name);
const plain = { model, prompt: "Hello", maxRetries: 0, providerOptions: { zaya: { reasoningEffort: "none" } } };
const short = { ...plain, maxOutputTokens: 24, seed: 7 };

test("a chat, whole and streamed", async () => {
  const whole = await generateText(short);
  assert.ok(whole.text.length > 0);
  const stream = streamText(short);
  let text = "";
  for await (const part of stream.textStream) text += part;
  assert.equal(text, whole.text);
  assert.equal((await stream.usage).outputTokens, whole.usage.outputTokens);
  const thinking = await generateText({ ...short, providerOptions: {} });
  assert.ok(thinking.reasoningText.length > 0);
});

test("several rounds of tools, whole and streamed", async () => {
  for (const stream of [false, true]) {
    const seen = [];
    const call = {
      ...plain,
      maxOutputTokens: 1000,
      seed: 3,
      tools: { get_weather: tool({ description: "Tells the weather", inputSchema: place, execute: (args) => (seen.push(place.parse(args)), "sunny") }) },
      toolChoice: { type: "tool", toolName: "get_weather" },
      stopWhen: stepCountIs(3),
    };
    const result = stream ? streamText(call) : await generateText(call);
    if (stream) await result.consumeStream();
    const steps = await result.steps;
    assert.equal(steps.length, 3);
    for (const step of steps) assert.equal(step.finishReason, "tool-calls");
    assert.equal(seen.length, 3);
  }
});

test("structured output, whole and streamed", async () => {
  const call = { ...plain, maxOutputTokens: 400, schema: city };
  city.parse((await generateObject(call)).object);
  const stream = streamObject(call);
  let parts = 0;
  for await (const part of stream.partialObjectStream) {
    assert.ok(part);
    ++parts;
  }
  assert.ok(parts > 1);
  city.parse(await stream.object);
});

test("aborting a stream ends it on the server", () =>
  expectCancelled(1, async () => {
    const controller = new AbortController();
    const stream = streamText({ ...plain, maxOutputTokens: 3900, abortSignal: controller.signal, onError: () => {}, providerOptions: { zaya: { reasoningEffort: "none", ignore_eos: true } } });
    let parts = 0;
    for await (const part of stream.fullStream) {
      assert.ok(part.type);
      if (++parts === 6) controller.abort();
    }
  }));

test("errors", async () => {
  await assert.rejects(generateText({ ...short, model: provider("other") }), (error) => {
    assert.ok(APICallError.isInstance(error));
    assert.equal(error.statusCode, 404);
    assert.match(error.message, /does not exist/);
    return true;
  });
});
