// Joint consensus: from three voters to five in one change, then the leader itself is removed.

export default {
  id: "joint",
  settings: { version: 1, seed: 42, voters: 3, joiners: 2, timeouts_ms: { 1: [150], 2: [200], 3: [290] } },
  steps: [
    {
      text: "tour.joint.start", until: { nodes: [1, 2, 3], all: { leader: 1, commit: 1 } }, limit_ms: 500,
      focus: ["node:1"],
      speed: 1,
      claims: [{ node: 1, role: "leader", voters: [1, 2, 3] }],
    },
    {
      text: "tour.joint.enter",
      do: [
        { do: "set", key: "x", value: 5 },
        { do: "member", changes: [{ change: "add-voter", node: 4 }, { change: "add-voter", node: 5 }] },
      ],
      until: { node: 1, outgoing: [1, 2, 3] }, limit_ms: 2000,
      focus: ["node:1", "log:1"],
      speed: 0.05,
      claims: [{ node: 1, voters: [1, 2, 3, 4, 5], outgoing: [1, 2, 3] }],
    },
    {
      text: "tour.joint.leave", for_ms: 800,
      focus: ["log", "nodes"],
      speed: 0.1,
      claims: [{ all: { voters: [1, 2, 3, 4, 5], outgoing: [] } }, { all: { value: { x: 5 } } }],
    },
    {
      text: "tour.joint.remove",
      do: [{ do: "member", change: "remove", node: 1 }],
      until: [
        { nodes: [2, 3, 4, 5], all: { voters: [2, 3, 4, 5], leader: { in: [2, 3, 4, 5] }, commit: 6 } },
        { node: 1, role: { not: "leader" } },
      ],
      limit_ms: 4000,
      focus: ["node:1"],
      speed: 0.2,
      claims: [{ nodes: [2, 3, 4, 5], all: { voters: [2, 3, 4, 5] } }, { node: 1, role: { not: "leader" } }],
    },
    {
      text: "tour.joint.end",
      do: [{ do: "add", key: "x", value: 1 }],
      until: { nodes: [2, 3, 4, 5], all: { value: { x: 6 } } }, limit_ms: 1500,
      focus: ["nodes"],
      speed: 0.2,
      claims: [{ nodes: [2, 3, 4, 5], all: { value: { x: 6 } } }, { verdict: "holds" }],
    },
  ],
};
