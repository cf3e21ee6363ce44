// What happened, in plain language: one sentence for each kind of event of the trace (docs/design/trace.md).

import { t, has } from "./i18n.js";
import { logId } from "./format.js";

/** Which filter of the feed an event belongs to. */
export function groupOf(event) {
  switch (event.kind) {
    case "sent":
    case "arrived":
    case "lost":
    case "beat":
    case "snapshot-sent":
    case "snapshot-done":
    case "snapshot-installed":
    case "peer-gone":
      return "messages";
    case "timer":
      return "timers";
    case "writing":
    case "written":
    case "write-failed":
    case "fetched":
    case "checkpoint":
    case "compacted":
      return "disk";
    case "invoked":
    case "answered":
    case "tried-again":
      return "clients";
    case "crashed":
    case "started":
    case "resumed":
    case "intervention":
    case "mended":
    case "liveness":
    case "alarm":
    case "action":
      return "faults";
    default:
      return "state";
  }
}

/** The groups of the feed's filter, in order. */
export const GROUPS = ["state", "clients", "messages", "disk", "timers", "faults"];

/** A mark in front of a line, a letter or sign with the colour of its family. */
export function markOf(event) {
  switch (event.kind) {
    case "role":
      return event.role === "leader" ? "★" : event.role === "follower" ? "○" : "◇";
    case "commit":
      return "✓";
    case "applied":
      return "▸";
    case "sent":
    case "snapshot-sent":
    case "beat":
      return "→";
    case "arrived":
      return "⇥";
    case "lost":
      return "✕";
    case "timer":
      return "◷";
    case "writing":
    case "written":
    case "write-failed":
      return "▤";
    case "crashed":
      return "☓";
    case "started":
    case "resumed":
      return "↑";
    case "intervention":
    case "action":
      return "⚡";
    case "invoked":
      return "?";
    case "answered":
      return "!";
    case "violated":
      return "✗";
    default:
      return "·";
  }
}

/** Fields as they are read, for `{name}` in a sentence. */
function readable(event) {
  const values = {};
  for (const [name, value] of Object.entries(event)) values[name] = Array.isArray(value) ? entryName(value) : value;
  return values;
}

/** An entry's name in a sentence. */
function entryName([index, term]) {
  return index === 0 ? "0" : t("ui.log-id", { index, term });
}

/** Whether exactly one entry is meant. */
function isOne(event) {
  return Array.isArray(event.first) && Array.isArray(event.last) && event.first[0] === event.last[0];
}

/** The most special sentence that there is for an event. */
function keyOf(event) {
  const base = `event.${event.kind}`;
  const special = (part) => (part !== undefined && has(`${base}.${part}`) ? `${base}.${part}` : null);
  switch (event.kind) {
    case "role":
      return special(event.role) ?? base;
    case "sent": {
      const { message } = event;
      if (message === "vote-reply" || message === "pre-vote-reply") {
        return special(`${message}.${event.granted ? "granted" : "refused"}`) ?? base;
      }
      if (message === "append")
        return special(event.entries === 0 ? "append.empty" : isOne(event) ? "append.one" : "append") ?? base;
      return special(message) ?? base;
    }
    case "lost":
      return special(event.why) ?? base;
    case "writing":
      if (event.entries > 0)
        return special(event.truncate_from ? "truncate" : isOne(event) ? "entry" : "entries") ?? base;
      return special(event.term !== undefined ? "state" : undefined) ?? base;
    case "world":
      return special(event.source) ?? base;
    case "answered":
      // A server does not tell what was read.
      return special(event.outcome === "read" && event.value === undefined ? "read.unseen" : event.outcome) ?? base;
    case "invoked":
    case "intervention":
    case "mended":
      return special(String(event.what).replaceAll(" ", "-")) ?? base;
    case "membership":
      return special(event.outgoing > 0 ? "joint" : undefined) ?? base;
    case "snapshot-done":
      return special(event.installed ? undefined : "failed") ?? base;
    default:
      return base;
  }
}

/** An event as a sentence. `lab` gives what belongs to it: the message that arrived, the operation that was answered. */
export function describe(event, lab) {
  const values = readable(event);
  if (event.kind === "role") values.leader = event.leader || t("ui.none");
  if (event.kind === "arrived" || event.kind === "lost") {
    const sent = lab?.events[event.cause - 1];
    values.message = messageName(
      event.message ??
        (sent?.kind === "sent"
          ? sent.message
          : sent?.kind === "beat"
            ? "beat"
            : sent?.kind === "snapshot-sent"
              ? "snapshot"
              : undefined),
    );
  }
  if (event.kind === "sent") values.message = messageName(event.message);
  if (event.kind === "invoked" || event.kind === "answered") {
    const op = lab?.state?.clients?.find((client) => client.op === event.op);
    values.text = op?.text ?? `${event.what ?? t("ui.op")} ${event.key ?? ""}`.trim();
    values.result = event.kind === "answered" ? (op?.answer ?? event.value ?? "") : "";
  }
  if (event.kind === "change")
    values.outcome = has(`change.${event.outcome}`) ? t(`change.${event.outcome}`) : event.outcome;
  if (event.kind === "violated") values.invariant = invariantName(event.invariant);
  const key = keyOf(event);
  if (!has(key)) return t("event.other", { kind: event.kind, fields: fieldsText(event) });
  return t(key, values);
}

/** The fields of an event that its kind does not tell, as they stand in the trace. */
export function fieldsText(event) {
  return Object.entries(event)
    .filter(([name]) => !["id", "at", "cause", "kind", "source_id"].includes(name))
    .map(([name, value]) => `${name} ${Array.isArray(value) ? logId(value) : value}`)
    .join(", ");
}

export function messageName(kind) {
  return kind && has(`message.${kind}`) ? t(`message.${kind}`) : (kind ?? t("message.some"));
}

export function invariantName(rule) {
  return has(`invariant.${rule}`) ? t(`invariant.${rule}`) : String(rule);
}

/** A message under way, in one sentence. */
export function describePacket(packet) {
  return t("ui.packet.label", {
    kind: messageName(packet.kind),
    from: packet.from,
    to: packet.to,
    term: packet.term ?? "–",
  });
}
