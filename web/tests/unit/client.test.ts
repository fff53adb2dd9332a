import assert from "node:assert/strict";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { type Delta, listModels, readChunk, streamChat } from "../../src/api/client";
import { ApiError, retryAfter } from "../../src/api/errors";

// The page asks for addresses below its own; Node's fetch has no page, so it is given one.
let base = "";
const nodeFetch = globalThis.fetch;
let respond: (response: ServerResponse, body: string) => void = () => {};
const server = createServer(async (request, response) => {
  let body = "";
  for await (const piece of request) body += piece;
  respond(response, body);
});

before(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  globalThis.fetch = (path, init) => nodeFetch(new URL(String(path), base), init);
});
after(() => {
  globalThis.fetch = nodeFetch;
  server.close();
});

async function collect(key = "", signal = new AbortController().signal): Promise<Delta[]> {
  const deltas: Delta[] = [];
  for await (const delta of streamChat({ model: "m" }, key, signal)) deltas.push(delta);
  return deltas;
}

const troubleOf = async (run: Promise<unknown>) => {
  const error = await run.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  assert.ok(error instanceof ApiError, String(error));
  return error.trouble;
};

const event = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`;
const delta = (fields: object, finish_reason: string | null = null) => event({ choices: [{ delta: fields, finish_reason }] });

test("a stream with both names of reasoning, usage and timings", async () => {
  let asked = "";
  respond = (response, body) => {
    asked = body;
    response.write(delta({ role: "assistant", content: "" }) + delta({ reasoning: "r", reasoning_content: "r" }));
    response.write(delta({ reasoning: "s" }) + delta({ content: "c" }, "stop"));
    response.end(`${event({ choices: [], usage: { completion_tokens: 3 }, timings: { predicted_per_second: 9 } })}data: [DONE]\n\n`);
  };
  const deltas = await collect();
  assert.deepEqual(JSON.parse(asked), { model: "m", stream: true, stream_options: { include_usage: true } });
  assert.equal(deltas.map(({ reasoning }) => reasoning).join(""), "rs");
  assert.equal(deltas.map(({ content }) => content).join(""), "c");
  assert.equal(deltas[3]!.finish, "stop");
  assert.equal(deltas.at(-1)!.usage!.completion_tokens, 3);
  assert.equal(deltas.at(-1)!.timings!.predicted_per_second, 9);
});

test("OpenAI's errors, by status", async () => {
  const cases: [number, string][] = [
    [400, "refused"],
    [401, "key"],
    [403, "key"],
    [404, "refused"],
    [429, "busy"],
    [500, "server"],
    [503, "busy"],
  ];
  for (const [status, kind] of cases) {
    respond = (response) => {
      response.writeHead(status, { "retry-after": "7" });
      response.end(JSON.stringify({ error: { message: "what was wrong", type: "t", param: null, code: null } }));
    };
    assert.deepEqual(await troubleOf(collect()), { kind, status, message: "what was wrong", retryAfter: 7 });
  }
});

test("errors of other shapes still say something", async () => {
  for (const [body, message] of [
    ['{"detail":"no such model"}', "no such model"],
    ['{"error":"plain"}', "plain"],
    ["plain text", "plain text"],
    ["<html><h1>502</h1></html>", "Bad Gateway"],
    ["", "Bad Gateway"],
  ] as const) {
    respond = (response) => {
      response.statusCode = 502;
      response.end(body);
    };
    assert.equal((await troubleOf(collect())).message, message);
  }
});

test("an error inside the stream", async () => {
  respond = (response) => response.end(delta({ content: "x" }) + event({ error: { message: "out of pages" } }));
  assert.deepEqual(await troubleOf(collect()), { kind: "server", message: "out of pages" });
});

test("a stream that ends without an end is cut", async () => {
  respond = (response) => response.end(delta({ content: "x" }));
  assert.equal((await troubleOf(collect())).kind, "cut");
  // An end without [DONE] is an end.
  respond = (response) => response.end(delta({ content: "x" }, "length"));
  assert.equal((await collect())[0]!.finish, "length");
});

test("a connection that breaks is network trouble, before and during the answer", async () => {
  respond = (response) => response.destroy();
  assert.equal((await troubleOf(collect())).kind, "network");
  respond = (response) => {
    response.write(delta({ content: "x" }));
    setTimeout(() => response.destroy(), 20);
  };
  assert.equal((await troubleOf(collect())).kind, "network");
});

test("stopping closes the connection and is no error of the server", async () => {
  const abort = new AbortController();
  let closed = false;
  respond = (response) => {
    response.on("close", () => (closed = true));
    response.write(delta({ content: "x" }));
    setTimeout(() => abort.abort(), 20);
  };
  await assert.rejects(collect("", abort.signal), { name: "AbortError" });
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.ok(closed);
});

test("models, from lists that may hold anything", async () => {
  respond = (response) => response.end('{"data":[{"id":"a","max_model_len":5},{"id":"b"},{"id":3},null]}');
  assert.deepEqual(await listModels("k"), [{ id: "a", context: 5 }, { id: "b" }]);
  respond = (response) => response.end("no json");
  assert.deepEqual(await listModels("k"), []);
});

test("chunks that are not what they should be", () => {
  assert.throws(() => readChunk("{"), ApiError);
  for (const odd of ["null", "3", "{}", '{"choices":[]}', '{"choices":[{"delta":null}]}', '{"choices":[{"delta":{"content":3}}]}']) {
    assert.equal(readChunk(odd).content, "", odd);
  }
});

test("Retry-After in seconds or as a date", () => {
  const now = Date.parse("2026-01-01T00:00:00Z");
  assert.equal(retryAfter("12", now), 12);
  assert.equal(retryAfter("Thu, 01 Jan 2026 00:00:30 GMT", now), 30);
  assert.equal(retryAfter("soon", now), undefined);
  assert.equal(retryAfter(null, now), undefined);
});
