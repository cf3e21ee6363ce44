//! The identifiers of the protocol, each a type of its own so that none is taken for another.

use std::fmt;
use std::time::Duration;

/// A member of a group. Zero is never a member. An id is used once: a node that lost its disk returns under a new
/// one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

/// A Raft group. Many groups share the machines, the sockets and the log file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u64);

/// A leader's reign. Zero is before the first election.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term(pub u64);

/// A position in the log. The first entry is 1; zero is before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Index(pub u64);

impl Term {
    /// The term after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Index {
    /// The position before the first entry.
    pub const ZERO: Self = Self(0);

    /// The position after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The position before this one; zero stays zero.
    pub fn prev(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// This position moved forward by `count`.
    pub fn plus(self, count: u64) -> Self {
        Self(self.0 + count)
    }
}

/// What names an entry for ever: two logs that hold the same `LogId` agree on it and on everything before it
/// (the Log Matching property, Raft paper figure 3). Ordered as Raft compares logs: by term, then by index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId {
    /// The term of the leader that appended the entry.
    pub term: Term,
    /// Its position.
    pub index: Index,
}

impl LogId {
    /// Before the first entry.
    pub const ZERO: Self = Self { term: Term(0), index: Index(0) };

    /// Shorthand.
    pub fn new(term: Term, index: Index) -> Self {
        Self { term, index }
    }
}

/// Nanoseconds since some fixed moment, the same for the life of a node (the host uses its boot-time clock).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// The moment `after` later.
    pub fn plus(self, after: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Names one [`crate::Write`]. They rise by one, and are reported durable in that order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteId(pub u64);

/// Names one request for older entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchId(pub u64);

/// Names one read request of the host. The host never uses one twice in the life of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadId(pub u64);

/// Names one proposal that a follower passed on to the leader. The host never uses one twice in the life of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProposalId(pub u64);

/// A round of heartbeats that confirms leadership, counted by the leader itself within its term. Never a caller's
/// id: etcd confirmed reads by the caller's own context until 2026, so a retried context met the delayed answers
/// to its first use and a deposed leader answered a stale read (etcd #20418).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Round(pub u64);

macro_rules! display_as_number {
    ($($id:ident),*) => { $(
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )* };
}
display_as_number!(GroupId, Term, Index, WriteId, FetchId, ReadId, ProposalId, Round);

impl fmt::Display for NodeId {
    /// Hexadecimal, as etcd and its tools print member ids: a log line and a member list name the same thing alike.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::LowerHex::fmt(&self.0, f)
    }
}

impl fmt::Display for LogId {
    /// `index@term`, as in the golden scripts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.index, self.term)
    }
}
