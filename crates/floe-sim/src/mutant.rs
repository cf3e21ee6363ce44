//! Hosts that break their contract on purpose. Each must be found by a sweep: a checker that has never seen the
//! fault that it is for proves nothing.

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
}

impl HostMutant {
    /// Every mutant and its name.
    pub const ALL: [(Self, &'static str); 16] = [
        (Self::AckBeforeSync, "host-ack-before-sync"),
        (Self::ForgetVote, "host-forget-vote"),
        (Self::ForgetHardState, "host-forget-hard-state"),
        (Self::SplitHardState, "host-split-hard-state"),
        (Self::LoseTail, "host-lose-tail"),
        (Self::KeepTail, "host-keep-tail"),
        (Self::ApplyOutOfOrder, "host-apply-out-of-order"),
        (Self::ApplyTwice, "host-apply-twice"),
        (Self::ApplyNotAll, "host-apply-not-all"),
        (Self::OldSnapshot, "host-old-snapshot"),
        (Self::ReadWithoutIndex, "host-read-without-index"),
        (Self::ReadCheckpoint, "host-read-checkpoint"),
        (Self::AckBeforeCommit, "host-ack-before-commit"),
        (Self::AckOverwritten, "host-ack-overwritten"),
        (Self::CompactAhead, "host-compact-ahead"),
        (Self::ReuseId, "host-reuse-id"),
    ];

    /// The mutant of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(mutant, _)| *mutant)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(mutant, _)| *mutant == self).map_or("unknown", |(_, name)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_lead_back() {
        for (mutant, name) in HostMutant::ALL {
            assert_eq!(HostMutant::of_name(name), Some(mutant));
            assert_eq!(mutant.name(), name);
        }
    }
}
