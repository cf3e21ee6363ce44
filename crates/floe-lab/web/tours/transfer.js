// Leadership is handed over before planned work, with writes under way.

export default {
  id: "transfer",
  settings: { version: 1, seed: 9, voters: 3, timeouts_ms: { 1: [150], 2: [280], 3: [295] } },
  steps: [
    {
      text: "tour.transfer.start", until: { all: { leader: 1, commit: 1 } }, limit_ms: 500,
      focus: ["node:1"],
      speed: 1,
      claims: [{ node: 1, role: "leader", term: 1 }],
    },
    {
      text: "tour.transfer.write",
      do: [{ do: "set", key: "x", value: 5 }],
      until: { packet: { kind: "append", to: 2 } },
      focus: ["client", "packet:append"],
      speed: 0.05,
      claims: [{ node: 1, texts: ["set x 5"] }, { op: -1, state: "waiting" }],
    },
    {
      text: "tour.transfer.ask",
      do: [{ do: "transfer", to: 2 }],
      until: { packet: { kind: "timeout-now", to: 2 } }, limit_ms: 500,
      focus: ["node:1", "packet:timeout-now"],
      speed: 0.05,
      claims: [{ packet: { kind: "timeout-now", from: 1, to: 2 } }],
    },
    {
      text: "tour.transfer.campaign", until: { node: 2, role: "leader" }, limit_ms: 500,
      focus: ["node:2"],
      speed: 0.05,
      claims: [{ node: 2, role: "leader", term: 2 }],
    },
    {
      text: "tour.transfer.end", until: [{ all: { leader: 2, value: { x: 5 } } }], limit_ms: 1000,
      focus: ["nodes", "client"],
      speed: 0.1,
      claims: [
        { all: { leader: 2, value: { x: 5 } } },
        { op: 0, state: "answered", answer: "ok" },
        { node: 1, role: "follower" },
        { verdict: "holds" },
      ],
    },
  ],
};
