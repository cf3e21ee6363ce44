//! What the log holds, and the small state beside it that must be durable before a node speaks.

use bytes::Bytes;

use crate::id::{Index, LogId, NodeId, Term};

/// What an entry is for. The core interprets `Membership` alone (and, later, sessions); a command is the host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// Empty; the first entry of each term. Committing it commits all that came before (thesis 3.6.2).
    Noop,
    /// A command of the state machine.
    Command,
    /// A [`crate::Membership`], in force from the moment it is in the log.
    Membership,
    /// A command whose payload is kept elsewhere: what a witness holds in its place. Never in the log of another member.
    Witnessed,
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub id: LogId,
    /// What it is for.
    pub kind: EntryKind,
    /// The command or the encoded membership; empty for a no-op and for what is witnessed.
    pub payload: Bytes,
}

impl Entry {
    /// The entry as a witness keeps it.
    pub(crate) fn witnessed(self) -> Self {
        match self.kind {
            EntryKind::Command => Self { id: self.id, kind: EntryKind::Witnessed, payload: Bytes::new() },
            EntryKind::Noop | EntryKind::Membership | EntryKind::Witnessed => self,
        }
    }

    /// What the entry costs in windows and caches: its payload and a constant for the rest.
    pub fn cost(&self) -> u64 {
        self.payload.len() as u64 + Self::OVERHEAD
    }

    /// The constant in [`Entry::cost`], so that a million empty entries are not free.
    pub const OVERHEAD: u64 = 32;
}

/// Term and vote: one record, because a vote that is durable without its term (or the other way round) can be cast
/// twice (hashicorp/raft #661).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HardState {
    /// The latest term seen.
    pub term: Term,
    /// Whom this node voted for in that term.
    pub vote: Option<NodeId>,
}

/// A change of the durable log, written as one: either all of it is on disk or none of it counts. Writes of a group
/// are performed in the order they were emitted.
///
/// The host performs `restart_after`, then `truncate_from`, then `entries`, then `hard_state`, and reports the id by
/// [`crate::Node::handle_persisted`] once all of it is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Reported back when durable; covers all earlier ones.
    pub id: crate::id::WriteId,
    /// A new term or vote.
    pub hard_state: Option<HardState>,
    /// A snapshot took the place of the whole log: drop every entry; the next one follows this id.
    pub restart_after: Option<LogId>,
    /// Drop this entry and all after it: a new leader overwrites them.
    pub truncate_from: Option<Index>,
    /// Append these, without a gap.
    pub entries: Vec<Entry>,
}

/// What the log on disk says when a node starts.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    /// Term and vote.
    pub hard_state: HardState,
    /// The id of the last compacted entry: what the first entry in the log follows. Zero when nothing was compacted.
    pub base: LogId,
    /// The log's terms as runs: each the first entry of a term, ascending, all after `base`.
    pub terms: Vec<LogId>,
    /// The last entry in the log; `base` when it is empty.
    pub last: LogId,
    /// The most recent entries, without a gap and ending at `last`; may be empty. They save fetches.
    pub tail: Vec<Entry>,
    /// The membership in force at `base`.
    pub membership: crate::membership::Membership,
    /// Every membership entry in the log after `base`, ascending.
    pub memberships: Vec<Entry>,
    /// The last entry that the state machine contains. It is committed.
    pub applied: Index,
}
