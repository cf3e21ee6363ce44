// A lease that leaves no margin for clocks that run at different rates.

export default {
  id: "break-lease",
  settings: {
    version: 1,
    seed: 55,
    voters: 3,
    reads: "lease",
    pre_vote: false,
    delay_ms: [1, 1],
    sync_ms: 1,
    mutant: "lease-without-margin",
    timeouts_ms: { 1: [100], 2: [150], 3: [290] },
  },
  steps: [
    {
      text: "tour.break-lease.start", until: { all: { leader: 1, commit: 1 } }, limit_ms: 1000,
      focus: ["node:1"],
      speed: 1,
      claims: [{ node: 1, role: "leader" }],
    },
    {
      text: "tour.break-lease.fast",
      do: [{ do: "clock", node: 2, rate_percent: 108 }, { do: "clock", node: 3, rate_percent: 108 }],
      until: { node: 1, lease_until: { not: null } }, limit_ms: 300,
      focus: ["timers"],
      speed: 0.1,
      claims: [{ node: 1, lease_until: { not: null } }, { verdict: "holds" }],
    },
    {
      text: "tour.break-lease.caught",
      do: [{ do: "cut", from: [1], to: [2, 3] }],
      until: { verdict: "lease-is-alone" }, limit_ms: 1000,
      focus: ["verdict", "nodes"],
      speed: 0.05,
      claims: [{ verdict: "lease-is-alone" }, { node: 1, role: "leader" }, { node: 2, role: "leader" }],
    },
  ],
};
