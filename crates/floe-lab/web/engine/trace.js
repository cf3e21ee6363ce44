// A trace file as an engine: read-only, with as much of the state as the events tell (docs/design/trace.md).

import { explainFrom } from "./causes.js";
import { EngineError } from "./client.js";

const VERSION = 1;
/** A state is kept every so many events, so that going back does not begin at the first line. */
const KEEP_EVERY = 512;
const MOST_BYTES = 256 * 1024 * 1024;

export class TraceEngine {
  kind = "trace";
  readOnly = true;
  #events;
  #at = 0;
  #count = 0;
  #picture;
  #kept = [];

  constructor(text) {
    this.#events = read(text);
    this.#picture = blank(this.#events[0]);
    this.#kept.push(structuredClone(this.#picture));
  }

  /** The time of the last event. */
  get end() {
    return this.#events.at(-1).at;
  }

  async call(request) {
    switch (request.call) {
      case "open":
        return this.#goTo(0, 1);
      case "state":
        return this.#state();
      case "seek": {
        const at = Math.min(request.at, this.end);
        return this.#goTo(at, countUpTo(this.#events, at));
      }
      case "step": {
        const by = (request.count ?? 1) * (request.back ? -1 : 1);
        const count = Math.min(this.#events.length, Math.max(1, this.#count + by));
        return this.#goTo(this.#events[count - 1].at, count);
      }
      case "events":
        return {
          events: this.#events.slice(request.after, Math.min(this.#count, request.after + (request.limit ?? 5000))),
          last: this.#count,
        };
      case "settings":
        return { version: 1, actions: [] };
      case "explain":
        return explainFrom(this.#events, request.event, this.#count);
      case "entry":
        return this.#entry(request.index);
      case "mutants":
        return [];
      default:
        throw new EngineError("not-in-trace", request.call);
    }
  }

  #goTo(at, count) {
    if (count < this.#count || this.#count === 0) {
      const slot = Math.floor(count / KEEP_EVERY);
      const from = Math.min(slot, this.#kept.length - 1);
      this.#picture = structuredClone(this.#kept[from]);
      this.#count = from * KEEP_EVERY;
    }
    while (this.#count < count) {
      apply(this.#picture, this.#events[this.#count], this.#events);
      this.#count += 1;
      if (this.#count % KEEP_EVERY === 0 && this.#count / KEEP_EVERY === this.#kept.length)
        this.#kept.push(structuredClone(this.#picture));
    }
    this.#at = at;
    return this.#state();
  }

  #state() {
    const { nodes, packets, clients, verdict } = this.#picture;
    return {
      at: this.#at,
      event: this.#count,
      end: this.#count === this.#events.length && this.#at >= this.end ? "trace" : null,
      verdict: structuredClone(verdict),
      nodes: structuredClone([...nodes.values()]),
      packets: this.#underWay(packets),
      links: [],
      clients: structuredClone(clients.slice(-200)),
      members: null,
      actions: 0,
    };
  }

  /** A server's trace does not tell when its messages arrive: they are drawn for a moment. */
  #underWay(packets) {
    for (const [id, packet] of packets) if (packet.guessed && packet.arrives_at < this.#at) packets.delete(id);
    return structuredClone([...packets.values()]);
  }

  #entry(index) {
    const nodes = [...this.#picture.nodes.values()].map((node) => {
      const entry = node.log.find((one) => one.index === index);
      return {
        node: node.id,
        has: entry !== undefined,
        term: entry?.term,
        durable: entry?.durable ?? false,
        committed: entry !== undefined && index <= node.commit,
        applied: entry !== undefined && index <= node.applied,
      };
    });
    return { index, nodes, text: "" };
  }
}

/** The lines of a file; throws an `EngineError` that names the line that is wrong, and how. */
function read(text) {
  if (text.length > MOST_BYTES) throw new EngineError("bad-trace", "> 256 MiB");
  const events = [];
  let number = 0;
  for (const line of text.split("\n")) {
    number += 1;
    if (line.trim() === "") continue;
    let event;
    try {
      event = JSON.parse(line);
    } catch (error) {
      throw new EngineError("bad-trace", `line ${number}: ${error.message}`);
    }
    if (event === null || typeof event !== "object" || typeof event.kind !== "string" || !Number.isFinite(event.at)) {
      throw new EngineError("bad-trace", `line ${number}: no "kind" or no "at"`);
    }
    if (events.length === 0) {
      if (event.kind !== "world") throw new EngineError("bad-trace", `line ${number}: "${event.kind}", not "world"`);
      if (event.version !== VERSION) throw new EngineError("bad-trace", `version ${event.version}, not ${VERSION}`);
    } else if (event.at < events.at(-1).at) {
      throw new EngineError("bad-trace", `line ${number}: its time is before that of the line above`);
    }
    if (event.id !== events.length + 1)
      throw new EngineError("bad-trace", `line ${number}: id ${event.id}, not ${events.length + 1}`);
    events.push(event);
  }
  if (events.length === 0) throw new EngineError("bad-trace", "0 lines");
  return events;
}

function countUpTo(events, at) {
  let low = 0;
  let high = events.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (events[middle].at <= at) low = middle + 1;
    else high = middle;
  }
  return Math.max(1, low);
}

