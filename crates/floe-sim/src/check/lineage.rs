//! Every entry that was ever written anywhere, and what it follows.
//!
//! Log Matching by induction: if every entry of a name has the same content and follows an entry of the same name
//! wherever it is written, then two logs that share an entry agree on all before it.

use floe_raft::{Entry, EntryKind, LogId, NodeId};

use super::{Invariant, Violation, broken};

#[derive(Debug)]
struct Known {
    entry: Entry,
    follows: LogId,
    /// The last membership entry among this one and all before it; zero if there is none.
    membership: LogId,
    writer: NodeId,
}

/// All entries of a world, by index; at each index one for each term that wrote there.
#[derive(Debug, Default)]
pub(crate) struct Lineage {
    at: Vec<Vec<Known>>,
}

impl Lineage {
    /// `writer` writes `entry` after `follows`. Returns whether it is the first one to do so.
    pub(crate) fn written(
        &mut self,
        writer: NodeId,
        entry: &Entry,
        follows: LogId,
    ) -> Result<bool, Box<Violation>> {
        let id = entry.id;
        if id.index != follows.index.next() || id.term < follows.term {
            return Err(broken(Invariant::LogMatching, format!("n{writer} writes {id} after {follows}")));
        }
        let Some(known) = self.known(id) else {
            let membership =
                if entry.kind == EntryKind::Membership { id } else { self.membership_entry(follows) };
            let offset = id.index.0 as usize;
            if self.at.len() <= offset {
                self.at.resize_with(offset + 1, Vec::new);
            }
            self.at[offset].push(Known { entry: entry.clone(), follows, membership, writer });
            return Ok(true);
        };
        if known.follows != follows {
            return Err(broken(
                Invariant::LogMatching,
                format!("{id} follows {} on n{} and {follows} on n{writer}", known.follows, known.writer),
            ));
        }
        // A witness holds a command without its content.
        let is_stripped = entry.kind == EntryKind::Witnessed && known.entry.kind == EntryKind::Command;
        if known.entry != *entry && !is_stripped {
            return Err(broken(
                Invariant::LogMatching,
                format!("{id} is not the same entry on n{} and n{writer}", known.writer),
            ));
        }
        Ok(false)
    }

    /// The entry that brought the membership which is in force in a log that ends with `last`; zero if none did.
    pub(crate) fn membership_entry(&self, last: LogId) -> LogId {
        self.known(last).map_or(LogId::ZERO, |known| known.membership)
    }

    fn known(&self, id: LogId) -> Option<&Known> {
        self.at.get(id.index.0 as usize)?.iter().find(|known| known.entry.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use floe_raft::{Index, Term};

    fn id(term: u64, index: u64) -> LogId {
        LogId::new(Term(term), Index(index))
    }

    fn entry(id: LogId, payload: &'static [u8]) -> Entry {
        Entry { id, kind: EntryKind::Command, payload: bytes::Bytes::from_static(payload) }
    }

    fn invariant(checked: Result<bool, Box<Violation>>) -> Option<Invariant> {
        checked.err().map(|violation| violation.invariant)
    }

    #[test]
    fn different_contents_are_found() {
        let mut lineage = Lineage::default();
        assert_eq!(invariant(lineage.written(NodeId(1), &entry(id(1, 1), b"a"), LogId::ZERO)), None);
        assert_eq!(invariant(lineage.written(NodeId(2), &entry(id(1, 1), b"a"), LogId::ZERO)), None);
        let other = lineage.written(NodeId(3), &entry(id(1, 1), b"b"), LogId::ZERO);
        assert_eq!(invariant(other), Some(Invariant::LogMatching));
    }

    #[test]
    fn different_pasts_are_found() {
        let mut lineage = Lineage::default();
        lineage.written(NodeId(1), &entry(id(3, 2), b""), id(1, 1)).unwrap();
        let other = lineage.written(NodeId(2), &entry(id(3, 2), b""), id(2, 1));
        assert_eq!(invariant(other), Some(Invariant::LogMatching));
    }

    #[test]
    fn gaps_and_falling_terms_are_found() {
        let mut lineage = Lineage::default();
        let gap = lineage.written(NodeId(1), &entry(id(1, 3), b""), id(1, 1));
        assert_eq!(invariant(gap), Some(Invariant::LogMatching));
        let falling = lineage.written(NodeId(1), &entry(id(1, 3), b""), id(2, 2));
        assert_eq!(invariant(falling), Some(Invariant::LogMatching));
    }

    #[test]
    fn the_membership_in_force_follows_the_log() {
        let mut lineage = Lineage::default();
        let member = |id| Entry { kind: EntryKind::Membership, ..entry(id, b"") };
        lineage.written(NodeId(1), &entry(id(1, 1), b""), LogId::ZERO).unwrap();
        lineage.written(NodeId(1), &member(id(1, 2)), id(1, 1)).unwrap();
        assert_eq!(lineage.written(NodeId(2), &member(id(1, 2)), id(1, 1)), Ok(false));
        lineage.written(NodeId(1), &entry(id(1, 3), b""), id(1, 2)).unwrap();
        lineage.written(NodeId(2), &entry(id(2, 2), b""), id(1, 1)).unwrap();
        let brought = |last| lineage.membership_entry(last);
        assert_eq!(
            [brought(id(1, 1)), brought(id(1, 3)), brought(id(2, 2))],
            [LogId::ZERO, id(1, 2), LogId::ZERO]
        );
    }
}
