//! What one frame is made of: a batch is checked against the logs, measured, encoded, and, once durable,
//! performed in memory.

use std::collections::BTreeMap;

use floe_raft::{GroupId, HardState, Index, LogId, Term, Write};

use crate::error::AppendError;
use crate::index::{Catalog, Location};
use crate::record::{FrameWriter, HARD_STATE_RECORD_BYTES, INDEX_MAX, Kind, frame_bytes, record_bytes};

/// The work of one frame.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Batch<'a> {
    /// What the cores asked for.
    Writes(&'a [(GroupId, Write)]),
    /// Entries of a group that its state machine holds durably.
    Compact(GroupId, LogId),
}

/// A group's log as it is in the middle of the batch.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    base: Index,
    last: Index,
    hard_state: HardState,
    hard_state_is_new: bool,
}

/// A batch that was checked.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    batch: Batch<'a>,
    cursors: BTreeMap<GroupId, Cursor>,
    records_bytes: u64,
    new_hard_states: u64,
}

/// The state of a group that the first frame of a segment states again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Statement {
    hard_state: HardState,
    /// Base and last index, before the batch; `None` if the batch begins the group.
    log: Option<(LogId, Index)>,
}

impl<'a> Plan<'a> {
    /// Checks the batch; refuses what would break a log.
    pub(crate) fn new<F>(batch: Batch<'a>, catalog: &Catalog<F>) -> Result<Self, AppendError> {
        let mut plan = Self { batch, cursors: BTreeMap::new(), records_bytes: 0, new_hard_states: 0 };
        match batch {
            Batch::Writes(writes) => {
                for (group, write) in writes {
                    plan.add_write(catalog, *group, write)?;
                }
            }
            Batch::Compact(group, base) => {
                let reason = match catalog.groups.get(&group).and_then(|log| log.term_of(base.index)) {
                    Some(term) if term == base.term => None,
                    Some(_) => Some("compaction at an entry of another term"),
                    None => Some("compaction at an entry that the log has not"),
                };
                if let Some(reason) = reason {
                    return Err(AppendError::Refused { group, index: base.index, reason });
                }
                plan.records_bytes += record_bytes(0);
            }
        }
        plan.new_hard_states = plan.cursors.values().filter(|cursor| cursor.hard_state_is_new).count() as u64;
        Ok(plan)
    }

    fn add_write<F>(
        &mut self,
        catalog: &Catalog<F>,
        group: GroupId,
        write: &Write,
    ) -> Result<(), AppendError> {
        let cursor = self.cursors.entry(group).or_insert_with(|| cursor_of(catalog, group));
        let refuse = |index, reason| Err(AppendError::Refused { group, index, reason });
        if let Some(base) = write.restart_after {
            if base.index.0 > INDEX_MAX {
                return refuse(base.index, "an index beyond all bounds");
            }
            cursor.base = base.index;
            cursor.last = base.index;
            self.records_bytes += record_bytes(0);
        }
        if let Some(from) = write.truncate_from {
            if from <= cursor.base {
                return refuse(from, "truncation of compacted entries");
            }
            cursor.last = cursor.last.min(from.prev());
            self.records_bytes += record_bytes(0);
        }
        for entry in &write.entries {
            if entry.id.index != cursor.last.next() || entry.id.index.0 > INDEX_MAX {
                return refuse(entry.id.index, "an entry that does not follow the one before it");
            }
            cursor.last = entry.id.index;
            self.records_bytes += record_bytes(entry.payload.len() as u64);
        }
        if let Some(hard_state) = write.hard_state {
            // The core never asks for this. It is checked here, as well, because a vote that is cast twice is
            // the one error that no other member can notice.
            if greater(cursor.hard_state, hard_state) != Some(hard_state) {
                return refuse(cursor.last, "a term or a vote that goes back");
            }
            cursor.hard_state = hard_state;
            cursor.hard_state_is_new = true;
        }
        Ok(())
    }

    /// Whether there is nothing to make durable.
    pub(crate) fn is_empty(&self) -> bool {
        self.records_bytes == 0 && self.new_hard_states == 0
    }

    /// The length of the frame, and the slots that it takes.
    pub(crate) fn size(&self) -> (u64, u64) {
        let records_bytes = self.records_bytes + self.new_hard_states * HARD_STATE_RECORD_BYTES;
        (frame_bytes(records_bytes), self.new_hard_states + 1)
    }

    /// The same as the first frame of a segment.
    pub(crate) fn size_stating(&self, statements: &BTreeMap<GroupId, Statement>) -> (u64, u64) {
        let hard_states = statements.len() as u64;
        let logs = statements.values().filter(|statement| statement.log.is_some()).count() as u64;
        let records_bytes =
            self.records_bytes + hard_states * HARD_STATE_RECORD_BYTES + logs * record_bytes(8);
        (frame_bytes(records_bytes), hard_states + 1)
    }

