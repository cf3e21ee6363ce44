// R27: the leader has committed and answered, the followers do not know it.

export default {
  id: "phase-5",
  settings: { version: 1, seed: 25, voters: 3, timeouts_ms: { 1: [150], 2: [200], 3: [290] } },
  steps: [
    {
      text: "tour.phase-5.start", until: { all: { leader: 1, commit: 1 } }, limit_ms: 500,
      focus: ["node:1"],
      speed: 1,
      claims: [{ node: 1, role: "leader", term: 1 }],
    },
    {
      text: "tour.phase-5.answered",
      do: [{ do: "add", key: "x", value: 5, node: 1, request: [1, 1] }],
      until: { op: 0, state: "answered" }, limit_ms: 300,
      focus: ["client", "node:1"],
      speed: 0.05,
      claims: [{ node: 1, commit: 2, value: { x: 5 } }, { nodes: [2, 3], all: { commit: 1, values: {} } }],
    },
    {
      text: "tour.phase-5.dies",
      do: [{ do: "crash", node: 1 }, { do: "cut", from: [1], to: [2, 3] }],
      until: { some: { role: "leader" } }, limit_ms: 1500,
      focus: ["nodes"],
      speed: 0.2,
      claims: [{ some: { role: "leader", term: { min: 2 }, commit: 1, texts: ["add x 5"] } }],
    },
    {
      text: "tour.phase-5.end",
      do: [{ do: "heal" }, { do: "restart", node: 1 }],
      until: { all: { value: { x: 5 } } }, limit_ms: 1000,
      focus: ["log", "nodes"],
      speed: 0.1,
      claims: [{ all: { value: { x: 5 }, texts: ["add x 5"] } }, { verdict: "holds" }],
    },
  ],
};
