// A fourth node joins as a learner, catches up, and is promoted.

export default {
  id: "learner",
  settings: { version: 1, seed: 41, voters: 3, joiners: 1, timeouts_ms: { 1: [150], 2: [200], 3: [290] } },
  steps: [
    {
      text: "tour.learner.start", until: { nodes: [1, 2, 3], all: { leader: 1, commit: 1 } }, limit_ms: 500,
      focus: ["node:1"],
      speed: 1,
      claims: [{ node: 1, role: "leader" }, { node: 4, member: "none" }],
    },
    {
      text: "tour.learner.write",
      do: [{ do: "set", key: "x", value: 5 }, { do: "add", key: "x", value: 2 }],
      until: { nodes: [1, 2, 3], all: { value: { x: 7 } } }, limit_ms: 500,
      focus: ["log"],
      speed: 0.2,
      claims: [{ nodes: [1, 2, 3], all: { value: { x: 7 } } }],
    },
    {
      text: "tour.learner.add",
      do: [{ do: "member", change: "add-learner", node: 4 }],
      until: { node: 4, value: { x: 7 } }, limit_ms: 2000,
      focus: ["node:4", "log:4"],
      speed: 0.2,
      claims: [
        { node: 4, member: "learner", value: { x: 7 } },
        { node: 1, voters: [1, 2, 3], learners: [4] },
      ],
    },
    {
      text: "tour.learner.slow",
      do: [{ do: "crash", node: 4 }, { do: "add", key: "x", value: 1 }],
      until: { op: -1, state: "answered" }, limit_ms: 500,
      focus: ["node:4", "client"],
      speed: 0.1,
      claims: [{ op: -1, state: "answered" }, { node: 4, status: "down" }],
    },
    {
      text: "tour.learner.catch-up",
      do: [{ do: "restart", node: 4 }],
      until: { node: 4, value: { x: 8 } }, limit_ms: 1500,
      focus: ["node:4", "log:4"],
      speed: 0.2,
      claims: [{ node: 4, member: "learner", value: { x: 8 } }],
    },
    {
      text: "tour.learner.promote",
      do: [{ do: "member", change: "promote", node: 4 }],
      until: { all: { voters: [1, 2, 3, 4] } }, limit_ms: 2000,
      focus: ["node:4", "log"],
      speed: 0.2,
      claims: [
        { all: { voters: [1, 2, 3, 4], learners: [] } },
        { state: { members: { voters: [1, 2, 3, 4], outgoing: [], learners: [] } } },
        { verdict: "holds" },
      ],
    },
  ],
};
