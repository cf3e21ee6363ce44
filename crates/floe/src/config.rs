//! What a node is told when it starts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use floe_raft::{Lease, LogId, NodeId};

use crate::trace::TraceConfig;

/// The configuration of one node.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// This member. Never zero, and never used again after its data directory is lost.
    pub id: NodeId,
    /// The cluster; members of different clusters refuse each other.
    pub cluster: u64,
    /// Where identity and log live. Made if it is not there.
    pub data_dir: PathBuf,
    /// Where the other members reach this one; may be empty for a single member or when listeners are given to the
    /// builder.
    pub listen: Vec<SocketAddr>,
    /// Every member of a new cluster, this one too, with the `host:port` where it is reached; several of one member
    /// stand after each other, separated by commas. Ignored once the data directory holds an identity: from then on
    /// the log says who belongs to the cluster.
    pub members: BTreeMap<NodeId, String>,
    /// The witnesses among `members`, the same on every member of a new cluster; and this member, at each of its starts, if
    /// it is one ([`crate::Builder::start_witness`]). A member is a witness for ever, or never.
    pub witnesses: BTreeSet<NodeId>,
    /// Set when the cluster runs already and this member was added to it: the last entry that was committed when
    /// somebody said so ([`crate::ClusterView::commit`]). `members` are those to talk to until the log tells. Ignored once
    /// the data directory holds an identity.
    pub joined: Option<LogId>,
    /// How often a leader shows that it is there.
    pub heartbeat_interval: Duration,
    /// A follower that hears no leader for a random time in `[1, 2)` times this starts an election.
    pub election_timeout: Duration,
    /// How gladly this member leads. With 255, the default, it waits for nobody; with less it campaigns up to one election
    /// timeout later than others, and hands over to a caught-up member that has more.
    pub priority: u8,
    /// Answer linearizable reads at once while the leader holds a lease, instead of after a round of messages. Right as
    /// long as the clocks of the members run at rates that differ by less than the margin covers, and every member is
    /// told the same. A dead leader is then waited for, since voters have promised so: failover takes a whole election
    /// timeout.
    pub lease: Option<Lease>,
    /// The largest command accepted, in bytes.
    pub command_bytes_max: u64,
    /// Proposals that wait for the driver, in bytes; beyond it the answer is `Busy`. Together with the largest
    /// command at most 60 MiB.
    pub queued_bytes_max: u64,
    /// Proposals and reads that wait for the driver, by count; beyond it the answer is `Busy`.
    pub queued_max: usize,
    /// The size of one file of the log, in bytes.
    pub segment_bytes: u64,
    /// The state machine is asked for a checkpoint this often, if it applied anything.
    pub checkpoint_interval: Duration,
    /// And after this many bytes of applied commands.
    pub checkpoint_bytes: u64,
    /// The log is cut when it holds more than this many bytes of applied entries, whoever may still need them: a member
    /// that does gets a snapshot. What every member holds is dropped before that.
    pub snapshot_log_bytes: u64,
    /// How many bytes of applied entries stay when the log is cut, for members that are a little slow.
    pub snapshot_trailing_bytes: u64,
    /// The most that is sent of one snapshot in a second, in bytes.
    pub snapshot_bytes_per_second: u64,
    /// What is written of the node's history, for people and tools that follow it.
    pub trace: TraceConfig,
}

impl NodeConfig {
    /// The defaults of the design: heartbeat 30 ms, election 300-600 ms, segments of 64 MiB, checkpoints every 2 s
    /// or 64 MiB, a log of at most about 256 MiB of which 64 MiB stay, snapshots at 128 MiB/s.
    pub fn new(id: NodeId, cluster: u64, data_dir: impl Into<PathBuf>) -> Self {
        Self {
            id,
            cluster,
            data_dir: data_dir.into(),
            listen: Vec::new(),
            members: BTreeMap::new(),
            witnesses: BTreeSet::new(),
            joined: None,
            heartbeat_interval: Duration::from_millis(30),
            election_timeout: Duration::from_millis(300),
            priority: u8::MAX,
            lease: None,
            command_bytes_max: 16 << 20,
            queued_bytes_max: 32 << 20,
            queued_max: 1 << 16,
            segment_bytes: 64 << 20,
            checkpoint_interval: Duration::from_secs(2),
            checkpoint_bytes: 64 << 20,
            snapshot_log_bytes: 256 << 20,
            snapshot_trailing_bytes: 64 << 20,
            snapshot_bytes_per_second: 128 << 20,
            trace: TraceConfig::default(),
        }
    }

    /// Whether this member is a witness.
    pub fn is_witness(&self) -> bool {
        self.witnesses.contains(&self.id)
    }
}
