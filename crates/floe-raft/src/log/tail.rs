//! The most recent entries, in memory: what peers and the state machine ask for nearly always.

use std::collections::VecDeque;

use crate::entry::Entry;
use crate::id::Index;

/// A gapless stretch of entries that ends where the log ends, or nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tail {
    entries: VecDeque<Entry>,
    /// The sum of [`Entry::cost`].
    bytes: u64,
}

impl Tail {
    pub(crate) fn new(entries: Vec<Entry>) -> Self {
        let bytes = entries.iter().map(Entry::cost).sum();
        Self { entries: entries.into(), bytes }
    }

    /// The first entry held.
    pub(crate) fn first(&self) -> Option<Index> {
        self.entries.front().map(|entry| entry.id.index)
    }

    /// The last entry held.
    pub(crate) fn last(&self) -> Option<Index> {
        self.entries.back().map(|entry| entry.id.index)
    }

    /// Adds the entry that follows the last.
    pub(crate) fn push(&mut self, entry: Entry) {
        debug_assert!(self.last().is_none_or(|last| last.next() == entry.id.index));
        self.bytes += entry.cost();
        self.entries.push_back(entry);
    }

    /// Drops this entry and all after it.
    pub(crate) fn truncate_from(&mut self, index: Index) {
        while let Some(entry) = self.entries.pop_back_if(|entry| entry.id.index >= index) {
            self.bytes -= entry.cost();
        }
    }

    /// Drops this entry and all before it.
    pub(crate) fn compact(&mut self, index: Index) {
        while let Some(entry) = self.entries.pop_front_if(|entry| entry.id.index <= index) {
            self.bytes -= entry.cost();
        }
    }

    /// Drops the oldest until no more than `limit` bytes are held, but none after `durable`: what is not on disk yet
    /// cannot be fetched from there.
    pub(crate) fn trim(&mut self, limit: u64, durable: Index) {
        while self.bytes > limit
            && let Some(entry) = self.entries.pop_front_if(|entry| entry.id.index <= durable)
        {
            self.bytes -= entry.cost();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
    }

    /// The entries from `first` to at most `last` that cost at most `max_bytes`, but at least one; `None` when the
    /// first is not held. Entries share their payload.
    pub(crate) fn slice(&self, first: Index, last: Index, max_bytes: u64) -> Option<Vec<Entry>> {
        let skip = usize::try_from(first.0.checked_sub(self.first()?.0)?).ok()?;
        if skip >= self.entries.len() {
            return None;
        }
        let mut bytes = 0;
        let mut count = 0;
        for entry in self.entries.range(skip..) {
            bytes += entry.cost();
            if entry.id.index > last || (count > 0 && bytes > max_bytes) {
                break;
            }
            count += 1;
        }
        Some(self.entries.range(skip..skip + count).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::entry::EntryKind;
    use crate::id::{LogId, Term};

    /// Entries of ten bytes each.
    fn tail(indices: impl IntoIterator<Item = u64>) -> Tail {
        let entry = |index| Entry {
            id: LogId::new(Term(1), Index(index)),
            kind: EntryKind::Command,
            payload: Bytes::from_static(b"ten bytes!"),
        };
        Tail::new(indices.into_iter().map(entry).collect())
    }

    const COST: u64 = 10 + Entry::OVERHEAD;

    fn slice(tail: &Tail, first: u64, last: u64, max_bytes: u64) -> Option<Vec<u64>> {
        let entries = tail.slice(Index(first), Index(last), max_bytes)?;
        Some(entries.iter().map(|entry| entry.id.index.0).collect())
    }

    #[test]
    fn slices_end_at_the_limits_but_hold_one_entry() {
        let tail = tail(5..10);
        assert_eq!(slice(&tail, 6, 8, u64::MAX), Some(vec![6, 7, 8]));
        assert_eq!(slice(&tail, 6, 99, 2 * COST), Some(vec![6, 7]));
        assert_eq!(slice(&tail, 6, 99, 2 * COST - 1), Some(vec![6]));
        assert_eq!(slice(&tail, 9, 9, 0), Some(vec![9]));
        assert_eq!(slice(&tail, 4, 9, 99), None);
        assert_eq!(slice(&tail, 10, 12, 99), None);
        assert_eq!(slice(&Tail::default(), 1, 1, 99), None);
    }

    #[test]
    fn trimming_keeps_what_is_not_durable() {
        let mut held = tail(1..=10);
        held.trim(4 * COST, Index(3));
        assert_eq!((held.first(), held.last()), (Some(Index(4)), Some(Index(10))));
        held.trim(4 * COST, Index(10));
        assert_eq!((held.first(), held.bytes), (Some(Index(7)), 4 * COST));
    }

    #[test]
    fn both_ends_are_dropped_and_accounted_for() {
        let mut held = tail(1..=10);
        held.truncate_from(Index(9));
        held.compact(Index(2));
        assert_eq!((held.first(), held.last(), held.bytes), (Some(Index(3)), Some(Index(8)), 6 * COST));
        held.compact(Index(99));
        assert_eq!((held.first(), held.bytes), (None, 0));
        held.push(tail(20..21).entries.pop_front().unwrap());
        assert_eq!(slice(&held, 20, 20, 1), Some(vec![20]));
    }
}
