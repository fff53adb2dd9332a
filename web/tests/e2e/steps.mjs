// What the tests of the page share: a browser, and a scripted server. With ZAYA_WEB_URL it is the page of that server,
// whose model may say anything: the tests that need scripted answers are then left out. ZAYA_WEB_SHOTS names a folder
// for pictures.
import assert from "node:assert/strict";
import { mkdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before } from "node:test";
import { openBrowser } from "./browser.mjs";
import { startMock } from "./mock_server.mjs";

export const real = process.env.ZAYA_WEB_URL;
export const shots = process.env.ZAYA_WEB_SHOTS;
export const scripted = { skip: real ? "needs scripted answers" : false };
export let mock;
export let url;
let browser;

before(async () => {
  mock = real ? undefined : await startMock();
  url = real ?? mock.url;
  browser = await openBrowser();
  if (shots) await mkdir(shots, { recursive: true });
});
after(async () => {
  await browser?.close();
  await mock?.close();
});

/** Runs `steps` on a fresh page; then nothing may have gone wrong in it or left its origin. */
export async function onPage(steps, options) {
  const { page, context, seen, wrong } = await browser.page(url, options);
  page.setDefaultTimeout(real ? 120_000 : 30_000);
  try {
    await steps(page, context);
    assert.deepEqual(wrong, []);
    const origin = new URL(url).origin;
    assert.deepEqual(seen.filter((one) => !/^(blob|data):/.test(one) && new URL(one).origin !== origin), []);
    assert.ok(seen.length > 3);
  } finally {
    await context.close();
  }
}

const answersOf = (page) => page.locator(".message.answer");
export const lastAnswer = (page) => answersOf(page).last();
export const shown = (page) => page.locator(".message").evaluateAll((all) => all.map((one) => one.querySelector(".bubble, .message > .markdown")?.textContent ?? ""));

/** A model that is not scripted answers at once, and at most this long. */
export async function limit(page, tokens) {
  if (!real) return;
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByLabel("Think first").selectOption("off");
  await page.getByLabel("Max tokens").fill(String(tokens));
  await page.keyboard.press("Escape");
}

export async function ask(page, text) {
  await page.fill("#composer", text);
  await page.click(".send");
}

/** Waits for the end of the answer that is under way. */
export async function answered(page) {
  await page.waitForSelector(".send:not(.stop)");
  await lastAnswer(page).locator("footer").waitFor();
}

/** What the page shows follows an action a moment later: asks again until `check` holds, and throws what it threw last. */
export async function eventually(check) {
  for (const end = Date.now() + 10_000; ; ) {
    try {
      return await check();
    } catch (failure) {
      if (Date.now() > end) throw failure;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** Keys go where the focus is: waits for it to be there. */
export async function focused(page, selector) {
  await page.waitForFunction((one) => document.activeElement?.matches(one), selector);
}

export async function picture(page, name) {
  if (!shots) return;
  await page.mouse.move(0, 0);
  await page.evaluate(() => document.fonts.ready);
  await page.waitForTimeout(300);
  await page.screenshot({ path: path.join(shots, `${name}.png`) });
}

/** Says what a program finds wrong for somebody who does not see the page. */
export async function accessible(page, where) {
  const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
  // A heading of a table that is a formula is MathML, which this program takes for nothing; and the model chooses
  // the levels of its headings.
  const settings = { rules: { "empty-table-header": { enabled: false }, "heading-order": { enabled: false } } };
  await page.waitForTimeout(400); // colours on their way to others have no contrast of their own
  await page.evaluate(axe);
  const { violations } = await page.evaluate((options) => globalThis.axe.run(document, options), settings);
  assert.deepEqual(violations.map(({ id, nodes }) => `${where}: ${id}: ${nodes.map(({ html }) => html).join(" ")}`), []);
}
