//! The writes on their way to disk, and what is durable once each is reported.
//!
//! All changes between two drains are gathered into one [`Write`]. What a finished write makes durable is not read
//! from the write, for the log may have been overwritten since. The race, after etcd-io/raft's
//! `async_storage_writes_append_aba_race.txt`, seen at one follower whose disk is slow:
//!
//! 1. Leader 1 of term 1 appends 5@1 6@1: write w1, under way.
//! 2. Leader 2 of term 2 takes over and overwrites them by 5@2: write w2, under way.
//! 3. Leader 1 returns in term 3, and appends *its* 5@1 6@1 again, in place of 5@2: write w3, under way.
//! 4. The disk reports w1. Position 6 with term 1 is what the log says there, and what w1 wrote.
//!
//! To count entry 6 as durable now, by index or by id, loses it: a crash after w2 and before w3 leaves 5@2 as the
//! last entry on disk, and the leader may have committed 6@1 on this acknowledgement. So a truncation *clips* every
//! earlier write to what it left standing; w1 then counts up to entry 4, and 6@1 becomes durable by w3 alone.

use std::collections::VecDeque;

use crate::entry::{Entry, HardState, Write};
use crate::id::{Index, LogId, Time, WriteId};
use crate::mutant::{Mutant, Mutation};

/// The write that is being gathered, those under way, and the outcome.
#[derive(Clone, Debug)]
pub(crate) struct Writes {
    /// The id that the gathered write will have.
    next: WriteId,
    hard_state: Option<HardState>,
    restart_after: Option<LogId>,
    truncate_from: Option<Index>,
    entries: Vec<Entry>,
    /// Under way, oldest first. Invariant: both ids and `upto` ascend.
    under_way: VecDeque<UnderWay>,
    /// The write that holds the current term and vote.
    hard_state_in: WriteId,
    /// The last write reported.
    reported: WriteId,
    /// The last entry of the *present* log that is on disk, with all before it.
    durable: Index,
    mutation: Mutation,
}

#[derive(Clone, Copy, Debug)]
struct UnderWay {
    id: WriteId,
    /// When this write is done, the present log is on disk up to here.
    upto: Index,
    since: Time,
}

impl Writes {
    /// With everything up to `durable` on disk.
    pub(crate) fn new(durable: Index) -> Self {
        Self {
            next: WriteId(1),
            hard_state: None,
            restart_after: None,
            truncate_from: None,
            entries: Vec::new(),
            under_way: VecDeque::new(),
            hard_state_in: WriteId(0),
            reported: WriteId(0),
            durable,
            mutation: Mutation::default(),
        }
    }

    /// For the ledger of bugs.
    pub(crate) fn mutate(&mut self, mutation: Mutation) {
        self.mutation = mutation;
    }

    pub(crate) fn set_hard_state(&mut self, hard_state: HardState) {
        self.hard_state = Some(hard_state);
        self.hard_state_in = self.next;
    }

    /// The write to wait for before a word is said under the current term; `None` when it is durable.
    pub(crate) fn hard_state_write(&self) -> Option<WriteId> {
        (self.hard_state_in > self.reported).then_some(self.hard_state_in)
    }

