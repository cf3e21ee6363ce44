// Every tour, run on the engine that the page loads: each step comes to its end, and each claim holds.
import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { test } from "node:test";

import { chapterOf, checkClaims, doStep, goTo } from "../../../crates/floe-lab/web/tour/run.js";
import { TOURS } from "../../../crates/floe-lab/web/tours/index.js";
import { newEngine } from "../engine.mjs";

const FOLDER = new URL("../../../crates/floe-lab/web/tours/", import.meta.url);
const GROUPS = ["start", "election", "log", "safety", "clients", "operation", "break"];
const FIELDS = ["text", "settings", "do", "at_ms", "for_ms", "until", "limit_ms", "speed", "focus", "claims"];
const FOCUS =
  /^(nodes|log|client|feed|verdict|timers|timeline|node:\d+|link:\d+:\d+|packet:[a-z-]+|log:\d+(:\d+)?|index:\d+)$/;

/** Asserts that all claims of a step hold, with the state in the message if one does not. */
async function hold(engine, tour, number, done) {
  for (const { claim, holds } of await checkClaims(engine, tour, number, done)) {
    const where = `${tour.steps[number].text} at ${done.end / 1e6} ms`;
    assert.ok(holds, `${where}: ${JSON.stringify(claim)} is not so: ${JSON.stringify(done.state.nodes)}`);
  }
}

test("the menu names every tour of the folder, once, in the order of its groups", async () => {
  const files = (await readdir(FOLDER)).filter((name) => name.endsWith(".js") && name !== "index.js");
  assert.deepEqual(TOURS.map(({ id }) => `${id}.js`).sort(), files.sort());
  const places = TOURS.map(({ group }) => GROUPS.indexOf(group));
  assert.ok(!places.includes(-1), "a group is not known");
  assert.deepEqual(places, places.toSorted((a, b) => a - b));
  assert.ok(TOURS.length >= 20, `there are ${TOURS.length} tours`);
});

for (const { id, load } of TOURS) {
  test(`tour ${id}`, async () => {
    const tour = (await load()).default;
    assert.equal(tour.id, id);
    assert.ok(tour.steps.length > 1);
    const engine = await newEngine();
    const ends = [];
    let claims = 0;
    for (const [number, step] of tour.steps.entries()) {
      for (const field of Object.keys(step)) assert.ok(FIELDS.includes(field), `${step.text}: field ${field}`);
      for (const focus of step.focus ?? []) assert.match(focus, FOCUS, step.text);
      assert.ok(step.claims?.length > 0, `${step.text} claims nothing`);
      claims += step.claims.length;
      const done = await doStep(engine, tour, number);
      await hold(engine, tour, number, done);
      ends.push(done.state);
    }
    assert.ok(claims >= tour.steps.length);
    // A viewer who jumps to the last step of a chapter sees what one who went there step by step has seen.
    const last = tour.steps.map((_, number) => number).filter((number) => {
      return number + 1 === tour.steps.length || chapterOf(tour, number + 1) === number + 1;
    });
    for (const number of last) {
      const again = await goTo(await newEngine(), tour, number);
      assert.deepEqual(again.state, ends[number], `${tour.steps[number].text}, reached by a jump`);
    }
  });
}
