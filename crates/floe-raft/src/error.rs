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
    /// The target is not a voter, or is this node.
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
    /// The change leaves nothing to change, names a node twice, or leaves no voter.
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
