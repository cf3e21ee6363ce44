// A leader that a majority does not answer steps down by itself.

export default {
  id: "check-quorum",
  settings: {
    version: 1,
    seed: 8,
    voters: 5,
    timeouts_ms: { 1: [150], 2: [280], 3: [290], 4: [295], 5: [298] },
  },
  steps: [
    {
      text: "tour.check-quorum.start", until: { all: { leader: 1, commit: 1 } }, limit_ms: 500,
      focus: ["node:1"],
      speed: 1,
      claims: [{ node: 1, role: "leader" }],
    },
    {
      text: "tour.check-quorum.cut",
      do: [{ do: "partition", sides: [[1, 2], [3, 4, 5]] }, { do: "set", key: "x", value: 3, node: 1 }],
      for_ms: 60,
      focus: ["node:1", "client"],
      speed: 0.1,
      claims: [{ node: 1, role: "leader" }, { op: -1, state: "waiting" }],
    },
    {
      text: "tour.check-quorum.down", until: { node: 1, role: { not: "leader" } }, limit_ms: 1000,
      focus: ["node:1"],
      speed: 0.2,
      claims: [{ node: 1, role: "follower" }],
    },
    {
      text: "tour.check-quorum.other",
      until: { nodes: [3, 4, 5], all: { leader: { in: [3, 4, 5] } } },
      limit_ms: 2000,
      focus: ["node:3", "node:4", "node:5"],
      speed: 0.2,
      claims: [{ count: 1, of: { role: "leader" } }],
    },
    {
      text: "tour.check-quorum.end",
      do: [{ do: "heal" }],
      until: [{ all: { leader: { in: [3, 4, 5] } } }, { op: 0, state: { not: "waiting" } }],
      limit_ms: 1000,
      focus: ["nodes"],
      speed: 0.2,
      claims: [
        { count: 1, of: { role: "leader" } },
        { op: 0, state: "refused" },
        { all: { texts: [] } },
        { verdict: "holds" },
      ],
    },
  ],
};
