// Runs of Markovian RSA on the page.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { phone } from "./browser.mjs";
import { accessible, answered, ask, eventually, focused, lastAnswer, mock, onPage, picture, real, scripted, shots } from "./steps.mjs";

const question = "How many lattice points lie in the disc of radius $\\sqrt{13}$";

/** Has the open conversation answered by a run. */
async function choose(page, mode, more = async () => {}) {
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByLabel("Run", { exact: true }).selectOption(mode);
  await more(page);
  await page.keyboard.press("Escape");
  await page.locator("dialog").waitFor({ state: "detached" });
}

const run = (page) => lastAnswer(page).locator(".run");
const line = (page) => run(page).locator("summary");
const cell = (page, stage, slot) => run(page).locator(`.cell[data-stage="${stage}"][data-slot="${slot}"]`);
/** A run folds a moment after its end. */
const unfold = (page) => lastAnswer(page).locator(".run:not([open]) summary").click();

test("a run is asked for with the settings, and folds to its outcome", scripted, () =>
  onPage(async (page) => {
    await choose(page, "recommended", async () => {
      await page.getByText("48 generations, at most 1,179,648 tokens.").waitFor();
      await page.getByLabel("Temperature").fill("0.9");
      await page.getByLabel("Seed").fill("7");
      await page.getByLabel("Max tokens").fill("99");
      await page.getByLabel("Problem").selectOption("code");
    });
    await page.getByRole("button", { name: "Markovian RSA: recommended" }).waitFor();
    await ask(page, `${question}?`);
    await answered(page);
    const { messages, ...rest } = mock.requests.at(-1);
    assert.deepEqual(rest, {
      model: "ZAYA1-8B",
      temperature: 0.9,
      seed: 7,
      rsa: { preset: "recommended", prompt: "code", stream_candidates: true },
      stream: true,
      stream_options: { include_usage: true },
    });
    assert.equal(messages.length, 1);
    await eventually(async () => assert.match(await line(page).innerText(), /^Markovian RSA: 3 stages of 16, [\d,]+ tokens, 14 of 16 agree on 45$/));
    await eventually(async () => assert.equal(await run(page).locator(".run-grid").count(), 0));
    await lastAnswer(page).locator(":scope > .markdown .katex-display").first().waitFor();
    await unfold(page);
    await eventually(async () => assert.equal(await run(page).locator(".cell").count(), 48));
    await eventually(async () => assert.equal(await run(page).locator(".cell.chosen").count(), 1));
    await eventually(async () => assert.equal(await run(page).locator(".cell.failed").count(), 1));
    await eventually(async () => assert.equal(await cell(page, 2, 0).innerText(), "45"));
    await eventually(async () => assert.match(await run(page).locator(".votes li.chosen").innerText(), /^45\s+14\s*, chosen$/));
    await eventually(async () => assert.match(await run(page).locator(".run-facts").innerText(), /largest context 33,411 tokens of at most 58,900 tokens · KV cache: at most 1.5 GiB of 8.0 GiB/));
  }));

test("while a run goes on its grid shows it, a candidate's text grows, and stopping keeps it", scripted, () =>
  onPage(async (page) => {
    await choose(page, "light");
    const aborted = mock.state.aborted;
    await ask(page, `${question}, stop?`);
    await run(page).locator(".cell.running").first().waitFor();
    await eventually(async () => assert.match(await line(page).innerText(), /stage 1 of 3, \d+ of 24 done, [\d,]+ tokens/));
    await eventually(async () => assert.equal(await run(page).locator(".cell").count(), 24));
    await cell(page, 0, 0).click();
    const dialog = page.getByRole("dialog", { name: "Candidate 1 of stage 1" });
    await dialog.locator(".thinking summary").click();
    await dialog.getByText("I am candidate 1 of stage 1.").waitFor();
    const early = (await dialog.innerText()).length;
    await page.waitForFunction((length) => document.querySelector("dialog").innerText.length > length, early);
    await dialog.locator(".katex-display").waitFor();
    await run(page).locator(".cell.done").first().waitFor();
    // Escape closes the dialog and not the run.
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    await focused(page, '.cell[data-stage="0"][data-slot="0"]');
    await page.waitForFunction(() => /stage 2/.test(document.querySelector(".run summary").innerText));
    await page.keyboard.press("Escape");
    await answered(page);
    await eventually(async () => assert.match(await lastAnswer(page).innerText(), /Stopped\./));
    await eventually(async () => assert.match(await line(page).innerText(), /ended in stage [123] of 3, \d+ of 24 done/));
    await eventually(() => assert.equal(mock.state.aborted, aborted + 1));
    await eventually(async () => assert.equal(await run(page).locator(".cell.running").count(), 0));
    await page.reload();
    await page.waitForSelector(".message.answer footer");
    await eventually(async () => assert.match(await line(page).innerText(), /ended in stage [123] of 3/));
    await unfold(page);
    await cell(page, 0, 0).click();
    await dialog.locator(".katex-display").waitFor();
  }));

