// axe-core on every main state of the page, in dark and light and on a phone: no serious violation.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";

import { endOfStep, fragment, launch, openPage, picture, settled } from "../browser.mjs";
import { serve } from "../server.mjs";

const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let server;
let browser;
before(async () => {
  [server, browser] = await Promise.all([serve(), launch()]);
});
after(async () => {
  await browser?.close();
  await server?.close();
});

/** Asserts that axe finds nothing serious. It is run past the page's own policy, which allows no such script. */
async function accessible(page, name) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  const said = serious.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.slice(0, 4).map((node) => node.html.slice(0, 160)).join(" | ")}`);
  assert.deepEqual(said, [], name);
}

const PLACES = [
  ["light", { scheme: "light" }],
  ["dark", { scheme: "dark" }],
  ["phone", { scheme: "light", width: 360, height: 740, language: "zh-CN" }],
];

for (const [name, options] of PLACES) {
  test(`the page is accessible: ${name}`, async () => {
    const settings = { version: 1, seed: 7, voters: 5, clients: 1 };
    const { page, quiet, close } = await openPage(browser, `${server.url}${fragment(settings)}&t=600000000`, options);
    await accessible(page, "bench");
    await picture(page, `bench-${name}`);
    for (const tab of ["events", "inspect", "act", "table"]) {
      await page.locator(`#tab-${tab}`).click();
      if (tab === "inspect") await page.evaluate(() => floeLab.lab.select({ kind: "node", id: 1 }));
      await settled(page);
      await accessible(page, tab);
      await picture(page, `tab-${tab}-${name}`);
    }
    for (const button of ["open-tours", "open-world", "share", "help"]) {
      await page.locator(`#${button}`).click();
      await page.locator("dialog[open]").waitFor();
      await accessible(page, button);
      await picture(page, `${button}-${name}`);
      await page.keyboard.press("Escape");
      await page.locator("dialog[open]").waitFor({ state: "detached" });
    }
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.equal(wide, 0, "the page scrolls sideways");
    quiet();
    await close();
  });

  test(`a tour and a broken rule are accessible: ${name}`, async () => {
    const { page, quiet, close } = await openPage(browser, `${server.url}#tour=break-vote&step=4`, options);
    await endOfStep(page);
    await accessible(page, "tour");
    await picture(page, `broken-${name}`);
    quiet();
    await close();
  });
}

for (const [width, height, voters] of [[1280, 860, 5], [1280, 860, 3], [1440, 900, 5], [1024, 768, 5], [360, 740, 5]]) {
  test(`the words of ${voters} nodes hide no other node at ${width} x ${height}`, async () => {
    const settings = { version: 1, seed: 7, voters };
    const address = `${server.url}${fragment({ ...settings, actions: [{ at: 4e8, do: "set", key: "x", value: 5 }] })}&t=600000000`;
    const { page, quiet, close } = await openPage(browser, address, { width, height });
    const hidden = await page.evaluate(() => {
      const box = (element) => element.getBoundingClientRect();
      const meet = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4;
      const nodes = [...document.querySelectorAll("#cluster .node")].map((node) => ({
        shape: box(node.querySelector(".node-shape")),
        words: [...node.querySelectorAll(".node-role, .node-value, .node-figures")].filter((word) => word.textContent.trim() !== ""),
      }));
      const found = [];
      for (const [one, { words }] of nodes.entries()) {
        for (const [other, { shape, words: others }] of nodes.entries()) {
          if (one === other) continue;
          for (const word of words) {
            if (meet(box(word), shape)) found.push(`"${word.textContent}" of ${one + 1} lies on node ${other + 1}`);
            for (const their of others) {
              if (one < other && meet(box(word), box(their))) found.push(`"${word.textContent}" of ${one + 1} lies on "${their.textContent}" of ${other + 1}`);
            }
          }
        }
      }
      return found;
    });
    await picture(page, `words-${width}-${voters}`);
    assert.deepEqual(hidden, []);
    quiet();
    await close();
  });
}
