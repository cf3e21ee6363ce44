// A host that forgets at a restart whom it voted for, and so votes twice in one term.

export default {
  id: "break-vote",
  settings: {
    version: 1,
    seed: 51,
    voters: 3,
    pre_vote: false,
    check_quorum: false,
    mutant: "host-forget-vote",
    timeouts_ms: { 1: [150], 2: [175], 3: [295, 295] },
  },
  steps: [
    {
      text: "tour.break-vote.start",
      do: [{ do: "cut", from: [1], to: [2] }],
      until: { packet: { kind: "vote-reply", from: 3, to: 1 } }, limit_ms: 400,
      focus: ["node:3", "packet:vote-reply"],
      speed: 0.2,
      claims: [{ node: 3, term: 1, vote: 1 }, { node: 1, role: "candidate", term: 1 }],
    },
    {
      text: "tour.break-vote.restart",
      do: [
        { do: "crash", node: 3 },
        { do: "cut", from: [1], to: [3], both: false },
        { do: "restart", node: 3 },
      ],
      for_ms: 1,
      focus: ["node:3"],
      speed: 0.05,
      claims: [{ node: 3, status: "up", term: 1, vote: null }],
    },
    {
      text: "tour.break-vote.elected",
      until: [{ node: 1, role: "leader", term: 1 }, { node: 2, role: "candidate", term: 1 }],
      limit_ms: 300,
      focus: ["node:1", "node:2"],
      speed: 0.05,
      claims: [{ node: 1, role: "leader", term: 1 }, { node: 2, role: "candidate", term: 1, vote: 2 }],
    },
    {
      text: "tour.break-vote.caught", until: { verdict: "one-vote" }, limit_ms: 500,
      focus: ["verdict", "node:3"],
      speed: 0.05,
      claims: [{ verdict: "one-vote" }, { state: { end: "violated" } }],
    },
  ],
};
