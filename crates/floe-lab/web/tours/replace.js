// A member whose disk is lost is replaced by a new node in one change.

export default {
  id: "replace",
  settings: { version: 1, seed: 43, voters: 3, joiners: 1, timeouts_ms: { 1: [150], 2: [200], 3: [290] } },
  steps: [
    {
      text: "tour.replace.start", until: { nodes: [1, 2, 3], all: { leader: 1, commit: 1 } }, limit_ms: 500,
      focus: ["node:1"],
      speed: 1,
      claims: [{ node: 1, role: "leader" }],
    },
    {
      text: "tour.replace.lost",
      do: [{ do: "set", key: "x", value: 5 }, { do: "wipe", node: 3 }],
      until: { op: 0, state: "answered" }, limit_ms: 500,
      focus: ["node:3"],
      speed: 0.1,
      claims: [{ node: 3, status: "wiped" }, { op: 0, answer: "ok" }],
    },
    {
      text: "tour.replace.replace",
      do: [{ do: "member", change: "replace", node: 3, with: 4 }],
      until: { nodes: [1, 2, 4], all: { voters: [1, 2, 4], outgoing: [], value: { x: 5 } } },
      limit_ms: 4000,
      focus: ["node:4", "log"],
      speed: 0.2,
      claims: [{ nodes: [1, 2, 4], all: { voters: [1, 2, 4], value: { x: 5 } } }, { verdict: "holds" }],
    },
  ],
};
