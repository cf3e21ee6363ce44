// Where each rule stands: in the paper or the thesis, and in the source. Nothing is requested before a link is clicked.

const PAPER = "https://raft.github.io/raft.pdf";
const THESIS = "https://github.com/ongardie/dissertation/blob/master/stanford.pdf";

const paper = (section, title) => ({ work: "paper", section, title, url: PAPER });
const thesis = (section, title) => ({ work: "thesis", section, title, url: THESIS });

const ELECTION = paper("5.2", "Leader election");
const REPLICATION = paper("5.3", "Log replication");
const RESTRICTION = paper("5.4.1", "Election restriction");
const OLD_TERMS = paper("5.4.2", "Committing entries from previous terms");
const SAFETY = paper("5.4.3", "Safety argument");
const TERMS = paper("5.1", "Raft basics");
const CRASHES = paper("5.5", "Follower and candidate crashes");
const TIMING = paper("5.6", "Timing and availability");
const COMPACTION = paper("7", "Log compaction");
const CLIENTS = paper("8", "Client interaction");

/** For each rule: its place in the literature, and the file of the project that does it. */
const RULES = {
  "election-timeout": [TIMING, "crates/floe-raft/src/election.rs"],
  "pre-vote": [
    thesis("9.6", "Preventing disruptions when a server rejoins the cluster"),
    "crates/floe-raft/src/election.rs",
  ],
  "vote-granted": [ELECTION, "crates/floe-raft/src/election.rs"],
  "vote-refused-log": [RESTRICTION, "crates/floe-raft/src/election.rs"],
  "vote-refused-voted": [ELECTION, "crates/floe-raft/src/election.rs"],
  "vote-refused-leader": [thesis("4.2.3", "Disruptive servers"), "crates/floe-raft/src/election.rs"],
  "vote-refused-term": [TERMS, "crates/floe-raft/src/election.rs"],
  elected: [ELECTION, "crates/floe-raft/src/role/candidate.rs"],
  "higher-term": [TERMS, "crates/floe-raft/src/node.rs"],
  "step-down": [thesis("6.2", "Routing requests to the leader"), "crates/floe-raft/src/quiet.rs"],
  "no-op": [OLD_TERMS, "crates/floe-raft/src/role/leader.rs"],
  append: [REPLICATION, "crates/floe-raft/src/replication.rs"],
  "append-accepted": [REPLICATION, "crates/floe-raft/src/role/follower.rs"],
  "append-rejected": [REPLICATION, "crates/floe-raft/src/role/follower.rs"],
  truncate: [REPLICATION, "crates/floe-raft/src/log.rs"],
  heartbeat: [ELECTION, "crates/floe-raft/src/replication.rs"],
  "commit-quorum": [REPLICATION, "crates/floe-raft/src/quorum.rs"],
  "commit-told": [REPLICATION, "crates/floe-raft/src/role/follower.rs"],
  "commit-old-term": [OLD_TERMS, "crates/floe-raft/src/replication.rs"],
  applied: [TERMS, "crates/floe-raft/src/apply.rs"],
  "durable-first": [thesis("10.2.1", "Writing to the leader's disk in parallel"), "crates/floe-raft/src/outbox.rs"],
  "read-index": [thesis("6.4", "Processing read-only queries more efficiently"), "crates/floe-raft/src/reads.rs"],
  lease: [thesis("6.4.1", "Using clocks to reduce messaging for read-only queries"), "crates/floe-raft/src/lease.rs"],
  snapshot: [COMPACTION, "crates/floe-raft/src/snapshot.rs"],
  compact: [COMPACTION, "crates/floe-raft/src/snapshot.rs"],
  membership: [thesis("4.1", "Safety"), "crates/floe-raft/src/membership.rs"],
  joint: [paper("6", "Cluster membership changes"), "crates/floe-raft/src/change.rs"],
  promote: [thesis("4.2.1", "Catching up new servers"), "crates/floe-raft/src/catch_up.rs"],
  retire: [thesis("4.2.2", "Removing the current leader"), "crates/floe-raft/src/reconfigure.rs"],
  transfer: [thesis("3.10", "Leadership transfer extension"), "crates/floe-raft/src/transfer.rs"],
  "timeout-now": [thesis("3.10", "Leadership transfer extension"), "crates/floe-raft/src/transfer.rs"],
  "session-replay": [CLIENTS, "crates/floe-session/src/lib.rs"],
  crash: [CRASHES, "crates/floe-sim/src/host.rs"],
  restart: [CRASHES, "crates/floe-sim/src/host.rs"],
  fault: [TIMING, "crates/floe-sim/src/faults.rs"],
  beat: [ELECTION, "crates/floe-multi/src/lib.rs"],
  violated: [SAFETY, "docs/design/simulation.md"],
  other: [TERMS, "ARCHITECTURE.md"],
};

/** All rules that the table of strings has a sentence for. */
export const RULE_NAMES = Object.keys(RULES);

export function ruleOf(name) {
  const [source, file] = RULES[name] ?? RULES.other;
  return { name: name in RULES ? name : "other", source, file };
}
