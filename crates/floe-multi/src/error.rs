//! Why a command is refused.

use floe_raft::{ConfigError, GroupId};

/// Why a machine cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MultiConfigError {
    /// A timing makes no sense.
    #[error("the configuration is not valid: {0}")]
    Invalid(&'static str),
}

/// Why a group is not on this machine now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddGroupError {
    /// It was there before.
    #[error("group {0} is on this machine already")]
    Duplicate(GroupId),
    /// Its id or its timing is not that of the machine.
    #[error("the group's configuration is not the machine's: {0}")]
    Differs(&'static str),
    /// Its node cannot start.
    #[error(transparent)]
    Node(#[from] ConfigError),
}

/// Why a command of a group had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError<E> {
    /// This machine has no such group.
    #[error("group {0} is not on this machine")]
    UnknownGroup(GroupId),
    /// The group refused.
    #[error("{0}")]
    Refused(E),
}