test("the keyboard walks the grid; lines and words tell what fed a candidate", scripted, () =>
  onPage(async (page) => {
    await choose(page, "recommended");
    await ask(page, `${question}?`);
    await answered(page);
    await unfold(page);
    // One stop of Tab: the chosen candidate.
    await page.keyboard.press("Tab");
    await focused(page, ".cell.chosen");
    await eventually(async () => assert.equal(await run(page).locator('.cell[tabindex="0"]').count(), 1));
    await page.keyboard.press("ArrowUp");
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowRight");
    await focused(page, '.cell[data-stage="1"][data-slot="2"]');
    await eventually(async () => assert.equal(await run(page).locator('.cell[tabindex="0"]').getAttribute("data-slot"), "2"));
    const described = await page.evaluate(() => document.getElementById(document.activeElement.getAttribute("aria-describedby")).textContent);
    assert.match(described, /^Candidate 3 of stage 2 done with [\d,]+ tokens; (answer \d+; )?fed by \d+, \d+, \d+, \d+ of stage 1; feeds [\d, ]+ of stage 3$/);
    await eventually(async () => assert.equal(await run(page).locator(".cell.source").count(), 4));
    const into = await run(page).locator("path.into").getAttribute("d");
    assert.equal(into.match(/M/g).length, 4);
    // The first line begins at the first source and ends at the marked cell.
    const ends = await page.evaluate(() => {
      const [source, marked, frame] = [".cell.source", ".cell.marked", ".links"].map((one) => document.querySelector(one).getBoundingClientRect());
      return [source.left + source.width / 2 - frame.left, source.bottom - frame.top, marked.left + marked.width / 2 - frame.left, marked.top - frame.top];
    });
    const [x0, y0, , , , , x1, y1] = into.match(/-?[\d.]+/g).map(Number);
    for (const [index, value] of [x0, y0, x1, y1].entries()) assert.ok(Math.abs(value - ends[index]) < 1, `${into} ${ends}`);
    await page.keyboard.press("Control+Home");
    await focused(page, '.cell[data-stage="0"][data-slot="0"]');
    await page.keyboard.press("ArrowLeft");
    await page.keyboard.press("End");
    await focused(page, '.cell[data-stage="0"][data-slot="15"]');
    await page.keyboard.press("Control+End");
    await page.keyboard.press("Enter");
    const dialog = page.getByRole("dialog", { name: "Candidate 16 of stage 3" });
    await dialog.locator(".katex-display").waitFor();
    await eventually(async () => assert.equal(await dialog.getByRole("button", { name: "Next candidate" }).isDisabled(), true));
    const source = dialog.getByRole("button", { name: /^Candidate \d+ of stage 2$/ }).first();
    const name = await source.getAttribute("aria-label");
    await source.click();
    await page.getByRole("dialog", { name }).getByText("Fed by stage 1:").waitFor();
    await focused(page, ".candidate");
    await page.keyboard.press("Escape");
    await page.locator("dialog").waitFor({ state: "detached" });
    await focused(page, '.cell[data-stage="2"][data-slot="15"]');
    // A mouse marks without the focus.
    await cell(page, 1, 5).hover();
    await run(page).getByText(/^Candidate 6 of stage 2/).waitFor();
  }));

