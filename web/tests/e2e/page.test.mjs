// The page in a browser; steps.mjs tells what the variables of the environment change.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { phone } from "./browser.mjs";
import { accessible, answered, ask, eventually, focused, lastAnswer, limit, mock, onPage, picture, real, scripted, shots, shown, url } from "./steps.mjs";

test("an answer streams, shows its figures and stays after a reload", () =>
  onPage(async (page) => {
    await limit(page, 48);
    await ask(page, "Hello there");
    await answered(page);
    const text = await lastAnswer(page).innerText();
    if (!real) assert.match(text, /You said: Hello there/);
    await eventually(async () => assert.match(await lastAnswer(page).locator(".figures").innerText(), /\d+ tokens/));
    await eventually(async () => assert.match(await lastAnswer(page).locator(".figures").innerText(), /tokens\/s/));
    await eventually(async () => assert.match(await lastAnswer(page).locator(".figures").innerText(), /first token/));
    const before = await shown(page);
    await page.reload();
    await page.waitForSelector(".message.answer footer");
    await eventually(async () => assert.deepEqual(await shown(page), before));
    await eventually(async () => assert.match(await page.title(), /Hello there/));
    await eventually(async () => assert.equal(await page.locator(".entry.current").innerText(), "Hello there"));
  }));

test("while an answer streams it grows, and stopping keeps what came", () =>
  onPage(async (page) => {
    await limit(page, 4096);
    await ask(page, "Tell me slowly about the sea, at length.");
    await page.waitForSelector(".send.stop");
    await page.waitForFunction(() => (document.querySelector(".message.answer")?.textContent ?? "").length > 40);
    const early = (await lastAnswer(page).innerText()).length;
    await page.waitForFunction((length) => document.querySelector(".message.answer").innerText.length > length, early);
    await page.keyboard.press("Escape");
    await answered(page);
    await eventually(async () => assert.match(await lastAnswer(page).innerText(), /Stopped\./));
    const before = await shown(page);
    await page.reload();
    await page.waitForSelector(".message.answer footer");
    await eventually(async () => assert.deepEqual(await shown(page), before));
    if (!real) await eventually(() => assert.ok(mock.state.aborted > 0, "the server was told"));
  }));

test("a page that is closed during an answer keeps the part that came", scripted, () =>
  onPage(async (page) => {
    await ask(page, "slowly");
    await page.waitForFunction(() => /answer comes/.test(document.querySelector(".message.answer .markdown")?.textContent ?? ""));
    await page.waitForTimeout(1500);
    await page.reload();
    await page.waitForSelector(".message.answer footer");
    await eventually(async () => assert.match(await lastAnswer(page).innerText(), /Not complete: the page was closed/));
    await eventually(async () => assert.match((await shown(page))[1], /^Word by word/));
  }));

test("thinking is folded with its length, and unfolds", scripted, () =>
  onPage(async (page) => {
    await ask(page, "Prove that there are infinitely many primes.");
    await answered(page);
    const thinking = lastAnswer(page).locator(".thinking");
    await eventually(async () => assert.match(await thinking.innerText(), /^Thought for [\d.]+ s · \d+ tokens$/));
    await thinking.locator("summary").click();
    await thinking.getByText("Euclid's").waitFor();
    await eventually(async () => assert.ok((await thinking.locator(".katex").count()) >= 2));
    await thinking.locator("summary").click();
    await thinking.locator(".markdown").waitFor({ state: "detached" });
  }));

test("thinking can be turned off", scripted, () =>
  onPage(async (page) => {
    await page.getByRole("button", { name: "Thinking" }).click();
    await ask(page, "primes, please");
    await answered(page);
    await eventually(async () => assert.equal(await lastAnswer(page).locator(".thinking").count(), 0));
    assert.deepEqual(mock.requests.at(-1).chat_template_kwargs, { enable_thinking: false });
  }));

test("mathematics, tables and code are set", scripted, () =>
  onPage(async (page) => {
    await ask(page, "Prove that there are infinitely many primes.");
    await answered(page);
    await eventually(async () => assert.ok((await lastAnswer(page).locator(".katex").count()) > 10));
    await eventually(async () => assert.equal(await lastAnswer(page).locator(".katex-display").count(), 2));
    await eventually(async () => assert.equal(await lastAnswer(page).locator(".katex-error, .broken").count(), 0));
    await eventually(async () => assert.equal(await lastAnswer(page).locator("td").count(), 9));
    // The fonts of the formulas come from the page's own server and are used.
    const fonts = await page.evaluate(async () => {
      await document.fonts.ready;
      return [...document.fonts].filter(({ status }) => status === "loaded").map(({ family }) => family);
    });
    assert.ok(fonts.some((family) => family.includes("KaTeX")), String(fonts));
    await ask(page, "Now a function that merges overlapping intervals.");
    await answered(page);
    await eventually(async () => assert.ok((await lastAnswer(page).locator(".hljs-keyword").count()) > 5));
  }));

