//! The sockets between the members.

/// A connection that stands.
pub(crate) struct Connected {}
