//! The sampled entries of the log, and which event each of their next ones follows from.

use std::collections::BTreeMap;

use floe_raft::{Entry, Index, LogId, NodeId, Term};

use super::tracer::EventId;

/// Entries that are followed at most; of more, the oldest are forgotten, and what comes of them has no cause.
const MAX: usize = 4096;

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Followed {
    pub(super) term: Term,
    /// The request or message that brought it.
    pub(super) asked: EventId,
    /// The last that is known of it on this member's disk.
    pub(super) disk: EventId,
    pub(super) committed: EventId,
    /// The operation of this member that waits for it.
    pub(super) op: Option<u64>,
}

/// All of them, by index.
#[derive(Debug, Default)]
pub(super) struct Entries {
    followed: BTreeMap<Index, Followed>,
    /// How far each peer has acknowledged, and was told so.
    acknowledged: BTreeMap<NodeId, (Term, Index)>,
}

impl Entries {
    /// It was asked for by that event. An entry that another leader puts in its place is another entry.
    pub(super) fn asked(&mut self, id: LogId, asked: EventId, op: Option<u64>) {
        let op = op.or_else(|| self.get(id).and_then(|known| known.op));
        let followed = Followed { term: id.term, asked, disk: asked, committed: EventId::NONE, op };
        self.followed.insert(id.index, followed);
        while self.followed.len() > MAX {
            self.followed.pop_first();
        }
    }

    pub(super) fn get(&self, id: LogId) -> Option<&Followed> {
        self.followed.get(&id.index).filter(|followed| followed.term == id.term)
    }

    pub(super) fn get_mut(&mut self, id: LogId) -> Option<&mut Followed> {
        self.followed.get_mut(&id.index).filter(|followed| followed.term == id.term)
    }

    /// This entry and all after it are overwritten, by these. Gives the operations that waited for those that are gone.
    pub(super) fn truncate_from(&mut self, index: Index, by: &[Entry]) -> Vec<(LogId, u64)> {
        let stays = |id: LogId| by.iter().any(|entry| entry.id == id);
        let gone =
            self.followed.extract_if(index.., |index, followed| !stays(LogId::new(followed.term, *index)));
        let gone =
            gone.filter_map(|(index, followed)| Some((LogId::new(followed.term, index), followed.op?)));
        gone.collect()
    }

    /// Takes the operations whose entries are of a term before this one: nobody waits for them any more.
    pub(super) fn given_up_before(&mut self, term: Term) -> Vec<(LogId, u64)> {
        let old = self.followed.iter_mut().filter(|(_, followed)| followed.term < term);
        old.filter_map(|(index, followed)| Some((LogId::new(followed.term, *index), followed.op.take()?)))
            .collect()
    }

    /// Those after one index up to another, ascending.
    pub(super) fn between(
        &mut self,
        after: Index,
        last: Index,
    ) -> impl Iterator<Item = (LogId, &mut Followed)> {
        // A range that ends before it begins is a panic.
        let range = after.next()..=last.max(after.next());
        self.followed
            .range_mut(range)
            .filter(move |(index, _)| **index <= last)
            .map(|(index, followed)| (LogId::new(followed.term, *index), followed))
    }

    /// A peer acknowledges, or is told an acknowledgement, up to there. The last followed entry that is new by it.
    pub(super) fn acknowledge(&mut self, peer: NodeId, term: Term, matched: Index) -> Option<Followed> {
        let before = match self.acknowledged.get(&peer) {
            Some((of, index)) if *of == term => *index,
            Some(_) | None => Index::ZERO,
        };
        if matched <= before {
            return None;
        }
        self.acknowledged.insert(peer, (term, matched));
        self.followed.range(before.next()..=matched).next_back().map(|(_, followed)| *followed)
    }
}

#[cfg(test)]
mod tests {
    use floe_raft::EntryKind;

    use super::*;

    #[test]
    fn an_acknowledgement_counts_once_for_each_peer_and_term() {
        let mut entries = Entries::default();
        let id = LogId::new(Term(2), Index(10));
        entries.asked(id, EventId(7), Some(3));
        let mut new = |peer, term, matched| {
            entries.acknowledge(NodeId(peer), Term(term), Index(matched)).map(|followed| followed.asked)
        };
        assert_eq!(new(1, 2, 9), None);
        assert_eq!(new(1, 2, 12), Some(EventId(7)));
        assert_eq!(new(1, 2, 13), None);
        assert_eq!(new(2, 2, 12), Some(EventId(7)));
        assert_eq!(new(1, 3, 10), Some(EventId(7)));
    }

    #[test]
    fn an_entry_of_another_term_is_another_entry_and_the_oldest_are_forgotten() {
        let mut entries = Entries::default();
        let id = |term, index| LogId::new(Term(term), Index(index));
        entries.asked(id(1, 5), EventId(1), Some(1));
        entries.asked(id(2, 5), EventId(2), None);
        assert!(entries.get(id(1, 5)).is_none());
        assert!(entries.get(id(2, 5)).is_some_and(|followed| followed.op.is_none()));
        assert_eq!(entries.between(Index(5), Index(3)).count(), 0);
        assert_eq!(entries.between(Index(4), Index(5)).count(), 1);
        for index in 6..=MAX as u64 + 6 {
            entries.asked(id(2, index), EventId(index), None);
        }
        assert!(entries.get(id(2, 5)).is_none() && entries.get(id(2, 9)).is_some());
        entries.asked(id(3, 9), EventId(9), Some(4));
        entries.asked(id(2, 10), EventId(9), Some(5));
        let by = [Entry { id: id(3, 9), kind: EntryKind::Command, payload: bytes::Bytes::new() }];
        assert_eq!(entries.truncate_from(Index(9), &by), [(id(2, 10), 5)]);
        assert!(entries.get(id(2, 11)).is_none() && entries.get(id(2, 8)).is_some());
        assert_eq!(entries.given_up_before(Term(4)), [(id(3, 9), 4)]);
        assert_eq!(entries.given_up_before(Term(4)), []);
    }
}
