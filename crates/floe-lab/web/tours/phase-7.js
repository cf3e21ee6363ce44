// R29: a partition makes two leaders in different terms.

export default {
  id: "phase-7",
  settings: {
    version: 1,
    seed: 27,
    voters: 3,
    timeouts_ms: { 1: [150], 2: [200], 3: [290] },
    pre_vote: true,
    check_quorum: false,
  },
  steps: [
    {
      text: "tour.phase-7.start", until: { all: { leader: 1, commit: 1 } }, limit_ms: 500,
      focus: ["node:1"],
      speed: 1,
      claims: [{ node: 1, role: "leader", term: 1 }],
    },
    {
      text: "tour.phase-7.cut",
      do: [{ do: "partition", sides: [[1], [2, 3]] }],
      until: { count: 2, of: { role: "leader" } }, limit_ms: 1500,
      focus: ["node:1", "node:2"],
      speed: 0.2,
      claims: [{ node: 1, role: "leader", term: 1 }, { node: 2, role: "leader", term: { min: 2 } }],
    },
    {
      text: "tour.phase-7.both",
      do: [{ do: "set", key: "x", value: 3, node: 1 }, { do: "set", key: "x", value: 8, node: 2 }],
      until: { op: 1, state: "answered" }, limit_ms: 500,
      focus: ["client", "log"],
      speed: 0.1,
      claims: [
        { op: 0, state: "waiting" },
        { op: 1, answer: "ok" },
        { nodes: [2, 3], all: { texts: ["set x 8"] } },
        { node: 1, texts: ["set x 3"], commit: 1 },
      ],
    },
    {
      text: "tour.phase-7.heal",
      do: [{ do: "heal" }],
      until: { all: { value: { x: 8 } } }, limit_ms: 1000,
      focus: ["node:1", "log"],
      speed: 0.1,
      claims: [
        { node: 1, role: "follower", texts: ["set x 8"] },
        { all: { value: { x: 8 } } },
        { verdict: "holds" },
      ],
    },
  ],
};
