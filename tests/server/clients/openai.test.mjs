// The official OpenAI client, unmodified, against the server at ZAYA_URL.
import assert from "node:assert/strict";
import test from "node:test";
import OpenAI from "openai";
import { zodFunction, zodResponseFormat, zodResponsesFunction, zodTextFormat } from "openai/helpers/zod";
import { baseURL, city, expectCancelled, model, noThinking, place, placeSchema, running } from "./common.mjs";

const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const messages = [{ role: "user", content: "Hello" }];
const short = { model, messages, max_tokens: 24, seed: 7, thinking_token_budget: 4 };
const formed = { model, messages, max_tokens: 400, seed: 7, ...noThinking };
const endless = { model, messages, max_tokens: 3900, n: 8, ignore_eos: true, ...noThinking };
const weather = { type: "function", function: { name: "get_weather", description: "Tells the weather", parameters: placeSchema, strict: true } };

test("models", async () => {
  const list = await client.models.list();
  assert.equal(list.data[0].id, model);
  assert.equal((await client.models.retrieve(model)).id, model);
});

test("a chat, whole and streamed", async () => {
  const whole = await client.chat.completions.create(short);
  const { message, finish_reason } = whole.choices[0];
  assert.equal(message.role, "assistant");
  assert.ok(message.content.length > 0);
  assert.equal(whole.usage.total_tokens, whole.usage.prompt_tokens + whole.usage.completion_tokens);
  const stream = await client.chat.completions.create({ ...short, stream: true, stream_options: { include_usage: true } });
  let content = "";
  let reasoning = "";
  let finish;
  let usage;
  for await (const chunk of stream) {
    content += chunk.choices[0]?.delta?.content ?? "";
    reasoning += chunk.choices[0]?.delta?.reasoning_content ?? "";
    finish = chunk.choices[0]?.finish_reason ?? finish;
    usage = chunk.usage ?? usage;
  }
  assert.equal(content, message.content);
  assert.equal(reasoning, message.reasoning);
  assert.equal(finish, finish_reason);
  assert.equal(usage.completion_tokens, whole.usage.completion_tokens);
});

test("the client's own helper gathers a stream", async () => {
  const final = await client.chat.completions.stream(short).finalChatCompletion();
  const whole = await client.chat.completions.create(short);
  assert.equal(final.choices[0].message.content, whole.choices[0].message.content);
});

test("several rounds of tools, whole and streamed", async () => {
  for (const stream of [false, true]) {
    const body = { ...formed, messages: [...messages], tools: [weather], parallel_tool_calls: false };
    for (const tool_choice of ["required", { type: "function", function: { name: "get_weather" } }, "required"]) {
      const call = { ...body, tool_choice };
      const answer = stream
        ? await client.chat.completions.stream(call).finalChatCompletion()
        : await client.chat.completions.create(call);
      const { message, finish_reason } = answer.choices[0];
      assert.equal(finish_reason, "tool_calls");
      assert.equal(message.tool_calls.length, 1);
      place.parse(JSON.parse(message.tool_calls[0].function.arguments));
      body.messages.push(message, { role: "tool", tool_call_id: message.tool_calls[0].id, content: "sunny" });
    }
    const last = await client.chat.completions.create({ ...body, tool_choice: "none", max_tokens: 8 });
    assert.equal(last.choices[0].message.tool_calls, undefined);
  }
});

test("the client's own helper runs tools", async () => {
  const seen = [];
  const runner = client.chat.completions.runTools(
    {
      ...formed,
      tools: [zodFunction({ name: "get_weather", parameters: place, function: (args) => (seen.push(place.parse(args)), "sunny") })],
      tool_choice: "required",
      parallel_tool_calls: false,
    },
    { maxChatCompletions: 3 },
  );
  await runner.done().catch((error) => assert.match(error.message, /exceeded/));
  assert.ok(seen.length >= 2);
});

