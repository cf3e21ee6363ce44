// Why something happened: the engine's explanations of the tours' events have texts on the page.
import assert from "node:assert/strict";
import { test } from "node:test";

import en from "../../../crates/floe-lab/web/strings/en.js";
import { doStep } from "../../../crates/floe-lab/web/tour/run.js";
import { newEngine } from "../engine.mjs";

/** The engine tells no more causes than this. */
const CHAIN = 24;

/** Goes through a tour, and gives the explanation of each event of its last chapter. */
async function explained(id) {
  const tour = (await import(`../../../crates/floe-lab/web/tours/${id}.js`)).default;
  const engine = await newEngine();
  for (const number of tour.steps.keys()) await doStep(engine, tour, number);
  const { event } = await engine.call({ call: "state" });
  const all = [];
  for (let id = 1; id <= event; id += 1) all.push(await engine.call({ call: "explain", event: id }));
  return all;
}

for (const [id, rules] of [
  ["log-repair", ["append", "append-rejected", "truncate", "higher-term", "commit-quorum"]],
  ["prevote-on", ["pre-vote", "vote-refused-leader", "election-timeout", "elected"]],
  ["newer-log", ["vote-refused-log", "crash", "durable-first"]],
  ["read-index", ["read-index", "heartbeat", "commit-told", "applied"]],
  ["snapshot", ["snapshot", "compact", "restart"]],
  ["joint", ["membership", "joint"]],
  ["break-vote", ["violated", "vote-granted"]],
]) {
  test(`the events of tour ${id} are explained by ${rules.join(", ")}`, async () => {
    const all = await explained(id);
    const seen = new Set(all.map(({ rule }) => rule));
    for (const rule of seen) assert.ok(`rule.${rule}` in en, `rule.${rule} has no text`);
    assert.deepEqual(rules.filter((rule) => !seen.has(rule)), [], `seen: ${[...seen].join(", ")}`);
    for (const { event, causes } of all) {
      let next = event;
      for (const cause of causes) {
        assert.equal(cause.id, next.cause, `the chain of ${event.id}`);
        next = cause;
      }
      if (causes.length < CHAIN) assert.equal(next.cause, 0, `the chain of ${event.id} ends early`);
    }
  });
}
