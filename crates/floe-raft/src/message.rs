//! What nodes of a group say to each other: one variant a message, each field documented.
//!
//! Every message carries its sender's term in the envelope. A receiver with a lower term adopts it and becomes a
//! follower first (except for pre-votes, which speak of a term that nobody has entered yet); a receiver with a
//! higher term answers so that the sender learns of it.

use bytes::Bytes;

use crate::entry::Entry;
use crate::error::ProposeError;
use crate::id::{Index, LogId, NodeId, ProposalId, Round, Term};
use crate::input::ReadMode;
use crate::membership::Membership;

/// A message on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Who says it.
    pub from: NodeId,
    /// To whom. A node ignores what is addressed to another.
    pub to: NodeId,
    /// The sender's term; for a `PreVote`, the term it would campaign in, and for a granted `PreVoteReply` the same.
    pub term: Term,
    /// What is said.
    pub message: Message,
}

/// The messages of the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// "Would you vote for me?" Asked before a campaign, so that a node that was cut off does not raise the term of
    /// a healthy group (thesis 9.6). Changes nothing at the receiver.
    PreVote {
        /// The candidate's last entry.
        last: LogId,
    },
    /// The answer to a `PreVote`.
    PreVoteReply {
        /// Whether the vote would be granted.
        granted: bool,
    },
    /// "Vote for me." (Raft paper 5.2)
    Vote {
        /// The candidate's last entry; a voter refuses a log behind its own.
        last: LogId,
        /// The leader itself asked for this campaign, so that stickiness does not apply.
        transfer: bool,
    },
    /// The answer to a `Vote`.
    VoteReply {
        /// Whether the vote is granted; sent only once the vote is durable.
        granted: bool,
    },
    /// Entries to append. Also sent empty to probe for where the logs agree and to tell of commits.
    Append {
        /// The entry that `entries` follow.
        prev: LogId,
        /// The entries, without a gap; may be empty.
        entries: Vec<Entry>,
        /// The leader's commit index.
        commit: Index,
    },
    /// Everything up to `matched` agrees with the leader and is durable here.
    AppendOk {
        /// Never the follower's own last index, only what this leader's messages verified (etcd #1366).
        matched: Index,
    },
    /// The follower's log does not hold the `prev` of an `Append`.
    AppendReject {
        /// The `prev` that was refused; a leader that has moved on ignores the answer.
        prev: LogId,
        /// The largest index at which the follower's log could still agree: its last entry with a term not above
        /// `prev.term`. With the term of it the leader skips a whole term a round trip (thesis 5.3).
        hint: LogId,
    },
    /// "I still lead." Small and separate from appends, so that load never delays it.
    Heartbeat {
        /// `min(match, commit)`: never beyond what the receiver is known to hold.
        commit: Index,
        /// The round that an answer confirms.
        round: Round,
    },
    /// The answer to a `Heartbeat`.
    HeartbeatReply {
        /// The round of the heartbeat. Zero answers none: so does a node tell of its term when it is sent a message of
        /// an older one.
        round: Round,
    },
    /// The state up to `last` arrived at the host beside this message, whole and checked. To a witness nothing is streamed:
    /// the message alone places it.
    Snapshot {
        /// The last entry that the snapshot contains.
        last: LogId,
        /// The committed membership at `last`.
        membership: Membership,
    },
    /// A follower or learner asks for an index to read at.
    ReadIndex {
        /// Counted by the asker, from a number that none of its earlier lives used; one request covers all reads that
        /// wait.
        round: Round,
        /// Whether the leader may answer by its lease.
        mode: ReadMode,
    },
    /// The answer to a `ReadIndex`.
    ReadIndexReply {
        /// The round of the request.
        round: Round,
        /// The index to read at; `None` when the receiver does not lead or cannot say.
        index: Option<Index>,
    },
    /// Commands passed on to the leader.
    Propose {
        /// Each with the name that the answer refers to. The names are given by the sender's core, not by its host:
        /// they ascend, and no two lives of a node share any, so that a repeated message is known by its first name.
        proposals: Vec<(ProposalId, Bytes)>,
    },
    /// What became of the commands of a `Propose`.
    ProposeReply {
        /// Where each was appended, or why it was refused. Appended does not mean committed.
        outcomes: Vec<(ProposalId, Result<LogId, ProposeError>)>,
    },
    /// "You refused me: what follows `after` in your log?" Asked by a candidate, of a voter that may have more. Changes
    /// nothing at the receiver, whatever its term; one that has no newer log, or hears a leader, does not answer.
    Pull {
        /// An entry of the asker's log; at first its last one.
        after: LogId,
        /// The asker's last entry. The answer has to reach beyond it.
        last: LogId,
    },
    /// The answer to a `Pull`.
    PullReply {
        /// The entry that `entries` follow; if there are none, the largest one of the sender's log that could agree with
        /// the asker's at `after`.
        prev: LogId,
        /// The entries, without a gap. They reach beyond the asker's log, or there are none.
        entries: Vec<Entry>,
        /// Where the sender's log ends.
        last: LogId,
    },
    /// "Campaign now": leadership is handed over. Fenced: the receiver obeys only in the envelope's term and only
    /// with this very log (tikv/raft-rs #234: a delayed one let a second leader in).
    TimeoutNow {
        /// The leader's last entry.
        last: LogId,
    },
    /// A leader that is not the most preferred one says how gladly it leads; a follower that would rather lead answers
    /// with the same. Changes nothing but the leader's mind.
    Priority {
        /// The sender's ([`crate::Config::priority`]).
        priority: u8,
    },
}
