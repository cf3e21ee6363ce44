// Every tour in the page: it runs to its end by its own buttons, its claims hold, and nothing is complained of.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { doStep } from "../../../crates/floe-lab/web/tour/run.js";
import { TOURS } from "../../../crates/floe-lab/web/tours/index.js";
import { endOfStep, launch, openPage, picture, settled, stateOf } from "../browser.mjs";
import { newEngine } from "../engine.mjs";
import { serve } from "../server.mjs";

let server;
let browser;
/** One page for each language; tours take turns on them. */
let pages;
before(async () => {
  [server, browser] = await Promise.all([serve(), launch()]);
  pages = await Promise.all(["en-GB", "zh-CN"].map((language) => openPage(browser, server.url, { language })));
});
after(async () => {
  await browser?.close();
  await server?.close();
});

/** Waits until the card shows this step, at its end, and says that its claims hold. */
async function finished(page, step) {
  const card = page.locator(`#tour[data-step="${step}"]`);
  await card.waitFor();
  await endOfStep(page);
  assert.equal(await card.getAttribute("data-status"), "done", await card.innerText());
  assert.equal(await card.locator("[data-claims=hold]").count(), 1, await card.innerText());
}

for (const [place, { id, load }] of TOURS.entries()) {
  test(`tour ${id} runs to its end`, async () => {
    const { page, quiet } = pages[place % pages.length];
    await page.locator("#open-tours").click();
    await page.locator(`[data-tour="${id}"]`).click();
    const tour = (await load()).default;
    const engine = await newEngine();
    for (const number of tour.steps.keys()) {
      const step = number + 1;
      await finished(page, step);
      const { state } = await doStep(engine, tour, number);
      assert.deepEqual(await stateOf(page), state, `${tour.steps[number].text}: the page shows another world`);
      if (id === "story" && [8, 12, 23, 36].includes(step)) await picture(page, `story-${step}`);
      if (step === tour.steps.length) await picture(page, `end-${id}`);
      else await page.locator("#tour-next").click();
    }
    quiet();
  });
}

test("the viewer takes over, and comes back to the tour", async () => {
  const { page, quiet, close } = await openPage(browser, `${server.url}#tour=story&step=12`);
  await finished(page, 12);
  const before = await stateOf(page);
  await page.locator("#tab-act").click();
  await page.locator("#panel-act select[name=node]").selectOption("2");
  await page.locator('#panel-act [data-act="crash"]').click();
  await page.waitForFunction(() => document.getElementById("tour").dataset.status === "left");
  assert.equal((await stateOf(page)).nodes[1].status, "down");
  await page.locator("#tour-next").click();
  await finished(page, 12);
  await settled(page);
  assert.deepEqual(await stateOf(page), before);
  quiet();
  await close();
});
