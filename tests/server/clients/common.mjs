// What the tests of all clients share. Outputs are held to schemas and calls, so that a random model
// gives answers of a known form.
import assert from "node:assert/strict";
import { z } from "zod";

export const url = process.env.ZAYA_URL;
export const baseURL = `${url}/v1`;
export const model = process.env.ZAYA_MODEL;

// Not .max(8): zod counts an emoji as two, JSON Schema as one.
const word = z.string().regex(/^[ -~]{0,8}$/);
export const city = z.object({
  name: word,
  size: z.enum(["small", "large"]),
  people: z.number().int().min(1).max(9),
});
/** A call of the function get_weather has these arguments. */
export const place = z.object({ city: word, days: z.number().int().min(1).max(5) });
export const placeSchema = {
  type: "object",
  properties: { city: { type: "string", pattern: "^[ -~]{0,8}$" }, days: { type: "integer", minimum: 1, maximum: 5 } },
  required: ["city", "days"],
  additionalProperties: false,
};
export const noThinking = { chat_template_kwargs: { enable_thinking: false } };

async function metric(name) {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(new RegExp(`^${name} (.*)$`, "m").exec(text)?.[1] ?? 0);
}

const cancelled = 'zaya_outputs_total\\{reason="cancelled"\\}';

/** Runs `leave`, after which the server must have given up `outputs` more outputs. */
export async function expectCancelled(outputs, leave) {
  const wanted = (await metric(cancelled)) + outputs;
  await leave();
  for (let i = 0; i < 1200 && (await metric(cancelled)) < wanted; ++i) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.equal(await metric(cancelled), wanted);
}

/** Waits until as many outputs are under way. */
export async function running(outputs) {
  while ((await metric("zaya_outputs_running")) < outputs) await new Promise((resolve) => setTimeout(resolve, 10));
}
