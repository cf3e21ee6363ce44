//! What a node asks of its host. One enum, handled exhaustively; its order is the order to act in.

use crate::entry::{Entry, Write};
use crate::error::ProposeError;
use crate::id::{FetchId, Index, LogId, NodeId, ProposalId, ReadId, Term};
use crate::membership::Membership;
use crate::message::Envelope;

/// A request of the core to its host.
///
/// Nothing comes out before it is safe: what depends on a disk write is withheld until that write is reported
/// durable. The host may therefore perform effects in any way it likes, in parallel too, as long as the `Persist`s
/// of a group stay in order, and the `Apply`s stay in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Make this durable, then call [`crate::Node::handle_persisted`].
    Persist(Write),
    /// Send this; losing, delaying or repeating it is allowed.
    Send(Envelope),
    /// Read these entries from the log on disk, then call [`crate::Node::handle_fetched`].
    Fetch {
        /// Names the request.
        id: FetchId,
        /// The first entry wanted.
        first: Index,
        /// The last entry wanted; fewer may be delivered, at least one.
        last: Index,
        /// Deliver no more than this, but at least one entry.
        max_bytes: u64,
    },
    /// A peer needs entries that are compacted: stream it a snapshot of applied state, then call
    /// [`crate::Node::handle_snapshot_sent`].
    SendSnapshot {
        /// The peer.
        to: NodeId,
        /// The term to send it under.
        term: Term,
        /// The snapshot must contain at least this entry.
        at_least: Index,
    },
    /// Replace the state machine by the snapshot that came with a `Snapshot` message, then call
    /// [`crate::Node::handle_applied`] with `last.index`. The `Persist` that restarts the log comes after it.
    ///
    /// To a witness no data comes: it makes this place and the membership durable, and reports it applied.
    ///
    /// A host keeps the newest snapshot that arrived until this asks for it, or until as much is committed here:
    /// while one is being installed, a newer one waits.
    InstallSnapshot {
        /// The last entry that it contains.
        last: LogId,
        /// The membership at that entry.
        membership: Membership,
    },
    /// These entries are committed: apply them in order, then call [`crate::Node::handle_applied`].
    Apply(Vec<Entry>),
    /// The read may be served now: all that was committed when it was asked for is applied here.
    ReadReady {
        /// The read.
        read: ReadId,
        /// The index that it was confirmed at.
        index: Index,
    },
    /// The read could not be confirmed; it may be asked for again.
    ReadAborted {
        /// The read.
        read: ReadId,
    },
    /// A forwarded proposal was appended by the leader, or was refused, or its fate is unknown.
    Forwarded {
        /// The proposal.
        proposal: ProposalId,
        /// Where it stands in the leader's log; or the refusal; or `Unknown`.
        outcome: Result<LogId, ProposeError>,
    },
    /// Role, term or known leader changed.
    RoleChanged {
        /// The role now.
        role: RoleKind,
        /// The term now.
        term: Term,
        /// The leader of that term, if known.
        leader: Option<NodeId>,
    },
    /// The membership in force changed (used when appended, rolled back when truncated).
    MembershipChanged(Membership),
    /// Something that a person should know.
    Alarm(Alarm),
}

/// A node's role, without its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleKind {
    /// Follows a leader, or waits for one. Learners stay here.
    Follower,
    /// Asks whether a campaign could succeed.
    PreCandidate,
    /// Campaigns.
    Candidate,
    /// Leads.
    Leader,
}

/// What a node noticed that it cannot mend by itself. Never fatal: the node has refused the input and goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// A peer sent what no correct peer sends; the message was ignored.
    BadMessage {
        /// The peer.
        from: NodeId,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Another node claims to lead in the term that this node leads in. One of the two has lost its disk.
    TwoLeaders {
        /// The other.
        other: NodeId,
        /// The term.
        term: Term,
    },
    /// A leader would overwrite an entry that is committed here. Its messages are refused.
    CommittedConflict {
        /// The leader.
        from: NodeId,
        /// The committed entry.
        index: Index,
    },
    /// The host delivered entries that do not belong to this log.
    BadFetch {
        /// The first entry that was asked for.
        first: Index,
    },
}
