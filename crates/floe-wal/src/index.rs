//! Where each live entry lies: the memory of the log, shared between its writer and its readers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use floe_raft::{GroupId, HardState, Index, LogId, Term};

use crate::segment::{Binding, Geometry};

/// Where an entry's record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) segment: u64,
    /// Of the record's header, from the start of the segment.
    pub(crate) offset: u32,
    /// Of the payload.
    pub(crate) length: u32,
}

/// One group's log.
#[derive(Clone, Debug, Default)]
pub(crate) struct GroupLog {
    pub(crate) hard_state: HardState,
    /// What the first entry follows.
    pub(crate) base: LogId,
    /// The index of the first location. `base + 1`, but for the time of a replay whose older segments are
    /// gone.
    first: u64,
    locations: VecDeque<Location>,
    /// The first entry of each term, ascending, among the locations.
    terms: VecDeque<LogId>,
}

impl GroupLog {
    /// An empty log, or, during a replay, one whose entries up to `last` are in segments that are gone.
    pub(crate) fn following(base: LogId, last: Index) -> Self {
        Self { base, first: last.0.max(base.index.0) + 1, ..Self::default() }
    }

    /// Whether all entries after the base are here.
    pub(crate) fn is_complete(&self) -> bool {
        self.first == self.base.index.0 + 1
    }

    /// The index of the last entry; of the base if there is none.
    pub(crate) fn last_index(&self) -> Index {
        Index((self.first + self.locations.len() as u64).saturating_sub(1))
    }

    /// The id of the last entry of a complete log; the base if there is none.
    pub(crate) fn last(&self) -> LogId {
        match self.terms.back() {
            Some(run) => LogId::new(run.term, self.last_index()),
            None => self.base,
        }
    }

    /// The terms as runs.
    pub(crate) fn terms(&self) -> Vec<LogId> {
        self.terms.iter().copied().collect()
    }

    /// The term of an entry, or of the base.
    pub(crate) fn term_of(&self, index: Index) -> Option<Term> {
        if index == self.base.index {
            return Some(self.base.term);
        }
        if index.0 < self.first || index > self.last_index() {
            return None;
        }
        let after = self.terms.partition_point(|run| run.index <= index);
        self.terms.get(after.checked_sub(1)?).map(|run| run.term)
    }

    /// Where an entry lies.
    pub(crate) fn location(&self, index: Index) -> Option<Location> {
        let position = index.0.checked_sub(self.first)?;
        self.locations.get(usize::try_from(position).ok()?).copied()
    }

    /// Adds the entry after the last one.
    pub(crate) fn push(&mut self, term: Term, location: Location) {
        let index = self.last_index().next();
        if self.terms.back().is_none_or(|run| run.term != term) {
            self.terms.push_back(LogId::new(term, index));
        }
        self.locations.push_back(location);
    }

    /// Drops an entry and all after it, and calls `dropped` for each of those that were here.
    pub(crate) fn truncate_from(&mut self, from: Index, mut dropped: impl FnMut(Location)) {
        while self.last_index() >= from {
            let Some(location) = self.locations.pop_back() else {
                // Only in a replay: the entries before `first` are gone with their segments.
                self.first = from.0.max(self.base.index.0 + 1);
                break;
            };
            dropped(location);
        }
        while self.terms.back().is_some_and(|run| run.index >= from) {
            self.terms.pop_back();
        }
    }

    /// Drops everything up to and including `base`.
    pub(crate) fn compact(&mut self, base: LogId, mut dropped: impl FnMut(Location)) {
        let keep_from = base.index.0 + 1;
        let mut crossed = None;
        while self.first < keep_from {
            let Some(location) = self.locations.pop_front() else {
                self.first = keep_from;
                break;
            };
            dropped(location);
            self.first += 1;
        }
        while let Some(run) = self.terms.front().copied().filter(|run| run.index.0 < keep_from) {
            crossed = Some(run.term);
            self.terms.pop_front();
        }
        let next_run_is_later = self.terms.front().is_none_or(|run| run.index.0 > keep_from);
        if let Some(term) = crossed
            && next_run_is_later
            && !self.locations.is_empty()
        {
            self.terms.push_front(LogId::new(term, Index(keep_from)));
        }
        self.base = base;
    }

    /// Drops everything; the next entry follows `base`.
    pub(crate) fn restart_after(&mut self, base: LogId, dropped: impl FnMut(Location)) {
        self.locations.drain(..).for_each(dropped);
        self.terms.clear();
        self.base = base;
        self.first = base.index.0 + 1;
    }
}

/// An open segment.
#[derive(Debug)]
pub(crate) struct Segment<F> {
    pub(crate) file: Arc<F>,
    pub(crate) geometry: Geometry,
    pub(crate) binding: Binding,
    /// How many live entries it holds.
    pub(crate) live: u64,
}

