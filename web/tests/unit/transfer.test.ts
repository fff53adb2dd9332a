import assert from "node:assert/strict";
import { test } from "node:test";
import { serverDefaults } from "../../src/conversation/settings";
import { fileName, fromJson, toJson, toMarkdown, type Whole } from "../../src/conversation/transfer";
import { shownBranch } from "../../src/conversation/tree";

const whole: Whole = {
  conversation: {
    id: "c",
    title: "Primes",
    created: 1000,
    updated: 2000,
    settings: { ...serverDefaults, system: "Be exact.", temperature: 0.6 },
    chosen: { q: "a1" },
  },
  messages: [
    { id: "q", conversation: "c", parent: null, role: "user", content: "Why?", created: 1000 },
    {
      id: "a1",
      conversation: "c",
      parent: "q",
      role: "assistant",
      content: "Because.",
      created: 1001,
      answer: {
        state: "done",
        model: "m",
        reasoning: "Hm.",
        thinkingMs: 5,
        stats: { tokens: 3, tokensPerSecond: 1.5 },
        settings: { ...serverDefaults, temperature: 0.6 },
      },
    },
    {
      id: "a2",
      conversation: "c",
      parent: "q",
      role: "assistant",
      content: "",
      created: 1002,
      answer: {
        state: "failed",
        model: "m",
        reasoning: "",
        trouble: { kind: "server", message: "no pages" },
        settings: serverDefaults,
      },
    },
  ],
};

test("a file read again is the same tree under new ids", () => {
  const [read] = fromJson(toJson([whole]));
  assert.ok(read);
  const names = new Map(read.messages.map(({ id, content }) => [id, content]));
  assert.equal(read.conversation.title, "Primes");
  assert.deepEqual(read.conversation.settings, whole.conversation.settings);
  assert.notEqual(read.conversation.id, "c");
  assert.deepEqual(
    read.messages.map((message) => ({
      ...message,
      id: "",
      conversation: "",
      parent: message.parent && names.get(message.parent),
    })),
    whole.messages.map((message) => ({ ...message, id: "", conversation: "", parent: message.parent && "Why?" })),
  );
  const shown = shownBranch(new Map(read.messages.map((one) => [one.id, one])), read.conversation.chosen);
  assert.deepEqual(shown.map(({ message }) => message.content), ["Why?", "Because."]);
  assert.notEqual(fromJson(toJson([whole]))[0]!.conversation.id, read.conversation.id);
});

test("an answer that was streaming is read as stopped", () => {
  const file = JSON.parse(toJson([whole]));
  file.conversations[0].messages[1].answer.state = "streaming";
  assert.equal(fromJson(JSON.stringify(file))[0]!.messages[1]!.answer!.state, "stopped");
});

test("files that are something else are refused in words", () => {
  const change = (edit: (conversation: any) => void): string => {
    const file = JSON.parse(toJson([whole]));
    edit(file.conversations[0]);
    return JSON.stringify(file);
  };
  const cases: [string, RegExp][] = [
    ["", /not JSON/],
    ["null", /no exported/],
    ["[]", /no exported/],
    ['{"format":"zaya-conversations","version":2,"conversations":[]}', /version 2/],
    ['{"format":"zaya-conversations","version":1,"conversations":[3]}', /without messages/],
    [change((one) => (one.messages[0].role = "system")), /id or role/],
    [change((one) => (one.messages[0].id = 4)), /id or role/],
    [change((one) => (one.messages[1].parent = "nobody")), /not there/],
    [change((one) => delete one.messages[1].parent), /not there/],
    [change((one) => (one.messages[1].id = "q")), /same id/],
  ];
  for (const [file, message] of cases) assert.throws(() => fromJson(file), { message }, file.slice(0, 80));
});

test("wrong fields of a good file are left out", () => {
  const file = JSON.parse(toJson([whole]));
  Object.assign(file.conversations[0], { title: { a: 1 }, created: "x", updated: -5, chosen: { q: 3, __proto__: "x" } });
  Object.assign(file.conversations[0].messages[1], { content: ["x"], answer: "no" });
  const { conversation, messages } = fromJson(JSON.stringify(file))[0]!;
  assert.equal(conversation.title, "New conversation");
  assert.ok(conversation.created > 1e12);
  assert.deepEqual(conversation.chosen, {});
  assert.equal(messages[1]!.content, "");
  assert.equal(messages[1]!.answer!.model, "");
});

test("Markdown holds the shown branch", () => {
  const text = toMarkdown(whole);
  assert.match(text, /^# Primes\n\n\*\*System\*\*\n\nBe exact\.\n\n## User\n\nWhy\?\n\n## m\n\n<details>/);
  assert.match(text, /Hm\.[\s\S]*<\/details>\n\nBecause\.\n$/);
  assert.doesNotMatch(text, /no pages/);
});

test("Markdown holds the run", () => {
  const run = {
    stages: [
      [
        { state: "done" as const, sources: [], tokens: 5, finish: "stop", answer: "4|2", reasoning: "", content: "" },
        { state: "failed" as const, sources: [], tokens: 2, error: "no\nendpoint", reasoning: "", content: "" },
      ],
      [{ state: "done" as const, sources: [0, 1], tokens: 7, finish: "length", answer: "<b>", reasoning: "", content: "" }],
    ],
    result: { stage: 1, chosen: 0, votes: [{ answer: "<b>", candidates: [0] }], stopped: false },
    started: 0,
    ms: 1,
  };
  const messages = whole.messages.map((one) => (one.id === "a1" ? { ...one, answer: { ...one.answer!, run } } : one));
  const text = toMarkdown({ ...whole, messages });
  assert.match(text, /<summary>Markovian RSA: 2 stages, 14 tokens<\/summary>\n\n\| stage \|/);
  assert.match(text, /\| 1 \| 1 \|  \| 5 \| stop \| 4\\\|2 \|\n\| 1 \| 2 \|  \| 2 \| failed: no endpoint \|  \|\n/);
  assert.match(text, /\| 2 \| 1 \(chosen\) \| 1, 2 \| 7 \| length \| \\<b> \|\n\nVotes:\n\n- 1 × \\<b> \(chosen\)\n\n<\/details>/);
});

test("file names suit every system", () => {
  assert.equal(fileName("a/b: c?*\\", "md"), "a-b-c.md");
  assert.equal(fileName("../..", "md"), "conversation.md");
  assert.equal(fileName("Größe 素数", "json"), "Größe-素数.json");
});
