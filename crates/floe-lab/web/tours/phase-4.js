// R26: some followers have the entry, fewer than a majority in one chapter and a majority in the other.

export default {
  id: "phase-4",
  settings: {
    version: 1,
    seed: 24,
    voters: 5,
    timeouts_ms: { 1: [150], 2: [290], 3: [200], 4: [295], 5: [298] },
  },
  steps: [
    {
      text: "tour.phase-4.start", until: { all: { leader: 1, commit: 1 } }, limit_ms: 500,
      focus: ["node:1"],
      speed: 1,
      claims: [{ node: 1, role: "leader", term: 1 }],
    },
    {
      text: "tour.phase-4.few",
      do: [
        { do: "cut", from: [1], to: [3, 4, 5] },
        { do: "add", key: "x", value: 5, node: 1, request: [1, 1] },
      ],
      until: { nodes: [1, 2], all: { texts: ["add x 5"], durable: 2 } },
      limit_ms: 300,
      focus: ["log"],
      speed: 0.05,
      claims: [{ nodes: [3, 4, 5], all: { texts: [] } }, { node: 1, commit: 1 }],
    },
    {
      text: "tour.phase-4.other",
      do: [{ do: "crash", node: 1 }, { do: "crash", node: 2 }],
      until: { nodes: [3, 4, 5], all: { leader: { in: [3, 4, 5] }, commit: { min: 2 } } },
      limit_ms: 1500,
      focus: ["node:3", "log"],
      speed: 0.2,
      claims: [{ nodes: [3, 4, 5], all: { texts: [] } }, { nodes: [1, 2], all: { texts: ["add x 5"] } }],
    },
    {
      text: "tour.phase-4.other-end",
      do: [
        { do: "heal" },
        { do: "restart", node: 1 },
        { do: "restart", node: 2 },
        { do: "add", key: "x", value: 5, node: 3, request: [1, 1] },
      ],
      until: { all: { value: { x: 5 } } }, limit_ms: 1500,
      focus: ["nodes", "client"],
      speed: 0.2,
      claims: [
        { all: { texts: ["add x 5"], value: { x: 5 } } },
        { op: -1, state: "answered", answer: "5" },
        { verdict: "holds" },
      ],
    },
    {
      text: "tour.phase-4.many",
      settings: {
        version: 1,
        seed: 24,
        voters: 5,
        timeouts_ms: { 1: [150], 2: [290], 3: [293], 4: [200], 5: [298] },
      },
      until: { all: { leader: 1, commit: 1 } }, limit_ms: 500,
      focus: ["node:1"],
      speed: 1,
      claims: [{ node: 1, role: "leader", term: 1 }],
    },
    {
      text: "tour.phase-4.majority",
      do: [
        { do: "cut", from: [1], to: [4, 5] },
        { do: "cut", from: [2, 3], to: [1], both: false },
        { do: "add", key: "x", value: 5, node: 1, request: [1, 1] },
      ],
      until: { nodes: [1, 2, 3], all: { texts: ["add x 5"], durable: 2 } },
      limit_ms: 300,
      focus: ["log"],
      speed: 0.05,
      claims: [
        { nodes: [4, 5], all: { texts: [] } },
        { nodes: [1, 2, 3], all: { texts: ["add x 5"], commit: 1 } },
      ],
    },
    {
      text: "tour.phase-4.asks",
      do: [{ do: "crash", node: 1 }, { do: "heal" }],
      until: [
        { event: { kind: "sent", from: 2, to: 4, granted: 0 } },
        { event: { kind: "sent", from: 3, to: 4, granted: 0 } },
      ],
      limit_ms: 1500,
      focus: ["node:4", "packet:pre-vote-reply"],
      speed: 0.1,
      claims: [{ node: 4, role: "pre-candidate", texts: [] }],
    },
    {
      text: "tour.phase-4.must", until: { nodes: [2, 3, 4, 5], all: { value: { x: 5 } } }, limit_ms: 3000,
      focus: ["nodes", "log"],
      speed: 0.2,
      claims: [
        { event: { kind: "sent", message: "pull", from: 4 } },
        { some: { role: "leader" } },
        { nodes: [2, 3, 4, 5], all: { texts: ["add x 5"], value: { x: 5 } } },
        { verdict: "holds" },
      ],
    },
  ],
};
