//! What is in the log and on the wire, in words for people.

use std::fmt::Write as _;

use floe_raft::codec::decode_membership;
use floe_raft::{Entry, EntryKind, LogId, Membership, Message, NodeId};
use floe_trace::message_name;

use super::act::Write;
use crate::check::OperationKind;
use crate::machine::{Command, KEYS, Key, OpId};
use crate::net::Body;
use crate::world::World;

/// The names of the keys.
pub(crate) const NAMES: [&str; KEYS as usize] = ["x", "y", "z", "a", "b", "c", "d", "e"];

/// What the viewer's operation does to its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    Set(i64),
    Add(i64),
}

impl From<Write> for Meaning {
    fn from(write: Write) -> Self {
        match write {
            Write::Set(value) => Self::Set(value),
            Write::Add(value) => Self::Add(value),
        }
    }
}

pub(crate) fn key_name(key: Key) -> &'static str {
    NAMES.get(usize::from(key.0)).copied().unwrap_or("?")
}

impl World {
    /// What the viewer's operation does; of one that is sent again, what it did at first.
    pub(super) fn meaning(&self, op: OpId) -> Option<Meaning> {
        let op = self.check.clients.operation(op).map_or(op, |operation| operation.first);
        self.backstage.as_ref()?.meanings.get(&op).copied()
    }

    /// The number that an operation's value stands for. A client that works by itself writes its operation's own number;
    /// what the viewer adds, it adds to what the operation found where it stands in the log. `None` of what was never
    /// written, and of a sum that is in no committed log.
    pub(crate) fn value_of(&self, op: OpId) -> Option<i64> {
        let (mut op, mut sum) = (op, 0i64);
        loop {
            if op == OpId(0) {
                return (sum != 0).then_some(sum);
            }
            let first = self.check.clients.operation(op).map_or(op, |operation| operation.first);
            match self.meaning(first) {
                None => return Some(sum.saturating_add(i64::try_from(first.0).unwrap_or(i64::MAX))),
                Some(Meaning::Set(value)) => return Some(sum.saturating_add(value)),
                Some(Meaning::Add(value)) => {
                    sum = sum.saturating_add(value);
                    let found = self.check.clients.found(op)?;
                    // It comes later in the log; a broken world may say otherwise.
                    if found >= first {
                        return None;
                    }
                    if found == OpId(0) {
                        return Some(sum);
                    }
                    op = found;
                }
            }
        }
    }

    pub(crate) fn value_text(&self, op: OpId) -> String {
        match self.value_of(op) {
            Some(value) => value.to_string(),
            None if op == OpId(0) => "nothing".to_owned(),
            None => "?".to_owned(),
        }
    }

    /// What an operation does.
    pub(crate) fn operation_text(&self, op: OpId) -> String {
        let Some(operation) = self.check.clients.operation(op) else { return format!("operation {}", op.0) };
        let key = key_name(operation.key);
        match (self.meaning(op), operation.kind) {
            (Some(Meaning::Set(value)), _) => format!("set {key} {value}"),
            (Some(Meaning::Add(value)), _) => format!("add {key} {value}"),
            (None, OperationKind::Get) => format!("get {key}"),
            (None, OperationKind::Put) => format!("set {key} {}", operation.first.0),
            (None, OperationKind::Compare { expect }) => {
                format!("set {key} {} if it is {}", operation.first.0, self.value_text(expect))
            }
        }
    }

    pub(crate) fn entry_text(&self, entry: &Entry) -> String {
        match entry.kind {
            EntryKind::Noop => "no-op".to_owned(),
            EntryKind::Witnessed => "a command that a witness does not keep".to_owned(),
            EntryKind::Membership => match decode_membership(entry.payload.clone()) {
                Ok(membership) => membership_text(&membership),
                Err(_) => "a membership that cannot be read".to_owned(),
            },
            EntryKind::Command => match Command::decode(&entry.payload) {
                Some(command) => self.operation_text(command.op),
                None => "a command that cannot be read".to_owned(),
            },
        }
    }
}

