// A host that answers reads from its own state without asking whether it still leads.

export default {
  id: "break-read",
  settings: {
    version: 1,
    seed: 54,
    voters: 3,
    check_quorum: false,
    mutant: "host-read-without-index",
    timeouts_ms: { 1: [150], 2: [200], 3: [290] },
  },
  steps: [
    {
      text: "tour.break-read.start", until: { all: { leader: 1, commit: 1 } }, limit_ms: 500,
      focus: ["node:1"],
      speed: 1,
      claims: [{ node: 1, role: "leader" }],
    },
    {
      text: "tour.break-read.cut",
      do: [{ do: "set", key: "x", value: 5 }, { do: "partition", sides: [[1], [2, 3]] }],
      until: { node: 2, role: "leader" }, limit_ms: 1500,
      focus: ["node:2"],
      speed: 0.3,
      claims: [{ count: 2, of: { role: "leader" } }],
    },
    {
      text: "tour.break-read.write",
      do: [{ do: "set", key: "x", value: 8, node: 2 }],
      for_ms: 80,
      focus: ["client"],
      speed: 0.1,
      claims: [{ op: -1, state: "answered", answer: "ok" }, { node: 2, value: { x: 8 } }],
    },
    {
      text: "tour.break-read.caught",
      do: [{ do: "get", key: "x", node: 1 }],
      until: { verdict: "linearizability" }, limit_ms: 500,
      focus: ["verdict", "client"],
      speed: 0.1,
      claims: [{ verdict: "linearizability" }],
    },
  ],
};
