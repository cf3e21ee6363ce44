// A follower's log is repaired backwards, a term at a time: the leader learns where the logs part.

export default {
  id: "log-repair",
  settings: {
    version: 1,
    seed: 12,
    voters: 3,
    pre_vote: false,
    check_quorum: false,
    timeouts_ms: { 1: [150, 2000], 2: [200, 2000], 3: [2000, 2000] },
  },
  steps: [
    {
      text: "tour.log-repair.start", until: { all: { leader: 1, commit: 1 } }, limit_ms: 500,
      focus: ["node:1"],
      speed: 1,
      claims: [{ node: 1, role: "leader", term: 1 }],
    },
    {
      text: "tour.log-repair.alone",
      do: [
        { do: "cut", from: [1], to: [2, 3] },
        { do: "set", key: "x", value: 1, node: 1 },
        { do: "set", key: "x", value: 2, node: 1 },
        { do: "set", key: "x", value: 3, node: 1 },
      ],
      for_ms: 40,
      focus: ["log:1", "link:1:2"],
      speed: 0.1,
      claims: [
        { node: 1, texts: ["set x 1", "set x 2", "set x 3"], commit: 1 },
        { nodes: [2, 3], all: { texts: [] } },
      ],
    },
    {
      text: "tour.log-repair.others", until: { nodes: [2, 3], all: { leader: 2, commit: 2 } }, limit_ms: 1500,
      focus: ["node:2"],
      speed: 0.3,
      claims: [{ node: 2, role: "leader", term: 2 }, { node: 1, role: "leader", term: 1 }],
    },
    {
      text: "tour.log-repair.write",
      do: [{ do: "set", key: "x", value: 7, node: 2 }, { do: "add", key: "x", value: 1, node: 2 }],
      until: { nodes: [2, 3], all: { value: { x: 8 } } }, limit_ms: 500,
      focus: ["log"],
      speed: 0.1,
      claims: [{ nodes: [2, 3], all: { texts: ["set x 7", "add x 1"] } }],
    },
    {
      text: "tour.log-repair.third",
      do: [{ do: "transfer", to: 3 }],
      until: { nodes: [2, 3], all: { leader: 3, commit: 5 } }, limit_ms: 500,
      focus: ["node:3"],
      speed: 0.1,
      claims: [{ node: 3, role: "leader", term: 3 }],
    },
    {
      text: "tour.log-repair.probe",
      do: [{ do: "heal" }],
      until: { event: { kind: "sent", message: "append-reject", from: 1 } },
      limit_ms: 1000,
      focus: ["packet:append", "packet:append-reject", "log:1"],
      speed: 0.05,
      claims: [
        { node: 1, role: "follower", leader: 3 },
        { event: { kind: "sent", message: "append-reject", from: 1, to: 3 } },
      ],
    },
    {
      text: "tour.log-repair.truncate", until: { node: 1, texts: ["set x 7", "add x 1"] }, limit_ms: 1000,
      focus: ["log:1"],
      speed: 0.05,
      claims: [{ event: { kind: "writing", node: 1, truncate_from: 2 } }, { node: 3, term: 3 }],
    },
    {
      text: "tour.log-repair.end", until: { all: { value: { x: 8 } } }, limit_ms: 1000,
      focus: ["log", "nodes"],
      speed: 0.1,
      claims: [{ all: { value: { x: 8 }, texts: ["set x 7", "add x 1"] } }, { verdict: "holds" }],
    },
  ],
};
