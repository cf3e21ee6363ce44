// The world on the bench: its state, its events, and what may be done with it. Every view reads from here, and asks here.

import { EngineError, linesOfEvents } from "../engine/client.js";

const EVENTS_A_CALL = 5000;

/**
 * Tells its listeners by topic: `world` (another world was opened), `state` (another moment), `events` (more, or fewer,
 * events are known), `selection`, `actions` (the list of actions changed), `error` (an engine refused something).
 */
export class Lab {
  engine = null;
  /** The state of lab.md at the present moment, or null before a world is open. */
  state = null;
  /** All events that are known of this world, the future of the present moment included; `events[i].id` is `i + 1`. */
  events = [];
  /** The settings that would repeat this world, with all of its actions, those after now included. */
  settings = null;
  /** The latest time of this world that was seen. */
  reached = 0;
  /** What is selected: `{kind: "node"|"packet"|"entry"|"event"|"link"|"client", …}` or null. */
  selection = null;
  bookmarks = [];
  /** Times at which the viewer acted in the past, so that a future was dropped. */
  forks = [];
  #listeners = new Map();
  #queue = Promise.resolve();
  #undo = [];
  #redo = [];
  #pending = 0;

  on(topic, listener) {
    if (!this.#listeners.has(topic)) this.#listeners.set(topic, new Set());
    this.#listeners.get(topic).add(listener);
  }

  #tell(topic, detail) {
    for (const listener of this.#listeners.get(topic) ?? []) listener(detail);
  }

  /** Whether an engine is at work: the player does not ask again meanwhile. */
  get busy() {
    return this.#pending > 0;
  }

  get readOnly() {
    return this.engine?.readOnly === true;
  }

  /** One thing at a time: an engine has one world, and calls that overlap would mix two moments. */
  enqueue(work) {
    this.#pending += 1;
    const done = this.#queue.then(work).finally(() => {
      this.#pending -= 1;
    });
    this.#queue = done.catch(() => {});
    return done;
  }

  /** As `enqueue`, and an error is shown instead of thrown; gives whether it went well. */
  async attempt(work) {
    try {
      await this.enqueue(work);
      return true;
    } catch (error) {
      this.report(error);
      return false;
    }
  }

  report(error) {
    this.#tell("error", error);
  }

  use(engine) {
    this.engine = engine;
  }

  /** Opens a world, at a time of it. */
  open(settings, at = 0) {
    return this.enqueue(async () => {
      await this.#openNow(settings, at);
      this.#undo = [];
      this.#redo = [];
      this.forks = [];
      this.bookmarks = [];
      this.selection = null;
      this.#tell("world");
      this.#tell("selection");
      this.#tell("actions");
      this.#tell("state");
    });
  }

  async #openNow(settings, at) {
    let state = await this.engine.call({ call: "open", settings });
    if (at > 0) state = await this.engine.call({ call: "seek", at });
    this.events = [];
    this.reached = 0;
    await this.#take(state);
    // The engine tells only the actions up to now; those after now are the caller's.
    const told = await this.engine.call({ call: "settings" });
    this.settings = { ...told, actions: settings.actions ?? told.actions ?? [] };
  }

  async #take(state) {
    this.state = state;
    this.reached = Math.max(this.reached, state.at);
    if (state.event > this.events.length) {
      while (this.events.length < state.event) {
        const answer = await this.engine.call({ call: "events", after: this.events.length, limit: EVENTS_A_CALL });
        if (answer.events.length === 0) break;
        this.events.push(...answer.events);
      }
      this.#tell("events");
    }
  }

  #seekNow = async (at) => {
    await this.#take(await this.engine.call({ call: "seek", at: Math.max(0, Math.round(at)) }));
    this.#tell("state");
  };

  /** Goes to a time of the world. */
  seek(at) {
    if (this.engine.kind === "live") return Promise.resolve(true);
    return this.attempt(() => this.#seekNow(at));
  }

  /** Goes to the next event, or the one before. */
  step(back = false, count = 1) {
    if (this.engine.kind === "live") return Promise.resolve(true);
    return this.attempt(async () => {
      await this.#take(await this.engine.call({ call: "step", count, back }));
      this.#tell("state");
      this.#tell("stepped");
    });
  }

  /** Does an action now. What was to come after now is forgotten: `fork` tells how many actions that were. */
  act(action) {
    return this.attempt(async () => {
      if (this.readOnly) throw new EngineError("read-only", "");
      const before = { settings: this.settings, at: this.state.at };
      const now = this.state;
      const dropped = (this.settings.actions ?? []).filter((known) => known.at > now.at).length;
      const past = this.reached > now.at;
      const state = await this.engine.call({ call: "act", action });
      this.events.length = Math.min(this.events.length, now.event);
      this.reached = state.at;
      await this.#take(state);
      this.settings = await this.engine.call({ call: "settings" });
      this.#undo.push(before);
      this.#redo = [];
      this.bookmarks = this.bookmarks.filter((mark) => mark.at <= now.at);
      this.forks = this.forks.filter((at) => at <= now.at);
      if (past) this.forks.push(now.at);
      this.#tell("events");
      this.#tell("actions");
      this.#tell("state");
      this.#tell("acted", { action, dropped, past });
    });
  }

  get canUndo() {
    return this.#undo.length > 0;
  }

  get canRedo() {
    return this.#redo.length > 0;
  }

  /** Takes the last action back: the world before it, as it would have gone on. */
  undo() {
    return this.#swap(
      () => this.#undo,
      () => this.#redo,
    );
  }

  redo() {
    return this.#swap(
      () => this.#redo,
      () => this.#undo,
    );
  }

  #swap(from, to) {
    return this.attempt(async () => {
      const other = from().pop();
      if (!other) return;
      to().push({ settings: this.settings, at: this.state.at });
      await this.#openNow(other.settings, other.at);
      this.forks = this.forks.filter((at) => at < other.at);
      this.#tell("events");
      this.#tell("actions");
      this.#tell("state");
    });
  }

  /** Takes over a world that somebody else has left in the engine (the tours' runner), as if it had been opened here. */
  adopt(state, note = "world") {
    return this.enqueue(() => this.adoptNow(state, note));
  }

  /** As `adopt`, for those who are already in the queue. */
  async adoptNow(state, note = "world") {
    this.events = [];
    this.reached = 0;
    await this.#take(state);
    this.settings = await this.engine.call({ call: "settings" });
    this.#undo = [];
    this.#redo = [];
    this.forks = [];
    if (note === "world") this.bookmarks = [];
    this.selection = null;
    this.#tell(note);
    this.#tell("events");
    this.#tell("selection");
    this.#tell("actions");
    this.#tell("state");
  }

  /** As `seek`, for those who are already in the queue. */
  seekNow(at) {
    return this.#seekNow(at);
  }

  select(selection) {
    this.selection = selection;
    this.#tell("selection");
  }

  node(id) {
    return this.state?.nodes.find((node) => node.id === id) ?? null;
  }

  bookmark() {
    const at = this.state.at;
    if (this.bookmarks.some((mark) => mark.at === at)) {
      this.bookmarks = this.bookmarks.filter((mark) => mark.at !== at);
    } else {
      this.bookmarks.push({ at });
      this.bookmarks.sort((a, b) => a.at - b.at);
    }
    this.#tell("events");
  }

  /**
   * Goes to the next event after now for which `wanted` holds, running the world if none is known yet; gives it, or null
   * if none comes within `horizon` of world time.
   */
  async goToNext(wanted, horizon = 10e9) {
    if (this.engine.kind === "live") return null;
    let found = null;
    await this.attempt(async () => {
      const start = this.state;
      try {
        found = await this.#search(start, wanted, horizon);
      } finally {
        // Also after the world's limit: the viewer is where the search found something, or where it began.
        await this.#seekNow(found ? found.at : start.at);
      }
    });
    if (found) this.select({ kind: "event", id: found.id });
    return found;
  }

  async #search(start, wanted, horizon) {
    const known = this.events.slice(start.event).find((event) => event.at > start.at && wanted(event));
    if (known) return known;
    let at = Math.max(start.at, this.reached);
    for (let span = 100e6; at <= start.at + horizon; span = Math.min(span * 2, 2e9)) {
      const from = this.events.length;
      at += span;
      await this.#take(await this.engine.call({ call: "seek", at }));
      const found = this.events.slice(from).find((event) => event.at > start.at && wanted(event));
      if (found) return found;
      if (this.state.end !== null) return null;
    }
    return null;
  }

  /** The trace up to now, as the engine wrote it: NDJSON. */
  traceText() {
    return this.enqueue(async () => {
      const lines = [];
      while (lines.length < this.state.event) {
        const request = { call: "events", after: lines.length, limit: EVENTS_A_CALL };
        const some = this.engine.callText
          ? linesOfEvents(await this.engine.callText(request))
          : (await this.engine.call(request)).events.map((event) => JSON.stringify(event));
        if (some.length === 0) break;
        lines.push(...some);
      }
      return `${lines.join("\n")}\n`;
    });
  }

  /** An engine's answer that changes nothing (`entry`, `explain`, `as_test`, `mutants`). */
  ask(request) {
    return this.enqueue(() => this.engine.call(request));
  }
}
