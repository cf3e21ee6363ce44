//! A log as a plain value: what a node has asked to be written, or what is on its disk.

use std::collections::VecDeque;

use floe_raft::{Entry, EntryKind, HardState, Index, LogId, Write};

/// A log and the hard state beside it.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogImage {
    /// What the first entry follows.
    pub(crate) base: LogId,
    /// The entries after `base`, without a gap.
    pub(crate) entries: VecDeque<Entry>,
    /// Term and vote.
    pub(crate) hard_state: HardState,
}

impl LogImage {
    /// The last entry; `base` when there is none.
    pub(crate) fn last(&self) -> LogId {
        self.entries.back().map_or(self.base, |entry| entry.id)
    }

    /// The entry at an index, if it is here and not compacted.
    pub(crate) fn entry(&self, index: Index) -> Option<&Entry> {
        let offset = index.0.checked_sub(self.base.index.0 + 1)?;
        self.entries.get(offset as usize)
    }

    /// The name of the entry at an index, the base included.
    pub(crate) fn id_at(&self, index: Index) -> Option<LogId> {
        if index == self.base.index { Some(self.base) } else { self.entry(index).map(|entry| entry.id) }
    }

    /// Whether the entry is here, or below the base, where only committed entries are.
    pub(crate) fn contains(&self, id: LogId) -> bool {
        id.index < self.base.index || self.id_at(id.index) == Some(id)
    }

    /// Performs a write. Returns why it does not fit this log.
    pub(crate) fn write(&mut self, write: &Write) -> Result<(), &'static str> {
        if let Some(base) = write.restart_after {
            self.entries.clear();
            self.base = base;
        }
        if let Some(from) = write.truncate_from {
            if from <= self.base.index {
                return Err("it truncates what is compacted");
            }
            self.entries.truncate((from.0 - self.base.index.0 - 1) as usize);
        }
        for entry in &write.entries {
            if entry.id.index != self.last().index.next() {
                return Err("its entries do not follow the log's last one");
            }
            self.entries.push_back(entry.clone());
        }
        if let Some(hard_state) = write.hard_state {
            self.hard_state = hard_state;
        }
        Ok(())
    }

    /// Drops the entries up to and including `base`; an id that is not here drops nothing.
    pub(crate) fn compact(&mut self, base: LogId) {
        if base.index <= self.base.index || !self.contains(base) {
            return;
        }
        self.entries.drain(..(base.index.0 - self.base.index.0) as usize);
        self.base = base;
    }

    /// The first entry of each term.
    pub(crate) fn terms(&self) -> Vec<LogId> {
        let mut terms: Vec<LogId> = Vec::new();
        for entry in &self.entries {
            if terms.last().is_none_or(|run| run.term != entry.id.term) {
                terms.push(entry.id);
            }
        }
        terms
    }

    /// The membership entries.
    pub(crate) fn memberships(&self) -> Vec<Entry> {
        self.entries.iter().filter(|entry| entry.kind == EntryKind::Membership).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use floe_raft::{Term, WriteId};

    fn entry(term: u64, index: u64) -> Entry {
        Entry {
            id: LogId::new(Term(term), Index(index)),
            kind: EntryKind::Noop,
            payload: bytes::Bytes::new(),
        }
    }

    fn write(truncate_from: Option<u64>, entries: Vec<Entry>) -> Write {
        Write {
            id: WriteId(1),
            hard_state: None,
            restart_after: None,
            truncate_from: truncate_from.map(Index),
            entries,
        }
    }

    #[test]
    fn writes_truncate_then_append() {
        let mut log = LogImage::default();
        log.write(&write(None, vec![entry(1, 1), entry(1, 2), entry(1, 3)])).unwrap();
        log.write(&write(Some(2), vec![entry(2, 2)])).unwrap();
        assert_eq!(log.last(), entry(2, 2).id);
        assert!(log.contains(entry(1, 1).id));
        assert!(!log.contains(entry(1, 2).id));
        assert!(log.write(&write(None, vec![entry(2, 5)])).is_err());
        assert_eq!(log.terms(), [entry(1, 1).id, entry(2, 2).id]);
    }

    #[test]
    fn compaction_keeps_the_rest_addressable() {
        let mut log = LogImage::default();
        log.write(&write(None, vec![entry(1, 1), entry(1, 2), entry(1, 3)])).unwrap();
        log.compact(entry(1, 2).id);
        assert_eq!(log.id_at(Index(2)), Some(entry(1, 2).id));
        assert_eq!(log.entry(Index(2)), None);
        assert_eq!(log.id_at(Index(3)), Some(entry(1, 3).id));
        assert!(log.contains(entry(1, 1).id));
        assert!(log.write(&write(Some(2), vec![])).is_err());
    }
}
