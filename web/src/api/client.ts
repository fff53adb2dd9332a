import { ApiError, errorMessage, responseError } from "./errors";
import { readEvents } from "./sse";

export interface Model {
  id: string;
  /** Tokens of context, where the server says. */
  context?: number;
  /** Whether it answers by Markovian RSA on request. */
  rsa?: boolean;
}

export interface Usage {
  prompt_tokens?: number;
  completion_tokens?: number;
  prompt_tokens_details?: { cached_tokens?: number } | null;
  completion_tokens_details?: { reasoning_tokens?: number } | null;
  timings?: Timings;
}

export interface Timings {
  predicted_per_second?: number;
}

/** What one event of a chat stream brings. */
export interface Delta {
  reasoning: string;
  content: string;
  finish?: string;
  usage?: Usage;
  timings?: Timings;
  /** An event of a run of Markovian RSA, unread. */
  rsa?: unknown;
}

// Addresses are relative to the page, so that it works behind a proxy that serves it below a path.
const headers = (key: string): Record<string, string> => ({
  "content-type": "application/json",
  ...(key ? { authorization: `Bearer ${key}` } : {}),
});

async function request(path: string, key: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, { ...init, headers: headers(key), cache: "no-store", redirect: "error" });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new ApiError({ kind: "network", message: "The server cannot be reached." });
  }
  if (!response.ok) throw await responseError(response);
  return response;
}

export async function listModels(key: string): Promise<Model[]> {
  const body = await (await request("v1/models", key, {})).json().catch(() => null);
  const data: unknown[] = Array.isArray(body?.data) ? body.data : [];
  return data.flatMap((item) => {
    const { id, max_model_len: context, rsa } = (item ?? {}) as Record<string, unknown>;
    if (typeof id !== "string") return [];
    return [{ id, ...(typeof context === "number" ? { context } : {}), ...(rsa === true ? { rsa } : {}) }];
  });
}

const text = (value: unknown): string => (typeof value === "string" ? value : "");

/** Reads one chunk of a chat stream; throws the error that a server sends inside the stream. */
export function readChunk(data: string): Delta {
  let chunk: any;
  try {
    chunk = JSON.parse(data);
  } catch {
    throw new ApiError({ kind: "server", message: "The server sent something that is not JSON." });
  }
  if (chunk?.error) {
    throw new ApiError({ kind: "server", message: errorMessage(chunk) ?? "The server reported an error." });
  }
  const choice = chunk?.choices?.[0];
  const delta = choice?.delta ?? {};
  return {
    // Servers use either name, and ours both with the same text.
    reasoning: text(delta.reasoning_content) || text(delta.reasoning),
    content: text(delta.content) || text(delta.refusal),
    finish: typeof choice?.finish_reason === "string" ? choice.finish_reason : undefined,
    usage: chunk?.usage ?? undefined,
    timings: chunk?.timings ?? chunk?.usage?.timings ?? undefined,
    rsa: chunk?.rsa ?? undefined,
  };
}

/** The deltas of a streamed answer. Throws ApiError; an answer without an end is an error of kind "cut". */
export async function* streamChat(
  body: Record<string, unknown>,
  key: string,
  signal: AbortSignal,
): AsyncGenerator<Delta> {
  const response = await request("v1/chat/completions", key, {
    method: "POST",
    body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
    signal,
  });
  if (response.body === null) throw new ApiError({ kind: "cut", message: "The server sent no answer." });
  let finished = false;
  try {
    for await (const { data } of readEvents(response.body)) {
      if (data === "[DONE]") return;
      const delta = readChunk(data);
      finished ||= delta.finish !== undefined;
      yield delta;
    }
  } catch (error) {
    if (signal.aborted || error instanceof ApiError) throw error;
    throw new ApiError({ kind: "network", message: "The connection to the server was lost." });
  }
  if (!finished) {
    throw new ApiError({ kind: "cut", message: "The answer ended before the server said it was complete." });
  }
}
