//! What no correct peer sends. Checked before a message is looked at, so that the handlers need not.

use crate::entry::{Entry, EntryKind};
use crate::id::{Index, LogId, Term};
use crate::message::{Envelope, Message};

/// No group lives long enough to reach it, and below it terms and positions can be added to without a thought of
/// overflow. Without it one forged message of the highest term would leave a group no term to elect a leader in.
pub(crate) const LIMIT: u64 = 1 << 62;

/// Why the message cannot come from a correct peer, if so.
pub(crate) fn fault(envelope: &Envelope) -> Option<&'static str> {
    let Envelope { from, to: _, term, message } = envelope;
    if from.0 == 0 {
        return Some("the sender has no id");
    }
    if term.0 >= LIMIT {
        return Some("the term is out of range");
    }
    match message {
        Message::PreVote { last } if last.term >= *term => Some("a candidate's log reaches its own campaign"),
        Message::PreVote { last } | Message::Vote { last, .. } | Message::TimeoutNow { last } => {
            id_fault(*last, *term)
        }
        Message::Append { prev, entries, commit } => {
            id_fault(*prev, *term).or_else(|| entries_fault(*prev, entries, *term)).or(index_fault(*commit))
        }
        Message::AppendOk { matched } => index_fault(*matched),
        // Of a follower with a newer log than the leader; then its term is above the leader's, too.
        Message::AppendReject { prev, hint } => id_fault(*prev, *term).or(id_fault(*hint, *term)),
        Message::Pull { after, .. } if after.index == Index::ZERO && after.term != Term(0) => {
            Some("an entry has a position or a term, but not both")
        }
        Message::Pull { after, last } if after > last => {
            Some("it asks for what follows an entry beyond its log")
        }
        Message::Pull { last, .. } => id_fault(*last, *term),
        Message::PullReply { prev, entries, last } => {
            id_fault(*prev, *term).or_else(|| entries_fault(*prev, entries, *term)).or(id_fault(*last, *term))
        }
        Message::Heartbeat { commit, .. } => index_fault(*commit),
        Message::Snapshot { last, .. } if last.index == Index::ZERO => Some("a snapshot of nothing"),
        Message::Snapshot { membership, .. } if membership.fault().is_some() => {
            Some("a membership that no group may have")
        }
        Message::Snapshot { last, .. } => id_fault(*last, *term),
        Message::ReadIndexReply { index: Some(index), .. } => index_fault(*index),
        Message::ReadIndexReply { index: None, .. }
        | Message::PreVoteReply { .. }
        | Message::VoteReply { .. }
        | Message::HeartbeatReply { .. }
        | Message::ReadIndex { .. }
        | Message::Priority { .. }
        | Message::Propose { .. }
        | Message::ProposeReply { .. } => None,
    }
}

fn index_fault(index: Index) -> Option<&'static str> {
    (index.0 >= LIMIT).then_some("a position is out of range")
}

fn id_fault(id: LogId, term: Term) -> Option<&'static str> {
    if id.term > term {
        return Some("an entry is of a term above its sender's");
    }
    if (id.index == Index::ZERO) != (id.term == Term(0)) {
        return Some("an entry has a position or a term, but not both");
    }
    index_fault(id.index)
}

fn entries_fault(prev: LogId, entries: &[Entry], term: Term) -> Option<&'static str> {
    let mut before = prev;
    for entry in entries {
        if entry.id.index != before.index.next() {
            return Some("entries do not follow each other");
        }
        if entry.id.term < before.term || entry.id.term == Term(0) {
            return Some("the terms of entries fall");
        }
        if entry.kind == EntryKind::Witnessed && !entry.payload.is_empty() {
            return Some("what is only witnessed has content");
        }
        before = entry.id;
    }
    id_fault(before, term)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::id::NodeId;

    fn id(term: u64, index: u64) -> LogId {
        LogId::new(Term(term), Index(index))
    }

    fn append(prev: LogId, entries: &[LogId]) -> Option<&'static str> {
        let entry = |id: &LogId| Entry { id: *id, kind: EntryKind::Noop, payload: Bytes::new() };
        let entries = entries.iter().map(entry).collect();
        let message = Message::Append { prev, entries, commit: Index(0) };
        fault(&Envelope { from: NodeId(1), to: NodeId(2), term: Term(5), message })
    }

    #[test]
    fn appends_are_gapless_and_their_terms_do_not_fall() {
        assert_eq!(append(id(0, 0), &[id(1, 1), id(1, 2), id(5, 3)]), None);
        assert_eq!(append(id(3, 7), &[]), None);
        assert_eq!(append(id(3, 7), &[id(3, 9)]), Some("entries do not follow each other"));
        assert_eq!(append(id(3, 7), &[id(2, 8)]), Some("the terms of entries fall"));
        assert_eq!(append(id(3, 7), &[id(6, 8)]), Some("an entry is of a term above its sender's"));
        assert_eq!(append(id(6, 7), &[]), Some("an entry is of a term above its sender's"));
        assert_eq!(append(id(0, 7), &[]), Some("an entry has a position or a term, but not both"));
        assert_eq!(append(id(3, u64::MAX), &[]), Some("a position is out of range"));
    }

    #[test]
    fn terms_are_bounded_so_that_a_next_one_exists() {
        let message = Message::VoteReply { granted: false };
        let envelope = Envelope { from: NodeId(1), to: NodeId(2), term: Term(u64::MAX), message };
        assert_eq!(fault(&envelope), Some("the term is out of range"));
    }
}
