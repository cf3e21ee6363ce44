// What PreVote is for: without it a node that was away deposes a healthy leader.

export default {
  id: "prevote-off",
  settings: {
    version: 1,
    seed: 6,
    voters: 3,
    pre_vote: false,
    check_quorum: false,
    timeouts_ms: { 1: [150], 2: [280], 3: [295] },
  },
  steps: [
    {
      text: "tour.prevote-off.start", until: { all: { leader: 1, commit: 1 } }, limit_ms: 500,
      focus: ["node:1"],
      speed: 1,
      claims: [{ node: 1, role: "leader", term: 1 }],
    },
    {
      text: "tour.prevote-off.away",
      do: [{ do: "cut", from: [3], to: [1, 2] }],
      until: { node: 3, term: { min: 4 } }, limit_ms: 3000,
      focus: ["node:3", "timers"],
      speed: 0.5,
      claims: [{ node: 3, role: "candidate", term: { min: 4 } }, { node: 1, role: "leader", term: 1 }],
    },
    {
      text: "tour.prevote-off.back",
      do: [{ do: "heal" }],
      until: { node: 1, role: { not: "leader" } }, limit_ms: 1500,
      focus: ["node:1", "node:3"],
      speed: 0.1,
      claims: [{ node: 1, role: "follower", term: { min: 4 } }],
    },
    {
      text: "tour.prevote-off.new", until: { all: { leader: { not: null } } }, limit_ms: 3000,
      focus: ["nodes"],
      speed: 0.2,
      claims: [{ count: 1, of: { role: "leader", term: { min: 4 } } }, { verdict: "holds" }],
    },
  ],
};
