//! Why a script fails: a command that makes no sense or was refused, or a broken law of the protocol.

use std::error::Error;
use std::fmt;
use std::num::ParseIntError;
use std::str::ParseBoolError;

use floe_raft::{MembershipError, ProposeError, ReadError, TransferError};

/// A failure in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What happened.
    pub(crate) text: String,
    /// Whether a law is broken. Then no script may go on, not even one that expects the command to fail.
    pub(crate) is_law: bool,
}

impl Failure {
    /// A command that makes no sense here, or was refused.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_law: false }
    }

    /// A node or the cluster did what it must never do.
    pub(crate) fn law(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_law: true }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Failure {}

impl From<Box<dyn Error>> for Failure {
    fn from(error: Box<dyn Error>) -> Self {
        Self::new(error.to_string())
    }
}

macro_rules! refused_with {
    ($($error:ty),*) => { $(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::new(error.to_string())
            }
        }
    )* };
}
refused_with!(ParseIntError, ParseBoolError, MembershipError, ProposeError, ReadError, TransferError);