    pub(crate) fn append(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// Drops `from` and all after it; `last` is the log's last entry before that.
    pub(crate) fn truncate_from(&mut self, from: Index, last: Index) {
        // Gathered entries never reached the disk: they are just forgotten.
        let first_gathered = self.entries.first().map_or(last.next(), |entry| entry.id.index);
        let keep = from.0.saturating_sub(first_gathered.0);
        self.entries.truncate(usize::try_from(keep).unwrap_or(usize::MAX));
        if from < first_gathered {
            self.truncate_from = Some(self.truncate_from.map_or(from, |earlier| earlier.min(from)));
        }
        self.clip(from.prev());
    }

    /// The log starts anew after `base`. Nothing of it counts as durable before the write that says so.
    pub(crate) fn restart(&mut self, base: LogId) {
        self.entries.clear();
        self.truncate_from = None;
        self.restart_after = Some(base);
        self.clip(Index::ZERO);
    }

    fn clip(&mut self, upto: Index) {
        self.durable = self.durable.min(upto);
        if self.mutation.is(Mutant::LateCompletion) {
            return;
        }
        for write in &mut self.under_way {
            write.upto = write.upto.min(upto);
        }
    }

    /// Hands out what was gathered, if anything; `last` is the log's last entry.
    pub(crate) fn take(&mut self, now: Time, last: Index) -> Option<Write> {
        if self.hard_state.is_none()
            && self.restart_after.is_none()
            && self.truncate_from.is_none()
            && self.entries.is_empty()
        {
            return None;
        }
        let id = self.next;
        self.next = WriteId(id.0 + 1);
        self.under_way.push_back(UnderWay { id, upto: last, since: now });
        Some(Write {
            id,
            hard_state: self.hard_state.take(),
            restart_after: self.restart_after.take(),
            truncate_from: self.truncate_from.take(),
            entries: std::mem::take(&mut self.entries),
        })
    }

    /// This write and all before it are durable. An id that was never given out covers those that were.
    pub(crate) fn report(&mut self, id: WriteId) {
        while let Some(write) = self.under_way.pop_front_if(|write| write.id <= id) {
            self.reported = write.id;
            self.durable = self.durable.max(write.upto);
        }
    }

    pub(crate) fn durable(&self) -> Index {
        self.durable
    }

    /// Since when the oldest write is under way.
    pub(crate) fn waiting_since(&self) -> Option<Time> {
        self.under_way.front().map(|write| write.since)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::entry::EntryKind;
    use crate::id::Term;

    fn entry(term: u64, index: u64) -> Entry {
        Entry { id: LogId::new(Term(term), Index(index)), kind: EntryKind::Noop, payload: Bytes::new() }
    }

    fn append(writes: &mut Writes, entries: impl IntoIterator<Item = (u64, u64)>) -> Write {
        let entries = entries.into_iter().map(|(term, index)| entry(term, index)).collect::<Vec<_>>();
        let last = entries.last().unwrap().id.index;
        entries.into_iter().for_each(|entry| writes.append(entry));
        writes.take(Time(0), last).unwrap()
    }

    #[test]
    fn an_old_acknowledgement_does_not_cover_the_same_entries_written_again() {
        let mut writes = Writes::new(Index(4));
        let first = append(&mut writes, [(1, 5), (1, 6)]);
        writes.truncate_from(Index(5), Index(6));
        let second = append(&mut writes, [(2, 5)]);
        assert_eq!(second.truncate_from, Some(Index(5)));
        writes.truncate_from(Index(5), Index(5));
        let third = append(&mut writes, [(1, 5), (1, 6)]);
        writes.report(first.id);
        assert_eq!(writes.durable(), Index(4));
        writes.report(second.id);
        assert_eq!(writes.durable(), Index(4));
        writes.report(third.id);
        assert_eq!(writes.durable(), Index(6));
    }

    #[test]
    fn a_later_report_covers_earlier_writes_and_a_late_one_changes_nothing() {
        let mut writes = Writes::new(Index(0));
        let first = append(&mut writes, [(1, 1)]);
        let second = append(&mut writes, [(1, 2)]);
        writes.report(second.id);
        assert_eq!(writes.durable(), Index(2));
        writes.report(first.id);
        writes.report(WriteId(99));
        assert_eq!((writes.durable(), writes.waiting_since()), (Index(2), None));
    }

    #[test]
    fn entries_overwritten_before_the_drain_never_reach_the_disk() {
        let mut writes = Writes::new(Index(4));
        writes.append(entry(1, 5));
        writes.append(entry(1, 6));
        writes.truncate_from(Index(6), Index(6));
        writes.append(entry(2, 6));
        let write = writes.take(Time(0), Index(6)).unwrap();
        assert_eq!(write.truncate_from, None);
        assert_eq!(write.entries, [entry(1, 5), entry(2, 6)]);
        writes.append(entry(2, 7));
        writes.truncate_from(Index(6), Index(7));
        writes.append(entry(3, 6));
        writes.append(entry(3, 7));
        writes.truncate_from(Index(7), Index(7));
        let write = writes.take(Time(0), Index(6)).unwrap();
        assert_eq!((write.truncate_from, write.entries), (Some(Index(6)), vec![entry(3, 6)]));
    }

    #[test]
    fn nothing_is_durable_between_a_snapshot_and_the_restart_of_the_log() {
        let mut writes = Writes::new(Index(4));
        let old = append(&mut writes, [(1, 5)]);
        writes.append(entry(1, 6));
        writes.restart(LogId::new(Term(2), Index(50)));
        let restart = writes.take(Time(0), Index(50)).unwrap();
        assert_eq!((restart.restart_after, restart.entries.len()), (Some(LogId::new(Term(2), Index(50))), 0));
        writes.report(old.id);
        assert_eq!(writes.durable(), Index::ZERO);
        writes.report(restart.id);
        assert_eq!(writes.durable(), Index(50));
    }

    #[test]
    fn the_term_is_spoken_of_once_its_write_is_reported() {
        let mut writes = Writes::new(Index(0));
        assert_eq!(writes.hard_state_write(), None);
        writes.set_hard_state(HardState { term: Term(1), vote: None });
        assert_eq!(writes.hard_state_write(), Some(WriteId(1)));
        let write = writes.take(Time(5), Index(0)).unwrap();
        assert_eq!((writes.hard_state_write(), writes.waiting_since()), (Some(write.id), Some(Time(5))));
        writes.report(write.id);
        assert_eq!((writes.hard_state_write(), writes.take(Time(6), Index(0))), (None, None));
    }
}
