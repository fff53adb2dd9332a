import assert from "node:assert/strict";
import { test } from "node:test";
import { type Message, newId, shownBranch, titleOf, turnsTo } from "../../src/conversation/tree";

const message = (id: string, parent: string | null, created: number): Message => ({
  id,
  conversation: "c",
  parent,
  role: parent === null || id.startsWith("q") ? "user" : "assistant",
  content: id,
  created,
});

// q1 has two answers; the second goes on with q2, which was edited into q3.
const tree = new Map(
  [
    message("q1", null, 1),
    message("a1", "q1", 2),
    message("a2", "q1", 3),
    message("q2", "a2", 4),
    message("b1", "q2", 5),
    message("q3", "a2", 6),
    message("b2", "q3", 7),
  ].map((one) => [one.id, one]),
);
const ids = (steps: { message: Message }[]) => steps.map(({ message: { id } }) => id);

test("without a choice the newest of each branch is shown", () => {
  assert.deepEqual(ids(shownBranch(tree, {})), ["q1", "a2", "q3", "b2"]);
});

test("choices are followed, each with what it could be exchanged for", () => {
  const steps = shownBranch(tree, { q1: "a2", a2: "q2" });
  assert.deepEqual(ids(steps), ["q1", "a2", "q2", "b1"]);
  assert.deepEqual(steps.map(({ siblings }) => siblings.map(({ id }) => id)), [["q1"], ["a1", "a2"], ["q2", "q3"], ["b1"]]);
  assert.deepEqual(ids(shownBranch(tree, { q1: "a1" })), ["q1", "a1"]);
});

test("a choice that is gone falls back to the newest", () => {
  assert.deepEqual(ids(shownBranch(tree, { q1: "deleted" })), ["q1", "a2", "q3", "b2"]);
});

test("an edited first turn is a sibling too", () => {
  const two = new Map(tree).set("q9", message("q9", null, 9));
  assert.deepEqual(ids(shownBranch(two, {})), ["q9"]);
  assert.deepEqual(ids(shownBranch(two, { "": "q1" })), ["q1", "a2", "q3", "b2"]);
});

test("the turns to a message are its ancestors, whatever is shown", () => {
  assert.deepEqual(turnsTo(tree, "b1").map(({ id }) => id), ["q1", "a2", "q2", "b1"]);
  assert.deepEqual(turnsTo(tree, "a1").map(({ id }) => id), ["q1", "a1"]);
  assert.deepEqual(turnsTo(tree, "missing"), []);
});

test("messages in a circle end", () => {
  const circle = new Map([message("x", "y", 1), message("y", "x", 2)].map((one) => [one.id, one]));
  assert.deepEqual(shownBranch(circle, {}), []);
  assert.ok(turnsTo(circle, "x").length <= 3);
});

test("ids differ and titles are one short line", () => {
  assert.equal(new Set(Array.from({ length: 1000 }, newId)).size, 1000);
  assert.equal(titleOf("  Hello \t world\nmore"), "Hello world");
  assert.equal(titleOf("\n \n"), "New conversation");
  assert.equal(titleOf("x".repeat(100)).length, 60);
});
