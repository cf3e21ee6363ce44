// A running cluster, looked at: polls what `floe lab --attach` knows. Read-only, and only ever "now".

import { explainFrom } from "./causes.js";
import { EngineError, refusal } from "./client.js";

export class LiveEngine {
  kind = "live";
  readOnly = true;
  #events = [];
  /** The page's numbers by the server's: the page may have come late, and counts from 1. */
  #numbers = new Map();
  /** The server's number of the last event taken over. */
  #last = 0;

  async #json(path) {
    let response;
    try {
      response = await fetch(new URL(path, document.baseURI), { headers: { accept: "application/json" } });
    } catch (error) {
      throw new EngineError("unreachable", String(error.message));
    }
    if (response.status === 404) throw new EngineError("not-attached", "");
    const text = await response.text();
    if (!response.ok) throw refusal(response, text);
    try {
      return JSON.parse(text);
    } catch {
      throw new EngineError("bad-answer", text.slice(0, 200));
    }
  }

  async call(request) {
    switch (request.call) {
      case "open":
      case "state":
      case "seek":
      case "step":
        return this.#state();
      case "events":
        return {
          events: this.#events.slice(request.after, request.after + (request.limit ?? 5000)),
          last: this.#events.length,
        };
      case "settings":
        return { version: 1, actions: [] };
      case "explain":
        return explainFrom(this.#events, request.event, this.#events.length);
      case "mutants":
        return [];
      default:
        throw new EngineError("read-only", "");
    }
  }

  async #state() {
    const [state, trace] = await Promise.all([
      this.#json("live"),
      this.#json(`live/events?after=${this.#last}`).catch(() => null),
    ]);
    const body = state.ok ?? state;
    if (state.error) throw new EngineError(String(state.error.what), String(state.error.detail ?? ""));
    const fresh = trace ? (trace.ok ?? trace) : { events: [] };
    for (const event of fresh.events ?? []) {
      const id = this.#events.length + 1;
      this.#numbers.set(event.id, id);
      this.#events.push({ ...event, source_id: event.id, id, cause: this.#numbers.get(event.cause) ?? 0 });
    }
    if (Number.isFinite(fresh.last)) this.#last = fresh.last;
    return {
      packets: [],
      links: [],
      clients: [],
      actions: 0,
      end: null,
      verdict: null,
      members: null,
      ...body,
      event: this.#events.length,
      at: Math.max(0, body.at ?? 0),
      nodes: body.nodes ?? [],
      live: true,
    };
  }
}
