// Followers that acknowledge entries before they are on their disks.

export default {
  id: "break-disk",
  settings: {
    version: 1,
    seed: 56,
    voters: 3,
    pre_vote: false,
    check_quorum: false,
    sync_ms: 40,
    mutant: "ack-before-disk",
    timeouts_ms: { 1: [150], 2: [600], 3: [600] },
  },
  steps: [
    {
      text: "tour.break-disk.start", until: { node: 1, role: "leader" }, limit_ms: 700,
      focus: ["node:1"],
      speed: 0.5,
      claims: [{ node: 1, role: "leader" }, { node: 1, durable: 0 }],
    },
    {
      text: "tour.break-disk.caught", until: { verdict: "durable-before-said" }, limit_ms: 500,
      focus: ["verdict", "log"],
      speed: 0.05,
      claims: [{ verdict: "durable-before-said" }],
    },
  ],
};
