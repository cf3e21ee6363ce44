// Headless Chromium for the tests: a page that notes every error and every request that leaves its origin.
import assert from "node:assert/strict";
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

/** A page of its own, opened at `url`. What it did wrong is in `faults`; `quiet()` asserts that it is nothing. */
export async function openPage(browser, url, options = {}) {
  const { width = 1280, height = 860, scheme = "light", language = "en-GB", ready = true } = options;
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
  if (ready) await settled(page);
  const quiet = () => assert.deepEqual(faults, []);
  return { page, faults, quiet, close: () => context.close() };
}

/** Waits until a world is open and its engine has answered everything. */
export async function settled(page) {
  await page.waitForFunction(() => globalThis.floeLab?.lab.state && !floeLab.lab.busy && !floeLab.player.playing);
}

/** Has the tour's card go to the end of the step that it shows, and waits for it. */
export async function endOfStep(page) {
  await page.waitForFunction(() => {
    const { status } = document.getElementById("tour").dataset;
    // Looked at and pressed in one turn: a step that ends in between would leave "next" under the finger.
    if (status === "playing") document.getElementById("tour-next").click();
    return status === "done" || status === "failed";
  });
}

/** The state that the page shows. */
export const stateOf = (page) => page.evaluate(() => floeLab.lab.state);

/** Goes to a time of the world, in milliseconds. */
export async function seek(page, ms) {
  await page.evaluate((at) => floeLab.lab.seek(at), ms * 1e6);
  await settled(page);
}

/** The fragment that opens a world, as the program prints it. */
export const fragment = (settings) => `#s=${Buffer.from(JSON.stringify(settings)).toString("base64url")}`;

/** Leaves a picture of the page, if somebody wants to look. */
export async function picture(page, name) {
  const folder = process.env.LAB_SCREENSHOTS;
  if (!folder) return;
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`) });
}
