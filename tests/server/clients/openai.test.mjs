// The official OpenAI client, unmodified, against the server at ZAYA_URL.
import assert from "node:assert/strict";
import test from "node:test";
import OpenAI from "openai";

const client = new OpenAI({ baseURL: `${process.env.ZAYA_URL}/v1`, apiKey: "none", maxRetries: 0 });
const model = process.env.ZAYA_MODEL;
const messages = [{ role: "user", content: "Hello" }];
const short = { model, messages, max_tokens: 24, seed: 7, thinking_token_budget: 4 };
const endless = { model, messages, max_tokens: 3900, n: 8, ignore_eos: true, thinking_token_budget: 0 };

async function metric(name) {
  const text = await (await fetch(`${process.env.ZAYA_URL}/metrics`)).text();
  return Number(new RegExp(`^${name} (.*)$`, "m").exec(text)[1]);
}

async function becomes(name, value) {
  for (let i = 0; i < 600 && (await metric(name)) !== value; ++i) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.equal(await metric(name), value);
}

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

test("aborting a stream ends it on the server", async () => {
  const stream = await client.chat.completions.create({ ...endless, stream: true });
  let chunks = 0;
  for await (const chunk of stream) {
    assert.ok(chunk.choices);
    if (++chunks === 5) break;
  }
  await becomes("zaya_outputs_running", 0);
});

test("aborting a whole answer ends it on the server", async () => {
  const controller = new AbortController();
  const pending = client.chat.completions.create(endless, { signal: controller.signal });
  setTimeout(() => controller.abort(), 300);
  await assert.rejects(pending, OpenAI.APIUserAbortError);
  await becomes("zaya_outputs_running", 0);
});

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
});