test("structured output", async () => {
  const parsed = await client.chat.completions.parse({ ...formed, response_format: zodResponseFormat(city, "city") });
  city.parse(parsed.choices[0].message.parsed);
  const response = await client.responses.parse({
    model,
    input: "Hello",
    max_output_tokens: 400,
    reasoning: { effort: "none" },
    text: { format: zodTextFormat(city, "city") },
  });
  city.parse(response.output_parsed);
  const object = await client.chat.completions.create({ ...formed, max_tokens: 60, response_format: { type: "json_object" } });
  assert.match(object.choices[0].message.content, /^\s*\{/);
});

test("completions, n and logprobs", async () => {
  const answer = await client.completions.create({ model, prompt: ["a", "b"], n: 2, max_tokens: 5, logprobs: 2 });
  assert.deepEqual(answer.choices.map((c) => c.index), [0, 1, 2, 3]);
  assert.equal(answer.choices[0].logprobs.tokens.length, answer.choices[0].logprobs.token_logprobs.length);
});

test("responses, whole and streamed", async () => {
  const body = { model, input: "Hello", max_output_tokens: 24, seed: 7, reasoning: { effort: "none" } };
  const whole = await client.responses.create(body);
  assert.ok(whole.output_text.length > 0);
  assert.equal(whole.output.at(-1).role, "assistant");
  let text = "";
  let last;
  let number = -1;
  for await (const event of await client.responses.create({ ...body, stream: true })) {
    assert.equal(event.sequence_number, ++number);
    if (event.type === "response.output_text.delta") text += event.delta;
    last = event;
  }
  assert.equal(text, whole.output_text);
  assert.match(last.type, /^response\.(completed|incomplete)$/);
  assert.equal(last.response.usage.output_tokens, whole.usage.output_tokens);
});

test("the client's own helper gathers a response", async () => {
  const body = { model, input: [{ role: "user", content: "Hello" }], instructions: "Be brief.", max_output_tokens: 30, seed: 3 };
  const stream = client.responses.stream(body);
  const final = await stream.finalResponse();
  assert.equal(final.output[0].type, "reasoning");
});

test("several rounds of tools over responses", async () => {
  const input = [{ role: "user", content: "Hello" }];
  for (const stream of [false, true, false]) {
    const call = {
      model,
      input,
      reasoning: { effort: "none" },
      tools: [zodResponsesFunction({ name: "get_weather", parameters: place })],
      tool_choice: "required",
      parallel_tool_calls: false,
      max_output_tokens: 400,
    };
    const answer = stream ? await client.responses.stream(call).finalResponse() : await client.responses.parse(call);
    assert.deepEqual(answer.output.map((item) => item.type), ["function_call"]);
    place.parse(JSON.parse(answer.output[0].arguments));
    const { parsed_arguments, ...item } = answer.output[0];
    input.push(item, { type: "function_call_output", call_id: item.call_id, output: "sunny" });
  }
});

test("aborting a stream ends it on the server", () =>
  expectCancelled(8, async () => {
    const stream = await client.chat.completions.create({ ...endless, stream: true });
    let chunks = 0;
    for await (const chunk of stream) {
      assert.ok(chunk.choices);
      if (++chunks === 5) break;
    }
  }));

test("aborting a whole answer ends it on the server", () =>
  expectCancelled(8, async () => {
    const controller = new AbortController();
    const pending = client.chat.completions.create(endless, { signal: controller.signal });
    await running(8);
    controller.abort();
    await assert.rejects(pending, OpenAI.APIUserAbortError);
  }));

test("errors have the classes that the client gives them", async () => {
  await assert.rejects(client.chat.completions.create({ ...short, model: "other" }), (error) => {
    assert.ok(error instanceof OpenAI.NotFoundError);
    assert.equal(error.code, "model_not_found");
    assert.equal(error.param, "model");
    return true;
  });
  await assert.rejects(client.chat.completions.create({ ...short, temperature: -1 }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.equal(error.param, "temperature");
    return true;
  });
  await assert.rejects(client.chat.completions.create({ ...short, stream: true, n: 0 }), OpenAI.BadRequestError);
  await assert.rejects(client.responses.create({ model, input: "x", previous_response_id: "resp_1" }), OpenAI.BadRequestError);
});
