// Many groups on the same machines share their heartbeats, and sleep when nothing happens.

export default {
  id: "multi-raft",
  settings: { version: 1, seed: 45, voters: 3, groups: 6 },
  steps: [
    { text: "tour.multi-raft.start", at_ms: 20, focus: ["nodes"], speed: 0.1, claims: [{ led: 0 }] },
    {
      text: "tour.multi-raft.elect", until: { led: 6 }, limit_ms: 2000,
      focus: ["nodes", "log"],
      speed: 0.2,
      claims: [{ led: 6 }, { node: 1, leads: 3 }, { node: 2, leads: 3 }],
    },
    {
      text: "tour.multi-raft.beats", until: { event: { kind: "beat", heartbeats: { min: 2 } } },
      limit_ms: 1000,
      focus: ["packet:beat"],
      speed: 0.1,
      claims: [{ packet: { kind: "beat" } }, { event: { kind: "sent", message: "heartbeat" }, none: true }],
    },
    {
      text: "tour.multi-raft.sleep", until: { all: { asleep: 6 } }, limit_ms: 8000,
      focus: ["nodes", "log"],
      speed: 1,
      claims: [{ all: { asleep: 6 } }, { led: 6 }],
    },
    {
      text: "tour.multi-raft.crash",
      do: [{ do: "crash", node: 1 }],
      until: { led: 6 }, limit_ms: 10000,
      focus: ["node:1", "nodes"],
      speed: 0.5,
      claims: [{ node: 1, status: "down" }, { led: 6 }, { node: 3, leads: 3 }, { verdict: "holds" }],
    },
  ],
};
