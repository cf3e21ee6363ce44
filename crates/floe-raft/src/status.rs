//! A node's state as others may see it: a copy, taken when asked for.

use std::collections::BTreeMap;

use crate::effect::RoleKind;
use crate::entry::HardState;
use crate::id::{Index, LogId, NodeId, Time};
use crate::membership::Membership;

/// A node at one moment.
#[derive(Clone, Debug)]
pub struct Status {
    /// The node.
    pub id: NodeId,
    /// Its role.
    pub role: RoleKind,
    /// The leader of the current term, if known.
    pub leader: Option<NodeId>,
    /// Term and vote, durable or about to be.
    pub hard_state: HardState,
    /// What the first entry in the log follows.
    pub base: LogId,
    /// The last entry, durable or about to be.
    pub last: LogId,
    /// The last entry on this node's own disk.
    pub durable: Index,
    /// The last entry known to be committed.
    pub commit: Index,
    /// The last entry reported applied.
    pub applied: Index,
    /// The membership in force.
    pub membership: Membership,
    /// The entry that put it in force; zero when it came with the snapshot or the bootstrap.
    pub membership_at: Index,
    /// The entry of a membership change that is under way: not committed, or joint and to be left.
    pub pending_change: Option<Index>,
    /// On a leader, what it knows of each other member, and of those that are leaving.
    pub progress: BTreeMap<NodeId, ProgressStatus>,
    /// To whom leadership is being handed over.
    pub transfer_to: Option<NodeId>,
    /// On a leader, until when it may answer reads by its lease, if it has one. It may have passed.
    pub lease_until: Option<Time>,
    /// Reads that wait.
    pub reads_waiting: usize,
}

/// What a leader knows of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgressStatus {
    /// Known to agree and to be durable there.
    pub matched: Index,
    /// The next entry to send. Invariant: `matched < next`.
    pub next: Index,
    /// How entries are sent.
    pub state: ProgressState,
    /// Appends under way.
    pub inflight: usize,
    /// Answered something within the last election timeout.
    pub recent: bool,
    /// It is no member any more, and has yet to hear that this is committed.
    pub leaving: bool,
}

/// How a leader sends entries to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgressState {
    /// One append at a time, to find where the logs agree.
    Probe,
    /// Many at a time.
    Replicate,
    /// Entries wait until a snapshot has arrived.
    Snapshot,
}