function blank(world) {
  const nodes = new Map();
  const count = (world.voters ?? 0) + (world.learners ?? 0) + (world.joiners ?? 0);
  for (let id = 1; id <= count; id += 1) {
    const member = id <= world.voters ? "voter" : id <= world.voters + world.learners ? "learner" : "none";
    nodes.set(id, freshNode(id, member, member === "none" ? "absent" : "down"));
  }
  return { nodes, packets: new Map(), clients: [], verdict: null };
}

function freshNode(id, member, status) {
  return {
    id,
    status,
    role: null,
    term: 0,
    vote: 0,
    leader: 0,
    witness: false,
    member,
    commit: 0,
    applied: 0,
    durable: 0,
    base: [0, 0],
    last: [0, 0],
    log: [],
    values: {},
    timer: null,
    peers: [],
    disk: "ok",
    writing: 0,
  };
}

/** Carries one event out on the picture. */
function apply(picture, event, events) {
  const node = event.node ? nodeOf(picture, event.node) : null;
  if (event.kind === "member" || (node && node.status === "absent")) Object.assign(node, { status: "down" });
  switch (event.kind) {
    case "started": {
      Object.assign(node, {
        status: "up",
        role: "follower",
        term: event.term,
        vote: event.vote ?? 0,
        leader: 0,
        base: event.base,
        last: event.last,
        durable: event.last[0],
        applied: event.applied?.[0] ?? 0,
        commit: event.applied?.[0] ?? 0,
        writing: 0,
      });
      node.log = node.log.filter(
        (entry) => entry.durable && entry.index > event.base[0] && entry.index <= event.last[0],
      );
      break;
    }
    case "crashed":
      Object.assign(node, { status: "down", role: null, leader: 0, writing: 0 });
      break;
    case "resumed":
      node.status = "up";
      break;
    case "retired":
      Object.assign(node, { status: "retired", role: null });
      break;
    case "role":
      Object.assign(node, { role: event.role, term: event.term, leader: event.leader ?? 0, status: "up" });
      break;
    case "commit":
      node.commit = event.index;
      break;
    case "applied":
      node.applied = event.last[0];
      break;
    case "writing":
      write(node, event);
      break;
    case "written":
      node.writing = Math.max(0, node.writing - 1);
      node.durable = event.last[0];
      for (const entry of node.log) if (entry.index <= event.last[0]) entry.durable = true;
      break;
    case "compacted":
    case "snapshot-installed": {
      const base = event.base ?? event.last;
      node.base = base;
      node.log = node.log.filter((entry) => entry.index > base[0]);
      if (event.kind === "snapshot-installed")
        Object.assign(node, {
          last: base,
          log: [],
          commit: Math.max(node.commit, base[0]),
          applied: base[0],
          durable: base[0],
        });
      break;
    }
    case "sent":
    case "snapshot-sent":
    case "beat":
      picture.packets.set(event.id, packetOf(event, events));
      break;
    case "arrived":
    case "lost":
      picture.packets.delete(event.cause);
      break;
    case "tried-again":
      picture.clients.push({
        op: event.op,
        client: event.client,
        text: picture.clients.find((one) => one.op === event.first)?.text ?? "",
        state: "waiting",
        node: event.node,
        invoked_at: event.at,
        answered_at: null,
        answer: null,
      });
      break;
    case "stopped":
      Object.assign(node, { status: "down", role: null });
      break;
    case "invoked":
      picture.clients.push({
        op: event.op,
        client: event.client,
        text: `${event.what} ${event.key ?? (event.bytes === undefined ? "" : `${event.bytes} B`)}`.trim(),
        state: "waiting",
        node: event.node,
        invoked_at: event.at,
        answered_at: null,
        answer: null,
      });
      break;
    case "answered": {
      const op = picture.clients.findLast((one) => one.op === event.op);
      const states = {
        wrote: "answered",
        read: "answered",
        refused: "refused",
        unknown: "unknown",
        "given-up": "given-up",
        "was-done": "answered",
        lapsed: "unknown",
      };
      if (op)
        Object.assign(op, {
          state: states[event.outcome] ?? "answered",
          answered_at: event.at,
          answer: event.outcome === "read" && event.value !== undefined ? String(event.value) : "ok",
        });
      break;
    }
    case "violated":
      picture.verdict = { holds: false, rule: event.invariant, detail: event.detail, event: event.id, at: event.at };
      break;
    default:
      break;
  }
}

