//! A node as people look at it: all that its core knows of itself, at one moment.

use std::collections::BTreeMap;
use std::time::Duration;

use floe_raft::{EntryKind, LogId, NodeId, Status};

/// What [`crate::Handle::look`] gives. Unlike [`crate::NodeStatus`] everything in it is of one moment: the driver was asked.
#[derive(Clone, Debug)]
pub struct NodeView {
    /// What the core says of itself. Its times are of the node's own clock.
    pub status: Status,
    /// The last entries that came into the log, ascending, at most 64; those too that were compacted since.
    pub recent: Vec<RecentEntry>,
    /// How long the last heartbeat to each peer took, there and back; on a leader.
    pub round_trips: BTreeMap<NodeId, Duration>,
    /// How much longer the leader's lease lasts, if it has one.
    pub lease_left: Option<Duration>,
    /// How long the oldest write of the log is under way, if one is.
    pub disk_waits: Option<Duration>,
    /// The disk takes longer than the others wait for a leader.
    pub is_disk_stalled: bool,
}

/// An entry without its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecentEntry {
    /// Its name.
    pub id: LogId,
    /// What it is for.
    pub kind: EntryKind,
    /// How long its payload is, in bytes.
    pub bytes: u64,
}
