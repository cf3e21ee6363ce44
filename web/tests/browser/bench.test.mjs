// The bench: buttons do what they say, time goes both ways, and a link opens the same world.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { fragment, launch, openPage, picture, seek, settled, stateOf } from "../browser.mjs";
import { serve } from "../server.mjs";

const WORLD = { version: 1, seed: 7, voters: 3, joiners: 1, timeouts_ms: { 1: [150], 2: [200], 3: [290] } };

let server;
let browser;
before(async () => {
  [server, browser] = await Promise.all([serve(), launch()]);
});
after(async () => {
  await browser?.close();
  await server?.close();
});

/** A page on the world above, at a time at which node 1 leads. */
async function openWorld(at = 400) {
  const opened = await openPage(browser, `${server.url}${fragment(WORLD)}&t=${at * 1e6}`);
  await opened.page.locator("#tab-act").click();
  return { ...opened, act: acting(opened.page) };
}

/** Fills in fields of the panel of actions, and presses a button of it. */
function acting(page) {
  return async (name, fields = {}) => {
    for (const [field, value] of Object.entries(fields)) {
      const input = page.locator(`#panel-act [name="${field}"]`);
      if ((await input.evaluate((element) => element.tagName)) === "SELECT") await input.selectOption(String(value));
      else await input.fill(String(value));
    }
    await page.locator(`#panel-act [data-act="${name}"]`).click();
    await settled(page);
    return stateOf(page);
  };
}

test("a node crashes, restarts, pauses, resumes, campaigns and loses its disk by its buttons", async () => {
  const { page, act, quiet, close } = await openWorld();
  const status = (state, id) => state.nodes[id - 1].status;
  assert.equal(status(await act("crash", { node: 2 }), 2), "down");
  assert.equal(status(await act("restart"), 2), "up");
  assert.equal(status(await act("pause"), 2), "paused");
  assert.equal(status(await act("resume"), 2), "up");
  await seek(page, 600);
  await act("campaign", { node: 3 });
  assert.ok((await page.evaluate(() => floeLab.lab.events)).some((event) => event.message === "pre-vote" && event.from === 3));
  await seek(page, 900);
  assert.equal(status(await act("wipe", { node: 3 }), 3), "wiped");
  await picture(page, "bench-wiped");
  quiet();
  await close();
});

test("links are cut one way, both ways and by sides, and heal", async () => {
  const { act, quiet, close } = await openWorld();
  const cuts = (state) => state.links.filter((link) => link.cut).map((link) => `${link.from}>${link.to}`).sort();
  assert.deepEqual(cuts(await act("cut-way", { link_from: 1, link_to: 2 })), ["1>2"]);
  assert.deepEqual(cuts(await act("heal")), []);
  assert.deepEqual(cuts(await act("cut", { link_from: 1, link_to: 3 })), ["1>3", "3>1"]);
  await act("heal");
  const parted = cuts(await act("partition", { side_a: "1", side_b: "2 3" }));
  assert.ok(parted.includes("1>2") && parted.includes("3>1") && !parted.includes("2>3"), parted.join());
  assert.deepEqual(cuts(await act("heal")), []);
  const slow = await act("link", { link_from: 2, link_to: 1, link_ms: 70 });
  assert.ok(slow.links.some((link) => link.from === 2 && link.to === 1 && link.delay_ms === 70));
  quiet();
  await close();
});

test("a client writes, adds and reads; a disk hangs; a clock runs fast; leadership is handed over; a learner joins", async () => {
  const { page, act, quiet, close } = await openWorld();
  await act("set", { key: "x", value: 5 });
  await seek(page, 600);
  await act("add", { value: 2 });
  await seek(page, 800);
  await act("get");
  await seek(page, 1000);
  let state = await stateOf(page);
  assert.deepEqual(state.clients.map((op) => [op.text, op.state, op.answer]),
    [["set x 5", "answered", "ok"], ["add x 2", "answered", "7"], ["get x", "answered", "7"]]);
  assert.equal((await act("disk", { node: 3, disk: "stall" })).nodes[2].disk, "stall");
  assert.equal((await act("disk", { disk: "ok" })).nodes[2].disk, "ok");
  assert.equal((await act("clock-rate", { rate: 150 })).nodes[2].clock.rate_percent, 150);
  await act("transfer", { node: 2 });
  await seek(page, 1400);
  assert.equal((await stateOf(page)).nodes[1].role, "leader");
  await act("member", { change: "add-learner", member: 4 });
  await seek(page, 2500);
  state = await stateOf(page);
  assert.equal(state.nodes[3].member, "learner");
  assert.equal(state.nodes[3].values.x, 7);
  assert.equal(state.verdict.holds, true);
  quiet();
  await close();
});

