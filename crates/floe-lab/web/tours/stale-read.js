// A read from a node's own state may be old.

export default {
  id: "stale-read",
  settings: {
    version: 1,
    seed: 29,
    voters: 3,
    timeouts_ms: { 1: [150], 2: [200], 3: [290] },
    reads: "stale",
    pre_vote: true,
    check_quorum: false,
  },
  steps: [
    {
      text: "tour.stale-read.start", until: { all: { leader: 1, commit: 1 } }, limit_ms: 500,
      focus: ["node:1"],
      speed: 1,
      claims: [{ node: 1, role: "leader" }],
    },
    {
      text: "tour.stale-read.five",
      do: [{ do: "set", key: "x", value: 5 }],
      until: { all: { value: { x: 5 } } }, limit_ms: 500,
      focus: ["nodes"],
      speed: 0.1,
      claims: [{ all: { value: { x: 5 } } }],
    },
    {
      text: "tour.stale-read.cut",
      do: [{ do: "partition", sides: [[1], [2, 3]] }],
      until: { node: 2, role: "leader" }, limit_ms: 1500,
      focus: ["node:2"],
      speed: 0.2,
      claims: [{ node: 1, role: "leader", term: 1 }, { node: 2, role: "leader" }],
    },
    {
      text: "tour.stale-read.eight",
      do: [{ do: "set", key: "x", value: 8, node: 2 }],
      for_ms: 80,
      focus: ["client"],
      speed: 0.1,
      claims: [
        { op: -1, state: "answered", answer: "ok" },
        { node: 2, value: { x: 8 } },
        { node: 1, value: { x: 5 } },
      ],
    },
    {
      text: "tour.stale-read.read",
      do: [{ do: "get", key: "x", node: 1 }],
      until: { op: -1, state: "answered" }, limit_ms: 500,
      focus: ["client", "node:1"],
      speed: 0.1,
      claims: [{ op: -1, answer: "5" }],
    },
  ],
};
