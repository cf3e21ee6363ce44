// Snapshots of the applied state, compaction, and a follower that needs one because the log is gone.

export default {
  id: "snapshot",
  settings: {
    version: 1,
    seed: 13,
    voters: 3,
    snapshot_after: 4,
    trailing: 0,
    timeouts_ms: { 1: [150], 2: [280], 3: [295] },
  },
  steps: [
    {
      text: "tour.snapshot.start", until: { all: { leader: 1, commit: 1 } }, limit_ms: 500,
      focus: ["node:1"],
      speed: 1,
      claims: [{ node: 1, role: "leader" }, { all: { base: [0, 0] } }],
    },
    {
      text: "tour.snapshot.away",
      do: [
        { do: "crash", node: 3 },
        { do: "set", key: "x", value: 1 },
        { do: "add", key: "x", value: 1 },
        { do: "add", key: "x", value: 1 },
        { do: "add", key: "x", value: 1 },
        { do: "add", key: "x", value: 1 },
      ],
      until: { nodes: [1, 2], all: { value: { x: 5 } } }, limit_ms: 600,
      focus: ["log", "node:3"],
      speed: 0.1,
      claims: [{ nodes: [1, 2], all: { value: { x: 5 } } }, { node: 3, status: "down" }],
    },
    {
      text: "tour.snapshot.compact", until: { nodes: [1, 2], all: { base: { not: [0, 0] } } }, limit_ms: 600,
      focus: ["log"],
      speed: 0.1,
      claims: [{ event: { kind: "compacted", node: 1 } }, { nodes: [1, 2], all: { base: { not: [0, 0] } } }],
    },
    {
      text: "tour.snapshot.back",
      do: [{ do: "restart", node: 3 }],
      until: { packet: { kind: "snapshot", to: 3 } }, limit_ms: 1000,
      focus: ["node:3", "packet:snapshot"],
      speed: 0.05,
      claims: [{ packet: { kind: "snapshot", from: 1, to: 3 } }],
    },
    {
      text: "tour.snapshot.install", until: { node: 3, value: { x: 5 } }, limit_ms: 1000,
      focus: ["node:3", "log:3"],
      speed: 0.05,
      claims: [{ event: { kind: "snapshot-installed", node: 3 } }, { node: 3, base: { not: [0, 0] } }],
    },
    {
      text: "tour.snapshot.end",
      do: [{ do: "add", key: "x", value: 1 }],
      until: { all: { value: { x: 6 } } }, limit_ms: 1000,
      focus: ["log", "nodes"],
      speed: 0.1,
      claims: [{ all: { value: { x: 6 } } }, { verdict: "holds" }],
    },
  ],
};
