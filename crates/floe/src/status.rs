//! A node's state as others see it: cheap to read from any thread, never needing the driver.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use floe_raft::{Index, LogId, Membership, NodeId, ProgressStatus, RoleKind, Term};

use crate::completion::lock;
use crate::fences::DiskState;

/// Who leads, as this member knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leadership {
    /// The role of this member.
    pub role: RoleKind,
    /// The latest term that it has seen.
    pub term: Term,
    /// The leader of that term, if known.
    pub leader: Option<NodeId>,
}

/// A node at one moment. The fields are read one after the other, so while the node works `commit` may already be
/// newer than `last`.
#[derive(Clone, Debug)]
pub struct NodeStatus {
    /// This member.
    pub id: NodeId,
    /// Its cluster.
    pub cluster: u64,
    /// Its role.
    pub role: RoleKind,
    /// The latest term that it has seen.
    pub term: Term,
    /// The leader of that term, if known.
    pub leader: Option<NodeId>,
    /// The last entry in its log.
    pub last: Index,
    /// The last entry on its own disk.
    pub durable: Index,
    /// The last entry known to be committed.
    pub commit: Index,
    /// The last entry that the state machine contains.
    pub applied: Index,
    /// The membership in force.
    pub membership: Arc<Membership>,
    /// On a leader, what it knows of each other member, at most a heartbeat interval old.
    pub progress: Arc<BTreeMap<NodeId, ProgressStatus>>,
    /// What happened since the start.
    pub counters: Counters,
}

/// Counts of what happened since the start.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Proposals made at this member.
    pub proposals: u64,
    /// Linearizable reads asked for at this member.
    pub reads: u64,
    /// Commands applied.
    pub applied_commands: u64,
    /// Batches that they were applied in.
    pub applied_batches: u64,
    /// Raft messages sent to other members.
    pub messages_sent: u64,
    /// Raft messages that came from other members.
    pub messages_received: u64,
    /// Raft messages dropped because a peer was not connected or its queue was full.
    pub messages_dropped: u64,
    /// Snapshots that were installed at another member.
    pub snapshots_sent: u64,
    /// Of these transfers, and those that failed, how many went on where an earlier one had broken.
    pub snapshots_resumed: u64,
    /// Snapshots that took the place of this member's state machine; of a witness, how often its log began anew.
    pub snapshots_installed: u64,
    /// Bytes of snapshots sent to other members.
    pub snapshot_bytes_sent: u64,
    /// Bytes of snapshots that came from other members.
    pub snapshot_bytes_received: u64,
    /// Times of one write and sync of the log.
    pub log_sync: Histogram,
    /// How many times the log had no room on its disk; what waits is tried again every second.
    pub log_full: u64,
}

/// How often something took how long.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    /// `counts[i]` times the duration was at most `16 << i` microseconds, and more than the bound before; the last
    /// one counts everything above.
    pub counts: [u64; Self::BUCKETS],
    /// The sum of all durations, in nanoseconds.
    pub sum_ns: u64,
}

impl Histogram {
    /// How many buckets there are: up to about half a second, and one above.
    pub const BUCKETS: usize = 16;

    /// The upper bound of a bucket; the last one has none.
    pub fn bound(bucket: usize) -> Option<Duration> {
        (bucket + 1 < Self::BUCKETS).then(|| Duration::from_micros(16 << bucket))
    }

