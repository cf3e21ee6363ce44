// Split votes: two candidates, then three, and why random timeouts end them.

export default {
  id: "split-vote",
  settings: {
    version: 1,
    seed: 3,
    voters: 5,
    pre_vote: false,
    check_quorum: false,
    timeouts_ms: { 1: [150], 2: [150], 3: [150], 4: [295], 5: [295] },
  },
  steps: [
    {
      text: "tour.split-vote.start",
      do: [
        { do: "link", from: 3, to: 4, delay_ms: 40 },
        { do: "link", from: 3, to: 5, delay_ms: 40 },
        { do: "link", from: 1, to: 5, delay_ms: 30 },
        { do: "link", from: 2, to: 4, delay_ms: 30 },
      ],
      at_ms: 50,
      focus: ["timers"],
      speed: 0.1,
      claims: [{ all: { role: "follower" } }],
    },
    {
      text: "tour.split-vote.three", until: { count: 3, of: { role: "candidate", term: 1 } }, limit_ms: 400,
      focus: ["node:1", "node:2", "node:3"],
      speed: 0.1,
      claims: [{ node: 1, vote: 1 }, { node: 2, vote: 2 }, { node: 3, vote: 3 }],
    },
    {
      text: "tour.split-vote.spread", until: [{ node: 4, vote: 1 }, { node: 5, vote: 2 }],
      focus: ["packet:vote"],
      speed: 0.03,
      claims: [{ node: 4, term: 1, vote: 1 }, { node: 5, term: 1, vote: 2 }],
    },
    {
      text: "tour.split-vote.nobody", for_ms: 40,
      focus: ["nodes", "packet:vote-reply"],
      speed: 0.05,
      claims: [{ count: 0, of: { role: "leader" } }],
    },
    {
      text: "tour.split-vote.end", until: { all: { leader: { not: null } } }, limit_ms: 3000,
      focus: ["timers", "nodes"],
      speed: 0.2,
      claims: [{ count: 1, of: { role: "leader", term: { min: 2 } } }, { verdict: "holds" }],
    },
  ],
};
