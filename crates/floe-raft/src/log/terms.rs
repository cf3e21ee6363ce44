//! The terms of the whole log as runs, so that every question about a term is answered in memory.
//!
//! A term starts once and lasts for a stretch of the log, so that a log of a hundred million entries after twelve
//! elections is twelve pairs of numbers. The entries themselves may be on disk alone.

use std::collections::VecDeque;

use crate::id::{Index, LogId, Term};

/// Which term each entry after `base` has, and that of `base` itself.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    /// What the first entry follows: the last compacted entry, or zero.
    base: LogId,
    /// The first entry of each run. Invariant: indices and terms strictly ascend, the first is `base.index + 1`.
    runs: VecDeque<LogId>,
    /// The last entry; `base.index` when there is none.
    last: Index,
}

impl Terms {
    /// Takes over what was read from disk, if it is a log at all.
    pub(crate) fn restore(base: LogId, runs: Vec<LogId>, last: LogId) -> Result<Self, &'static str> {
        let ascending = runs.is_sorted_by(|a, b| a.term < b.term && a.index < b.index);
        match (runs.first(), runs.last()) {
            (Some(first), Some(newest)) => {
                if !ascending || first.index != base.index.next() || first.term < base.term {
                    return Err("the terms of the log do not ascend from its base");
                }
                if newest.term != last.term || newest.index > last.index {
                    return Err("the last entry is not of the last term");
                }
            }
            (None, None) | (None, Some(_)) | (Some(_), None) => {
                if base != last {
                    return Err("a log of no terms has entries");
                }
            }
        }
        Ok(Self { base, runs: runs.into(), last: last.index })
    }

    pub(crate) fn base(&self) -> LogId {
        self.base
    }

    pub(crate) fn last(&self) -> LogId {
        LogId::new(self.runs.back().map_or(self.base.term, |run| run.term), self.last)
    }

    /// The term of the entry, if it lies in `[base, last]`.
    pub(crate) fn term_at(&self, index: Index) -> Option<Term> {
        if index > self.last || index < self.base.index {
            return None;
        }
        // Nearly every question is about the end of the log.
        if let Some(newest) = self.runs.back()
            && newest.index <= index
        {
            return Some(newest.term);
        }
        match self.runs.partition_point(|run| run.index <= index) {
            0 => Some(self.base.term),
            after => self.runs.get(after - 1).map(|run| run.term),
        }
    }

    /// The last entry at or before `index` whose term is not above `term`; `None` when it would lie before the base.
    ///
    /// Both sides of a conflict use it (thesis 5.3): the follower names its last entry that could agree with the
    /// refused one, the leader then its own last entry that could agree with that. Each round trip skips a whole
    /// term.
    pub(crate) fn floor(&self, index: Index, term: Term) -> Option<LogId> {
        let index = index.min(self.last);
        if index < self.base.index {
            return None;
        }
        let after = self.runs.partition_point(|run| run.index <= index && run.term <= term);
        let Some(run) = after.checked_sub(1).and_then(|at| self.runs.get(at)) else {
            return (self.base.term <= term).then_some(self.base);
        };
        let end = self.runs.get(after).map_or(index, |following| index.min(following.index.prev()));
        Some(LogId::new(run.term, end))
    }

    /// Adds the entry that follows the last. Its term is not below the last one's.
    pub(crate) fn push(&mut self, id: LogId) {
        debug_assert_eq!(id.index, self.last.next());
        debug_assert!(id.term >= self.last().term);
        if self.runs.back().is_none_or(|run| run.term != id.term) {
            self.runs.push_back(id);
        }
        self.last = id.index;
    }

    /// Drops this entry and all after it.
    pub(crate) fn truncate_from(&mut self, index: Index) {
        while self.runs.back().is_some_and(|run| run.index >= index) {
            self.runs.pop_back();
        }
        self.last = self.last.min(index.prev()).max(self.base.index);
    }

    /// Forgets everything up to and including `base`, an entry of this log.
    pub(crate) fn compact(&mut self, base: LogId) {
        debug_assert_eq!(self.term_at(base.index), Some(base.term));
        let mut cut = None;
        while let Some(run) = self.runs.front()
            && run.index <= base.index
        {
            cut = self.runs.pop_front();
        }
        // The run that the base lies in goes on after it, unless it ends there.
        let first = base.index.next();
        if let Some(run) = cut
            && base.index < self.last
            && self.runs.front().is_none_or(|following| following.index > first)
        {
            self.runs.push_front(LogId::new(run.term, first));
        }
        self.base = base;
    }

    /// Starts anew after a snapshot.
    pub(crate) fn restart(&mut self, base: LogId) {
        self.base = base;
        self.runs.clear();
        self.last = base.index;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(term: u64, index: u64) -> LogId {
        LogId::new(Term(term), Index(index))
    }

    /// 1@1 2@1 3@3 4@3 5@3 6@4
    fn sample() -> Terms {
        Terms::restore(LogId::ZERO, vec![id(1, 1), id(3, 3), id(4, 6)], id(4, 6)).unwrap()
    }

    #[test]
    fn the_term_of_each_entry() {
        let terms = sample();
        let all = (0..8).map(|index| terms.term_at(Index(index)).map(|term| term.0)).collect::<Vec<_>>();
        assert_eq!(all, [Some(0), Some(1), Some(1), Some(3), Some(3), Some(3), Some(4), None]);
    }

    #[test]
    fn floor_skips_whole_terms() {
        let terms = sample();
        assert_eq!(terms.floor(Index(9), Term(9)), Some(id(4, 6)));
        assert_eq!(terms.floor(Index(9), Term(3)), Some(id(3, 5)));
        assert_eq!(terms.floor(Index(4), Term(3)), Some(id(3, 4)));
        assert_eq!(terms.floor(Index(4), Term(2)), Some(id(1, 2)));
        assert_eq!(terms.floor(Index(4), Term(0)), Some(LogId::ZERO));
        let mut compacted = sample();
        compacted.compact(id(3, 4));
        assert_eq!(compacted.floor(Index(5), Term(3)), Some(id(3, 5)));
        assert_eq!(compacted.floor(Index(4), Term(3)), Some(id(3, 4)));
        assert_eq!(compacted.floor(Index(5), Term(2)), None);
        assert_eq!(compacted.floor(Index(3), Term(9)), None);
    }

    #[test]
    fn restoring_refuses_what_is_no_log() {
        let refused = [
            (LogId::ZERO, vec![], id(1, 1)),
            (LogId::ZERO, vec![id(1, 2)], id(1, 2)),
            (LogId::ZERO, vec![id(2, 1), id(1, 2)], id(1, 2)),
            (LogId::ZERO, vec![id(1, 1), id(2, 1)], id(2, 1)),
            (LogId::ZERO, vec![id(1, 1), id(1, 2)], id(1, 2)),
            (LogId::ZERO, vec![id(1, 1)], id(2, 3)),
            (id(3, 5), vec![id(2, 6)], id(2, 6)),
            (id(3, 5), vec![id(3, 6)], id(3, 5)),
        ];
        for (base, runs, last) in refused {
            assert!(Terms::restore(base, runs.clone(), last).is_err(), "{base} {runs:?} {last}");
        }
        assert!(Terms::restore(id(3, 5), vec![id(3, 6), id(4, 7)], id(4, 7)).is_ok());
    }

    /// The same log as a plain list.
    struct Plain {
        base: LogId,
        entries: Vec<LogId>,
    }

    impl Plain {
        fn check(&self, terms: &Terms) {
            let last = *self.entries.last().unwrap_or(&self.base);
            assert_eq!((terms.base(), terms.last()), (self.base, last));
            for index in 0..=last.index.0 + 1 {
                let expected = self.all().find(|id| id.index.0 == index).map(|id| id.term);
                assert_eq!(terms.term_at(Index(index)), expected, "term at {index}");
                for term in 0..=last.term.0 + 1 {
                    let floor = (index >= self.base.index.0)
                        .then(|| self.all().filter(|id| id.index.0 <= index && id.term.0 <= term).last())
                        .flatten();
                    assert_eq!(terms.floor(Index(index), Term(term)), floor, "floor of {index}@{term}");
                }
            }
            let restored = Terms::restore(terms.base, terms.runs.clone().into(), terms.last());
            assert!(restored.is_ok(), "{restored:?}");
        }

        fn all(&self) -> impl Iterator<Item = LogId> {
            std::iter::once(self.base).chain(self.entries.iter().copied())
        }
    }

    proptest! {
        #[test]
        fn runs_answer_like_a_list(steps in proptest::collection::vec((0..10u8, 0..8u64), 1..40)) {
            let mut plain = Plain { base: LogId::ZERO, entries: vec![] };
            let mut terms = Terms::restore(LogId::ZERO, vec![], LogId::ZERO).unwrap();
            for (step, amount) in steps {
                let last = *plain.entries.last().unwrap_or(&plain.base);
                match step {
                    0..=6 => {
                        let id = id((last.term.0 + amount / 5).max(1), last.index.0 + 1);
                        plain.entries.push(id);
                        terms.push(id);
                    }
                    7 => {
                        let keep = plain.entries.len().saturating_sub(amount as usize);
                        terms.truncate_from(plain.base.index.plus(keep as u64 + 1));
                        plain.entries.truncate(keep);
                    }
                    8 if !plain.entries.is_empty() => {
                        let drop = (amount as usize).clamp(1, plain.entries.len());
                        plain.base = plain.entries.drain(..drop).next_back().unwrap();
                        terms.compact(plain.base);
                    }
                    8 => {}
                    _ => {
                        plain.base = id(last.term.0.max(1), last.index.0 + amount);
                        plain.entries.clear();
                        terms.restart(plain.base);
                    }
                }
                plain.check(&terms);
            }
        }
    }
}
