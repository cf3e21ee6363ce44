// Headless Chromium for the tests: a page that notes every error and every request that leaves its origin.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";

import { chromium } from "playwright-core";

const PATIENCE_MS = 30_000;

export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"],
  });
}

/** A page of its own, with what it did wrong so far in `faults`. */
export async function openPage(browser, url, { width = 1280, height = 860, scheme = "light", language = "en-GB" } = {}) {
  const context = await browser.newContext({
    viewport: { width, height },
    colorScheme: scheme,
    locale: language,
    // Nothing is waited for that only moves: the tests go by states.
    reducedMotion: "reduce",
  });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const faults = [];
  const home = new URL(url).origin;
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") faults.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => faults.push(`error: ${error.stack ?? error}`));
  page.on("request", (request) => {
    const asked = new URL(request.url());
    if (asked.origin !== home && !["data:", "blob:"].includes(asked.protocol)) faults.push(`request: ${asked.href}`);
  });
  await page.goto(url);
  return { page, faults, close: () => context.close() };
}

/** Leaves a picture of the page, if somebody wants to look. */
export async function picture(page, name) {
  const folder = process.env.LAB_SCREENSHOTS;
  if (!folder) return;
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`) });
}
