//! What a group has agreed on, for one set of voters and for two.

pub(crate) mod joint;
pub(crate) mod majority;

pub(crate) use joint::Quorum;

/// How a vote stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Enough said yes.
    Won,
    /// Too many said no.
    Lost,
    /// Answers are missing.
    Pending,
}
