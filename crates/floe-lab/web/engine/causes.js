// What a recorded history says of why: causes and effects by their numbers. The rule at work is told only where the kind
// of an event leaves no doubt; which rule refused a vote, or granted it, is known to the core alone.

const LONGEST_CHAIN = 12;
const MOST_EFFECTS = 20;

const RULES = {
  commit: "commit-told",
  applied: "applied",
  writing: "durable-first",
  written: "durable-first",
  crashed: "crash",
  started: "restart",
  compacted: "compact",
  "snapshot-sent": "snapshot",
  "snapshot-installed": "snapshot",
  membership: "membership",
  retired: "retire",
  intervention: "fault",
  mended: "fault",
  lost: "fault",
  violated: "violated",
  beat: "beat",
  "tried-again": "session-replay",
};

function ruleOfKind(event) {
  if (event?.kind === "role" && event.role === "leader") return "elected";
  if (event?.kind === "sent" && ["append", "heartbeat", "timeout-now", "pre-vote"].includes(event.message))
    return event.message;
  return RULES[event?.kind] ?? "other";
}

/** The answer of `explain` for an event of these, of which the first `count` have happened; `events[i].id` is `i + 1`. */
export function explainFrom(events, id, count) {
  const event = events[id - 1];
  const causes = [];
  for (
    let cause = event?.cause;
    cause > 0 && cause < id && causes.length < LONGEST_CHAIN;
    cause = events[cause - 1].cause
  )
    causes.push(events[cause - 1]);
  const effects = [];
  for (let at = id; at < count && effects.length < MOST_EFFECTS; at += 1)
    if (events[at].cause === id) effects.push(events[at]);
  return { event, causes, effects, rule: ruleOfKind(event) };
}