    /// How many durations were recorded.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// A [`Histogram`] that threads add to.
#[derive(Debug, Default)]
pub(crate) struct LiveHistogram {
    counts: [AtomicU64; Histogram::BUCKETS],
    sum_ns: AtomicU64,
}

impl LiveHistogram {
    pub(crate) fn record(&self, duration: Duration) {
        let bucket = (0..Histogram::BUCKETS - 1).find(|&bucket| duration.as_micros() <= 16 << bucket);
        self.counts[bucket.unwrap_or(Histogram::BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
        self.sum_ns.fetch_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn read(&self) -> Histogram {
        let mut histogram = Histogram { sum_ns: self.sum_ns.load(Ordering::Relaxed), ..Histogram::default() };
        for (count, live) in histogram.counts.iter_mut().zip(&self.counts) {
            *count = live.load(Ordering::Relaxed);
        }
        histogram
    }
}

/// What this member can say of the cluster to those outside of it, taken together at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    /// The last entry in its log, committed or not.
    pub(crate) last: LogId,
    /// The last entry that it gave out to be applied.
    pub(crate) commit: LogId,
    /// The latest membership that it knows to be committed; it is in force at `commit`.
    pub(crate) membership: Arc<Membership>,
}

/// What the threads of a node publish while they run.
#[derive(Debug)]
pub(crate) struct Live {
    id: NodeId,
    cluster: u64,
    role: AtomicU8,
    term: AtomicU64,
    leader: AtomicU64,
    pub(crate) last: AtomicU64,
    pub(crate) durable: AtomicU64,
    /// The term that is durable before anything is said in it.
    pub(crate) disk_term: AtomicU64,
    pub(crate) commit: AtomicU64,
    pub(crate) applied: AtomicU64,
    pub(crate) membership: ArcSwap<Membership>,
    pub(crate) progress: ArcSwap<BTreeMap<NodeId, ProgressStatus>>,
    standing: Mutex<Standing>,
    pub(crate) proposals: AtomicU64,
    pub(crate) reads: AtomicU64,
    pub(crate) applied_commands: AtomicU64,
    pub(crate) applied_batches: AtomicU64,
    pub(crate) messages_sent: AtomicU64,
    pub(crate) messages_received: AtomicU64,
    pub(crate) messages_dropped: AtomicU64,
    pub(crate) snapshots_sent: AtomicU64,
    pub(crate) snapshots_resumed: AtomicU64,
    pub(crate) snapshots_installed: AtomicU64,
    pub(crate) snapshot_bytes_sent: AtomicU64,
    pub(crate) snapshot_bytes_received: AtomicU64,
    pub(crate) log_sync: LiveHistogram,
    pub(crate) log_full: AtomicU64,
}

impl Live {
    pub(crate) fn new(id: NodeId, cluster: u64, membership: Membership) -> Self {
        Self {
            id,
            cluster,
            role: AtomicU8::new(role_to_u8(RoleKind::Follower)),
            term: AtomicU64::default(),
            leader: AtomicU64::default(),
            last: AtomicU64::default(),
            durable: AtomicU64::default(),
            disk_term: AtomicU64::default(),
            commit: AtomicU64::default(),
            applied: AtomicU64::default(),
            membership: ArcSwap::from_pointee(membership),
            progress: ArcSwap::from_pointee(BTreeMap::new()),
            standing: Mutex::default(),
            proposals: AtomicU64::default(),
            reads: AtomicU64::default(),
            applied_commands: AtomicU64::default(),
            applied_batches: AtomicU64::default(),
            messages_sent: AtomicU64::default(),
            messages_received: AtomicU64::default(),
            messages_dropped: AtomicU64::default(),
            snapshots_sent: AtomicU64::default(),
            snapshots_resumed: AtomicU64::default(),
            snapshots_installed: AtomicU64::default(),
            snapshot_bytes_sent: AtomicU64::default(),
            snapshot_bytes_received: AtomicU64::default(),
            log_sync: LiveHistogram::default(),
            log_full: AtomicU64::default(),
        }
    }

    pub(crate) fn set_leadership(&self, leadership: Leadership) {
        self.role.store(role_to_u8(leadership.role), Ordering::Relaxed);
        self.leader.store(leadership.leader.map_or(0, |leader| leader.0), Ordering::Relaxed);
        self.term.store(leadership.term.0, Ordering::Relaxed);
    }

    pub(crate) fn standing(&self) -> Standing {
        lock(&self.standing).clone()
    }

    pub(crate) fn stand(&self, change: impl FnOnce(&mut Standing)) {
        change(&mut lock(&self.standing));
    }

    pub(crate) fn term(&self) -> Term {
        Term(self.term.load(Ordering::Relaxed))
    }

    pub(crate) fn leader(&self) -> Option<NodeId> {
        match self.leader.load(Ordering::Relaxed) {
            0 => None,
            leader => Some(NodeId(leader)),
        }
    }

    /// How far the disk with that number is. While a log starts anew after a snapshot it holds nothing, but the state
    /// machine holds all of it.
    pub(crate) fn disk_state(&self, disk: u64) -> DiskState {
        let term = Term(self.disk_term.load(Ordering::Acquire));
        let index = self.durable.load(Ordering::Acquire).max(self.applied.load(Ordering::Acquire));
        DiskState { disk, term, index: Index(index) }
    }

    pub(crate) fn id(&self) -> NodeId {
        self.id
    }

    pub(crate) fn status(&self) -> NodeStatus {
        let read = |value: &AtomicU64| value.load(Ordering::Relaxed);
        NodeStatus {
            id: self.id,
            cluster: self.cluster,
            role: role_from_u8(self.role.load(Ordering::Relaxed)),
            term: self.term(),
            leader: self.leader(),
            last: Index(read(&self.last)),
            durable: Index(read(&self.durable)),
            commit: Index(read(&self.commit)),
            applied: Index(read(&self.applied)),
            membership: self.membership.load_full(),
            progress: self.progress.load_full(),
            counters: Counters {
                proposals: read(&self.proposals),
                reads: read(&self.reads),
                applied_commands: read(&self.applied_commands),
                applied_batches: read(&self.applied_batches),
                messages_sent: read(&self.messages_sent),
                messages_received: read(&self.messages_received),
                messages_dropped: read(&self.messages_dropped),
                snapshots_sent: read(&self.snapshots_sent),
                snapshots_resumed: read(&self.snapshots_resumed),
                snapshots_installed: read(&self.snapshots_installed),
                snapshot_bytes_sent: read(&self.snapshot_bytes_sent),
                snapshot_bytes_received: read(&self.snapshot_bytes_received),
                log_sync: self.log_sync.read(),
                log_full: read(&self.log_full),
            },
        }
    }
}

fn role_to_u8(role: RoleKind) -> u8 {
    match role {
        RoleKind::Follower => 0,
        RoleKind::PreCandidate => 1,
        RoleKind::Candidate => 2,
        RoleKind::Leader => 3,
    }
}

fn role_from_u8(role: u8) -> RoleKind {
    match role {
        1 => RoleKind::PreCandidate,
        2 => RoleKind::Candidate,
        3 => RoleKind::Leader,
        _ => RoleKind::Follower,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_counted_in_the_first_bucket_that_holds_it() {
        let live = LiveHistogram::default();
        for micros in [0, 16, 17, 32, 33, 1 << 30] {
            live.record(Duration::from_micros(micros));
        }
        let histogram = live.read();
        assert_eq!(histogram.counts[..3], [2, 2, 1]);
        assert_eq!(histogram.counts[Histogram::BUCKETS - 1], 1);
        assert_eq!(histogram.count(), 6);
        assert_eq!(Histogram::bound(Histogram::BUCKETS - 1), None);
    }
}
