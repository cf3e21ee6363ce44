//! What traces say of roles, messages and writes.

use floe_raft::{Entry, Envelope, HardState, Message, RoleKind, Write};

use crate::line::Fields;

/// A role as traces call it.
pub fn role_name(role: RoleKind) -> &'static str {
    match role {
        RoleKind::Follower => "follower",
        RoleKind::PreCandidate => "pre-candidate",
        RoleKind::Candidate => "candidate",
        RoleKind::Leader => "leader",
    }
}

/// Term and vote; a vote of 0 is none.
pub fn describe_hard_state(hard_state: &HardState, out: &mut impl Fields) {
    out.number("term", hard_state.term.0);
    out.node("vote", hard_state.vote.unwrap_or_default());
}

/// What a write does to the log.
pub fn describe_write(write: &Write, out: &mut impl Fields) {
    out.number("write", write.id.0);
    if let Some(hard_state) = &write.hard_state {
        describe_hard_state(hard_state, out);
    }
    if let Some(base) = write.restart_after {
        out.log_id("restart_after", base);
    }
    if let Some(from) = write.truncate_from {
        out.number("truncate_from", from.0);
    }
    describe_entries(&write.entries, out);
}

/// How many entries, and the first and the last of them.
pub fn describe_entries(entries: &[Entry], out: &mut impl Fields) {
    out.number("entries", entries.len() as u64);
    if let (Some(first), Some(last)) = (entries.first(), entries.last()) {
        out.log_id("first", first.id);
        out.log_id("last", last.id);
    }
}

/// A message: from whom to whom, and what it says.
pub fn describe_envelope(envelope: &Envelope, out: &mut impl Fields) {
    out.node("from", envelope.from);
    out.node("to", envelope.to);
    out.number("term", envelope.term.0);
    out.text("message", message_name(&envelope.message));
    match &envelope.message {
        Message::PreVote { last } | Message::TimeoutNow { last } | Message::Snapshot { last, .. } => {
            out.log_id("last", *last);
        }
        Message::Vote { last, transfer } => {
            out.log_id("last", *last);
            out.number("transfer", u64::from(*transfer));
        }
        Message::PreVoteReply { granted } | Message::VoteReply { granted } => {
            out.number("granted", u64::from(*granted));
        }
        Message::Append { prev, entries, commit } => {
            out.log_id("prev", *prev);
            describe_entries(entries, out);
            out.number("commit", commit.0);
        }
        Message::AppendOk { matched } => out.number("matched", matched.0),
        Message::AppendReject { prev, hint } => {
            out.log_id("prev", *prev);
            out.log_id("hint", *hint);
        }
        Message::Heartbeat { commit, round } => {
            out.number("commit", commit.0);
            out.number("round", round.0);
        }
        Message::HeartbeatReply { round } | Message::ReadIndex { round, mode: _ } => {
            out.number("round", round.0);
        }
        Message::Priority { priority } => out.number("priority", u64::from(*priority)),
        Message::ReadIndexReply { round, index } => {
            out.number("round", round.0);
            out.number("index", index.map_or(0, |index| index.0));
        }
        Message::Pull { after, last } => {
            out.log_id("after", *after);
            out.log_id("last", *last);
        }
        Message::PullReply { prev, entries, last } => {
            out.log_id("prev", *prev);
            describe_entries(entries, out);
            out.log_id("end", *last);
        }
        Message::Propose { proposals } => out.number("proposals", proposals.len() as u64),
        Message::ProposeReply { outcomes } => out.number("outcomes", outcomes.len() as u64),
    }
}

/// A message's kind as traces call it.
pub fn message_name(message: &Message) -> &'static str {
    match message {
        Message::PreVote { .. } => "pre-vote",
        Message::PreVoteReply { .. } => "pre-vote-reply",
        Message::Vote { .. } => "vote",
        Message::VoteReply { .. } => "vote-reply",
        Message::Append { .. } => "append",
        Message::AppendOk { .. } => "append-ok",
        Message::AppendReject { .. } => "append-reject",
        Message::Heartbeat { .. } => "heartbeat",
        Message::HeartbeatReply { .. } => "heartbeat-reply",
        Message::Snapshot { .. } => "snapshot",
        Message::ReadIndex { .. } => "read-index",
        Message::ReadIndexReply { .. } => "read-index-reply",
        Message::Propose { .. } => "propose",
        Message::ProposeReply { .. } => "propose-reply",
        Message::Pull { .. } => "pull",
        Message::PullReply { .. } => "pull-reply",
        Message::TimeoutNow { .. } => "timeout-now",
        Message::Priority { .. } => "priority",
    }
}
