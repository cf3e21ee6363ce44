// Voters that compare the lengths of logs and not the terms of their last entries.

export default {
  id: "break-longest-log",
  settings: {
    version: 1,
    seed: 52,
    voters: 3,
    pre_vote: false,
    check_quorum: false,
    mutant: "longest-log-wins",
    timeouts_ms: { 1: [150], 2: [180, 290], 3: [295, 295] },
  },
  steps: [
    {
      text: "tour.break-longest-log.start", until: { all: { leader: 1, commit: 1 } }, limit_ms: 500,
      focus: ["node:1"],
      speed: 1,
      claims: [{ node: 1, role: "leader", term: 1 }],
    },
    {
      text: "tour.break-longest-log.long",
      do: [
        { do: "cut", from: [1], to: [2, 3] },
        { do: "set", key: "x", value: 1, node: 1 },
        { do: "set", key: "x", value: 2, node: 1 },
        { do: "set", key: "x", value: 3, node: 1 },
        { do: "set", key: "x", value: 4, node: 1 },
      ],
      for_ms: 20,
      focus: ["log:1"],
      speed: 0.1,
      claims: [{ node: 1, last: [5, 1], commit: 1 }],
    },
    {
      text: "tour.break-longest-log.short",
      do: [{ do: "set", key: "x", value: 8, node: 2 }],
      until: { nodes: [2, 3], all: { leader: 2, commit: 2 } }, limit_ms: 1500,
      focus: ["node:2"],
      speed: 0.3,
      claims: [{ node: 2, role: "leader", term: { min: 2 } }],
    },
    {
      text: "tour.break-longest-log.commit",
      do: [{ do: "set", key: "x", value: 9, node: 2 }],
      until: { op: -1, state: "answered" }, limit_ms: 500,
      focus: ["log:2", "log:3", "client"],
      speed: 0.1,
      claims: [{ nodes: [2, 3], all: { texts: ["set x 9"] } }, { op: -1, answer: "ok" }],
    },
    {
      text: "tour.break-longest-log.caught",
      do: [{ do: "crash", node: 2 }, { do: "heal" }],
      until: { verdict: "leader-completeness" }, limit_ms: 3000,
      focus: ["verdict", "node:1"],
      speed: 0.2,
      claims: [{ verdict: "leader-completeness" }, { node: 1, role: "leader" }],
    },
  ],
};