const withMath = {
  format: "zaya-conversations",
  version: 1,
  conversations: [
    {
      title: "Imported",
      created: 1,
      updated: 2,
      messages: [
        { id: "q", parent: null, role: "user", content: "Gauss?", created: 1 },
        { id: "a", parent: "q", role: "assistant", content: "$$\\int_{-\\infty}^\\infty e^{-x^2}\\,dx = \\sqrt{\\pi}$$", created: 2, answer: { state: "done" } },
      ],
    },
  ],
};

test("a file is imported, its mathematics set, and exported again", () =>
  onPage(async (page) => {
    const choose = (name, text) =>
      page.locator("input[type=file]").setInputFiles({ name, mimeType: "application/json", buffer: Buffer.from(text) });
    await choose("bad.json", "{}");
    await page.getByText("The file holds no exported conversations.").waitFor();
    await choose("good.json", JSON.stringify(withMath));
    await page.waitForSelector(".katex-display");
    await page.getByLabel("This conversation").click();
    const [json] = await Promise.all([page.waitForEvent("download"), page.getByRole("menuitem", { name: "Export as JSON" }).click()]);
    assert.equal(json.suggestedFilename(), "Imported.json");
    const { conversations } = JSON.parse(await readFile(await json.path(), "utf8"));
    assert.deepEqual(conversations[0].messages.map(({ content }) => content), withMath.conversations[0].messages.map(({ content }) => content));
    await page.getByLabel("This conversation").click();
    const [markdown] = await Promise.all([page.waitForEvent("download"), page.getByRole("menuitem", { name: "Export as Markdown" }).click()]);
    await eventually(async () => assert.match(await readFile(await markdown.path(), "utf8"), /^# Imported\n\n## User\n\nGauss\?/));
  }));

test("retry and edit make branches, arrows switch them, and the choice stays", scripted, () =>
  onPage(async (page) => {
    await ask(page, "one");
    await answered(page);
    await ask(page, "two");
    await answered(page);
    const first = await shown(page);
    await lastAnswer(page).getByLabel("Answer again").click();
    await page.getByText("2 / 2").waitFor();
    await answered(page);
    const second = await shown(page);
    assert.notEqual(second[3], first[3]);
    await page.getByLabel("Previous answer").click();
    await eventually(async () => assert.deepEqual(await shown(page), first));

    await page.locator(".message.user").first().hover();
    await page.locator(".message.user").first().getByLabel("Edit").click();
    await page.getByLabel("Edit your message").fill("one, edited");
    await page.getByLabel("Edit your message").press("Enter");
    await page.getByText("You said: one, edited").waitFor();
    await answered(page);
    await eventually(async () => assert.equal((await shown(page)).length, 2));
    assert.deepEqual(mock.requests.at(-1).messages, [{ role: "user", content: "one, edited" }]);
    await page.reload();
    await page.getByText("You said: one, edited").waitFor();
    await page.getByLabel("Previous version").click();
    await eventually(async () => assert.deepEqual(await shown(page), first));
  }));

test("the server gets the branch that is shown and the settings", scripted, () =>
  onPage(async (page) => {
    await page.keyboard.press("Control+,");
    await page.getByLabel("System prompt").fill("Be exact.");
    await page.getByLabel("Temperature").fill("9");
    await page.getByText("Between 0 and 2.").waitFor();
    await page.getByLabel("Temperature").fill("0.6");
    await page.getByLabel("Top-p").fill("0.95");
    await page.getByLabel("Thinking budget").fill("1024");
    await page.getByLabel("Seed").fill("7");
    await page.locator("#set-model").selectOption("ZAYA1-8B-proofs");
    await page.keyboard.press("Escape");
    await ask(page, "hello");
    await answered(page);
    await ask(page, "again");
    await answered(page);
    const { messages, ...rest } = mock.requests.at(-1);
    assert.deepEqual(rest, {
      model: "ZAYA1-8B-proofs", temperature: 0.6, top_p: 0.95, seed: 7, thinking_token_budget: 1024,
      stream: true, stream_options: { include_usage: true },
    });
    assert.deepEqual(messages.map(({ role }) => role), ["system", "user", "assistant", "user"]);
    assert.equal(messages[0].content, "Be exact.");
  }));

test("conversations: list, search, rename, delete, undo", scripted, () =>
  onPage(async (page) => {
    for (const text of ["alpha", "beta"]) {
      await page.getByRole("button", { name: "New conversation" }).click();
      await ask(page, text);
      await answered(page);
    }
    const titles = () => page.locator(".entry").allInnerTexts();
    await eventually(async () => assert.deepEqual(await titles(), ["beta", "alpha"]));
    await page.fill("#search", "ALP");
    await eventually(async () => assert.deepEqual(await titles(), ["alpha"]));
    await page.fill("#search", "");
    await page.getByRole("link", { name: "alpha" }).click();
    await page.getByText("You said: alpha").waitFor();
    await page.getByLabel("More about “alpha”").click();
    await page.getByRole("menuitem", { name: "Rename" }).click();
    await page.getByLabel("Title").fill("First of all");
    await page.keyboard.press("Enter");
    await eventually(async () => assert.deepEqual(await titles(), ["beta", "First of all"]));
    await page.getByLabel("More about “beta”").click();
    await page.getByRole("menuitem", { name: "Delete" }).click();
    await eventually(async () => assert.deepEqual(await titles(), ["First of all"]));
    await page.getByRole("button", { name: "Undo" }).click();
    await page.getByRole("link", { name: "beta" }).click();
    await page.getByText("You said: beta").waitFor();
    await page.goBack();
    await page.getByText("You said: alpha").waitFor();
  }));

test("two tabs show the same conversations", scripted, () =>
  onPage(async (page, context) => {
    const other = await context.newPage();
    await other.goto(url);
    await ask(page, "seen by both");
    await answered(page);
    await other.getByRole("link", { name: "seen by both" }).click();
    await other.getByText("You said: seen by both").waitFor();
    await ask(other, "and back");
    await page.getByText("You said: and back").waitFor();
    await page.getByLabel("This conversation").click();
    await page.getByRole("menuitem", { name: "Delete" }).click();
    await other.getByText("What shall we work on?").waitFor();
    await ask(other, "something else");
    await other.getByText("You said: something else").waitFor();
    assert.deepEqual(mock.requests.at(-1).messages.length, 1);
  }));

test("errors say what happened and can be tried again", scripted, () =>
  onPage(async (page) => {
    const trouble = page.locator(".trouble");
    await ask(page, "refuse");
    await trouble.getByText("temperature must be between 0 and 2, found 7.").waitFor();
    await ask(page, "break");
    await lastAnswer(page).getByText("The line breaks after").waitFor();
    mock.state.breaks();
    await trouble.getByText("The connection to the server was lost.").waitFor();
    await eventually(async () => assert.match((await shown(page)).at(-1), /The line breaks after/));
    await ask(page, "fault");
    await trouble.getByText("The engine ran out of pages.").waitFor();
    await ask(page, "too long");
    await page.getByText("The limit of tokens was reached").waitFor();
    await ask(page, "busy");
    await lastAnswer(page).getByRole("button", { name: /Try again in \d s/ }).waitFor();
    await lastAnswer(page).getByRole("button", { name: "Try again", exact: true }).click();
    await page.getByText("Now there is room.").waitFor();
    // The answer that failed before it began was replaced, and left no branch.
    await eventually(async () => assert.equal(await lastAnswer(page).locator(".siblings").count(), 0));
  }));

test("a server that asks for a key gets it, and one that is away is noticed", scripted, async () => {
  mock.state.key = "sesame";
  try {
    await onPage(async (page) => {
      await page.getByText("The server wants an API key.").waitFor();
      await page.getByRole("button", { name: "Enter a key" }).click();
      await page.getByLabel("API key").fill("sesame");
      await page.keyboard.press("Enter");
      await page.keyboard.press("Escape");
      await page.locator(".banner").waitFor({ state: "detached" });
      await ask(page, "with key");
      await answered(page);
      mock.state.down = true;
      await ask(page, "without server");
      await page.locator(".trouble").getByText("The server cannot be reached.").waitFor();
      await page.locator(".banner").waitFor();
      mock.state.down = false;
      await page.locator(".banner").getByRole("button", { name: "Try again" }).click();
      await page.locator(".banner").waitFor({ state: "detached" });
      await page.reload();
      await page.waitForSelector(".message");
      await eventually(async () => assert.equal(await page.locator(".banner").count(), 0));
    });
  } finally {
    mock.state.key = "";
    mock.state.down = false;
  }
});

test("attacks in an answer stay text", scripted, () =>
  onPage(async (page, context) => {
    await ask(page, "hostile");
    await answered(page);
    await lastAnswer(page).locator(".thinking summary").click();
    await page.waitForTimeout(300);
    const found = await page.evaluate(() => ({
      hacked: window.hacked,
      elements: document.querySelectorAll(
        ".message script, .message img, .message iframe, .message object, .message form, .message style, .message link, .message meta, .message base",
      ).length,
      svg: document.querySelectorAll(".message .markdown svg:not(.icon)").length,
      handlers: [...document.querySelectorAll(".message *")].flatMap((one) => one.getAttributeNames()).filter((name) => name.startsWith("on")),
      links: [...document.querySelectorAll(".message .markdown a")].map((one) => [one.protocol, one.rel, one.target]),
    }));
    assert.equal(found.hacked, undefined);
    assert.equal(found.elements, 0);
    assert.equal(found.svg, 0);
    assert.deepEqual(found.handlers, []);
    assert.ok(found.links.length >= 6);
    for (const link of found.links) assert.deepEqual(link, ["https:", "noopener noreferrer nofollow", "_blank"]);
    await eventually(async () => assert.match(await lastAnswer(page).innerText(), /<script>window\.hacked = 1<\/script>/));
    assert.equal(context.pages().length, 1);
  }));

test("the keyboard is enough", scripted, () =>
  onPage(async (page) => {
    // The composer has the focus when the page opens.
    await focused(page, "#composer");
    await page.keyboard.type("first line");
    await page.keyboard.press("Shift+Enter");
    await page.keyboard.type("second line");
    await page.keyboard.press("Enter");
    await page.getByText("You said: first line").waitFor();
    await answered(page);
    // Edit the last turn, then switch back.
    await page.keyboard.press("ArrowUp");
    await focused(page, ".editor textarea");
    await page.keyboard.press("Control+A");
    await page.keyboard.type("changed");
    await page.keyboard.press("Enter");
    await page.getByText("You said: changed").waitFor();
    await answered(page);
    await page.keyboard.press("/");
    await focused(page, "#composer");
    await page.keyboard.press("Alt+ArrowLeft");
    await page.getByText("You said: first line").waitFor();
    await page.keyboard.press("Alt+ArrowRight");
    await page.getByText("You said: changed").waitFor();
    // Unfold the thinking by Tab and Enter from the answer.
    await page.keyboard.press("Alt+ArrowUp");
    await focused(page, ".message.answer");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.getByText("Somebody says something.").waitFor();
    // Help, settings, search, new conversation; Escape leads back.
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Help" }).waitFor();
    await page.keyboard.press("Escape");
    await page.locator("dialog").waitFor({ state: "detached" });
    await page.keyboard.press("Control+,");
    await page.getByRole("dialog", { name: "Settings" }).waitFor();
    await page.keyboard.press("Escape");
    await page.locator("dialog").waitFor({ state: "detached" });
    await page.keyboard.press("Control+k");
    await focused(page, "#search");
    await page.keyboard.type("first");
    await eventually(async () => assert.equal(await page.inputValue("#search"), "first"));
    await page.keyboard.press("Tab");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.getByRole("menu").waitFor();
    await focused(page, "[role=menu] *");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Escape");
    await page.locator("[role=menu]").waitFor({ state: "detached" });
    await page.keyboard.press("Control+Shift+O");
    await page.getByText("What shall we work on?").waitFor();
    await focused(page, "#composer");
  }));

test("on a phone: nothing overflows, the list opens and closes, Enter is a new line", scripted, () =>
  onPage(async (page) => {
    await page.tap("#composer");
    await page.keyboard.type("primes");
    await page.keyboard.press("Enter");
    await eventually(async () => assert.equal(await page.inputValue("#composer"), "primes\n"));
    await page.tap(".send");
    await answered(page);
    await eventually(async () => assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390));
    await eventually(async () => assert.ok((await page.evaluate(() => document.querySelector(".scroll").scrollWidth)) <= 390));
    await eventually(async () => assert.equal(await page.locator(".sidebar").isVisible(), false));
    await page.tap(".list-toggle");
    await page.getByRole("link", { name: "primes" }).waitFor();
    await page.tap(".sidebar .new");
    await page.getByText("What shall we work on?").waitFor();
    await page.locator(".sidebar").waitFor({ state: "hidden" });
    await page.tap('[aria-label="Settings"]');
    const box = await page.getByRole("dialog").boundingBox();
    assert.ok(box.x >= 0 && box.x + box.width <= 390);
  }, phone));

test("no accessibility problem that a program can find", scripted, async () => {
  for (const options of [{}, { colorScheme: "dark" }, phone]) {
    await onPage(async (page) => {
      const check = (where) => accessible(page, where);
      await check("welcome");
      await ask(page, "Prove that there are infinitely many primes.");
      await answered(page);
      await page.locator(".thinking summary").click();
      await ask(page, "merge intervals");
      await answered(page);
      await ask(page, "refuse");
      await page.locator(".trouble").waitFor();
      await check("conversation");
      await page.getByRole("button", { name: "Settings" }).click();
      await check("settings");
      await page.keyboard.press("Escape");
      if (options.isMobile) await page.tap(".list-toggle");
      else {
        await page.getByLabel("More about “Prove").click();
        await check("menu");
        await page.keyboard.press("Escape");
      }
      await page.getByRole("button", { name: "Help" }).click();
      await check("help");
    }, options);
  }
});

test("the colours follow the system until somebody chooses", () =>
  onPage(async (page) => {
    const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    const dark = await ground();
    await page.emulateMedia({ colorScheme: "light" });
    const light = await ground();
    assert.notEqual(dark, light);
    await page.getByTitle("Dark colours").click();
    await eventually(async () => assert.equal(await ground(), dark));
    await page.reload();
    await page.waitForSelector("#composer");
    await eventually(async () => assert.equal(await ground(), dark));
  }, { colorScheme: "dark" }));

test("an answer of 30,000 tokens is shown to its end", scripted, () =>
  onPage(async (page) => {
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
    await ask(page, "Something very long");
    await page.waitForSelector(".send:not(.stop)", { timeout: 120_000 });
    const seconds = (Date.now() - start) / 1000;
    const longest = await page.evaluate(() => window.longest);
    // A figure to look at, not a test: what else runs on the machine decides it too.
    console.log(`30,000 tokens in ${seconds.toFixed(1)} s; the page answered within ${longest.toFixed(0)} ms throughout`);
    await lastAnswer(page).getByText("Step 698").waitFor({ timeout: 60_000 });
  }));

test("one very long block of code does not hold the page up either", scripted, () =>
  onPage(async (page) => {
    await ask(page, "one block");
    await page.waitForSelector(".send:not(.stop)", { timeout: 120_000 });
    await lastAnswer(page).locator("pre").waitFor();
    await eventually(async () => assert.equal((await lastAnswer(page).locator("pre").innerText()).trim().split("\n").length, 4000));
  }));

test("pictures", { skip: real || !shots ? "asked for by ZAYA_WEB_SHOTS" : false }, async () => {
  for (const [name, options] of [
    ["desktop-light", {}],
    ["desktop-dark", { colorScheme: "dark" }],
    ["phone-light", phone],
    ["phone-dark", { ...phone, colorScheme: "dark" }],
  ]) {
    await onPage(async (page) => {
      await picture(page, `${name}-welcome`);
      await ask(page, "Prove that there are infinitely many primes, with a table of how many there are.");
      await answered(page);
      await page.locator(".thinking summary").click();
      await page.locator(".scroll").evaluate((frame) => (frame.scrollTop = 0));
      await picture(page, `${name}-mathematics`);
      await ask(page, "Write a C++ function that merges overlapping intervals.");
      await answered(page);
      await picture(page, `${name}-code`);
      await lastAnswer(page).getByLabel("Answer again").click();
      await page.getByText("2 / 2").waitFor();
      await answered(page);
      await ask(page, "refuse");
      await page.locator(".trouble").waitFor();
      await ask(page, "slowly");
      await page.waitForTimeout(1200);
      await picture(page, `${name}-streaming`);
      await page.click(".send.stop");
      await answered(page);
      await picture(page, `${name}-stopped`);
      await page.getByLabel("Settings").click();
      await picture(page, `${name}-settings`);
      await page.keyboard.press("Escape");
      if (options.isMobile) {
        await page.tap(".list-toggle");
        await picture(page, `${name}-list`);
      } else {
        await page.evaluate(() => document.activeElement.blur());
        await page.keyboard.press("?");
        await picture(page, `${name}-help`);
      }
    }, options);
  }
});
