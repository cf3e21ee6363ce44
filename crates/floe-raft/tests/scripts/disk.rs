//! A virtual disk: what is written and reported durable, and what is still on its way and dies with a crash.

use std::collections::{BTreeMap, VecDeque};

use floe_raft::{Entry, EntryKind, HardState, Index, LogId, Membership, Restored, Write, WriteId};

/// A log as a plain list of entries after a base.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    /// What the first entry follows; zero while nothing is compacted.
    pub(crate) base: LogId,
    /// The membership in force at the base.
    pub(crate) membership: Membership,
    /// The entries after the base.
    pub(crate) entries: Vec<Entry>,
}

impl Log {
    /// The id of the last entry; the base when there is none.
    pub(crate) fn last(&self) -> LogId {
        self.entries.last().map_or(self.base, |entry| entry.id)
    }

    /// The entry at an index, unless it is compacted or beyond the end.
    pub(crate) fn entry(&self, index: Index) -> Option<&Entry> {
        let offset = index.0.checked_sub(self.base.index.0 + 1)?;
        self.entries.get(usize::try_from(offset).ok()?)
    }

    /// The id at an index, the base included.
    pub(crate) fn id_at(&self, index: Index) -> Option<LogId> {
        if index == self.base.index {
            return Some(self.base);
        }
        self.entry(index).map(|entry| entry.id)
    }

    /// Whether this very entry is in the log, or was, before it was compacted. What is compacted is committed, so a
    /// base at or above the index stands for the committed entry there.
    pub(crate) fn covers(&self, id: LogId) -> bool {
        id.index < self.base.index || self.id_at(id.index) == Some(id)
    }

    /// Performs one write, in the order that the host must keep: restart, truncate, append.
    fn perform(&mut self, write: &Write, installs: &BTreeMap<LogId, Membership>) {
        if let Some(base) = write.restart_after {
            self.base = base;
            self.entries.clear();
            if let Some(membership) = installs.get(&base) {
                self.membership = membership.clone();
            }
        }
        if let Some(from) = write.truncate_from {
            self.truncate_from(from);
        }
        self.entries.extend(write.entries.iter().cloned());
    }

    /// Drops the entry at an index and all after it.
    fn truncate_from(&mut self, from: Index) {
        let kept = from.0.saturating_sub(self.base.index.0 + 1);
        self.entries.truncate(usize::try_from(kept).unwrap_or(usize::MAX));
    }

    /// Drops every entry up to and including an index that the log holds.
    fn compact(&mut self, base: LogId) {
        let dropped = usize::try_from(base.index.0.saturating_sub(self.base.index.0)).unwrap_or(usize::MAX);
        for entry in self.entries.drain(..dropped.min(self.entries.len())) {
            if entry.kind == EntryKind::Membership
                && let Ok(membership) = floe_raft::codec::decode_membership(entry.payload)
            {
                self.membership = membership;
            }
        }
        self.base = base;
    }

    /// The first entry of each term.
    fn runs(&self) -> Vec<LogId> {
        let mut runs: Vec<LogId> = Vec::new();
        let mut term = self.base.term;
        for entry in &self.entries {
            if entry.id.term != term || runs.is_empty() {
                term = entry.id.term;
                runs.push(entry.id);
            }
        }
        runs
    }
}

/// The disk of one node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    /// Term and vote that survive a crash.
    pub(crate) hard_state: HardState,
    /// The log that survives a crash.
    pub(crate) durable: Log,
    /// The log as it will be once every pending write is done: the log as the node sees it.
    pub(crate) written: Log,
    /// Writes on their way, in order.
    pub(crate) pending: VecDeque<Write>,
    /// Term and vote as they will be once every pending write is done.
    pub(crate) submitted: HardState,
    /// Whether writes wait until a script releases them.
    pub(crate) held: bool,
    /// The membership that came with each snapshot, needed when the log restarts after it.
    installs: BTreeMap<LogId, Membership>,
}

impl Disk {
    /// An empty disk of a member of a new group.
    pub(crate) fn new(membership: Membership) -> Self {
        let log = Log { membership, ..Log::default() };
        Self { durable: log.clone(), written: log, ..Self::default() }
    }

    /// A disk with a history.
    pub(crate) fn preset(membership: Membership, hard_state: HardState, entries: Vec<Entry>) -> Self {
        let log = Log { membership, entries, ..Log::default() };
        Self { hard_state, submitted: hard_state, durable: log.clone(), written: log, ..Self::default() }
    }

    /// Remembers the membership of a snapshot that the host installs.
    pub(crate) fn install(&mut self, last: LogId, membership: Membership) {
        self.installs.insert(last, membership);
    }

    /// Takes a write on.
    pub(crate) fn submit(&mut self, write: Write) {
        self.written.perform(&write, &self.installs);
        if let Some(hard_state) = write.hard_state {
            self.submitted = hard_state;
        }
        self.pending.push_back(write);
    }

    /// Makes the first `count` pending writes durable; the id of the last of them.
    pub(crate) fn complete(&mut self, count: usize) -> Option<WriteId> {
        let mut last = None;
        for _ in 0..count.min(self.pending.len()) {
            let Some(write) = self.pending.pop_front() else { break };
            self.durable.perform(&write, &self.installs);
            if let Some(hard_state) = write.hard_state {
                self.hard_state = hard_state;
            }
            last = Some(write.id);
        }
        last
    }

    /// The power fails: the first `kept` pending writes happened to reach the platter, though nobody was told; the
    /// rest is gone.
    pub(crate) fn crash(&mut self, kept: usize) {
        self.complete(kept);
        self.pending.clear();
        self.written = self.durable.clone();
        self.submitted = self.hard_state;
        self.held = false;
    }

    /// Drops the log up to an applied entry, for good.
    pub(crate) fn compact(&mut self, base: LogId) {
        self.durable.compact(base);
        self.written.compact(base);
    }

    /// Starts the log anew after an entry that the state machine contains and the log does not: the machine
    /// installed a snapshot, and the crash came before the log was restarted after it.
    pub(crate) fn restart_after(&mut self, base: LogId, membership: Membership) {
        let log = Log { base, membership, entries: Vec::new() };
        self.durable = log.clone();
        self.written = log;
    }

    /// What a node is told when it starts; the tail holds the last entries up to a cost, at least one.
    pub(crate) fn restored(&self, applied: Index, tail_bytes: u64) -> Restored {
        let log = &self.durable;
        let mut cost = 0;
        let tail_len = log
            .entries
            .iter()
            .rev()
            .take_while(|entry| {
                cost += entry.cost();
                cost <= tail_bytes
            })
            .count();
        Restored {
            hard_state: self.hard_state,
            base: log.base,
            terms: log.runs(),
            last: log.last(),
            tail: log.entries[log.entries.len() - tail_len..].to_vec(),
            membership: log.membership.clone(),
            memberships: log
                .entries
                .iter()
                .filter(|entry| entry.kind == EntryKind::Membership)
                .cloned()
                .collect(),
            applied,
        }
    }
}
