//! Hosts that break their contract on purpose. Each must be found by a sweep: a checker that has never seen the
//! fault that it is for proves nothing.

use crate::plan::{Feature, Restrictions};

/// One broken rule of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostMutant {
    /// Reports writes durable when they are begun.
    AckBeforeSync,
    /// Forgets at a restart whom it voted for, and keeps the term.
    ForgetVote,
    /// Forgets at a restart both its term and its vote.
    ForgetHardState,
    /// Leaves out the term and the vote of a write that has entries, too.
    SplitHardState,
    /// Loses the last entry of its log at a restart.
    LoseTail,
    /// Ignores that a write truncates the log when the new entries reach as far as the old ones.
    KeepTail,
    /// Applies two neighbouring entries in the wrong order.
    ApplyOutOfOrder,
    /// Keeps the state over a restart, but not how far it had applied: entries are applied twice.
    ApplyTwice,
    /// Skips an entry.
    ApplyNotAll,
    /// Puts its own last checkpoint in the place of a snapshot, under the snapshot's name.
    OldSnapshot,
    /// Serves a read from its own state without asking the core.
    ReadWithoutIndex,
    /// Serves a confirmed read from the last checkpoint instead of from the newest state.
    ReadCheckpoint,
    /// Tells the client that a write is done as soon as it is in the leader's log.
    AckBeforeCommit,
    /// Tells the client that a write is done once its index is applied, whoever's entry stands there.
    AckOverwritten,
    /// Compacts the log beyond what the state machine has made durable.
    CompactAhead,
    /// Returns under its old id with an empty disk after losing it.
    ReuseId,
    /// Is added again, after its removal, under its old id with an empty disk.
    ReuseRemovedId,
    /// Joins as if it were the first member of a group of its own.
    JoinAsFounder,
    /// Sends with a snapshot the membership that is in force, which need not be committed, instead of the snapshot's.
    SnapshotMembership,
    /// Forgets at a restart the memberships that were compacted, and starts from that of the first members.
    ForgetMembership,
    /// Sends snapshots without the sessions of the clients.
    SnapshotWithoutSessions,
    /// Does a request again that its table of sessions knows.
    ApplyRetry,
    /// Proposes what a client sends again without the name of the request.
    RetryWithoutName,
    /// Drops a write that a full disk has no room for, and reports later ones durable.
    FullDiskForgets,
}

impl HostMutant {
    /// Every mutant, its name, and who had the bug.
    pub const ALL: [(Self, &'static str, &'static str); 24] = [
        (Self::AckBeforeSync, "host-ack-before-sync", "valkey #3887, goraft #150"),
        (Self::ForgetVote, "host-forget-vote", "sofa-jraft #1243"),
        (Self::ForgetHardState, "host-forget-hard-state", "hashicorp/raft #661"),
        (Self::SplitHardState, "host-split-hard-state", "openraft's io_ordering, hashicorp/raft #661"),
        (Self::LoseTail, "host-lose-tail", "etcd #14098"),
        (Self::KeepTail, "host-keep-tail", "hashicorp/raft #697"),
        (Self::ApplyOutOfOrder, "host-apply-out-of-order", "trap 72: replicas that diverge in silence"),
        (Self::ApplyTwice, "host-apply-twice", "etcd #13766"),
        (Self::ApplyNotAll, "host-apply-not-all", "etcd #13766"),
        (Self::OldSnapshot, "host-old-snapshot", "openraft #1892"),
        (Self::ReadWithoutIndex, "host-read-without-index", "Jepsen (2014): etcd, Consul"),
        (Self::ReadCheckpoint, "host-read-checkpoint", "etcd #3879, etcd/raft #105"),
        (Self::AckBeforeCommit, "host-ack-before-commit", "Jepsen: MongoDB with write concern 1"),
        (Self::AckOverwritten, "host-ack-overwritten", "scylla #31559"),
        (Self::CompactAhead, "host-compact-ahead", "trap 64: a crash between snapshot and truncation"),
        (Self::ReuseId, "host-reuse-id", "openraft #2002, restate #2415"),
        (
            Self::ReuseRemovedId,
            "host-reuse-removed-id",
            "restate #2415: an id that was removed and comes back",
        ),
        (
            Self::JoinAsFounder,
            "host-join-as-founder",
            "etcd with `initial-cluster-state new` on a joining member",
        ),
        (
            Self::SnapshotMembership,
            "host-snapshot-membership",
            "etcd/raft #80: a snapshot with an uncommitted membership",
        ),
        (
            Self::ForgetMembership,
            "host-forget-membership",
            "etcd #7625: members known from flags, not from the log",
        ),
        (
            Self::SnapshotWithoutSessions,
            "host-snapshot-without-sessions",
            "Ongaro's thesis 6.3: sessions are part of the state",
        ),
        (Self::ApplyRetry, "host-apply-retry", "Ongaro's thesis 6.3: a retry is applied a second time"),
        (
            Self::RetryWithoutName,
            "host-retry-without-name",
            "etcd's clients, which send a put again that may have happened",
        ),
        (
            Self::FullDiskForgets,
            "host-full-disk-forgets",
            "reliability W9: a write that a full disk has no room for",
        ),
    ];

