// A membership that is changed before an entry of the leader's own term is committed (Ongaro, 2015).

export default {
  id: "break-change",
  settings: {
    version: 1,
    seed: 53,
    voters: 4,
    joiners: 1,
    pre_vote: false,
    check_quorum: false,
    sync_ms: 30,
    mutant: "change-before-noop",
    timeouts_ms: { 1: [150], 2: [200], 3: [290], 4: [295] },
  },
  steps: [
    {
      text: "tour.break-change.start",
      until: { nodes: [1, 2, 3, 4], all: { leader: 1, commit: 1 } },
      limit_ms: 500,
      focus: ["node:1"],
      speed: 1,
      claims: [{ node: 1, role: "leader", voters: [1, 2, 3, 4] }],
    },
    {
      text: "tour.break-change.first",
      do: [{ do: "cut", from: [1], to: [2, 3, 4] }, { do: "member", change: "add-voter", node: 5 }],
      for_ms: 30,
      focus: ["node:1", "log:1"],
      speed: 0.1,
      claims: [{ node: 1, voters: [1, 2, 3, 4, 5] }, { nodes: [2, 3, 4], all: { voters: [1, 2, 3, 4] } }],
    },
    {
      text: "tour.break-change.second", until: { node: 2, role: "leader" }, limit_ms: 1500,
      focus: ["node:2"],
      speed: 0.2,
      claims: [{ node: 2, role: "leader", voters: [1, 2, 3, 4] }],
    },
    {
      text: "tour.break-change.heard", for_ms: 26,
      focus: ["node:2", "packet:heartbeat-reply"],
      speed: 0.05,
      claims: [
        { node: 2, role: "leader", commit: 1 },
        { event: { kind: "sent", message: "heartbeat-reply", to: 2 } },
      ],
    },
    {
      text: "tour.break-change.caught",
      do: [{ do: "member", change: "remove", node: 1 }],
      until: { verdict: "one-configuration" }, limit_ms: 500,
      focus: ["verdict", "node:2", "log:2"],
      speed: 0.05,
      claims: [{ verdict: "one-configuration" }],
    },
  ],
};
