// The election restriction: last terms are compared first, then lengths.

export default {
  id: "newer-log",
  settings: {
    version: 1,
    seed: 4,
    voters: 3,
    pre_vote: false,
    check_quorum: false,
    timeouts_ms: { 1: [150], 2: [280], 3: [295] },
  },
  steps: [
    {
      text: "tour.newer-log.start", until: { all: { leader: 1, commit: 1 } }, limit_ms: 500,
      focus: ["node:1"],
      speed: 1,
      claims: [{ node: 1, role: "leader", term: 1 }],
    },
    {
      text: "tour.newer-log.behind",
      do: [{ do: "cut", from: [3], to: [1, 2] }, { do: "set", key: "x", value: 5 }],
      until: { op: -1, state: "answered" },
      focus: ["link:1:3", "log"],
      speed: 0.1,
      claims: [
        { nodes: [1, 2], all: { texts: ["set x 5"] } },
        { node: 3, texts: [] },
        { op: -1, answer: "ok" },
      ],
    },
    {
      text: "tour.newer-log.crash",
      do: [{ do: "crash", node: 1 }, { do: "heal" }, { do: "campaign", node: 3 }],
      until: { node: 3, role: "candidate" },
      focus: ["node:3"],
      speed: 0.1,
      claims: [{ node: 3, role: "candidate" }, { node: 1, status: "down" }],
    },
    {
      text: "tour.newer-log.refused",
      until: { event: { kind: "sent", message: "vote-reply", from: 2, granted: 0 } },
      limit_ms: 800,
      focus: ["node:2", "packet:vote-reply"],
      speed: 0.05,
      claims: [{ node: 3, role: { not: "leader" } }],
    },
    {
      text: "tour.newer-log.wins", until: { all: { value: { x: 5 } } }, limit_ms: 3000,
      focus: ["log", "nodes"],
      speed: 0.2,
      claims: [{ nodes: [2, 3], all: { value: { x: 5 } } }, { verdict: "holds" }],
    },
  ],
};
