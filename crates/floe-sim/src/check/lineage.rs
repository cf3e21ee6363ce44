//! Every entry that was ever written anywhere, and what it follows.
//!
//! Log Matching by induction: if every entry of a name has the same content and follows an entry of the same name
//! wherever it is written, then two logs that share an entry agree on all before it.

use floe_raft::{Entry, EntryKind, LogId, NodeId, Term};

use super::{Checked, Invariant, broken};

#[derive(Debug)]
struct Known {
    entry: Entry,
    follows: LogId,
    writer: NodeId,
}

/// All entries of a world, by index; at each index one for each term that wrote there.
#[derive(Debug, Default)]
pub(crate) struct Lineage {
    at: Vec<Vec<Known>>,
}

impl Lineage {
    /// `writer` writes `entry` after `follows`.
    pub(crate) fn written(&mut self, writer: NodeId, entry: &Entry, follows: LogId) -> Checked {
        let id = entry.id;
        if id.index != follows.index.next() || id.term < follows.term {
            return Err(broken(Invariant::LogMatching, format!("n{writer} writes {id} after {follows}")));
        }
        let offset = id.index.0 as usize;
        if self.at.len() <= offset {
            self.at.resize_with(offset + 1, Vec::new);
        }
        let known = self.at[offset].iter().find(|known| known.entry.id == id);
        let Some(known) = known else {
            self.at[offset].push(Known { entry: entry.clone(), follows, writer });
            return Ok(());
        };
        if known.follows != follows {
            return Err(broken(
                Invariant::LogMatching,
                format!("{id} follows {} on n{} and {follows} on n{writer}", known.follows, known.writer),
            ));
        }
        if known.entry != *entry {
            return Err(broken(
                Invariant::LogMatching,
                format!("{id} is not the same entry on n{} and n{writer}", known.writer),
            ));
        }
        Ok(())
    }

    /// A membership entry is written while `uncommitted` membership entries of the same log are not committed.
    pub(crate) fn configuration(writer: NodeId, term: Term, entry: &Entry, uncommitted: usize) -> Checked {
        if entry.kind == EntryKind::Membership && uncommitted > 0 {
            return Err(broken(
                Invariant::OneConfiguration,
                format!(
                    "n{writer} in term {term} writes {} while another membership is uncommitted",
                    entry.id
                ),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use floe_raft::Index;

    fn id(term: u64, index: u64) -> LogId {
        LogId::new(Term(term), Index(index))
    }

    fn entry(id: LogId, payload: &'static [u8]) -> Entry {
        Entry { id, kind: EntryKind::Command, payload: bytes::Bytes::from_static(payload) }
    }

    fn invariant(checked: Checked) -> Option<Invariant> {
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
    fn a_second_uncommitted_configuration_is_found() {
        let entry = Entry { kind: EntryKind::Membership, ..entry(id(1, 4), b"") };
        assert_eq!(invariant(Lineage::configuration(NodeId(1), Term(1), &entry, 0)), None);
        let second = Lineage::configuration(NodeId(1), Term(1), &entry, 1);
        assert_eq!(invariant(second), Some(Invariant::OneConfiguration));
    }
}
