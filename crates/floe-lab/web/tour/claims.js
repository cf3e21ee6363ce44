// Holds a claim of a tour against a state of the engine (web/tours/README.md). No DOM: the tests use it as it is.

/** Whether `actual` is what `expected` says: equal throughout, or by an operator. */
export function matches(actual, expected) {
  if (expected !== null && typeof expected === "object" && !Array.isArray(expected)) {
    const keys = Object.keys(expected);
    const operators = keys.filter((key) => key in OPERATORS);
    if (operators.length > 0 && operators.length === keys.length) {
      return operators.every((key) => OPERATORS[key](actual, expected[key]));
    }
  }
  return same(actual, expected);
}

const OPERATORS = {
  min: (actual, bound) => typeof actual === "number" && actual >= bound,
  max: (actual, bound) => typeof actual === "number" && actual <= bound,
  not: (actual, other) => !same(actual, other),
  in: (actual, list) => list.some((item) => same(actual, item)),
  has: (actual, text) => typeof actual === "string" && actual.includes(text),
};

function same(a, b) {
  if (a === b) return true;
  if (a === null || b === null || typeof a !== "object" || typeof b !== "object") return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => same(a[key], b[key]));
}

/** A field of a node, the derived ones included. */
export function fieldOf(node, name) {
  switch (name) {
    case "entries":
      return (node.log ?? []).map((entry) => [entry.index, entry.term]);
    case "texts":
      return (node.log ?? []).filter((entry) => entry.kind === "command").map((entry) => entry.text);
    case "leads":
      return (node.groups ?? []).filter((group) => group.role === "leader").length;
    case "asleep":
      return (node.groups ?? []).filter((group) => group.asleep).length;
    default:
      return node[name];
  }
}

function nodeIs(node, fields) {
  return Object.entries(fields).every(([name, expected]) => {
    if (name === "value") {
      return Object.entries(expected).every(([key, value]) => matches(node.values?.[key], value));
    }
    return matches(fieldOf(node, name), expected);
  });
}

function fieldsAre(thing, fields) {
  return Object.entries(fields).every(([name, expected]) => matches(thing?.[name], expected));
}

function without(object, ...names) {
  return Object.fromEntries(Object.entries(object).filter(([name]) => !names.includes(name)));
}

/**
 * Whether a claim holds. `happened` are the events of the trace within the step.
 * A claim that is not understood throws: a tour with a typing error must not pass.
 */
export function holds(claim, state, happened = []) {
  const up = state.nodes.filter((node) => node.status === "up");
  if ("all" in claim) {
    const nodes = claim.nodes ? claim.nodes.map((id) => state.nodes.find((node) => node.id === id)) : up;
    return nodes.length > 0 && nodes.every((node) => node !== undefined && nodeIs(node, claim.all));
  }
  if ("some" in claim) return up.some((node) => nodeIs(node, claim.some));
  if ("count" in claim) return matches(up.filter((node) => nodeIs(node, claim.of)).length, claim.count);
  if ("packet" in claim)
    return state.packets.some((packet) => fieldsAre(packet, claim.packet)) !== (claim.none === true);
  if ("event" in claim) return happened.some((event) => fieldsAre(event, claim.event)) !== (claim.none === true);
  if ("link" in claim) {
    const [from, to] = claim.link;
    const cut = state.links.some((link) => link.from === from && link.to === to && link.cut);
    return cut === claim.cut;
  }
  if ("verdict" in claim) {
    if (claim.verdict === "holds") return state.verdict?.holds === true;
    return state.verdict?.holds === false && state.verdict.rule === claim.verdict;
  }
  // Before `state`, which is also the name of a field of an operation.
  if ("op" in claim) {
    const op = state.clients.at(claim.op);
    return op !== undefined && fieldsAre(op, without(claim, "op"));
  }
  if ("state" in claim) return fieldsAre(state, claim.state);
  if ("led" in claim) {
    const leaders = up.flatMap((node) => node.groups ?? []).filter((group) => group.role === "leader");
    const numbers = new Set(leaders.map((group) => group.group));
    return matches(numbers.size, claim.led) && leaders.length === numbers.size;
  }
  if ("node" in claim) {
    const node = state.nodes.find((candidate) => candidate.id === claim.node);
    return node !== undefined && nodeIs(node, without(claim, "node"));
  }
  throw new Error(`a claim of no known kind: ${JSON.stringify(claim)}`);
}

/** Whether all claims of a list, or the one, hold. */
export function allHold(claims, state, happened) {
  return (Array.isArray(claims) ? claims : [claims]).every((claim) => holds(claim, state, happened));
}