pub(crate) fn entry_kind(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Noop => "empty",
        EntryKind::Witnessed => "witnessed",
        EntryKind::Membership => "membership",
        EntryKind::Command => "command",
    }
}

/// `1 2 3`, and what else there is: `1 2 3, leaving 4 5, learners 6`.
pub(crate) fn membership_text(membership: &Membership) -> String {
    let names = |nodes: &std::collections::BTreeSet<NodeId>| {
        nodes.iter().map(|node| node.0.to_string()).collect::<Vec<_>>().join(" ")
    };
    let mut text = names(&membership.voters);
    if !membership.outgoing.is_empty() {
        let _ = write!(text, ", and until all agree {}", names(&membership.outgoing));
    }
    if !membership.learners.is_empty() {
        let _ = write!(text, ", learners {}", names(&membership.learners));
    }
    text
}

fn id_text(id: LogId) -> String {
    format!("[{},{}]", id.index, id.term)
}

fn span(entries: &[Entry]) -> String {
    match entries {
        [] => "no entries".to_owned(),
        [one] => format!("entry {}", one.id.index),
        [first, .., last] => format!("entries {}..{}", first.id.index, last.id.index),
    }
}

/// The kind of a packet, its term, and what it says.
pub(crate) fn packet_text(body: &Body) -> (&'static str, u64, String) {
    match body {
        Body::Raft(envelope) => {
            (message_name(&envelope.message), envelope.term.0, message_text(&envelope.message))
        }
        Body::Snapshot { envelope, state, .. } => {
            ("snapshot", envelope.term.0, format!("state up to {}", id_text(state.last)))
        }
        Body::SnapshotDone { outcome, .. } => (
            "snapshot-done",
            0,
            match outcome {
                floe_raft::SnapshotOutcome::Installed(last) => format!("installed up to {}", id_text(*last)),
                floe_raft::SnapshotOutcome::Failed => "not installed".to_owned(),
            },
        ),
    }
}

pub(super) fn message_text(message: &Message) -> String {
    let answer = |granted: &bool| if *granted { "granted" } else { "refused" }.to_owned();
    match message {
        Message::PreVote { last } | Message::Vote { last, .. } => format!("log ends with {}", id_text(*last)),
        Message::PreVoteReply { granted } | Message::VoteReply { granted } => answer(granted),
        Message::Append { prev, entries, commit } => {
            format!("{} after {}, commit {commit}", span(entries), id_text(*prev))
        }
        Message::AppendOk { matched } => format!("has all up to {matched}"),
        Message::AppendReject { prev, hint } => {
            format!("does not have {}, perhaps {}", id_text(*prev), id_text(*hint))
        }
        Message::Heartbeat { commit, round } => format!("round {}, commit {commit}", round.0),
        Message::HeartbeatReply { round } => format!("round {}", round.0),
        Message::Snapshot { last, .. } => format!("state up to {}", id_text(*last)),
        Message::ReadIndex { .. } => "where may I read?".to_owned(),
        Message::ReadIndexReply { index: Some(index), .. } => format!("read once {index} is applied"),
        Message::ReadIndexReply { index: None, .. } => "not here".to_owned(),
        Message::Propose { proposals } => format!("{} commands passed on", proposals.len()),
        Message::ProposeReply { outcomes } => format!("{} commands answered", outcomes.len()),
        Message::Pull { after, last } => {
            format!("what is between {} and {}?", id_text(*after), id_text(*last))
        }
        Message::PullReply { prev, entries, .. } => format!("{} after {}", span(entries), id_text(*prev)),
        Message::TimeoutNow { last } => format!("campaign now, with {}", id_text(*last)),
        Message::Priority { priority } => format!("prefers to lead by {priority}"),
    }
}