test("a disk fails, a clock jumps, a node snapshots, all packets are lost, and two members change at once", async () => {
  const { page, act, quiet, close } = await openWorld();
  const clock = (state) => state.nodes[2].clock.local - state.at;
  const before = clock(await stateOf(page));
  assert.equal(clock(await act("clock-ahead", { node: 3, ahead: 1000 })) - before, 1e9);
  await act("set", { value: 5 });
  await seek(page, 600);
  await act("snapshot", { node: 1 });
  await seek(page, 800);
  assert.deepEqual((await stateOf(page)).nodes[0].base, [2, 1]);
  await act("disk", { node: 3, disk: "fail" });
  await act("set", { value: 6 });
  await seek(page, 1000);
  assert.equal((await stateOf(page)).nodes[2].status, "down");
  await act("restart");
  await seek(page, 1600);
  await page.locator('#panel-act [name="change"]').selectOption("add-learner");
  await page.locator('#panel-act [name="member"]').selectOption("4");
  await page.locator('#panel-act [data-act="members"]').click();
  await settled(page);
  await seek(page, 2400);
  assert.deepEqual((await stateOf(page)).members.learners, [4]);
  await act("network", { loss: 100 });
  const { event } = await stateOf(page);
  await seek(page, 2800);
  const kinds = (await page.evaluate(() => floeLab.lab.events)).slice(event).map((line) => line.kind);
  assert.ok(kinds.includes("lost"));
  assert.equal((await stateOf(page)).packets.length, 0);
  quiet();
  await close();
});

test("a message under way is lost by its button", async () => {
  const { page, quiet, close } = await openWorld(0);
  await page.evaluate(() => floeLab.lab.goToNext((event) => event.kind === "sent"));
  await settled(page);
  await page.locator("#tab-table").click();
  const [packet] = (await stateOf(page)).packets;
  await page.locator(`[data-key="lose-${packet.id}"]`).click();
  await settled(page);
  assert.ok(!(await stateOf(page)).packets.some((other) => other.id === packet.id));
  quiet();
  await close();
});

test("scrubbing back and forth, and stepping, gives the identical state", async () => {
  const { page, act, quiet, close } = await openWorld();
  await act("set", { key: "x", value: 5 });
  await seek(page, 450);
  await act("crash", { node: 1 });
  await seek(page, 1500);
  const seen = new Map();
  for (const ms of [1500, 300, 900, 0, 450]) {
    await seek(page, ms);
    seen.set(ms, await stateOf(page));
  }
  for (const ms of [0, 450, 1500, 900, 300]) {
    await seek(page, ms);
    assert.deepEqual(await stateOf(page), seen.get(ms), `at ${ms} ms`);
  }
  // The slider itself, to both ends and by a key.
  const scrub = page.locator("#scrub");
  await scrub.focus();
  await page.keyboard.press("Home");
  await page.waitForFunction(() => floeLab.lab.state.at === 0);
  assert.deepEqual(await stateOf(page), seen.get(0));
  await page.locator("#to-edge").click();
  await page.waitForFunction(() => floeLab.lab.state.at === 1500e6);
  assert.deepEqual(await stateOf(page), seen.get(1500));
  await seek(page, 900);
  // Back to the event before now, and to the one before that; then forth again.
  const stepped = [];
  for (const button of ["step-back", "step-back", "step"]) {
    const { at } = await stateOf(page);
    await page.locator(`#${button}`).click();
    await page.waitForFunction((before) => floeLab.lab.state.at !== before, at);
    await settled(page);
    stepped.push(await stateOf(page));
  }
  assert.ok(stepped[0].at < 900e6 && stepped[1].event < stepped[0].event);
  assert.deepEqual(stepped[2], stepped[0]);
  quiet();
  await close();
});

test("an act in the past drops the future, and undo brings it back", async () => {
  const { page, act, quiet, close } = await openWorld();
  await act("set", { key: "x", value: 5 });
  await seek(page, 800);
  await act("crash", { node: 2 });
  await seek(page, 1000);
  const future = await stateOf(page);
  await seek(page, 500);
  await act("set", { value: 9 });
  assert.equal((await stateOf(page)).actions, 2);
  await page.locator("#undo").click();
  await settled(page);
  await seek(page, 1000);
  assert.deepEqual(await stateOf(page), future);
  quiet();
  await close();
});

