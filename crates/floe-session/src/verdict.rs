//! What a session table says about a request.

use crate::id::RequestId;

/// What to do with a command that carries a tag.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict<'a> {
    /// Seen for the first time: apply the command, then give its reply to [`crate::SessionTable::record`].
    Apply(Admitted),
    /// Applied before: do nothing and answer this.
    Replay(Replayed<'a>),
    /// Do nothing and answer that.
    Refused(Refusal),
}

/// The right to apply a request once. To be given to [`crate::SessionTable::record`] with the reply.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a reply that is not recorded lets the command be applied again"]
pub struct Admitted {
    pub(crate) request: RequestId,
}

/// The first reply to a request that was applied before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replayed<'a> {
    /// The reply, bit for bit.
    Kept(&'a [u8]),
    /// It was too large to be kept.
    NotKept,
}

/// Why a request is neither applied nor answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The session is not known, and its id is too old to open one: either it was forgotten, or the client's clock is
    /// behind. Whether an earlier attempt was applied can no longer be known. If there was none, a new id, born at
    /// `now_ms`, will do.
    #[error("the session has expired, so whether the request was applied before can no longer be known")]
    Expired {
        /// The log's time.
        now_ms: u64,
    },
    /// The session is not known, and its id was born further in the future than clocks may differ. Nothing was ever
    /// applied under it. A new id, born at `now_ms`, will do.
    #[error("the client's id was made in the future: its clock, or that of the cluster, is wrong")]
    Early {
        /// The log's time.
        now_ms: u64,
    },
    /// The sequence lies a window or more below the highest of its session, so its reply, if there was one, is forgotten.
    #[error(
        "the sequence is too far below the session's highest, {highest}, so whether the request was applied before can \
         no longer be known"
    )]
    TooOld {
        /// The session's highest sequence.
        highest: u64,
    },
    /// There are too many sessions. This attempt was not applied; it may be made again later, under the same name.
    #[error("too many sessions: try again later")]
    Busy,
}
