// A new leader's empty entry commits what its predecessors left behind.

export default {
  id: "no-op",
  settings: {
    version: 1,
    seed: 14,
    voters: 3,
    pre_vote: false,
    check_quorum: false,
    timeouts_ms: { 1: [150], 2: [280], 3: [295] },
  },
  steps: [
    {
      text: "tour.no-op.start", until: { all: { leader: 1, commit: 1 } }, limit_ms: 500,
      focus: ["log"],
      speed: 1,
      claims: [{ all: { entries: [[1, 1]] } }],
    },
    {
      text: "tour.no-op.everywhere",
      do: [{ do: "cut", from: [2, 3], to: [1], both: false }, { do: "set", key: "x", value: 5 }],
      until: { nodes: [2, 3], all: { entries: [[1, 1], [2, 1]], durable: 2 } },
      limit_ms: 300,
      focus: ["log"],
      speed: 0.05,
      claims: [{ all: { entries: [[1, 1], [2, 1]] } }, { all: { commit: 1 } }, { op: -1, state: "waiting" }],
    },
    {
      text: "tour.no-op.dies",
      do: [{ do: "crash", node: 1 }, { do: "heal" }],
      until: { some: { role: "leader" } }, limit_ms: 1500,
      focus: ["nodes"],
      speed: 0.2,
      claims: [{ some: { role: "leader", term: { min: 2 }, commit: 1 } }],
    },
    {
      text: "tour.no-op.noop", until: { some: { role: "leader", commit: 3 } }, limit_ms: 500,
      focus: ["log"],
      speed: 0.05,
      claims: [{ some: { role: "leader", commit: 3 } }],
    },
    {
      text: "tour.no-op.end",
      do: [{ do: "restart", node: 1 }],
      until: { all: { value: { x: 5 } } }, limit_ms: 1500,
      focus: ["nodes"],
      speed: 0.2,
      claims: [{ all: { value: { x: 5 } } }, { verdict: "holds" }],
    },
  ],
};