    /// What the first frame of a segment states: every group, with the hard states of this batch.
    pub(crate) fn statements<F>(&self, catalog: &Catalog<F>) -> BTreeMap<GroupId, Statement> {
        let known = catalog.groups.iter().map(|(&group, log)| {
            (group, Statement { hard_state: log.hard_state, log: Some((log.base, log.last_index())) })
        });
        let mut statements: BTreeMap<_, _> = known.collect();
        for (&group, cursor) in &self.cursors {
            let statement =
                statements.entry(group).or_insert(Statement { hard_state: cursor.hard_state, log: None });
            statement.hard_state = cursor.hard_state;
        }
        statements
    }

    /// The hard states that this batch changes.
    pub(crate) fn hard_states(&self) -> impl Iterator<Item = (GroupId, HardState)> {
        let new = self.cursors.iter().filter(|(_, cursor)| cursor.hard_state_is_new);
        new.map(|(&group, cursor)| (group, cursor.hard_state))
    }

    /// Encodes what comes behind the hard states, and notes where each entry lies.
    pub(crate) fn encode_records(
        &self,
        frame: &mut FrameWriter,
        segment: u64,
        locations: &mut Vec<Location>,
    ) {
        locations.clear();
        let writes = match self.batch {
            Batch::Writes(writes) => writes,
            Batch::Compact(group, base) => {
                frame.push(Kind::Compact, group, base, b"");
                return;
            }
        };
        for (group, write) in writes {
            if let Some(base) = write.restart_after {
                frame.push(Kind::RestartAfter, *group, base, b"");
            }
            if let Some(from) = write.truncate_from {
                frame.push(Kind::TruncateFrom, *group, LogId::new(Term(0), from), b"");
            }
            for entry in &write.entries {
                let offset = frame.push(Kind::Entry(entry.kind), *group, entry.id, &entry.payload);
                // Both fit 32 bits: a segment is never longer than that.
                locations.push(Location {
                    segment,
                    offset: offset as u32,
                    length: entry.payload.len() as u32,
                });
            }
        }
    }

    /// Performs the batch in memory, once it is durable. `locations` are those of `encode_records`.
    pub(crate) fn perform<F>(&self, catalog: &mut Catalog<F>, locations: &[Location]) {
        let writes = match self.batch {
            Batch::Writes(writes) => writes,
            Batch::Compact(group, base) => {
                catalog.compact(group, base);
                return;
            }
        };
        let mut locations = locations.iter();
        for (group, write) in writes {
            if let Some(base) = write.restart_after {
                catalog.restart_after(*group, base);
            }
            if let Some(from) = write.truncate_from {
                catalog.truncate_from(*group, from);
            }
            for (entry, location) in write.entries.iter().zip(&mut locations) {
                catalog.push(*group, entry.id.term, *location);
            }
        }
        for (group, hard_state) in self.hard_states() {
            catalog.log(group).hard_state = hard_state;
        }
    }
}

/// Encodes the statements: all hard states, then all logs.
pub(crate) fn encode_statements(frame: &mut FrameWriter, statements: &BTreeMap<GroupId, Statement>) {
    for (&group, statement) in statements {
        frame.push_hard_state(group, statement.hard_state);
    }
    for (&group, statement) in statements {
        if let Some((base, last)) = statement.log {
            frame.push(Kind::Group, group, base, &last.0.to_le_bytes());
        }
    }
}

/// The hard states of the statements.
pub(crate) fn hard_states_of(
    statements: &BTreeMap<GroupId, Statement>,
) -> impl Iterator<Item = (GroupId, HardState)> {
    statements.iter().map(|(&group, statement)| (group, statement.hard_state))
}

fn cursor_of<F>(catalog: &Catalog<F>, group: GroupId) -> Cursor {
    let (base, last, hard_state) = match catalog.groups.get(&group) {
        Some(log) => (log.base.index, log.last_index(), log.hard_state),
        None => (Index::ZERO, Index::ZERO, HardState::default()),
    };
    Cursor { base, last, hard_state, hard_state_is_new: false }
}

/// The later one of two hard states of a group; `None` if they hold different votes in one term, which no
/// correct member writes.
pub(crate) fn greater(one: HardState, other: HardState) -> Option<HardState> {
    if one.term != other.term {
        return Some(if one.term > other.term { one } else { other });
    }
    match (one.vote, other.vote) {
        (None, _) => Some(other),
        (Some(_), None) => Some(one),
        (Some(mine), Some(theirs)) => (mine == theirs).then_some(one),
    }
}
