//! Which messages and entries are written, alike on every member without a word between them.

use floe_raft::{Entry, EntryKind, Index, Message};

/// One in so many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample(pub(super) u64);

/// Whether a message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Whoever it is from.
    Yes,
    /// No.
    No,
    /// If an entry that is followed is acknowledged by it for the first time.
    IfAcknowledges(Index),
}

impl Sample {
    pub(super) fn takes(self, number: u64) -> bool {
        number.is_multiple_of(self.0)
    }

    /// No-ops and memberships are few, and much follows from them.
    pub(super) fn takes_entry(self, entry: &Entry) -> bool {
        match entry.kind {
            EntryKind::Noop | EntryKind::Membership => true,
            EntryKind::Command | EntryKind::Witnessed => self.takes(entry.id.index.0),
        }
    }

    pub(super) fn takes_message(self, message: &Message) -> Verdict {
        let takes = match message {
            Message::Append { entries, prev, .. } if entries.is_empty() => self.takes(prev.index.0),
            Message::Append { entries, .. } => entries.iter().any(|entry| self.takes_entry(entry)),
            Message::AppendOk { matched } => return Verdict::IfAcknowledges(*matched),
            Message::Heartbeat { round, .. }
            | Message::HeartbeatReply { round }
            | Message::ReadIndex { round, .. }
            | Message::ReadIndexReply { round, .. } => self.takes(round.0),
            Message::Propose { proposals } => proposals.iter().any(|(id, _)| self.takes(id.0)),
            Message::ProposeReply { outcomes } => outcomes.iter().any(|(id, _)| self.takes(id.0)),
            Message::PreVote { .. }
            | Message::PreVoteReply { .. }
            | Message::Vote { .. }
            | Message::VoteReply { .. }
            | Message::AppendReject { .. }
            | Message::Snapshot { .. }
            | Message::Pull { .. }
            | Message::PullReply { .. }
            | Message::TimeoutNow { .. }
            | Message::Priority { .. } => true,
        };
        if takes { Verdict::Yes } else { Verdict::No }
    }
}
