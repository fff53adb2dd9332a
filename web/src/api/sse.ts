/** One server-sent event: its name ("message" where the server gave none) and its data. */
export interface ServerEvent {
  event: string;
  data: string;
}

/**
 * The event stream format of the HTML standard, for text that arrives in pieces cut anywhere.
 * `id` and `retry` are read over: a chat stream is never resumed.
 */
export class EventParser {
  #line = "";
  #data: string[] = [];
  #event = "";
  // A piece may end between the two characters of a CRLF.
  #skipLineFeed = false;
  #first = true;

  push(text: string): ServerEvent[] {
    const events: ServerEvent[] = [];
    if (this.#first && text !== "") {
      this.#first = false;
      if (text.startsWith("\uFEFF")) text = text.slice(1);
    }
    let start = 0;
    if (this.#skipLineFeed && text !== "") {
      this.#skipLineFeed = false;
      if (text[0] === "\n") start = 1;
    }
    const lineEnd = /[\r\n]/g;
    for (;;) {
      lineEnd.lastIndex = start;
      const at = lineEnd.exec(text)?.index;
      if (at === undefined) break;
      this.#endLine(this.#line + text.slice(start, at), events);
      this.#line = "";
      start = at + 1;
      if (text[at] === "\r") {
        if (start === text.length) this.#skipLineFeed = true;
        else if (text[start] === "\n") start++;
      }
    }
    this.#line += text.slice(start);
    return events;
  }

  #endLine(line: string, events: ServerEvent[]): void {
    if (line === "") {
      if (this.#data.length > 0) {
        events.push({ event: this.#event || "message", data: this.#data.join("\n") });
      }
      this.#data = [];
      this.#event = "";
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return; // a comment, sent to keep the connection open
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (field === "data") this.#data.push(value);
    else if (field === "event") this.#event = value;
  }
}

/** The events of a response body. Ends with the body; an event without its empty line is dropped. */
export async function* readEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerEvent> {
  const reader = body.getReader();
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const parser = new EventParser();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield* parser.push(decoder.decode(value, { stream: true }));
    }
  } finally {
    // Leaving the loop early (stop) closes the connection, which stops the server's work.
    reader.cancel().catch(() => {});
  }
}
