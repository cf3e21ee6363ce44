//! Why a command is refused: one enum an operation, so that a caller can act on each answer.

use crate::id::{Index, NodeId};

/// Why a proposal is not in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// This node does not lead. The command is in no log; it may be sent to the leader.
    #[error("not the leader")]
    NotLeader {
        /// Who leads, if known.
        hint: Option<NodeId>,
    },
    /// Too many bytes wait for their commit, or leadership is being handed over. Nothing was appended; try again.
    #[error("too many proposals wait")]
    Busy,
    /// The command is larger than the configured limit. It will never be accepted.
    #[error("the command is too large")]
    TooLarge,
    /// A forwarded command may or may not be in the log: the leader changed or did not answer.
    #[error("the outcome is unknown")]
    Unknown,
}

/// Why a read is not under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No leader is known that could confirm it.
    #[error("no leader is known")]
    NoLeader,
    /// Too many reads wait.
    #[error("too many reads wait")]
    Busy,
    /// This node is a witness. It holds no state to read from; ask another member.
    #[error("a witness holds no state to read from")]
    Witness,
}

/// Why leadership is not being handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// This node does not lead.
    #[error("not the leader")]
    NotLeader {
        /// Who leads, if known.
        hint: Option<NodeId>,
    },
    /// The target is not a voter, is a witness, or is this node.
    #[error("the target cannot lead")]
    BadTarget,
    /// Another handover is under way.
    #[error("a handover is under way")]
    Busy,
}

/// Why a membership change is not in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    /// This node does not lead.
    #[error("not the leader")]
    NotLeader {
        /// Who leads, if known.
        hint: Option<NodeId>,
    },
    /// An earlier change is not committed yet, or no entry of this leader's own term is (the bug that Ongaro
    /// published in 2015: without this wait two disjoint majorities can form).
    #[error("an earlier change is not committed yet")]
    Pending {
        /// The entry that must commit first.
        index: Index,
    },
    /// Leadership is being handed over. Ask the next leader.
    #[error("leadership is being handed over")]
    Busy,
    /// The learner to be promoted is too far behind. It may be asked for again, or left to the leader from the start.
    #[error("n{node} is not caught up: it holds entries up to {matched}, and needs those up to {needed}")]
    NotCaughtUp {
        /// The learner.
        node: NodeId,
        /// The last entry that it is known to hold.
        matched: Index,
        /// The entry that it must hold.
        needed: Index,
    },
    /// The learner to be promoted did not answer within the last election timeout.
    #[error("n{node} does not answer")]
    Silent {
        /// The learner.
        node: NodeId,
    },
    /// Too few of the voters to be answered within the last election timeout: the change could not be committed now.
    #[error("only {active} voters answer of the {needed} that the change needs")]
    Unhealthy {
        /// The voters that answer.
        active: usize,
        /// The majority.
        needed: usize,
    },
    /// The change changes nothing, names a node twice, makes no sense for a node, or leaves no voter, or a majority of
    /// witnesses.
    #[error("the change is not valid: {0}")]
    Invalid(&'static str),
}

/// Why a node cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A timing or limit makes no sense.
    #[error("the configuration is not valid: {0}")]
    Invalid(&'static str),
    /// What was restored contradicts itself.
    #[error("the restored state is not valid: {0}")]
    Restored(&'static str),
}
