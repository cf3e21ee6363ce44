//! Committed entries on their way through the state machine.
//!
//! An entry is handed out when it is committed *and* on this node's own disk. The leader may commit by the others'
//! disks before its own answers, and waiting for it costs nothing as a rule; but a state machine that got ahead of
//! its log could not start again after a crash (etcd #10217, tikv #4560, qdrant #1172).

use std::collections::VecDeque;

use crate::effect::Effect;
use crate::entry::Entry;
use crate::fetch::Purpose;
use crate::id::Index;
use crate::mutant::Mutant;
use crate::node::Node;

/// How far the state machine is.
#[derive(Clone, Debug)]
pub(crate) struct Applying {
    applied: Index,
    /// The last entry handed out.
    handed: Index,
    /// What was handed out and is not reported: the last entry of each batch, and its cost.
    under_way: VecDeque<(Index, u64)>,
    bytes: u64,
}

impl Applying {
    pub(crate) fn new(applied: Index) -> Self {
        Self { applied, handed: applied, under_way: VecDeque::new(), bytes: 0 }
    }

    pub(crate) fn applied(&self) -> Index {
        self.applied
    }

    pub(crate) fn handed(&self) -> Index {
        self.handed
    }

    /// The host applied up to `index`; more than it was handed it cannot have.
    pub(crate) fn report(&mut self, index: Index) {
        self.applied = self.applied.max(index.min(self.handed));
        while let Some((_, bytes)) = self.under_way.pop_front_if(|(last, _)| *last <= self.applied) {
            self.bytes -= bytes;
        }
    }

    /// A snapshot took the place of the state.
    pub(crate) fn restart(&mut self, applied: Index) {
        *self = Self::new(applied);
    }

    fn hand_out(&mut self, entries: &[Entry]) {
        let Some(last) = entries.last() else { return };
        let bytes = entries.iter().map(Entry::cost).sum();
        self.handed = last.id.index;
        self.under_way.push_back((self.handed, bytes));
        self.bytes += bytes;
    }
}

impl Node {
    /// Hands out what may be applied and the limit admits.
    pub(crate) fn apply(&mut self) {
        let mut upto = self.commit.min(self.log.durable());
        if self.config.mutated(Mutant::ApplyBeforeDisk) {
            upto = self.commit;
        }
        while self.installing.is_none()
            && self.apply.handed < upto
            && self.apply.bytes < self.config.apply_bytes
            && !self.fetches.is_applying()
        {
            let first = self.apply.handed.next();
            let max_bytes = self.config.apply_bytes - self.apply.bytes;
            match self.log.recent(first, upto, max_bytes) {
                Some(entries) => self.hand_out(entries),
                None => {
                    let Some(id) = self.fetches.start(self.now, Purpose::Apply, first) else { return };
                    self.outbox.push(Effect::Fetch { id, first, last: upto, max_bytes });
                }
            }
        }
    }

    /// Entries that were read from disk to be applied, if they still follow what was handed out.
    pub(crate) fn apply_fetched(&mut self, mut entries: Vec<Entry>) {
        let upto = self.commit.min(self.log.durable());
        entries.truncate(entries.partition_point(|entry| entry.id.index <= upto));
        let follows = entries.first().is_some_and(|entry| entry.id.index == self.apply.handed.next());
        if follows && self.installing.is_none() {
            self.hand_out(entries);
        }
    }

    fn hand_out(&mut self, entries: Vec<Entry>) {
        self.apply.hand_out(&entries);
        self.outbox.push(Effect::Apply(entries));
    }
}