function nodeOf(picture, id) {
  if (!picture.nodes.has(id)) picture.nodes.set(id, freshNode(id, "none", "down"));
  return picture.nodes.get(id);
}

/** A write tells the first and the last entry; the terms of those between are between theirs. */
function write(node, event) {
  node.writing += 1;
  if (event.term !== undefined) node.term = event.term;
  if (event.vote !== undefined) node.vote = event.vote;
  if (Array.isArray(event.restart_after))
    Object.assign(node, { base: event.restart_after, log: [], last: event.restart_after });
  if (event.truncate_from) node.log = node.log.filter((entry) => entry.index < event.truncate_from);
  if (event.entries > 0 && event.first && event.last) {
    const [first, firstTerm] = event.first;
    const [last, lastTerm] = event.last;
    node.log = node.log.filter((entry) => entry.index < first);
    for (let index = Math.max(first, last - 300); index <= last; index += 1) {
      node.log.push({ index, term: index === last ? lastTerm : firstTerm, kind: "command", text: "", durable: false });
    }
    if (node.log.length > 64) node.log.splice(0, node.log.length - 64);
    node.last = event.last;
  }
}

/** A message's arrival is looked up, so that it can be drawn on its way. */
function packetOf(event, events) {
  let arrives = event.at + 10e6;
  let guessed = true;
  for (let at = event.id; at < events.length && events[at].at < event.at + 5e9; at += 1) {
    const later = events[at];
    if ((later.kind === "arrived" || later.kind === "lost") && later.cause === event.id) {
      arrives = later.at;
      guessed = false;
      break;
    }
  }
  return {
    id: event.id,
    event: event.id,
    from: event.from,
    to: event.to,
    kind: event.kind === "sent" ? event.message : event.kind === "beat" ? "beat" : "snapshot",
    term: event.term,
    sent_at: event.at,
    arrives_at: Math.max(arrives, event.at + 1),
    text: "",
    guessed,
  };
}