test("a run survives a reload, an export and an import", scripted, () =>
  onPage(async (page) => {
    await choose(page, "custom", async () => {
      await page.getByLabel("Rounds").fill("3");
      await page.getByLabel("Population").fill("6");
      await page.getByText("24 generations").waitFor();
      await page.getByLabel("Selection").selectOption("single");
      await page.getByText("19 generations").waitFor();
      await page.getByLabel("Subset").fill("9");
      await page.getByText("A subset of 9 cannot be drawn from a population of 6.").waitFor();
      await page.getByLabel("Subset").fill("2");
      await page.getByLabel("Tau").fill("1024");
    });
    await ask(page, `${question}?`);
    await answered(page);
    assert.deepEqual(mock.requests.at(-1).rsa, {
      rounds: 3, population: 6, subset: 2, beta: 16384, tau: 1024, final_tokens: 40960, carry: "reasoning_tail",
      selection: "single", prompt: "mathematics", stream_candidates: true,
    });
    const before = await line(page).innerText();
    assert.match(before, /3 stages of 6, then 1, [\d,]+ tokens, answer \d+$/);
    await page.reload();
    await page.waitForSelector(".message.answer footer");
    await eventually(async () => assert.equal(await line(page).innerText(), before));
    await page.getByLabel("This conversation").click();
    const [json] = await Promise.all([page.waitForEvent("download"), page.getByRole("menuitem", { name: "Export as JSON" }).click()]);
    const file = JSON.parse(await readFile(await json.path(), "utf8"));
    const { stages, result } = file.conversations[0].messages[1].answer.run;
    assert.deepEqual(stages.map(({ length }) => length), [6, 6, 6, 1]);
    assert.equal(stages[1][3].sources.length, 2);
    assert.equal(result.chosen, 0);
    file.conversations[0].title = "Read again";
    await page.locator("input[type=file]").setInputFiles({ name: "a.json", mimeType: "application/json", buffer: Buffer.from(JSON.stringify(file)) });
    await page.getByRole("link", { name: "Read again" }).waitFor();
    await page.waitForFunction(() => document.title.startsWith("Read again"));
    await eventually(async () => assert.equal(await line(page).innerText(), before));
    await unfold(page);
    await cell(page, 1, 3).click();
    await page.getByRole("dialog").locator(".katex-display").waitFor();
  }));

test("errors in a run are told, and what came of it stays", scripted, () =>
  onPage(async (page) => {
    await choose(page, "light");
    await ask(page, `${question}, fault?`);
    await lastAnswer(page).locator(".trouble").getByText("The engine ran out of pages.").waitFor();
    await eventually(async () => assert.match(await line(page).innerText(), /ended in stage 1 of 3/));
    await ask(page, `${question}, break?`);
    const breaks = async () => {
      await run(page).locator(".cell.running").first().waitFor();
      mock.state.breaks();
      await lastAnswer(page).locator(".trouble").getByText("The connection to the server was lost.").waitFor();
    };
    await breaks();
    // Another try is a branch beside it, as something came.
    await lastAnswer(page).getByRole("button", { name: "Try again" }).click();
    await breaks();
    await page.getByText("2 / 2").waitFor();
  }));

test("attacks in candidates and answers of a run stay text", scripted, () =>
  onPage(async (page) => {
    await choose(page, "light");
    await ask(page, `${question}, hostile?`);
    await answered(page);
    await unfold(page);
    await cell(page, 1, 1).click();
    await page.locator("dialog .thinking summary").click();
    await page.waitForTimeout(300);
    const found = await page.evaluate(() => ({
      hacked: window.hacked,
      elements: document.querySelectorAll(":is(.message, dialog) :is(script, img, iframe, object, form, style, link, meta, base)").length,
      svg: document.querySelectorAll(":is(.run, dialog) svg:not(.icon, .links)").length,
      handlers: [...document.querySelectorAll(":is(.message, dialog) *")].flatMap((one) => one.getAttributeNames()).filter((name) => name.startsWith("on")),
      links: [...document.querySelectorAll("dialog .markdown a")].map((one) => [one.protocol, one.rel, one.target]),
    }));
    assert.deepEqual({ ...found, links: [] }, { hacked: undefined, elements: 0, svg: 0, handlers: [], links: [] });
    assert.ok(found.links.length >= 6);
    for (const link of found.links) assert.deepEqual(link, ["https:", "noopener noreferrer nofollow", "_blank"]);
  }));

test("a model that does not offer runs is asked without", scripted, () =>
  onPage(async (page) => {
    await choose(page, "light");
    await page.locator(".model-choice").selectOption("ZAYA1-8B-proofs");
    await page.getByRole("button", { name: "Thinking" }).waitFor();
    await page.getByRole("button", { name: "Settings" }).click();
    await page.getByText("This server does not offer it for this model.").waitFor();
    await eventually(async () => assert.equal(await page.getByLabel("Run", { exact: true }).isDisabled(), true));
    await page.keyboard.press("Escape");
    await ask(page, "hello");
    await answered(page);
    assert.equal("rsa" in mock.requests.at(-1), false);
  }));

