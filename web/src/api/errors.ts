/** What kind of trouble it was: decides the advice that the page shows beside the message. */
export type ErrorKind = "key" | "busy" | "refused" | "server" | "network" | "cut";

/** Trouble with a request, in a form that is kept with the answer it interrupted. */
export interface Trouble {
  kind: ErrorKind;
  message: string;
  status?: number;
  /** Seconds after which the server wants to be asked again. */
  retryAfter?: number;
}

export class ApiError extends Error {
  constructor(readonly trouble: Trouble) {
    super(trouble.message);
  }
}

/** The message in a body of OpenAI's error shape, or in one of its common relatives. */
export function errorMessage(body: unknown): string | undefined {
  if (typeof body === "string") return body.trim() || undefined;
  if (typeof body !== "object" || body === null) return undefined;
  const { error, message, detail } = body as Record<string, unknown>;
  return errorMessage(error) ?? errorMessage(message) ?? errorMessage(detail);
}

/** Retry-After in seconds; it is a number of seconds or a date. */
export function retryAfter(header: string | null, now = Date.now()): number | undefined {
  if (header === null) return undefined;
  const seconds = /^\d+$/.test(header.trim())
    ? Number(header)
    : Math.ceil((Date.parse(header) - now) / 1000);
  return Number.isFinite(seconds) && seconds >= 0 ? Math.min(seconds, 3600) : undefined;
}

function kindOf(status: number): ErrorKind {
  if (status === 401 || status === 403) return "key";
  if (status === 429 || status === 503) return "busy";
  return status >= 500 ? "server" : "refused";
}

/** The error of a response that is not a success. */
export async function responseError(response: Response): Promise<ApiError> {
  let body: unknown = await response.text().catch(() => "");
  try {
    body = JSON.parse(body as string);
  } catch {
    // A proxy may answer in HTML: a page of markup helps nobody.
    if (/^\s*</.test(body as string)) body = "";
  }
  return new ApiError({
    kind: kindOf(response.status),
    status: response.status,
    message: errorMessage(body) ?? (response.statusText || `The server answered with status ${response.status}.`),
    retryAfter: retryAfter(response.headers.get("retry-after")),
  });
}
