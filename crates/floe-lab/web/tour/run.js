// Goes through the steps of a tour on an engine (web/tours/README.md). No DOM: the page and the tests share it.

import { allHold, holds } from "./claims.js";

const MS = 1e6;
const DEFAULT_LIMIT_MS = 2000;

/** Why a step of a tour did not come to its end. */
export class TourError extends Error {
  constructor(step, message) {
    super(`step ${step + 1}: ${message}`);
    this.name = "TourError";
    this.step = step;
  }
}

/**
 * Does a step on `engine`, whose world stands where the step before ended (or is none, for a first step).
 * Gives where the step begins and ends, and the state at its end. The engine is left at the end of the step.
 */
export async function doStep(engine, tour, number) {
  const step = tour.steps[number];
  const settings = step.settings ?? (number === 0 ? tour.settings : null);
  let state = settings ? await engine.call({ call: "open", settings }) : await engine.call({ call: "state" });
  const begin = { at: state.at, event: settings ? 0 : state.event };
  for (const action of step.do ?? []) {
    state = await engine.call({ call: "act", action });
  }
  if (step.at_ms !== undefined || step.for_ms !== undefined) {
    const at = step.at_ms !== undefined ? step.at_ms * MS : begin.at + step.for_ms * MS;
    if (at < state.at) throw new TourError(number, `it ends at ${at / MS} ms, before it begins at ${state.at / MS} ms`);
    state = await engine.call({ call: "seek", at });
  } else if (step.until) {
    state = await runUntil(engine, number, step, begin, state);
  }
  return { begin, end: state.at, state };
}

/** Steps event by event until the claim holds, then to the end of that very moment. */
async function runUntil(engine, number, step, begin, start) {
  const limit = begin.at + (step.limit_ms ?? DEFAULT_LIMIT_MS) * MS;
  let state = start;
  let happened = [];
  for (;;) {
    happened = await eventsAfter(engine, begin.event, happened);
    if (allHold(step.until, state, happened)) return engine.call({ call: "seek", at: state.at });
    const before = state;
    state = await engine.call({ call: "step" });
    if (state.at > limit) {
      throw new TourError(number, `${JSON.stringify(step.until)} does not come true until ${limit / MS} ms`);
    }
    if (state.event === before.event && state.at === before.at) {
      throw new TourError(number, `the world ends before ${JSON.stringify(step.until)} comes true`);
    }
  }
}

/** The events after `first`, of which `known` are known already. */
async function eventsAfter(engine, first, known) {
  for (;;) {
    const answer = await engine.call({ call: "events", after: first + known.length, limit: 5000 });
    if (answer.events.length === 0) return known;
    known.push(...answer.events);
  }
}

/** Holds the claims of a step against the state at its end: each claim, and whether it holds. */
export async function checkClaims(engine, tour, number, done) {
  const claims = tour.steps[number].claims ?? [];
  if (claims.length === 0) return [];
  const happened = await eventsAfter(engine, done.begin.event, []);
  return claims.map((claim) => ({ claim, holds: holds(claim, done.state, happened) }));
}

/** The step at which the world of a step was opened: itself, or the last one before it that has settings. */
export function chapterOf(tour, number) {
  for (let at = number; at > 0; at -= 1) {
    if (tour.steps[at].settings) return at;
  }
  return 0;
}

/** Goes to the end of a step from nothing: opens its world and does all steps up to it. */
export async function goTo(engine, tour, number) {
  let done = null;
  for (let at = chapterOf(tour, number); at <= number; at += 1) {
    done = await doStep(engine, tour, at);
  }
  return done;
}