test("a shared address reproduces the world and the moment", async () => {
  const { page, act, quiet, close } = await openWorld();
  await act("set", { key: "x", value: 5 });
  await seek(page, 500);
  await act("partition", { side_a: "1", side_b: "2 3" });
  await seek(page, 1200);
  const state = await stateOf(page);
  await page.locator("#share").click();
  const link = await page.locator("#share-link").inputValue();
  await page.locator("#share-test").click();
  await page.locator(".share-test:not([hidden])").waitFor();
  assert.match(await page.locator(".share-test").innerText(), /#\[test\]/);
  await picture(page, "share");
  await page.keyboard.press("Escape");
  const other = await openPage(browser, link);
  assert.deepEqual(await stateOf(other.page), state);
  other.quiet();
  await other.close();
  quiet();
  await close();
});

test("a trace that was saved opens again", async () => {
  const { page, act, quiet, close } = await openWorld();
  await act("crash", { node: 1 });
  await seek(page, 1000);
  await page.locator("#share").click();
  const [download] = await Promise.all([page.waitForEvent("download"), page.locator("#share-trace").click()]);
  const path = await download.path();
  await page.locator("#trace-file").setInputFiles(path);
  await page.waitForFunction(() => document.body.dataset.engine === "trace");
  await settled(page);
  await page.evaluate(() => floeLab.lab.seek(floeLab.lab.engine.end));
  await settled(page);
  assert.equal((await stateOf(page)).nodes.find((node) => node.id === 1).status, "down");
  quiet();
  await close();
});

test("machines of many groups show how many they lead, now and later", async () => {
  const { page, quiet, close } = await openPage(browser, `${server.url}${fragment({ version: 1, seed: 45, voters: 3, groups: 6 })}`);
  const shown = () => page.locator("#cluster .node .node-figures").allTextContents();
  const led = async () => (await stateOf(page)).nodes.map(({ groups }) => groups.filter(({ role }) => role === "leader").length);
  for (const ms of [0, 800, 2000]) {
    await seek(page, ms);
    const counts = await led();
    assert.equal(counts.reduce((sum, count) => sum + count, 0), ms === 0 ? 0 : 6);
    await page.waitForFunction((wanted) => {
      const texts = [...document.querySelectorAll("#cluster .node .node-figures")].map((text) => text.textContent);
      return texts.every((text, at) => text.includes(`leads ${wanted[at]} of 6`));
    }, counts);
  }
  assert.ok((await shown()).every((text) => text.includes("6 asleep")), (await shown()).join());
  quiet();
  await close();
});

test("everything is reached by the keyboard", async () => {
  const { page, quiet, close } = await openPage(browser, `${server.url}${fragment(WORLD)}&t=400000000`);
  await page.keyboard.press("1");
  await page.keyboard.press("x");
  await page.waitForFunction(() => floeLab.lab.state.nodes[0].status === "down");
  await page.keyboard.press("x");
  await page.waitForFunction(() => floeLab.lab.state.nodes[0].status === "up");
  await page.keyboard.press("s");
  await page.waitForFunction(() => floeLab.lab.state.clients.length === 1);
  const { event } = await stateOf(page);
  await page.keyboard.press("ArrowRight");
  await page.waitForFunction((before) => floeLab.lab.state.event > before, event);
  await page.keyboard.press("ArrowLeft");
  await page.waitForFunction((before) => floeLab.lab.state.event <= before, event);
  await page.keyboard.press("?");
  await page.locator("dialog[open]").waitFor();
  await page.keyboard.press("Escape");
  await page.locator("dialog[open]").waitFor({ state: "detached" });
  await page.keyboard.press("l");
  await page.waitForFunction(() => document.documentElement.lang === "zh-Hans");
  quiet();
  await close();
});

test("the engine behind the program shows the same world", { skip: !process.env.FLOE && "there is no floe" }, async () => {
  const [here, there] = await Promise.all(["", "?engine=native"].map((query) =>
    openPage(browser, `${server.url.replace(/\/?$/, "/")}${query}${fragment(WORLD)}&t=1500000000`)));
  assert.deepEqual(await stateOf(there.page), await stateOf(here.page));
  assert.equal(await there.page.evaluate(() => document.body.dataset.engine), "native");
  for (const { quiet, close } of [here, there]) {
    quiet();
    await close();
  }
});