    /// The mutant of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known, _)| *known == name).map(|(mutant, _, _)| *mutant)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(mutant, _, _)| *mutant == self).map_or("unknown", |(_, name, _)| name)
    }

    /// Who had the bug.
    pub fn origin(self) -> &'static str {
        Self::ALL.iter().find(|(mutant, _, _)| *mutant == self).map_or("unknown", |(_, _, origin)| origin)
    }
}

/// A bug that a world's every member has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mutant {
    /// One of the simulator's own hosts.
    Host(HostMutant),
    /// One of the core.
    #[cfg(feature = "mutants")]
    Core(floe_raft::Mutant),
    /// One of the log.
    #[cfg(feature = "mutants")]
    Log(floe_wal::Mutant),
}

impl Mutant {
    /// Every mutant.
    pub fn all() -> Vec<Self> {
        let hosts = HostMutant::ALL.iter().map(|(mutant, _, _)| Self::Host(*mutant));
        #[cfg(feature = "mutants")]
        let hosts = hosts
            .chain(floe_raft::Mutant::ALL.iter().map(|(mutant, _, _)| Self::Core(*mutant)))
            .chain(floe_wal::Mutant::ALL.iter().map(|(mutant, _, _)| Self::Log(*mutant)));
        hosts.collect()
    }

    /// The mutant of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|mutant| mutant.name() == name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Host(mutant) => mutant.name(),
            #[cfg(feature = "mutants")]
            Self::Core(mutant) => mutant.name(),
            #[cfg(feature = "mutants")]
            Self::Log(mutant) => mutant.name(),
        }
    }

    /// Who had the bug.
    pub fn origin(self) -> &'static str {
        match self {
            Self::Host(mutant) => mutant.origin(),
            #[cfg(feature = "mutants")]
            Self::Core(mutant) => mutant.origin(),
            #[cfg(feature = "mutants")]
            Self::Log(mutant) => mutant.origin(),
        }
    }

    /// Puts on a world what the bug cannot be shown without.
    pub fn needs(self, restrictions: &mut Restrictions) {
        match self {
            // Its damage is done to the plain log.
            Self::Host(_) => drop(restrictions.without.insert(Feature::RealLog)),
            #[cfg(feature = "mutants")]
            Self::Core(_) => {}
            #[cfg(feature = "mutants")]
            Self::Log(_) => drop(restrictions.with.insert(Feature::RealLog)),
        }
    }

    /// The host's part of it.
    pub(crate) fn host(self) -> Option<HostMutant> {
        match self {
            Self::Host(mutant) => Some(mutant),
            #[cfg(feature = "mutants")]
            Self::Core(_) | Self::Log(_) => None,
        }
    }

    /// The core's part of it.
    #[cfg(feature = "mutants")]
    pub(crate) fn core(self) -> Option<floe_raft::Mutant> {
        match self {
            Self::Core(mutant) => Some(mutant),
            Self::Host(_) | Self::Log(_) => None,
        }
    }

    /// The log's part of it.
    #[cfg(feature = "mutants")]
    pub(crate) fn log(self) -> Option<floe_wal::Mutant> {
        match self {
            Self::Log(mutant) => Some(mutant),
            Self::Host(_) | Self::Core(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_lead_back() {
        let names: BTreeSet<&str> = Mutant::all().into_iter().map(Mutant::name).collect();
        assert_eq!(names.len(), Mutant::all().len());
        for mutant in Mutant::all() {
            assert_eq!(Mutant::of_name(mutant.name()), Some(mutant));
            assert!(!mutant.origin().is_empty());
        }
    }
}
