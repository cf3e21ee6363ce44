// Figure 8 with its rule switched off: the leader commits an entry of an older term by counting.

export default {
  id: "break-old-terms",
  settings: {
    version: 1,
    seed: 2,
    voters: 5,
    pre_vote: false,
    check_quorum: false,
    mutant: "commit-old-terms",
    timeouts_ms: { 1: [150, 200], 2: [2000, 2000], 3: [2000, 2000], 4: [2000, 2000], 5: [200, 200] },
  },
  steps: [
    {
      text: "tour.break-old-terms.a", until: { all: { leader: 1, commit: 1 } }, limit_ms: 500,
      focus: ["node:1"],
      speed: 1,
      claims: [{ node: 1, role: "leader", term: 1 }],
    },
    {
      text: "tour.break-old-terms.b",
      do: [{ do: "cut", from: [1], to: [3, 4, 5] }, { do: "set", key: "x", value: 2, node: 1 }],
      until: { node: 2, texts: ["set x 2"], durable: 2 },
      focus: ["log:1", "log:2"],
      speed: 0.05,
      claims: [{ nodes: [1, 2], all: { entries: [[1, 1], [2, 1]] } }, { node: 1, commit: 1 }],
    },
    {
      text: "tour.break-old-terms.c",
      do: [{ do: "crash", node: 1 }, { do: "cut", from: [5], to: [2] }],
      until: { node: 5, role: "leader" }, limit_ms: 1500,
      focus: ["node:5"],
      speed: 0.2,
      claims: [{ node: 5, role: "leader" }],
    },
    {
      text: "tour.break-old-terms.d",
      do: [{ do: "cut", from: [5], to: [1, 2, 3, 4] }, { do: "set", key: "x", value: 3, node: 5 }],
      until: { node: 5, texts: ["set x 3"], durable: { min: 3 } },
      focus: ["log:5"],
      speed: 0.05,
      claims: [{ node: 5, texts: ["set x 3"] }],
    },
    {
      text: "tour.break-old-terms.e",
      do: [{ do: "crash", node: 5 }, { do: "heal" }, { do: "restart", node: 1 }],
      until: { node: 1, role: "leader" }, limit_ms: 2000,
      focus: ["node:1"],
      speed: 0.2,
      claims: [{ node: 1, role: "leader" }, { verdict: "holds" }],
    },
    {
      text: "tour.break-old-terms.f",
      do: [{ do: "cut", from: [1], to: [4] }, { do: "disk", node: 2, mode: "stall" }],
      until: { verdict: "current-term-commit" }, limit_ms: 500,
      focus: ["verdict", "log:1", "log:2", "log:3"],
      speed: 0.05,
      claims: [{ verdict: "current-term-commit" }, { state: { end: "violated" } }, { node: 1, commit: 2 }],
    },
  ],
};
