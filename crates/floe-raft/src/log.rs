//! The log as the core sees it: its terms, its recent entries, and how much of it is on disk.

pub(crate) mod tail;
pub(crate) mod terms;
pub(crate) mod writes;

use crate::entry::{Entry, HardState, Write};
use crate::id::{Index, LogId, Term, Time, WriteId};
use crate::log::tail::Tail;
use crate::log::terms::Terms;
use crate::log::writes::Writes;
use crate::mutant::Mutation;

/// One log. Every change is gathered into the next [`Write`].
#[derive(Clone, Debug)]
pub(crate) struct Log {
    terms: Terms,
    tail: Tail,
    writes: Writes,
}

impl Log {
    /// Takes over what was read from disk; the tail may be empty, but must fit the terms.
    pub(crate) fn restore(terms: Terms, tail: Vec<Entry>) -> Result<Self, &'static str> {
        let last = terms.last();
        let fits = tail.is_sorted_by(|a, b| a.id.index.next() == b.id.index)
            && tail.iter().all(|entry| entry.id.index > terms.base().index)
            && tail.iter().all(|entry| terms.term_at(entry.id.index) == Some(entry.id.term))
            && tail.last().is_none_or(|entry| entry.id == last);
        if !fits {
            return Err("the recent entries are not the end of the log");
        }
        Ok(Self { terms, tail: Tail::new(tail), writes: Writes::new(last.index) })
    }

    /// For the ledger of bugs.
    pub(crate) fn mutate(&mut self, mutation: Mutation) {
        self.writes.mutate(mutation);
    }

    /// What the first entry follows.
    pub(crate) fn base(&self) -> LogId {
        self.terms.base()
    }

    /// The last entry, durable or not.
    pub(crate) fn last(&self) -> LogId {
        self.terms.last()
    }

    /// The last entry that is on this node's disk with all before it.
    pub(crate) fn durable(&self) -> Index {
        self.writes.durable()
    }

    pub(crate) fn term_at(&self, index: Index) -> Option<Term> {
        self.terms.term_at(index)
    }

    /// Whether the log holds this entry, or starts right after it.
    pub(crate) fn matches(&self, id: LogId) -> bool {
        self.terms.term_at(id.index) == Some(id.term)
    }

    /// The last entry at or before `index` whose term is not above `term`.
    pub(crate) fn floor(&self, index: Index, term: Term) -> Option<LogId> {
        self.terms.floor(index, term)
    }

    /// Entries from memory; `None` when the first wanted has to be fetched.
    pub(crate) fn recent(&self, first: Index, last: Index, max_bytes: u64) -> Option<Vec<Entry>> {
        self.tail.slice(first, last, max_bytes)
    }

    /// The first entry that is in memory.
    pub(crate) fn first_recent(&self) -> Option<Index> {
        self.tail.first()
    }

    /// Whether fetched entries are those of this log, from `first` on.
    pub(crate) fn holds(&self, first: Index, entries: &[Entry]) -> bool {
        !entries.is_empty()
            && (first.0..)
                .zip(entries)
                .all(|(index, entry)| entry.id.index.0 == index && self.matches(entry.id))
    }

    /// Adds the entry that follows the last.
    pub(crate) fn append(&mut self, entry: Entry) {
        self.terms.push(entry.id);
        self.tail.push(entry.clone());
        self.writes.append(entry);
    }

    /// Drops this entry and all after it.
    pub(crate) fn truncate_from(&mut self, index: Index) {
        self.writes.truncate_from(index, self.last().index);
        self.tail.truncate_from(index);
        self.terms.truncate_from(index);
    }

    /// Forgets what the host has dropped.
    pub(crate) fn compact(&mut self, base: LogId) {
        self.terms.compact(base);
        self.tail.compact(base.index);
    }

    /// Starts anew after a snapshot.
    pub(crate) fn restart(&mut self, base: LogId) {
        self.terms.restart(base);
        self.tail.clear();
        self.writes.restart(base);
    }

    /// Holds the tail to its bound.
    pub(crate) fn trim(&mut self, limit: u64) {
        self.tail.trim(limit, self.writes.durable());
    }

    pub(crate) fn set_hard_state(&mut self, hard_state: HardState) {
        self.writes.set_hard_state(hard_state);
    }

    /// The write to wait for before a word is said under the current term.
    pub(crate) fn hard_state_write(&self) -> Option<WriteId> {
        self.writes.hard_state_write()
    }

    /// What was gathered since the last call, if anything.
    pub(crate) fn take_write(&mut self, now: Time) -> Option<Write> {
        let last = self.last().index;
        self.writes.take(now, last)
    }

    pub(crate) fn report_write(&mut self, id: WriteId) {
        self.writes.report(id);
    }

    /// Since when the oldest write is under way.
    pub(crate) fn waiting_since(&self) -> Option<Time> {
        self.writes.waiting_since()
    }

    /// What [`crate::Invariants`] wants to see.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let (base, last, durable) = (self.base(), self.last(), self.durable());
        if last.index < base.index || last < base {
            return Some("the log ends before its base");
        }
        if durable > last.index {
            return Some("more is durable than the log holds");
        }
        if self.tail.last().is_some_and(|held| held != last.index) {
            return Some("the recent entries do not end where the log ends");
        }
        let in_memory = self.tail.first().unwrap_or(last.index.next());
        if in_memory > durable.max(base.index).next() {
            return Some("an entry is neither in memory nor on disk");
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::entry::EntryKind;

    fn id(index: u64, term: u64) -> LogId {
        LogId::new(Term(term), Index(index))
    }

    /// Compacted up to 3@1, with `4@2 5@2 6@2`, of which the last is not on disk and the first not in memory.
    fn log() -> Log {
        let terms = Terms::restore(id(3, 1), vec![id(4, 2)], id(5, 2)).expect("a log");
        let entry = |id| Entry { id, kind: EntryKind::Noop, payload: Bytes::new() };
        let mut log = Log::restore(terms, vec![entry(id(5, 2))]).expect("a log and its end");
        log.append(entry(id(6, 2)));
        log
    }

    fn fault_of(change: impl FnOnce(&mut Log)) -> Option<&'static str> {
        let mut log = log();
        assert_eq!(log.fault(), None, "before the change");
        change(&mut log);
        log.fault()
    }

    #[test]
    fn a_log_whose_parts_disagree_is_noticed() {
        let unknown = Some("an entry is neither in memory nor on disk");
        assert_eq!(fault_of(|log| log.tail.clear()), unknown);
        assert_eq!(fault_of(|log| log.writes = Writes::new(Index(4))), None);
        assert_eq!(fault_of(|log| log.writes = Writes::new(Index(3))), unknown);
        assert_eq!(
            fault_of(|log| log.writes = Writes::new(Index(7))),
            Some("more is durable than the log holds")
        );
        assert_eq!(
            fault_of(|log| log.tail.truncate_from(Index(6))),
            Some("the recent entries do not end where the log ends")
        );
        // What is compacted need not be on this disk: a snapshot took its place.
        let restarted = |log: &mut Log| {
            log.restart(id(9, 2));
            log.append(Entry { id: id(10, 2), kind: EntryKind::Noop, payload: Bytes::new() });
        };
        assert_eq!(fault_of(restarted), None);
    }

    #[test]
    fn what_is_compacted_is_never_truncated() {
        let mut log = log();
        log.truncate_from(Index(1));
        assert_eq!((log.base(), log.last(), log.fault()), (id(3, 1), id(3, 1), None));
    }
}
