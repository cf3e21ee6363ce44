//! What must hold in every world, checked after every event, and only as far as the event changed something.
//!
//! The checker sees what hosts do (effects performed, images on disk, answers to clients), never the inside of a
//! node: a rule that the core would have to break in its own bookkeeping, too, in order to be caught, proves little.

mod clients;
mod commits;
mod elections;
mod lineage;
mod memberships;
mod writes;

use std::fmt;

use floe_raft::{Entry, EntryKind, Index, LogId, Membership, NodeId};
use floe_session::Limits;

use crate::clock::Moment;

pub(crate) use clients::{Clients, OperationKind};
pub(crate) use commits::{Advance, Commits};
pub(crate) use elections::Elections;
pub(crate) use lineage::Lineage;
pub(crate) use memberships::{Memberships, decides, describe};
pub(crate) use writes::{acknowledges, recovers, requests_vote, speaks_of_vote};

/// The rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// At most one leader a term.
    ElectionSafety,
    /// A node votes for at most one candidate a term, over restarts, too.
    OneVote,
    /// Terms never fall, over restarts, too.
    MonotonicTerm,
    /// Commit and applied indexes never fall within the life of a process.
    MonotonicCommit,
    /// Two logs that hold the same entry agree on it and on all before it.
    LogMatching,
    /// A leader's log holds everything committed in earlier terms.
    LeaderCompleteness,
    /// A leader commits by counting only entries of its own term.
    CurrentTermCommit,
    /// All nodes have the same entry at a committed index.
    StateMachineSafety,
    /// What is committed stays on the disks of a quorum, and no node truncates it.
    CommittedIsDurable,
    /// Nobody says what is not on its disk yet: a vote, or that it holds an entry.
    DurableBeforeSaid,
    /// Writes fit the log that they are for; a restart finds all that was reported durable.
    LogIsWhole,
    /// Every replica has the same state at the same index, and it is the state that the log means.
    StateMatches,
    /// A confirmed read is not older than what was committed when it was asked for.
    ReadIsFresh,
    /// Answers can be put in one order that respects real time.
    Linearizability,
    /// An operation takes effect at most once, and not at all after its refusal.
    ExactlyOnce,
    /// At most one configuration is not committed, and none is appended before its term has committed something.
    OneConfiguration,
    /// Every quorum of a membership meets every quorum of the next one.
    QuorumsMeet,
    /// A node counts by the last membership in its log.
    MembershipInForce,
    /// A leader has the votes of a quorum of the membership in force.
    ElectedByQuorum,
    /// Every read and every forwarded proposal is answered once.
    Answered,
    /// No correct node is accused of a fault that it does not have.
    NoFalseAlarm,
    /// A majority that can talk commits within four election timeouts, whatever the rest does.
    Liveness,
    /// Nothing panics.
    NoPanic,
    /// A node starts from whatever a crash leaves.
    Restarts,
    /// Nobody leads beside an earlier leader that holds a lease.
    LeaseIsAlone,
    /// In a graph of links that stands, the leader hardly ever changes.
    LeaderIsStable,
    /// What the core knows of itself agrees with itself ([`floe_raft::Invariants`]).
    NodeIsSound,
}

impl Invariant {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::ElectionSafety => "election-safety",
            Self::OneVote => "one-vote",
            Self::MonotonicTerm => "monotonic-term",
            Self::MonotonicCommit => "monotonic-commit",
            Self::LogMatching => "log-matching",
            Self::LeaderCompleteness => "leader-completeness",
            Self::CurrentTermCommit => "current-term-commit",
            Self::StateMachineSafety => "state-machine-safety",
            Self::CommittedIsDurable => "committed-is-durable",
            Self::DurableBeforeSaid => "durable-before-said",
            Self::LogIsWhole => "log-is-whole",
            Self::StateMatches => "state-matches",
            Self::ReadIsFresh => "read-is-fresh",
            Self::Linearizability => "linearizability",
            Self::ExactlyOnce => "exactly-once",
            Self::OneConfiguration => "one-configuration",
            Self::QuorumsMeet => "quorums-meet",
            Self::MembershipInForce => "membership-in-force",
            Self::ElectedByQuorum => "elected-by-quorum",
            Self::Answered => "answered",
            Self::NoFalseAlarm => "no-false-alarm",
            Self::Liveness => "liveness",
            Self::NoPanic => "no-panic",
            Self::Restarts => "restarts",
            Self::LeaseIsAlone => "lease-is-alone",
            Self::LeaderIsStable => "leader-is-stable",
            Self::NodeIsSound => "node-is-sound",
        }
    }
}

/// A rule that was broken, and the exact counter-example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub invariant: Invariant,
    /// When, in true time.
    pub at: Moment,
    /// What broke it.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.at.0 / 1_000_000_000, self.at.0 % 1_000_000_000);
        write!(f, "{} at {seconds}.{nanos:09} s: {}", self.invariant.name(), self.detail)
    }
}

/// The outcome of a check. The violation's moment is filled in by the world.
pub(crate) type Checked = Result<(), Box<Violation>>;

/// A broken rule.
pub(crate) fn broken(invariant: Invariant, detail: impl Into<String>) -> Box<Violation> {
    Box::new(Violation { invariant, at: Moment(0), detail: detail.into() })
}

/// All checkers of a world.
#[derive(Debug)]
pub(crate) struct Checker {
    pub(crate) elections: Elections,
    pub(crate) lineage: Lineage,
    pub(crate) memberships: Memberships,
    pub(crate) commits: Commits,
    pub(crate) clients: Clients,
}

impl Checker {
    /// A checker of a new group.
    pub(crate) fn new(birth: Membership, sessions: Option<Limits>) -> Self {
        Self {
            elections: Elections::default(),
            lineage: Lineage::default(),
            memberships: Memberships::new(birth),
            commits: Commits::new(sessions),
            clients: Clients::default(),
        }
    }

    /// `writer` writes `entry` after `follows`.
    pub(crate) fn written(&mut self, writer: NodeId, entry: &Entry, follows: LogId) -> Checked {
        let is_new = self.lineage.written(writer, entry, follows)?;
        if is_new && entry.kind == EntryKind::Membership {
            let before = self.lineage.membership_entry(follows);
            self.memberships.appended(writer, entry, before)?;
        }
        Ok(())
    }

    /// The membership in force on a node whose log ends with `last`.
    pub(crate) fn in_force(&self, node: NodeId, last: LogId) -> &Membership {
        self.memberships.in_force(node, self.lineage.membership_entry(last))
    }

    /// A node reports how far it knows the log to be committed. A leader counts by the membership of its log, as it ends
    /// now with `last`, or as it ended before this step with `before`. Returns whether witnesses were needed.
    pub(crate) fn advanced(
        &mut self,
        advance: &Advance<'_>,
        before: LogId,
        last: LogId,
    ) -> Result<bool, Box<Violation>> {
        let Self { lineage, memberships, commits, clients, .. } = self;
        let of = |last| memberships.in_force(advance.node, lineage.membership_entry(last));
        commits.advanced(advance, [of(last), of(before)], |id, command, effect| {
            clients.committed(id, command, effect)
        })
    }

    /// A read was confirmed at `index`; it was asked for when `floor` was committed.
    pub(crate) fn confirmed(node: NodeId, floor: Index, index: Index) -> Checked {
        if index < floor {
            return Err(broken(
                Invariant::ReadIsFresh,
                format!(
                    "n{node} may read at {index}, but {floor} was committed before the read was asked for"
                ),
            ));
        }
        Ok(())
    }
}
