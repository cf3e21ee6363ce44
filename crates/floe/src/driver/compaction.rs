//! When the beginning of the log may be dropped, and when it must be.
//!
//! *May*: once it is in a durable checkpoint and every member holds it. The leader tells all members, now and then, up to
//! which entry every log reaches durably (a `Floor` frame); what lies below is of no use to anybody.
//!
//! *Must*: once the log holds more bytes than it is allowed to. A member that is down or far behind may need what goes;
//! it gets a snapshot. Some bytes of entries always stay, so that a member that is only a little slow does not.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use floe_raft::{Index, LogId, Membership, Node, Time};

use crate::inbox::Checkpoint;

/// How often a leader announces the floor.
const INTERVAL: Duration = Duration::from_secs(1);
/// Checkpoints that are remembered while nothing may be cut; older ones are merged.
const CHECKPOINTS_MAX: usize = 1024;
/// A snapshot that is under way keeps the entries after it, unless the log grows beyond this many times its limit.
const HELD_MAX: u64 = 4;

/// How long the log may become.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogLimits {
    /// It is cut when it holds more than this many bytes of applied entries.
    pub(crate) bytes: u64,
    /// So many of them stay.
    pub(crate) trailing_bytes: u64,
    /// What it held at the start of the process, about.
    pub(crate) bytes_at_start: u64,
}

/// What is known about both conditions.
#[derive(Debug)]
pub(super) struct Compaction {
    limits: LogLimits,
    /// Durable checkpoints after the last compaction, ascending: places where the log may be cut.
    checkpoints: VecDeque<Checkpoint>,
    /// Where it was cut last, by the bytes that were applied since the start; what was there before counts as negative.
    cut_bytes: i128,
    cut: Index,
    floor: Index,
    announce_at: Option<Time>,
}

impl Compaction {
    pub(super) fn new(limits: LogLimits) -> Self {
        let cut_bytes = -i128::from(limits.bytes_at_start);
        let (checkpoints, cut, floor) = (VecDeque::new(), Index::ZERO, Index::ZERO);
        Self { limits, checkpoints, cut_bytes, cut, floor, announce_at: None }
    }

    /// The state machine holds this durably.
    pub(super) fn checkpointed(&mut self, checkpoint: Checkpoint) {
        let index = checkpoint.id.index;
        if index == Index::ZERO || self.checkpoints.back().is_some_and(|last| last.id.index >= index) {
            return;
        }
        if self.checkpoints.len() == CHECKPOINTS_MAX {
            // Cutting only at every other place in the past is no loss.
            let mut keep = false;
            self.checkpoints.retain(|_| {
                keep = !keep;
                keep
            });
        }
        self.checkpoints.push_back(checkpoint);
    }

    /// Every member's log reaches this entry durably. True for ever once it is true.
    pub(super) fn raise_floor(&mut self, floor: Index) {
        self.floor = self.floor.max(floor);
    }

    /// The log begins after this entry, or later.
    pub(super) fn cut(&self) -> Index {
        self.cut
    }

    /// Where to cut the log now, if anywhere. `held` is a snapshot that is under way to a member, which needs all that
    /// follows.
    pub(super) fn due(&mut self, node: &Node, held: Option<Index>) -> Option<(LogId, Arc<Membership>)> {
        let own = node.durable().min(node.applied());
        let upto = self.floor.max(self.overdue(held)).min(own);
        let count = self.checkpoints.partition_point(|checkpoint| checkpoint.id.index <= upto);
        let checkpoint = self.checkpoints.drain(..count).next_back()?;
        self.cut_bytes = i128::from(checkpoint.bytes);
        self.cut = checkpoint.id.index;
        Some((checkpoint.id, checkpoint.membership))
    }

    /// Up to where the log is too long.
    fn overdue(&self, held: Option<Index>) -> Index {
        let Some(newest) = self.checkpoints.back() else { return Index::ZERO };
        let length = i128::from(newest.bytes) - self.cut_bytes;
        if length <= i128::from(self.limits.bytes) {
            return Index::ZERO;
        }
        let bytes = newest.bytes.saturating_sub(self.limits.trailing_bytes);
        let count = self.checkpoints.partition_point(|checkpoint| checkpoint.bytes <= bytes);
        let upto = count.checked_sub(1).map_or(Index::ZERO, |at| self.checkpoints[at].id.index);
        match held {
            Some(held) if length <= i128::from(self.limits.bytes) * i128::from(HELD_MAX) => upto.min(held),
            Some(_) | None => upto,
        }
    }

    /// On a leader, the floor to tell the others, when it is time.
    pub(super) fn announcement(&mut self, now: Time, node: &Node) -> Option<Index> {
        if !node.is_leader() || self.announce_at.is_some_and(|at| now < at) {
            return None;
        }
        self.announce_at = Some(now.plus(INTERVAL));
        let status = node.status();
        let matched = status.progress.values().map(|progress| progress.matched);
        let floor = matched.chain([status.durable, status.applied]).min().unwrap_or_default();
        self.raise_floor(floor);
        Some(self.floor)
    }
}

#[cfg(test)]
mod tests {
    use floe_raft::Term;

    use super::*;

    fn checkpoint(index: u64, bytes: u64) -> Checkpoint {
        let id = LogId::new(Term(1), Index(index));
        Checkpoint { id, membership: Arc::default(), bytes }
    }

    fn compaction(bytes: u64, trailing_bytes: u64, bytes_at_start: u64) -> Compaction {
        Compaction::new(LogLimits { bytes, trailing_bytes, bytes_at_start })
    }

    #[test]
    fn checkpoints_are_kept_ascending_and_bounded() {
        let mut compaction = compaction(u64::MAX, 0, 0);
        compaction.checkpointed(checkpoint(0, 0));
        for index in 1..=5000 {
            compaction.checkpointed(checkpoint(index, index));
            compaction.checkpointed(checkpoint(index, index));
        }
        assert!(compaction.checkpoints.len() <= CHECKPOINTS_MAX);
        assert!(compaction.checkpoints.iter().is_sorted_by_key(|checkpoint| checkpoint.id.index));
        assert_eq!(compaction.checkpoints.back().map(|last| last.id.index), Some(Index(5000)));
    }

    #[test]
    fn the_floor_never_sinks() {
        let mut compaction = compaction(u64::MAX, 0, 0);
        compaction.raise_floor(Index(9));
        compaction.raise_floor(Index(3));
        assert_eq!(compaction.floor, Index(9));
    }

    #[test]
    fn a_log_that_is_too_long_is_cut_but_for_its_trailing_entries() {
        let mut compaction = compaction(1000, 300, 0);
        for step in 1..=10 {
            compaction.checkpointed(checkpoint(step, 100 * step));
        }
        assert_eq!(compaction.overdue(None), Index::ZERO, "1000 bytes are allowed");
        compaction.checkpointed(checkpoint(11, 1100));
        assert_eq!(compaction.overdue(None), Index(8), "300 bytes stay");
        assert_eq!(compaction.overdue(Some(Index(5))), Index(5), "what follows a snapshot under way stays");
        compaction.checkpointed(checkpoint(12, 4100));
        assert_eq!(compaction.overdue(Some(Index(5))), Index(11), "but not for ever");
    }

    #[test]
    fn what_was_in_the_log_at_the_start_counts() {
        let mut compaction = compaction(1000, 50, 950);
        compaction.checkpointed(checkpoint(5, 40));
        assert_eq!(compaction.overdue(None), Index::ZERO);
        compaction.checkpointed(checkpoint(6, 100));
        assert_eq!(compaction.overdue(None), Index(5));
    }
}
