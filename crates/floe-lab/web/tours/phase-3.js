// R25: every follower has the entry, and the leader does not know it.

export default {
  id: "phase-3",
  settings: { version: 1, seed: 23, voters: 3, timeouts_ms: { 1: [150], 2: [200], 3: [290] } },
  steps: [
    {
      text: "tour.phase-3.start", until: { all: { leader: 1, commit: 1 } }, limit_ms: 500,
      focus: ["node:1"],
      speed: 1,
      claims: [{ node: 1, role: "leader", term: 1 }],
    },
    {
      text: "tour.phase-3.all",
      do: [
        { do: "cut", from: [2, 3], to: [1], both: false },
        { do: "add", key: "x", value: 5, node: 1, request: [1, 1] },
      ],
      until: { all: { texts: ["add x 5"], durable: 2 } }, limit_ms: 300,
      focus: ["log", "packet:append-ok"],
      speed: 0.05,
      claims: [{ all: { texts: ["add x 5"], commit: 1 } }, { op: 0, state: "waiting" }],
    },
    {
      text: "tour.phase-3.dies",
      do: [{ do: "crash", node: 1 }, { do: "heal" }],
      until: { nodes: [2, 3], all: { leader: 2, value: { x: 5 } } },
      limit_ms: 1500,
      focus: ["node:2", "log"],
      speed: 0.2,
      claims: [{ nodes: [2, 3], all: { value: { x: 5 } } }, { op: 0, state: { not: "answered" } }],
    },
    {
      text: "tour.phase-3.retry",
      do: [{ do: "add", key: "x", value: 5, node: 2, request: [1, 1] }],
      until: { op: -1, state: "answered" }, limit_ms: 500,
      focus: ["client", "node:2"],
      speed: 0.1,
      claims: [{ op: -1, answer: "5" }, { node: 2, value: { x: 5 } }],
    },
    {
      text: "tour.phase-3.end",
      do: [{ do: "restart", node: 1 }],
      until: { all: { value: { x: 5 } } }, limit_ms: 1000,
      focus: ["nodes"],
      speed: 0.2,
      claims: [{ all: { value: { x: 5 } } }, { verdict: "holds" }],
    },
  ],
};
