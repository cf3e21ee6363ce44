// R28: all nodes know that the entry is committed, and the leader dies before it has answered.

export default {
  id: "phase-6",
  settings: { version: 1, seed: 26, voters: 3, timeouts_ms: { 1: [150], 2: [200], 3: [290] }, apply_ms: 60 },
  steps: [
    {
      text: "tour.phase-6.start", until: { all: { leader: 1, applied: 1 } }, limit_ms: 700,
      focus: ["node:1"],
      speed: 1,
      claims: [{ node: 1, role: "leader", term: 1 }],
    },
    {
      text: "tour.phase-6.committed",
      do: [{ do: "add", key: "x", value: 5, node: 1, request: [1, 1] }],
      until: { all: { commit: 2 } }, limit_ms: 400,
      focus: ["nodes"],
      speed: 0.05,
      claims: [{ all: { commit: 2 } }, { op: 0, state: "waiting" }],
    },
    {
      text: "tour.phase-6.dies",
      do: [{ do: "crash", node: 1 }],
      until: { nodes: [2, 3], all: { value: { x: 5 }, leader: 2 } },
      limit_ms: 1500,
      focus: ["node:1", "client"],
      speed: 0.2,
      claims: [{ op: 0, state: { not: "answered" } }, { nodes: [2, 3], all: { value: { x: 5 } } }],
    },
    {
      text: "tour.phase-6.retry",
      do: [{ do: "add", key: "x", value: 5, node: 2, request: [1, 1] }],
      until: { op: -1, state: "answered" }, limit_ms: 1000,
      focus: ["client", "node:2"],
      speed: 0.1,
      claims: [{ op: -1, answer: "5" }, { node: 2, value: { x: 5 } }, { verdict: "holds" }],
    },
  ],
};
