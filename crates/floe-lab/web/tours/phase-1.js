// R23: the leader dies before the request reaches it.

export default {
  id: "phase-1",
  settings: { version: 1, seed: 21, voters: 3, timeouts_ms: { 1: [150], 2: [200], 3: [290] } },
  steps: [
    {
      text: "tour.phase-1.start", until: { all: { leader: 1, commit: 1 } }, limit_ms: 500,
      focus: ["node:1"],
      speed: 1,
      claims: [{ node: 1, role: "leader", term: 1 }],
    },
    {
      text: "tour.phase-1.dead",
      do: [{ do: "crash", node: 1 }, { do: "add", key: "x", value: 5, node: 1, request: [1, 1] }],
      for_ms: 30,
      focus: ["node:1", "client"],
      speed: 0.1,
      claims: [{ node: 1, status: "down" }, { all: { texts: [] } }, { op: 0, state: { not: "answered" } }],
    },
    {
      text: "tour.phase-1.elect", until: { nodes: [2, 3], all: { leader: 2 } }, limit_ms: 1500,
      focus: ["node:2"],
      speed: 0.2,
      claims: [{ node: 2, role: "leader", term: { min: 2 } }],
    },
    {
      text: "tour.phase-1.retry",
      do: [{ do: "add", key: "x", value: 5, node: 2, request: [1, 1] }],
      until: { op: -1, state: "answered" }, limit_ms: 500,
      focus: ["client", "node:2"],
      speed: 0.1,
      claims: [{ op: -1, answer: "5" }, { node: 2, value: { x: 5 } }],
    },
    {
      text: "tour.phase-1.end",
      do: [{ do: "restart", node: 1 }],
      until: { all: { value: { x: 5 } } }, limit_ms: 1000,
      focus: ["nodes"],
      speed: 0.2,
      claims: [{ all: { texts: ["add x 5"], value: { x: 5 } } }, { verdict: "holds" }],
    },
  ],
};
