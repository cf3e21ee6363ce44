//! What machines say to each other beside the messages of their groups: beats.

use floe_raft::{GroupId, Index, NodeId, Round, Term};

/// One message from a machine to another for all groups that both have. Losing, repeating, delaying and reordering it
/// is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    /// The machine that says it.
    pub from: NodeId,
    /// The machine that it is for.
    pub to: NodeId,
    /// Names this run of the sender's process.
    pub life: u64,
    /// Ascends with every beat of a life: the sender's clock in nanoseconds, or one more than the last.
    pub stamp: u64,
    /// What the sender last heard of the receiver; `None` if nothing.
    pub echo: Option<Echo>,
    /// The groups that the sender leads and that sleep.
    pub vouch: Vouch,
    /// What the receiver vouches for, and the sender does not agree to.
    pub refusals: Vec<(GroupId, Term)>,
    /// Heartbeats of groups that are awake.
    pub heartbeats: Vec<Heartbeat>,
    /// Answers to heartbeats.
    pub answers: Vec<Answer>,
}

/// The last beat that a machine heard of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// The other's life.
    pub life: u64,
    /// Its stamp.
    pub stamp: u64,
    /// The version of its vouched set that the hearer has; zero if none.
    pub version: u64,
}

/// The set of groups that a machine vouches for to another, as changes to what the other is known to have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vouch {
    /// The version that the changes lead to. The beat vouches for exactly the set of this version.
    pub version: u64,
    /// The version that they start from. Zero: they are the whole set.
    pub since: u64,
    /// In order: the group and the term in which the sender leads it; `None` withdraws.
    pub changes: Vec<(GroupId, Option<Term>)>,
}

/// A `Heartbeat` of one group; the members are those of the beat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// The group.
    pub group: GroupId,
    /// The term of the leader that sends it.
    pub term: Term,
    /// As in [`floe_raft::Message::Heartbeat`].
    pub commit: Index,
    /// As in [`floe_raft::Message::Heartbeat`].
    pub round: Round,
}

/// A `HeartbeatReply` of one group; the members are those of the beat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The group.
    pub group: GroupId,
    /// The term of the member that answers.
    pub term: Term,
    /// As in [`floe_raft::Message::HeartbeatReply`].
    pub round: Round,
}
