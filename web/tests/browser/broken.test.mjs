// What is wrong is said on the page: a broken rule at the step where it breaks, and input that makes no sense.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import en from "../../../crates/floe-lab/web/strings/en.js";
import { fragment, launch, openPage, picture, settled, stateOf } from "../browser.mjs";
import { newEngine } from "../engine.mjs";
import { serve } from "../server.mjs";

let server;
let browser;
before(async () => {
  [server, browser] = await Promise.all([serve(), launch()]);
});
after(async () => {
  await browser?.close();
  await server?.close();
});

/** The first seed in which a bug of the ledger shows, and by which rule. */
async function broken(mutant) {
  for (let seed = 1; seed <= 300; seed += 1) {
    const engine = await newEngine();
    const settings = { version: 1, world: { seed, seconds: 20, mutant } };
    await engine.call({ call: "open", settings });
    const { verdict } = await engine.call({ call: "seek", at: 20e9 });
    if (!verdict.holds) return { settings, verdict };
  }
  throw new Error(`${mutant} shows in none of 300 seeds`);
}

test("the link of a failing seed shows the rule, at the step where it breaks", async () => {
  const { settings, verdict } = await broken("vote-before-disk");
  const { page, quiet, close } = await openPage(browser, `${server.url}${fragment(settings)}`);
  await page.locator("#jump-violation").click();
  await page.waitForFunction(() => floeLab.lab.state.verdict.holds === false);
  await settled(page);
  const state = await stateOf(page);
  assert.deepEqual(state.verdict, verdict);
  assert.equal(state.at, verdict.at);
  assert.equal(await page.locator("#alarm .alarm-rule").innerText(), verdict.rule);
  assert.ok((await page.locator("#alarm").innerText()).includes(verdict.detail));
  await picture(page, "violated");
  await page.locator("#to-start").click();
  await page.waitForFunction(() => floeLab.lab.state.at === 0);
  await page.locator("#alarm").waitFor({ state: "hidden" });
  quiet();
  await close();
});

/** The beginning of a message of the table, up to what it quotes. */
const begins = (key) => en[key].split("{")[0].trim();

for (const [name, address, key] of [
  ["that is no base64url", "#s=%%%", "error.bad-link"],
  ["that is no JSON", `#s=${Buffer.from("{").toString("base64url")}`, "error.bad-link"],
  ["with an unknown part", "#what=1", "error.bad-link"],
  ["with a time that is none", "#t=soon", "error.bad-link"],
  ["with a setting that is mistyped", fragment({ version: 1, votters: 3 }), "error.bad-settings"],
  ["with too many voters", fragment({ version: 1, voters: 99 }), "error.too-long"],
  ["to a tour that is none", "#tour=nowhere", "error.no-such-tour"],
]) {
  test(`a link ${name} is answered by a message, and a world is there all the same`, async () => {
    const { page, faults, close } = await openPage(browser, `${server.url}${address}`);
    const notice = page.locator(".notice.bad");
    await notice.first().waitFor();
    const said = await notice.first().innerText();
    const wanted = Object.keys(en).filter((known) => known.startsWith(key)).map(begins);
    assert.ok(wanted.some((text) => text && said.includes(text)), `${key}: ${said}`);
    assert.ok((await stateOf(page)).nodes.length > 0);
    assert.deepEqual(faults, []);
    await close();
  });
}

test("a trace file that is none is refused with the line at which it goes wrong", async () => {
  const { page, faults, close } = await openPage(browser, server.url);
  for (const [text, line] of [["this is no trace", "1"], ['{"id":1,"at":0,"cause":0,"kind":"world","version":1}\n{"id":2', "2"]]) {
    await page.locator("#share").click();
    await page.locator("#trace-file").setInputFiles({ name: "broken.ndjson", mimeType: "application/x-ndjson", buffer: Buffer.from(text) });
    const notice = page.locator(".notice.bad").last();
    await notice.waitFor();
    assert.ok((await notice.innerText()).includes(line), await notice.innerText());
    await settled(page);
  }
  assert.ok((await stateOf(page)).nodes.length > 0);
  await picture(page, "broken-trace");
  assert.deepEqual(faults, []);
  await close();
});

test("a page that is attached to nothing says so", async () => {
  const { page, close } = await openPage(browser, `${server.url}?live=1`, { ready: false });
  const notice = page.locator(".notice.bad").first();
  await notice.waitFor();
  assert.notEqual((await notice.innerText()).trim(), "");
  await settled(page);
  assert.ok((await stateOf(page)).nodes.length > 0);
  await close();
});

test("an action that makes no sense now is refused with a reason", async () => {
  const { page, quiet, close } = await openPage(browser, server.url);
  await page.locator("#tab-act").click();
  await page.locator('#panel-act [data-act="transfer"]').click();
  const notice = page.locator(".notice.bad");
  await notice.waitFor();
  assert.notEqual((await notice.innerText()).trim(), "");
  quiet();
  await close();
});
