//! A node's disk: what survives a crash, and what is on its way there.

use std::collections::VecDeque;

use floe_raft::{Entry, EntryKind, HardState, LogId, Membership, Restored, Write, WriteId};

/// The disk of one node. Logs begin at index 1: nothing is compacted in the models.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) hard_state: HardState,
    pub(crate) durable: Vec<Entry>,
    /// The log as it will be once all that is pending is done: the log as the node sees it.
    pub(crate) written: Vec<Entry>,
    /// Writes under way, oldest first.
    pub(crate) pending: VecDeque<Write>,
}

impl Disk {
    pub(crate) fn new(hard_state: HardState, entries: Vec<Entry>) -> Self {
        Self { hard_state, durable: entries.clone(), written: entries, pending: VecDeque::new() }
    }

    pub(crate) fn submit(&mut self, write: Write) {
        perform(&mut self.written, &write);
        self.pending.push_back(write);
    }

    /// The oldest write becomes durable.
    pub(crate) fn complete(&mut self) -> Option<WriteId> {
        let write = self.pending.pop_front()?;
        perform(&mut self.durable, &write);
        if let Some(hard_state) = write.hard_state {
            self.hard_state = hard_state;
        }
        Some(write.id)
    }

    /// The power fails. Some of the writes reached the platter, though nobody was told.
    pub(crate) fn crash(&mut self, kept: usize) {
        for _ in 0..kept {
            self.complete();
        }
        self.pending.clear();
        self.written.clone_from(&self.durable);
    }

    /// What a node is told when it starts. The state machine is in memory, so that nothing is applied.
    pub(crate) fn restored(&self, birth: &Membership) -> Restored {
        let mut terms: Vec<LogId> = Vec::new();
        for entry in &self.durable {
            if terms.last().is_none_or(|run| run.term != entry.id.term) {
                terms.push(entry.id);
            }
        }
        let is_membership = |entry: &&Entry| entry.kind == EntryKind::Membership;
        Restored {
            hard_state: self.hard_state,
            terms,
            last: self.durable.last().map_or(LogId::ZERO, |entry| entry.id),
            tail: self.durable.clone(),
            membership: birth.clone(),
            memberships: self.durable.iter().filter(is_membership).cloned().collect(),
            ..Restored::default()
        }
    }
}

fn perform(log: &mut Vec<Entry>, write: &Write) {
    if let Some(from) = write.truncate_from {
        log.truncate(usize::try_from(from.prev().0).unwrap_or(usize::MAX));
    }
    log.extend(write.entries.iter().cloned());
}
