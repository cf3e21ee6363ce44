// Batches and the pipeline: a leader neither sends entries one by one nor waits for each answer.

export default {
  id: "pipeline",
  settings: {
    version: 1,
    seed: 15,
    voters: 3,
    delay_ms: [40, 40],
    election_timeout_ms: 500,
    timeouts_ms: { 1: [500], 2: [3000], 3: [3000] },
  },
  steps: [
    {
      text: "tour.pipeline.start", until: { all: { leader: 1, commit: 1 } }, limit_ms: 1500,
      focus: ["node:1"],
      speed: 1,
      claims: [{ node: 1, role: "leader" }],
    },
    {
      text: "tour.pipeline.asked",
      do: [{ do: "set", key: "x", value: 1 }],
      for_ms: 15,
      focus: ["client"],
      speed: 0.1,
      claims: [{ op: -1, state: "waiting" }],
    },
    {
      text: "tour.pipeline.first",
      do: [{ do: "add", key: "x", value: 1 }],
      until: { packet: { kind: "append", to: 2, text: { has: "entry 2 " } } },
      focus: ["packet:append"],
      speed: 0.1,
      claims: [{ packet: { kind: "append", to: 3, text: { has: "entry 2 " } } }],
    },
    {
      text: "tour.pipeline.second",
      until: { packet: { kind: "append", to: 2, text: { has: "entry 3 " } } },
      limit_ms: 60,
      focus: ["packet:append"],
      speed: 0.1,
      claims: [
        { packet: { kind: "append", to: 2, text: { has: "entry 2 " } } },
        { packet: { kind: "append", to: 2, text: { has: "entry 3 " } } },
        { node: 1, commit: 1 },
      ],
    },
    {
      text: "tour.pipeline.away",
      do: [
        { do: "crash", node: 3 },
        { do: "add", key: "x", value: 1 },
        { do: "add", key: "x", value: 1 },
        { do: "add", key: "x", value: 1 },
      ],
      until: { node: 1, value: { x: 5 } }, limit_ms: 500,
      focus: ["node:3", "log"],
      speed: 0.2,
      claims: [{ node: 1, value: { x: 5 } }, { node: 3, status: "down" }],
    },
    {
      text: "tour.pipeline.batch",
      do: [{ do: "restart", node: 3 }],
      until: { packet: { kind: "append", to: 3, text: { has: "entries 2..6" } } },
      limit_ms: 1000,
      focus: ["packet:append", "log:3"],
      speed: 0.1,
      claims: [{ packet: { kind: "append", from: 1, to: 3, text: { has: "entries 2..6" } } }],
    },
    {
      text: "tour.pipeline.end", until: { all: { value: { x: 5 } } }, limit_ms: 2000,
      focus: ["log", "nodes"],
      speed: 0.2,
      claims: [{ all: { value: { x: 5 }, commit: 6 } }, { verdict: "holds" }],
    },
  ],
};
