// A stand-in for zaya serve: the built page, and answers that follow from the question alone.
// node tests/e2e/mock_server.mjs [PORT] serves the built page for a look with one's own eyes.
import { readFile } from "node:fs/promises";
import http from "node:http";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { setTimeout as sleep } from "node:timers/promises";
import { answers } from "./answers.mjs";
import { runEvents } from "./run_script.mjs";

const dist = path.join(path.dirname(fileURLToPath(import.meta.url)), "../../dist");

// The headers that web/README.md asks of the server.
export const pageHeaders = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
};

const types = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".woff2": "font/woff2",
  ".txt": "text/plain; charset=utf-8",
};

function fail(response, status, message, headers = {}) {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(JSON.stringify({ error: { message, type: "invalid_request_error", param: null, code: null } }));
}

async function file(response, name) {
  const full = path.join(dist, name);
  const data = full.startsWith(dist) ? await readFile(full).catch(() => undefined) : undefined;
  if (!data) return fail(response, 404, `There is no ${name}.`);
  const immutable = name.startsWith("/assets/") ? "public, max-age=31536000, immutable" : "no-cache";
  response.writeHead(200, { ...pageHeaders, "content-type": types[path.extname(name)], "cache-control": immutable });
  response.end(data);
}

// Pieces of about a token: a word with the space before it.
const tokens = (text) => text.match(/\s*\S{1,6}|\s+/g) ?? [];

/**
 * The mock keeps what was asked of it in `requests`. An answer is
 * { reasoning, content, finish, status, error, retryAfter, pace, breakAfter, run }:
 * pace is the time between tokens in milliseconds, breakAfter the number of tokens before the connection
 * breaks, as soon as a test calls state.breaks() or after ten seconds;
 * run has the options of run_script.mjs, of which pace and breakAfter count events.
 */
export async function startMock(port = 0) {
  const requests = [];
  const state = { requests, key: "", aborted: 0, down: false };
  const server = http.createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://mock");
    if (request.method === "GET" && !pathname.startsWith("/v1/")) {
      return file(response, pathname === "/" ? "/index.html" : pathname);
    }
    if (state.down) return request.socket.destroy();
    if (state.key && request.headers.authorization !== `Bearer ${state.key}`) {
      return fail(response, 401, "The API key is missing or wrong.");
    }
    if (pathname === "/v1/models") {
      response.writeHead(200, { "content-type": "application/json" });
      const data = ["ZAYA1-8B", "ZAYA1-8B-proofs"].map((id, index) => ({ id, object: "model", max_model_len: 131072, rsa: index === 0 }));
      return response.end(JSON.stringify({ object: "list", data }));
    }
    if (pathname !== "/v1/chat/completions") return fail(response, 404, `There is no ${pathname}.`);

    let body = "";
    for await (const piece of request) body += piece;
    const asked = JSON.parse(body);
    requests.push(asked);
    const answer = answers(requests);
    if (answer.status) {
      return fail(response, answer.status, answer.error, answer.retryAfter && { "retry-after": String(answer.retryAfter) });
    }
    await stream(response, asked, answer, state);
  });
  await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
  return {
    ...state,
    state,
    url: `http://127.0.0.1:${server.address().port}/`,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

async function stream(response, asked, { reasoning = "", content = "", finish = "stop", pace = 0, breakAfter, error, run = {} }, state) {
  let gone = false;
  response.on("close", () => {
    if (!response.writableFinished) {
      gone = true;
      state.aborted++;
    }
  });
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
  const chunk = (fields) =>
    response.write(`data: ${JSON.stringify({ id: "chatcmpl-1", object: "chat.completion.chunk", model: asked.model, ...fields })}\n\n`);
  const choice = (delta, finish_reason = null) => chunk({ choices: [{ index: 0, delta, finish_reason }] });

  const thinks = asked.chat_template_kwargs?.enable_thinking !== false;
  const thoughts = thinks ? tokens(reasoning) : [];
  const said = tokens(content);
  choice({ role: "assistant", content: "" });
  const breaks = async () => {
    const message = error ?? run.error;
    if (message) return response.end(`data: ${JSON.stringify({ error: { message } })}\n\n`);
    // A browser drops what its page has not read when a connection breaks: a test says when it has seen what came.
    await Promise.race([new Promise((resolve) => (state.breaks = resolve)), sleep(10_000)]);
    response.destroy();
  };
  let events = 0;
  let written = 0;
  for (const [event, pause] of asked.rsa ? runEvents(asked.rsa, run) : []) {
    if (gone) return;
    if (events === run.breakAfter) return breaks();
    chunk({ choices: [], rsa: event });
    events++;
    if (event.type === "done") written += event.tokens;
    if (pause && run.pace) await sleep(run.pace);
    else if (events % 200 === 0) await sleep(1);
  }
  const deltas = [
    ...thoughts.map((text) => ({ reasoning: text, reasoning_content: text })),
    ...said.map((text) => ({ content: text })),
  ];
  let sent = 0;
  for (const delta of deltas) {
    if (gone) return;
    if (sent === breakAfter) return breaks();
    choice(delta);
    sent++;
    if (pace > 0) await sleep(pace);
    else if (sent % 200 === 0) await sleep(1);
  }
  choice({}, finish);
  const prompt = Math.ceil(JSON.stringify(asked.messages).length / 4);
  chunk({
    choices: [],
    usage: {
      prompt_tokens: prompt,
      completion_tokens: written || sent,
      total_tokens: prompt + (written || sent),
      prompt_tokens_details: { cached_tokens: asked.messages.length > 2 ? Math.floor(prompt * 0.8) : 0 },
      completion_tokens_details: { reasoning_tokens: thoughts.length },
    },
    timings: { predicted_per_second: 41.7 },
  });
  response.end("data: [DONE]\n\n");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { url } = await startMock(Number(process.argv[2] ?? 8020));
  console.log(url);
}
