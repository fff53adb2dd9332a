// Frameworks that speak OpenAI's API, unmodified, against the server at ZAYA_URL.
import assert from "node:assert/strict";
import test from "node:test";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { ChatOpenAI } from "@langchain/openai";
import { Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, run, setTracingDisabled } from "@openai/agents";
import { generateText, streamText } from "ai";
import OpenAI from "openai";

const baseURL = `${process.env.ZAYA_URL}/v1`;
const name = process.env.ZAYA_MODEL;

test("Vercel AI SDK", async () => {
  const model = createOpenAICompatible({ name: "zaya", baseURL, apiKey: "none", includeUsage: true })(name);
  const call = { model, prompt: "Hello", maxOutputTokens: 24, seed: 7, maxRetries: 0, providerOptions: { zaya: { reasoningEffort: "none" } } };
  const whole = await generateText(call);
  assert.ok(whole.text.length > 0);
  const stream = streamText(call);
  let text = "";
  for await (const part of stream.textStream) text += part;
  assert.equal(text, whole.text);
  assert.equal((await stream.usage).outputTokens, whole.usage.outputTokens);
  const thinking = await generateText({ ...call, providerOptions: {} });
  assert.ok(thinking.reasoningText.length > 0);
});

test("LangChain", async () => {
  const model = new ChatOpenAI({ model: name, apiKey: "none", maxTokens: 24, maxRetries: 0, configuration: { baseURL }, modelKwargs: { seed: 7, reasoning_effort: "none" } });
  const whole = await model.invoke("Hello");
  assert.ok(whole.content.length > 0);
  assert.equal(whole.usage_metadata.output_tokens, 24);
  let text = "";
  for await (const chunk of await model.stream("Hello")) text += chunk.content;
  assert.equal(text, whole.content);
});

test("OpenAI's agents SDK, over both APIs", async () => {
  setTracingDisabled(true);
  const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
  // The SDK wants answers that end by themselves, which this random model's never would.
  const ends = Array.from({ length: 36 }, (_, i) => 300 + 20 * i);
  const modelSettings = { maxTokens: 500, reasoning: { effort: "none" }, providerData: { seed: 7, stop_token_ids: ends } };
  for (const Model of [OpenAIChatCompletionsModel, OpenAIResponsesModel]) {
    const agent = new Agent({ name: "tiny", instructions: "Say something.", model: new Model(client, name), modelSettings });
    const whole = await run(agent, "Hello");
    assert.ok(whole.finalOutput.length > 0, Model.name);
    const stream = await run(agent, "Hello", { stream: true });
    let text = "";
    for await (const part of stream.toTextStream()) text += part;
    await stream.completed;
    assert.ok(text.length > 0, Model.name);
  }
});
