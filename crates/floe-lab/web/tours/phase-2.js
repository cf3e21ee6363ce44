// R24: the entry is in the dead leader's log alone.

export default {
  id: "phase-2",
  settings: { version: 1, seed: 22, voters: 3, timeouts_ms: { 1: [150], 2: [200], 3: [290] } },
  steps: [
    {
      text: "tour.phase-2.start", until: { all: { leader: 1, commit: 1 } }, limit_ms: 500,
      focus: ["node:1"],
      speed: 1,
      claims: [{ node: 1, role: "leader", term: 1 }],
    },
    {
      text: "tour.phase-2.alone",
      do: [{ do: "cut", from: [1], to: [2, 3] }, { do: "add", key: "x", value: 5, node: 1, request: [1, 1] }],
      until: { node: 1, texts: ["add x 5"], durable: 2 },
      focus: ["log:1"],
      speed: 0.05,
      claims: [
        { node: 1, commit: 1, durable: 2 },
        { nodes: [2, 3], all: { texts: [] } },
        { op: 0, state: "waiting" },
      ],
    },
    {
      text: "tour.phase-2.dies",
      do: [{ do: "crash", node: 1 }, { do: "heal" }],
      until: { nodes: [2, 3], all: { leader: 2, commit: { min: 2 } } },
      limit_ms: 1500,
      focus: ["node:1", "node:2"],
      speed: 0.2,
      claims: [
        { node: 1, status: "down", entries: [[1, 1], [2, 1]] },
        { node: 2, role: "leader", term: { min: 2 } },
        { op: 0, state: { not: "answered" } },
      ],
    },
    {
      text: "tour.phase-2.retry",
      do: [{ do: "add", key: "x", value: 5, node: 2, request: [1, 1] }],
      until: { op: -1, state: "answered" }, limit_ms: 500,
      focus: ["client", "node:2"],
      speed: 0.1,
      claims: [{ op: -1, answer: "5" }, { nodes: [2, 3], all: { texts: ["add x 5"] } }],
    },
    {
      text: "tour.phase-2.end",
      do: [{ do: "restart", node: 1 }],
      until: { all: { value: { x: 5 } } }, limit_ms: 1000,
      focus: ["log:1"],
      speed: 0.1,
      claims: [
        { all: { texts: ["add x 5"], value: { x: 5 } } },
        { event: { kind: "writing", node: 1, truncate_from: 2 } },
        { verdict: "holds" },
      ],
    },
  ],
};