test("on a phone the grid stays inside", scripted, () =>
  onPage(async (page) => {
    await choose(page, "extra-high");
    await ask(page, `${question}?`);
    await answered(page);
    await unfold(page);
    await eventually(async () => assert.equal(await run(page).locator(".cell").count(), 288));
    await eventually(async () => assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390));
    await eventually(async () => assert.ok((await page.evaluate(() => document.querySelector(".scroll").scrollWidth)) <= 390));
    const box = await run(page).locator(".run-frame").boundingBox();
    assert.ok(box.x >= 0 && box.x + box.width <= 390 && box.height <= 520, JSON.stringify(box));
    // A pointer over a cell moves nothing: what it says takes the same room.
    const place = () => run(page).locator(".run-facts").evaluate((one) => one.getBoundingClientRect().top - one.closest(".run").getBoundingClientRect().top);
    const before = await place();
    await cell(page, 1, 1).hover();
    await run(page).getByText(/^Candidate 2 of stage 2/).waitFor();
    await eventually(async () => assert.equal(await place(), before));
    await cell(page, 3, 3).tap();
    const dialog = await page.getByRole("dialog").boundingBox();
    assert.ok(dialog.x >= 0 && dialog.x + dialog.width <= 390);
    await eventually(async () => assert.equal(await page.evaluate(() => document.querySelector("dialog").scrollWidth - document.querySelector("dialog").clientWidth), 0));
  }, phone));

test("no accessibility problem of a run that a program can find", scripted, async () => {
  for (const options of [{}, { colorScheme: "dark" }, phone]) {
    await onPage(async (page) => {
      await choose(page, "light", () => accessible(page, "settings"));
      await ask(page, `${question}, at a pace?`);
      await run(page).locator(".cell.done").first().waitFor();
      await accessible(page, "running");
      await answered(page);
      await unfold(page);
      await cell(page, 1, 1).focus();
      await accessible(page, "ended");
      await page.keyboard.press("Enter");
      await accessible(page, "candidate");
    }, options);
  }
});

test("thousands of events do not hold the page up", scripted, () =>
  onPage(async (page) => {
    page.setDefaultTimeout(120_000);
    await choose(page, "extra-high");
    await page.evaluate(() => {
      window.longest = 0;
      let last = performance.now();
      const watch = () => {
        const now = performance.now();
        window.longest = Math.max(window.longest, now - last);
        last = now;
        setTimeout(watch);
      };
      watch();
    });
    const start = Date.now();
    await ask(page, `${question}, many?`);
    await page.waitForSelector(".send:not(.stop)", { timeout: 120_000 });
    const seconds = (Date.now() - start) / 1000;
    const longest = await page.evaluate(() => window.longest);
    // A figure to look at, not a test: what else runs on the machine decides it too.
    console.log(`17,000 events of 288 candidates in ${seconds.toFixed(1)} s; the page answered within ${longest.toFixed(0)} ms throughout`);
    await eventually(async () => assert.match(await line(page).innerText(), /9 stages of 32/));
  }));

test("pictures of a run", { skip: real || !shots ? "asked for by ZAYA_WEB_SHOTS" : false }, async () => {
  for (const [name, options] of [
    ["desktop-light", {}],
    ["desktop-dark", { colorScheme: "dark" }],
    ["phone-light", phone],
    ["phone-dark", { ...phone, colorScheme: "dark" }],
  ]) {
    await onPage(async (page) => {
      // Candidates as short as the time of the test: the speed in the picture is one that was measured.
      await choose(page, "custom", async () => {
        await page.getByLabel("Beta").fill("256");
        await page.getByLabel("Tau").fill("64");
        await page.getByLabel("Final tokens").fill("512");
        await page.getByLabel("Run", { exact: true }).scrollIntoViewIfNeeded();
        await picture(page, `${name}-run-settings`);
      });
      await ask(page, `${question}, at a pace?`);
      await page.waitForFunction(() => document.querySelectorAll('.cell.done[data-stage="1"]').length > 5, undefined, { polling: 20 });
      await cell(page, 1, 9).focus();
      await picture(page, `${name}-run`);
      await page.evaluate(() => document.activeElement.blur());
      await answered(page);
      await picture(page, `${name}-run-folded`);
      await unfold(page);
      await cell(page, 2, 4).focus();
      await picture(page, `${name}-run-votes`);
      await page.keyboard.press("Enter");
      await page.locator("dialog .katex-display").waitFor();
      await picture(page, `${name}-candidate`);
    }, options);
  }
});
