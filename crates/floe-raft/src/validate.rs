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
    use crate::id::{NodeId, Round};
    use crate::membership::Membership;

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
        assert_eq!(append(id(3, 7), &[id(3, 8), id(2, 9)]), Some("the terms of entries fall"));
        assert_eq!(append(id(0, 0), &[id(0, 1)]), Some("the terms of entries fall"));
        assert_eq!(append(id(3, 7), &[id(6, 8)]), Some("an entry is of a term above its sender's"));
        assert_eq!(append(id(6, 7), &[]), Some("an entry is of a term above its sender's"));
        assert_eq!(append(id(0, 7), &[]), Some("an entry has a position or a term, but not both"));
        assert_eq!(append(id(3, u64::MAX), &[]), Some("a position is out of range"));
    }

    fn fault_in(term: u64, message: Message) -> Option<&'static str> {
        fault(&Envelope { from: NodeId(1), to: NodeId(2), term: Term(term), message })
    }

    #[test]
    fn terms_are_bounded_so_that_a_next_one_exists() {
        let reply = || Message::VoteReply { granted: false };
        assert_eq!(fault_in(u64::MAX, reply()), Some("the term is out of range"));
        assert_eq!(fault_in(LIMIT, reply()), Some("the term is out of range"));
        assert_eq!(fault_in(LIMIT - 1, reply()), None);
        let nobody = Envelope { from: NodeId(0), to: NodeId(2), term: Term(1), message: reply() };
        assert_eq!(fault(&nobody), Some("the sender has no id"));
    }

    #[test]
    fn positions_are_bounded_in_every_message() {
        let out_of_range = Some("a position is out of range");
        let membership = Membership::of_voters([NodeId(1)]);
        for (index, expected) in [(LIMIT - 1, None), (LIMIT, out_of_range)] {
            let at = Index(index);
            let last = LogId::new(Term(3), at);
            let messages = [
                Message::PreVote { last },
                Message::Vote { last, transfer: false },
                Message::TimeoutNow { last },
                Message::Append { prev: last, entries: Vec::new(), commit: Index(0) },
                Message::Append { prev: id(3, 3), entries: Vec::new(), commit: at },
                Message::AppendOk { matched: at },
                Message::AppendReject { prev: last, hint: id(3, 3) },
                Message::AppendReject { prev: id(3, 3), hint: last },
                Message::Pull { after: id(3, 3), last },
                Message::PullReply { prev: last, entries: Vec::new(), last: id(3, 3) },
                Message::PullReply { prev: id(3, 3), entries: Vec::new(), last },
                Message::Heartbeat { commit: at, round: Round(1) },
                Message::Snapshot { last, membership: membership.clone() },
                Message::ReadIndexReply { round: Round(1), index: Some(at) },
            ];
            for message in messages {
                assert_eq!(fault_in(5, message.clone()), expected, "{message:?}");
            }
        }
    }

    #[test]
    fn a_candidate_asks_with_a_log_from_before_its_campaign() {
        let reaches = Some("a candidate's log reaches its own campaign");
        assert_eq!(fault_in(5, Message::PreVote { last: id(4, 9) }), None);
        assert_eq!(fault_in(5, Message::PreVote { last: id(5, 9) }), reaches);
        assert_eq!(fault_in(5, Message::PreVote { last: id(6, 9) }), reaches);
        let above = Some("an entry is of a term above its sender's");
        let vote = |term| Message::Vote { last: id(term, 9), transfer: false };
        assert_eq!((fault_in(5, vote(5)), fault_in(5, vote(6))), (None, above));
    }

    #[test]
    fn a_pull_asks_for_what_follows_an_entry_of_its_own_log() {
        let pull = |after, last| fault_in(5, Message::Pull { after, last });
        assert_eq!(pull(id(3, 7), id(3, 7)), None);
        assert_eq!(pull(id(0, 0), id(3, 7)), None);
        // The asker names where a log would part, which need not be an entry of its own.
        assert_eq!(pull(id(0, 4), id(3, 7)), None);
        assert_eq!(pull(id(1, 0), id(3, 7)), Some("an entry has a position or a term, but not both"));
        assert_eq!(pull(id(3, 8), id(3, 7)), Some("it asks for what follows an entry beyond its log"));
        assert_eq!(pull(id(3, 7), id(6, 7)), Some("an entry is of a term above its sender's"));
    }

    #[test]
    fn a_snapshot_is_of_something_and_its_membership_possible() {
        let snapshot = |last, voters: &[u64]| {
            let membership = Membership::of_voters(voters.iter().copied().map(NodeId));
            fault_in(5, Message::Snapshot { last, membership })
        };
        assert_eq!(snapshot(id(3, 7), &[1]), None);
        assert_eq!(snapshot(id(0, 0), &[1]), Some("a snapshot of nothing"));
        assert_eq!(snapshot(id(3, 7), &[]), Some("a membership that no group may have"));
        assert_eq!(snapshot(id(6, 7), &[1]), Some("an entry is of a term above its sender's"));
    }

    #[test]
    fn a_witness_is_sent_nothing_under_the_name_of_a_command() {
        let witnessed = |payload: &'static [u8]| {
            let payload = Bytes::from_static(payload);
            let entry = Entry { id: id(3, 8), kind: EntryKind::Witnessed, payload };
            let reply = Message::PullReply { prev: id(3, 7), entries: vec![entry.clone()], last: id(3, 8) };
            let append = Message::Append { prev: id(3, 7), entries: vec![entry], commit: Index(0) };
            (fault_in(5, reply), fault_in(5, append))
        };
        let content = Some("what is only witnessed has content");
        assert_eq!(witnessed(b""), (None, None));
        assert_eq!(witnessed(b"x"), (content, content));
    }
}
