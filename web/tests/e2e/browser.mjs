// Debian's Chromium under Playwright. Every page is watched: what it requests and what goes wrong in it.
import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { chromium } from "playwright-core";

const flags = [
  "--no-sandbox", // the tests may run as root
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export const phone = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

export async function openBrowser() {
  const profile = await mkdtemp(path.join(os.tmpdir(), "zaya-web-"));
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: flags,
    env: { ...process.env, HOME: profile },
  });
  return {
    /** A page with storage of its own. `seen` has its requests, `wrong` what it complained about. */
    async page(url, options = {}) {
      const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, colorScheme: "light", ...options });
      const page = await context.newPage();
      const seen = [];
      const wrong = [];
      context.on("request", (request) => seen.push(request.url()));
      page.on("pageerror", (error) => wrong.push(error.stack));
      page.on("console", (message) => {
        // An error status is a case of the tests; a refused resource or an exception is not.
        if (message.type() === "error" && !/status of \d+|net::ERR/.test(message.text())) wrong.push(message.text());
      });
      await page.goto(url);
      await page.waitForSelector("#composer");
      return { page, context, seen, wrong };
    },
    async close() {
      await browser.close();
      await rm(profile, { recursive: true, force: true });
    },
  };
}
