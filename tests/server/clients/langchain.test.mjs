// LangChain's OpenAI binding, unmodified.
import assert from "node:assert/strict";
import test from "node:test";
import { HumanMessage, ToolMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI } from "@langchain/openai";
import { baseURL, city, expectCancelled, model as name, noThinking, place } from "./common.mjs";

const make = (more = {}) =>
  new ChatOpenAI({ model: name, apiKey: "none", maxTokens: 400, maxRetries: 0, configuration: { baseURL }, ...more, modelKwargs: { seed: 7, ...noThinking, ...more.modelKwargs } });

test("a chat, whole and streamed", async () => {
  const model = make({ maxTokens: 24 });
  const whole = await model.invoke("Hello");
  assert.ok(whole.content.length > 0);
  assert.equal(whole.usage_metadata.output_tokens, 24);
  let text = "";
  for await (const chunk of await model.stream("Hello")) text += chunk.content;
  assert.equal(text, whole.content);
});

test("several rounds of tools, whole and streamed", async () => {
  const weather = tool((args) => `sunny for ${place.parse(args).days} days`, { name: "get_weather", description: "Tells the weather", schema: place });
  for (const stream of [false, true]) {
    const model = make().bindTools([weather], { tool_choice: "any", parallel_tool_calls: false });
    const messages = [new HumanMessage("Hello")];
    for (let round = 0; round < 3; ++round) {
      let answer;
      if (stream) {
        for await (const chunk of await model.stream(messages)) answer = answer ? answer.concat(chunk) : chunk;
      } else {
        answer = await model.invoke(messages);
      }
      assert.equal(answer.tool_calls.length, 1);
      const result = await weather.invoke(answer.tool_calls[0]);
      assert.ok(result instanceof ToolMessage);
      messages.push(answer, result);
    }
  }
});

test("structured output, by a schema and by a call", async () => {
  for (const method of ["jsonSchema", "functionCalling"]) {
    city.parse(await make().withStructuredOutput(city, { name: "city", method }).invoke("Hello"));
  }
});

test("aborting a stream ends it on the server", () =>
  expectCancelled(1, async () => {
    const controller = new AbortController();
    const model = make({ maxTokens: 3900, modelKwargs: { ignore_eos: true } });
    let chunks = 0;
    await assert.rejects(async () => {
      for await (const chunk of await model.stream("Hello", { signal: controller.signal })) {
        assert.ok(chunk);
        if (++chunks === 5) controller.abort();
      }
    }, /abort/i);
  }));

test("errors", async () => {
  await assert.rejects(make({ model: "other" }).invoke("Hello"), (error) => {
    assert.equal(error.status, 404);
    assert.match(error.message, /does not exist/);
    return true;
  });
  await assert.rejects(make({ modelKwargs: { top_p: 7 } }).invoke("Hello"), /top_p/);
});
