// Disks that hang: of a follower, of the leader for a moment, of the leader for good.

export default {
  id: "disk-stall",
  settings: { version: 1, seed: 44, voters: 3, timeouts_ms: { 1: [150], 2: [200], 3: [290] } },
  steps: [
    {
      text: "tour.disk-stall.start", until: { all: { leader: 1, commit: 1 } }, limit_ms: 500,
      focus: ["node:1"],
      speed: 1,
      claims: [{ node: 1, role: "leader" }],
    },
    {
      text: "tour.disk-stall.follower",
      do: [{ do: "disk", node: 3, mode: "stall" }, { do: "set", key: "x", value: 5 }],
      until: { op: -1, state: "answered" }, limit_ms: 300,
      focus: ["node:3", "log"],
      speed: 0.05,
      claims: [{ op: -1, answer: "ok" }, { node: 3, durable: 1, disk: "stall" }],
    },
    {
      text: "tour.disk-stall.leader",
      do: [
        { do: "disk", node: 3, mode: "ok" },
        { do: "disk", node: 1, mode: "stall" },
        { do: "set", key: "x", value: 6 },
      ],
      until: { node: 1, commit: 3 }, limit_ms: 500,
      focus: ["node:1", "log:1"],
      speed: 0.05,
      claims: [{ node: 1, commit: 3, durable: 2 }, { nodes: [2, 3], all: { durable: 3 } }],
    },
    {
      text: "tour.disk-stall.handover",
      until: [
        { all: { leader: { not: 1 } } },
        { some: { role: "leader" } },
        { all: { leader: { not: null } } },
      ],
      limit_ms: 8000,
      focus: ["node:1"],
      speed: 0.5,
      claims: [{ node: 1, role: "follower" }],
    },
    {
      text: "tour.disk-stall.end",
      do: [{ do: "disk", node: 1, mode: "ok" }, { do: "add", key: "x", value: 1, node: 2 }],
      until: { all: { value: { x: 7 } } }, limit_ms: 3000,
      focus: ["nodes"],
      speed: 0.2,
      claims: [{ all: { value: { x: 7 } } }, { verdict: "holds" }],
    },
  ],
};
