//! When the beginning of the log may be dropped: once it is in a durable checkpoint *and* every member holds it.
//!
//! This version of the peer protocol carries no snapshots, so a member that needs a dropped entry could never catch
//! up. The leader therefore tells all members, now and then, up to which entry every log reaches durably (a `Floor`
//! frame), and each member drops what lies below it and below its own last checkpoint. While a member is down the
//! logs of the others grow.

use std::collections::VecDeque;
use std::time::Duration;

use floe_raft::{Index, LogId, Node, Time};

/// How often a leader announces the floor.
const INTERVAL: Duration = Duration::from_secs(1);
/// Checkpoints that are remembered while the floor is below them; older ones are merged.
const CHECKPOINTS_MAX: usize = 1024;

/// What is known about both conditions.
#[derive(Debug, Default)]
pub(super) struct Compaction {
    /// Durable checkpoints after the last compaction, ascending: places where the log may be cut.
    checkpoints: VecDeque<LogId>,
    floor: Index,
    announce_at: Option<Time>,
}

impl Compaction {
    /// The state machine holds this entry durably.
    pub(super) fn checkpointed(&mut self, id: LogId) {
        if id.index == Index::ZERO || self.checkpoints.back().is_some_and(|last| last.index >= id.index) {
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
        self.checkpoints.push_back(id);
    }

    /// Every member's log reaches this entry durably. True for ever once it is true.
    pub(super) fn raise_floor(&mut self, floor: Index) {
        self.floor = self.floor.max(floor);
    }

    /// Where to cut the log now, if anywhere.
    pub(super) fn due(&mut self, node: &Node) -> Option<LogId> {
        let floor = self.floor.min(node.durable()).min(node.applied());
        let count = self.checkpoints.partition_point(|checkpoint| checkpoint.index <= floor);
        self.checkpoints.drain(..count).next_back()
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

    #[test]
    fn checkpoints_are_kept_ascending_and_bounded() {
        let mut compaction = Compaction::default();
        compaction.checkpointed(LogId::ZERO);
        for index in 1..=5000 {
            compaction.checkpointed(LogId::new(Term(1), Index(index)));
            compaction.checkpointed(LogId::new(Term(1), Index(index)));
        }
        assert!(compaction.checkpoints.len() <= CHECKPOINTS_MAX);
        assert!(compaction.checkpoints.iter().is_sorted());
        assert_eq!(compaction.checkpoints.back().map(|id| id.index), Some(Index(5000)));
    }

    #[test]
    fn the_floor_never_sinks() {
        let mut compaction = Compaction::default();
        compaction.raise_floor(Index(9));
        compaction.raise_floor(Index(3));
        assert_eq!(compaction.floor, Index(9));
    }
}
