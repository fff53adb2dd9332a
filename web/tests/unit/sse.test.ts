import assert from "node:assert/strict";
import { test } from "node:test";
import { EventParser, readEvents, type ServerEvent } from "../../src/api/sse";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function streamOf(pieces: Uint8Array[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const piece of pieces) controller.enqueue(piece);
      controller.close();
    },
  });
}

async function read(pieces: Uint8Array[]): Promise<ServerEvent[]> {
  const events: ServerEvent[] = [];
  for await (const event of readEvents(streamOf(pieces))) events.push(event);
  return events;
}

const stream =
  ': keep-alive\n\ndata: {"a":"grüß 🦆 \\n"}\n\nevent: progress\r\ndata: one\r\ndata:two\r\n\r\ndata\n\nid: 7\rretry: 10\rdata:  spaced\r\rdata: [DONE]\n\ndata: cut';
const expected: ServerEvent[] = [
  { event: "message", data: '{"a":"grüß 🦆 \\n"}' },
  { event: "progress", data: "one\ntwo" },
  { event: "message", data: "" },
  { event: "message", data: " spaced" },
  { event: "message", data: "[DONE]" },
];

test("a stream in one piece: names, several data lines, every line end, comments", async () => {
  assert.deepEqual(await read([bytes(stream)]), expected);
});

test("a stream split in two at every byte gives the same events", async () => {
  const all = bytes(stream);
  for (let at = 0; at <= all.length; at++) {
    assert.deepEqual(await read([all.slice(0, at), all.slice(at)]), expected, `split at ${at}`);
  }
});

test("a stream byte by byte gives the same events", async () => {
  assert.deepEqual(await read(Array.from(bytes(stream), (byte) => Uint8Array.of(byte))), expected);
});

test("events come as soon as their empty line has arrived", () => {
  const parser = new EventParser();
  assert.deepEqual(parser.push("data: x\n"), []);
  assert.deepEqual(parser.push("\n"), [{ event: "message", data: "x" }]);
  // After a CR the event is complete; a following LF belongs to it and starts nothing.
  assert.deepEqual(parser.push("data: y\r\r"), [{ event: "message", data: "y" }]);
  assert.deepEqual(parser.push("\ndata: z\n\n"), [{ event: "message", data: "z" }]);
});

test("a byte order mark is skipped at the start only", async () => {
  assert.deepEqual(await read([bytes("\uFEFFdata: a\n\ndata: \uFEFFb\n\n")]), [
    { event: "message", data: "a" },
    { event: "message", data: "\uFEFFb" },
  ]);
});

test("leaving the loop closes the stream", async () => {
  let cancelled = false;
  const endless = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(bytes("data: x\n\n")),
    cancel() {
      cancelled = true;
    },
  });
  for await (const _ of readEvents(endless)) break;
  assert.ok(cancelled);
});
