// The same story as without PreVote: now the node that was away disturbs nobody.

export default {
  id: "prevote-on",
  settings: {
    version: 1,
    seed: 6,
    voters: 3,
    pre_vote: true,
    check_quorum: true,
    timeouts_ms: { 1: [150], 2: [280], 3: [295] },
  },
  steps: [
    {
      text: "tour.prevote-on.start", until: { node: 1, role: "pre-candidate" }, limit_ms: 500,
      focus: ["node:1"],
      speed: 0.2,
      claims: [{ node: 1, role: "pre-candidate", term: 0, vote: null }],
    },
    {
      text: "tour.prevote-on.leads", until: { all: { leader: 1, commit: 1 } }, limit_ms: 500,
      focus: ["node:1"],
      speed: 0.2,
      claims: [{ node: 1, role: "leader", term: 1 }],
    },
    {
      text: "tour.prevote-on.away",
      do: [{ do: "cut", from: [3], to: [1, 2] }],
      for_ms: 1500,
      focus: ["node:3"],
      speed: 1,
      claims: [{ node: 3, role: "pre-candidate", term: 1 }, { node: 1, role: "leader", term: 1 }],
    },
    {
      text: "tour.prevote-on.back",
      do: [{ do: "heal" }],
      until: { node: 3, role: "follower", leader: 1 }, limit_ms: 1000,
      focus: ["node:3", "node:1"],
      speed: 0.1,
      claims: [{ node: 1, role: "leader", term: 1 }, { node: 3, role: "follower", term: 1, leader: 1 }],
    },
    {
      text: "tour.prevote-on.sticky",
      do: [{ do: "campaign", node: 3 }],
      for_ms: 300,
      focus: ["node:2", "packet:pre-vote"],
      speed: 0.1,
      claims: [
        { event: { kind: "sent", message: "pre-vote", from: 3 } },
        { node: 1, role: "leader", term: 1 },
        { all: { term: 1 } },
        { verdict: "holds" },
      ],
    },
  ],
};
