//! What the tests share: short words for writes, and a small log to compare with.

use std::collections::BTreeMap;

use bytes::Bytes;
use floe_raft::{Entry, EntryKind, GroupId, HardState, Index, LogId, NodeId, Term, Write, WriteId};
use floe_wal::sim::SimDisk;
use floe_wal::{OpenError, Options, RecoveredGroup, Wal};

pub(crate) const GROUP: GroupId = GroupId(1);
pub(crate) const OPTIONS: Options = Options { cluster: 0xc1, member: 0x3e, segment_bytes: 32 << 10 };
/// Where frames begin, and the identifier region, in a segment of `OPTIONS`.
pub(crate) const FRAMES_START: u64 = 4096;
pub(crate) const SLOTS_START: u64 = (32 << 10) - 4096 - 4096;

pub(crate) fn id(term: u64, index: u64) -> LogId {
    LogId::new(Term(term), Index(index))
}

pub(crate) fn entry(term: u64, index: u64, payload: &[u8]) -> Entry {
    Entry { id: id(term, index), kind: EntryKind::Command, payload: Bytes::copy_from_slice(payload) }
}

pub(crate) fn write() -> Write {
    Write { id: WriteId(0), hard_state: None, restart_after: None, truncate_from: None, entries: Vec::new() }
}

/// Entries of these payload lengths from `index` on.
pub(crate) fn appended(term: u64, index: u64, lengths: &[usize]) -> Write {
    let entries = lengths.iter().enumerate().map(|(position, &length)| {
        let index = index + position as u64;
        entry(term, index, &vec![(term * 31 + index) as u8 | 1; length])
    });
    Write { entries: entries.collect(), ..write() }
}

pub(crate) fn voted(term: u64, vote: Option<u64>) -> Write {
    Write { hard_state: Some(hard_state(term, vote)), ..write() }
}

pub(crate) fn hard_state(term: u64, vote: Option<u64>) -> HardState {
    HardState { term: Term(term), vote: vote.map(NodeId) }
}

pub(crate) type Opened = (Wal<SimDisk>, BTreeMap<GroupId, RecoveredGroup>);

pub(crate) fn try_open(disk: &SimDisk) -> Result<Opened, OpenError> {
    Wal::open(disk.clone(), OPTIONS)
}

pub(crate) fn open(disk: &SimDisk) -> Opened {
    try_open(disk).unwrap_or_else(|error| panic!("{error}"))
}

/// A log that is right by being simple.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Model(pub(crate) BTreeMap<GroupId, ModelGroup>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ModelGroup {
    pub(crate) hard_state: HardState,
    pub(crate) base: LogId,
    pub(crate) entries: Vec<Entry>,
}

impl ModelGroup {
    pub(crate) fn last(&self) -> LogId {
        self.entries.last().map_or(self.base, |entry| entry.id)
    }
}

impl Model {
    pub(crate) fn group(&self, group: GroupId) -> ModelGroup {
        self.0.get(&group).cloned().unwrap_or_default()
    }

    pub(crate) fn append(&mut self, batch: &[(GroupId, Write)]) {
        for (group, write) in batch {
            let group = self.0.entry(*group).or_default();
            if let Some(base) = write.restart_after {
                (group.base, group.entries) = (base, Vec::new());
            }
            if let Some(from) = write.truncate_from {
                group.entries.retain(|entry| entry.id.index < from);
            }
            group.entries.extend(write.entries.iter().cloned());
            group.hard_state = write.hard_state.unwrap_or(group.hard_state);
        }
    }

    pub(crate) fn compact(&mut self, group: GroupId, base: LogId) {
        let group = self.0.entry(group).or_default();
        if base.index > group.base.index {
            group.base = base;
            group.entries.retain(|entry| entry.id.index > base.index);
        }
    }

    /// What the log says of itself.
    pub(crate) fn of(wal: &Wal<SimDisk>, groups: &BTreeMap<GroupId, RecoveredGroup>) -> Self {
        let reader = wal.reader();
        let group_of = |(&id, group): (&GroupId, &RecoveredGroup)| {
            let mut entries: Vec<Entry> = Vec::new();
            while entries.last().map_or(group.base, |entry| entry.id).index < group.last.index {
                let first = entries.last().map_or(group.base, |entry| entry.id).index.next();
                entries.extend(reader.read(id, first, group.last.index, 4000).unwrap());
            }
            check_derived(group, &entries);
            (id, ModelGroup { hard_state: group.hard_state, base: group.base, entries })
        };
        Self(groups.iter().map(group_of).collect())
    }

    /// Without groups that say nothing.
    pub(crate) fn trimmed(&self) -> Self {
        let said = |group: &ModelGroup| *group != ModelGroup::default();
        Self(self.0.iter().filter(|(_, group)| said(group)).map(|(id, group)| (*id, group.clone())).collect())
    }
}

/// Checks what a recovered group says about its entries against the entries.
fn check_derived(group: &RecoveredGroup, entries: &[Entry]) {
    let mut terms: Vec<LogId> = Vec::new();
    for entry in entries {
        if terms.last().is_none_or(|run| run.term != entry.id.term) {
            terms.push(entry.id);
        }
    }
    assert_eq!(group.terms, terms);
    assert_eq!(group.last, entries.last().map_or(group.base, |entry| entry.id));
    assert!(entries.ends_with(&group.tail));
    assert!(entries.is_empty() || !group.tail.is_empty());
    let memberships: Vec<_> =
        entries.iter().filter(|entry| entry.kind == EntryKind::Membership).cloned().collect();
    assert_eq!(group.memberships, memberships);
}

/// Opens the log and compares all that it holds.
pub(crate) fn reopened(disk: &SimDisk) -> Model {
    let (wal, groups) = open(disk);
    Model::of(&wal, &groups).trimmed()
}