/// The whole index.
#[derive(Debug)]
pub(crate) struct Catalog<F> {
    pub(crate) groups: BTreeMap<GroupId, GroupLog>,
    pub(crate) segments: BTreeMap<u64, Segment<F>>,
}

impl<F> Catalog<F> {
    pub(crate) fn new() -> Self {
        Self { groups: BTreeMap::new(), segments: BTreeMap::new() }
    }

    /// The group's log and the segments, to change both.
    fn parts(&mut self, group: GroupId) -> (&mut GroupLog, &mut BTreeMap<u64, Segment<F>>) {
        let log = self.groups.entry(group).or_insert_with(|| GroupLog::following(LogId::ZERO, Index::ZERO));
        (log, &mut self.segments)
    }

    pub(crate) fn log(&mut self, group: GroupId) -> &mut GroupLog {
        self.parts(group).0
    }

    pub(crate) fn push(&mut self, group: GroupId, term: Term, location: Location) {
        let (log, segments) = self.parts(group);
        log.push(term, location);
        if let Some(segment) = segments.get_mut(&location.segment) {
            segment.live += 1;
        }
    }

    pub(crate) fn truncate_from(&mut self, group: GroupId, from: Index) {
        let (log, segments) = self.parts(group);
        log.truncate_from(from, |location| forget(segments, location));
    }

    pub(crate) fn compact(&mut self, group: GroupId, base: LogId) {
        let (log, segments) = self.parts(group);
        log.compact(base, |location| forget(segments, location));
    }

    pub(crate) fn restart_after(&mut self, group: GroupId, base: LogId) {
        let (log, segments) = self.parts(group);
        log.restart_after(base, |location| forget(segments, location));
    }
}

fn forget<F>(segments: &mut BTreeMap<u64, Segment<F>>, location: Location) {
    if let Some(segment) = segments.get_mut(&location.segment) {
        segment.live = segment.live.saturating_sub(1);
    }
}

/// The index between its one writer and many readers. The lock is held for the time of a look-up or of a
/// change in memory, never over input or output.
#[derive(Debug)]
pub(crate) struct Shared<F>(Arc<Mutex<Catalog<F>>>);

impl<F> Clone for Shared<F> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<F> Shared<F> {
    pub(crate) fn new(catalog: Catalog<F>) -> Self {
        Self(Arc::new(Mutex::new(catalog)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Catalog<F>> {
        // No code panics while it holds the lock, so a poisoned one holds a whole catalog.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(term: u64, index: u64) -> LogId {
        LogId::new(Term(term), Index(index))
    }

    fn log_of(terms: &[u64]) -> GroupLog {
        let mut log = GroupLog::following(LogId::ZERO, Index::ZERO);
        for (position, &term) in terms.iter().enumerate() {
            log.push(Term(term), Location { segment: 1, offset: position as u32, length: 0 });
        }
        log
    }

    #[test]
    fn runs_follow_truncation_and_compaction() {
        let mut log = log_of(&[1, 1, 2, 2, 2, 5]);
        assert_eq!(log.terms(), [id(1, 1), id(2, 3), id(5, 6)]);
        assert_eq!(log.term_of(Index(4)), Some(Term(2)));
        log.compact(id(2, 4), |_| {});
        assert_eq!(log.terms(), [id(2, 5), id(5, 6)]);
        assert_eq!(log.term_of(Index(4)), Some(Term(2)), "the base keeps its term");
        assert_eq!(log.term_of(Index(3)), None);
        log.truncate_from(Index(6), |_| {});
        assert_eq!((log.terms(), log.last()), (vec![id(2, 5)], id(2, 5)));
        log.compact(id(2, 5), |_| {});
        assert_eq!((log.terms(), log.last(), log.is_complete()), (vec![], id(2, 5), true));
    }

    #[test]
    fn entries_in_segments_that_are_gone_are_known_to_be_absent() {
        let mut log = GroupLog::following(id(1, 10), Index(50));
        assert!(!log.is_complete());
        assert_eq!(log.last_index(), Index(50));
        log.truncate_from(Index(40), |_| {});
        assert_eq!(log.last_index(), Index(39));
        log.push(Term(2), Location { segment: 1, offset: 0, length: 0 });
        log.compact(id(1, 30), |_| {});
        assert!(!log.is_complete());
        log.compact(id(1, 39), |_| {});
        assert!(log.is_complete());
        assert_eq!((log.last(), log.terms()), (id(2, 40), vec![id(2, 40)]));
    }

    #[test]
    fn compaction_beyond_the_absent_entries_is_a_whole_log() {
        let mut log = GroupLog::following(id(1, 10), Index(50));
        log.compact(id(3, 50), |_| {});
        assert!(log.is_complete());
        assert_eq!(log.last(), id(3, 50));
    }
}
