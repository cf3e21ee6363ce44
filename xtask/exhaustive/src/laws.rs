//! What must never happen, and what must have happened for a run to prove anything.
//!
//! The network of the models forgets nothing, so that what was ever said is part of every state: whom a node voted for
//! in a life before, and who led a term that is over.

use std::collections::BTreeSet;

use floe_raft::{EntryKind, Envelope, LogId, Message, NodeId, RoleKind, Term};

use crate::model::State;
use crate::space::Seen;

/// A law of Raft.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Law {
    ElectionSafety,
    OneVote,
    LogMatching,
    LeaderCompleteness,
    StateMachineSafety,
    CommittedIsDurable,
    OneChange,
    StaleRead,
    LeaseIsAlone,
    SaidBeforeDurable,
    AppliedBeforeDurable,
    Unexpected,
    Panicked,
}

impl Law {
    /// Every law with its statement.
    pub(crate) const ALL: &[(Self, &'static str)] = &[
        (Self::ElectionSafety, "a term has at most one leader"),
        (Self::OneVote, "a node votes at most once in a term, over all its lives"),
        (Self::LogMatching, "logs that share an entry share everything before it"),
        (Self::LeaderCompleteness, "a leader has what earlier terms committed"),
        (Self::StateMachineSafety, "two nodes never commit different entries at one index"),
        (Self::CommittedIsDurable, "what is committed is on the disks of a majority, for ever"),
        (Self::OneChange, "a log has at most one membership that is not committed"),
        (Self::StaleRead, "a read sees what was committed before it was asked for"),
        (Self::LeaseIsAlone, "nobody leads in a later term while a leader has its lease"),
        (Self::SaidBeforeDurable, "nothing is said before it is durable"),
        (Self::AppliedBeforeDurable, "nothing is applied before it is durable, nor out of order"),
        (Self::Unexpected, "a correct node gives no cause for an alarm"),
        (Self::Panicked, "the core's own invariants hold"),
    ];
}

/// What a message commits its sender to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    Leads(NodeId, Term),
    Votes(NodeId, Term, NodeId),
    Nothing,
}

impl Claim {
    pub(crate) fn of(envelope: &Envelope) -> Self {
        let Envelope { from, to, term, message } = envelope;
        match message {
            Message::Append { .. } | Message::Heartbeat { .. } => Self::Leads(*from, *term),
            Message::Vote { .. } => Self::Votes(*from, *term, *from),
            Message::VoteReply { granted: true } => Self::Votes(*from, *term, *to),
            _ => Self::Nothing,
        }
    }

    /// The law that both together break.
    pub(crate) fn contradiction(self, other: Self) -> Option<Law> {
        match (self, other) {
            (Self::Leads(one, term), Self::Leads(two, same)) if term == same && one != two => {
                Some(Law::ElectionSafety)
            }
            (Self::Votes(node, term, one), Self::Votes(same, same_term, two))
                if (node, term) == (same, same_term) && one != two =>
            {
                Some(Law::OneVote)
            }
            _ => None,
        }
    }
}

/// An entry, as far as the laws care.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Mark {
    pub(crate) id: LogId,
    pub(crate) kind: MarkKind,
    /// Of the payload.
    pub(crate) digest: u64,
}

/// The kind of an entry, hashable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum MarkKind {
    Noop,
    Command,
    Membership,
    Witnessed,
}

impl From<EntryKind> for MarkKind {
    fn from(kind: EntryKind) -> Self {
        match kind {
            EntryKind::Noop => Self::Noop,
            EntryKind::Command => Self::Command,
            EntryKind::Membership => Self::Membership,
            EntryKind::Witnessed => Self::Witnessed,
        }
    }
}

/// The laws that compare nodes with each other and with what was ever committed. `changed` is the node that moved.
pub(crate) fn broken(state: &State, changed: usize, fixed_membership: bool) -> Option<Law> {
    let seen: Vec<&Seen> = state.hosts.iter().map(|host| &host.seen).collect();
    let moved = seen[changed];
    for (at, other) in seen.iter().enumerate() {
        if at != changed && !logs_match(&moved.written, &other.written) {
            return Some(Law::LogMatching);
        }
        let both_lead = moved.role == RoleKind::Leader && other.role == RoleKind::Leader;
        if at != changed && both_lead && moved.term == other.term {
            return Some(Law::ElectionSafety);
        }
    }
    if leads_beside_a_lease(state) {
        return Some(Law::LeaseIsAlone);
    }
    let committed = &state.committed.entries;
    for leader in seen.iter().filter(|seen| seen.role == RoleKind::Leader) {
        let lacks = |(index, (mark, known)): (usize, &(Mark, Term))| {
            *known < leader.term && leader.written.get(index) != Some(mark)
        };
        if committed.iter().enumerate().any(lacks) {
            return Some(Law::LeaderCompleteness);
        }
    }
    if fixed_membership {
        let holders = |index: usize, mark: &Mark| {
            seen.iter().filter(|seen| seen.durable.get(index) == Some(mark)).count()
        };
        if committed.iter().enumerate().any(|(index, (mark, _))| holders(index, mark) * 2 <= seen.len()) {
            return Some(Law::CommittedIsDurable);
        }
    }
    let is_committed =
        |index: usize, mark: &Mark| committed.get(index).is_some_and(|(known, _)| known == mark);
    let open = moved
        .written
        .iter()
        .enumerate()
        .filter(|(index, mark)| mark.kind == MarkKind::Membership && !is_committed(*index, mark));
    (open.count() > 1).then_some(Law::OneChange)
}

/// Somebody leads in a later term than one that knows by the clock that it is alone.
fn leads_beside_a_lease(state: &State) -> bool {
    let leaders = || state.hosts.iter().filter(|host| host.seen.role == RoleKind::Leader);
    leaders().any(|host| host.seen.lease > 0 && leaders().any(|other| other.seen.term > host.seen.term))
}

fn logs_match(one: &[Mark], two: &[Mark]) -> bool {
    let shared = one.iter().zip(two).rposition(|(one, two)| one.id == two.id);
    shared.is_none_or(|last| one[..=last] == two[..=last])
}

/// What a run has to come by.
pub(crate) mod reached {
    use super::{BTreeSet, MarkKind, Message, RoleKind, State};
    use crate::model::Asked;

    /// Anything is committed.
    pub(crate) fn entry(state: &State) -> bool {
        !state.committed.entries.is_empty()
    }

    /// A client's command is committed.
    pub(crate) fn commit(state: &State) -> bool {
        state.committed.entries.iter().any(|(mark, _)| mark.kind == MarkKind::Command)
    }

    /// A later leader leads after a commit.
    pub(crate) fn succession(state: &State) -> bool {
        let Some((_, term)) = state.committed.entries.first() else { return false };
        let is_later =
            |term| state.hosts.iter().any(|host| host.seen.role == RoleKind::Leader && host.seen.term > term);
        is_later(*term)
    }

    /// Entries of two terms are committed.
    pub(crate) fn two_terms(state: &State) -> bool {
        let terms: BTreeSet<_> = state.committed.entries.iter().map(|(mark, _)| mark.id.term).collect();
        terms.len() > 1
    }

    /// A membership is committed.
    pub(crate) fn change(state: &State) -> bool {
        state.committed.entries.iter().any(|(mark, _)| mark.kind == MarkKind::Membership)
    }

    /// A read was served, after something was committed.
    pub(crate) fn read(state: &State) -> bool {
        state.asked == Asked::Served && !state.committed.entries.is_empty()
    }

    /// Entries were pulled.
    pub(crate) fn pulled(state: &State) -> bool {
        let tells =
            |message: &Message| matches!(message, Message::PullReply { entries, .. } if !entries.is_empty());
        state.network.packets.iter().any(|packet| tells(&packet.envelope.message))
    }

    /// Two nodes believe that they lead, in different terms.
    pub(crate) fn two_leaders(state: &State) -> bool {
        state.hosts.iter().filter(|host| host.seen.role == RoleKind::Leader).count() > 1
    }
}
