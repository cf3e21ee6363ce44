//! Rare branches, and which of them a world has reached. A sweep that never gets somewhere proves nothing about it, so
//! it says where it has not been.

/// A rare branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// A process dies between two effects of one turn.
    DiesBetweenEffects,
    /// A leader counts a commit and is deposed in the same turn.
    DeposedWhileCounting,
    /// A crash came between the installation of a snapshot and the restart of the log; the next start finishes it.
    InstallFinishedAtRestart,
    /// A snapshot arrives that is not wanted any more.
    SnapshotUnwanted,
    /// A snapshot is on its way for too long.
    SnapshotLost,
    /// A log cannot tell whether its last frame was acknowledged.
    LogUndecided,
    /// A leader whose disk hangs leads no more before the disk goes on.
    HandedOverWhileStalled,
    /// A node campaigns within a heartbeat of the evidence that its leader is dead.
    CampaignOnEvidence,
    /// A joint membership is in force somewhere.
    Joint,
    /// A process starts while its log's membership is joint.
    RestartWhileJoint,
    /// A leader leads without a vote, until its removal is committed.
    LeadsWithoutVote,
    /// A learner becomes a voter that the leader may promote by itself.
    PromotedByLeader,
    /// A member is added again with the disk that it had.
    AddedAgain,
    /// No majority of what may be in force is left; the world ends without a test of liveness.
    NothingPromised,
    /// A witness is told where its log begins anew.
    WitnessPlaced,
    /// A commit is counted that fewer members with data hold than a majority.
    CommittedThroughWitness,
    /// A read is confirmed in the turn in which it was asked for, by the lease of a group of several.
    ReadByLease,
    /// A leader holds a lease while an earlier one still believes to lead.
    LeaseBesideOldLeader,
    /// A request that was sent again is answered without an entry.
    AnsweredFromTheTable,
    /// A session refuses a request.
    SessionLapsed,
    /// A write waits for a disk that is full.
    WaitsForSpace,
    /// A compaction waits for a disk that is full.
    CompactionWaitsForSpace,
    /// A process cannot start because its disk is full.
    FullAtStart,
    /// In the end, one leads whom none of the other voters that live is preferred to, and to whom one of them is not.
    PreferredLeads,
    /// In the end, one leads to whom another voter that lives is preferred.
    OtherLeads,
    /// Older entries were compacted before they were read for a follower.
    FetchOvertaken,
}

impl Mark {
    /// Every mark and its name.
    pub const ALL: [(Self, &'static str); 26] = [
        (Self::DiesBetweenEffects, "dies-between-effects"),
        (Self::DeposedWhileCounting, "deposed-while-counting"),
        (Self::InstallFinishedAtRestart, "install-finished-at-restart"),
        (Self::SnapshotUnwanted, "snapshot-unwanted"),
        (Self::SnapshotLost, "snapshot-lost"),
        (Self::LogUndecided, "log-undecided"),
        (Self::HandedOverWhileStalled, "handed-over-while-stalled"),
        (Self::CampaignOnEvidence, "campaign-on-evidence"),
        (Self::Joint, "joint"),
        (Self::RestartWhileJoint, "restart-while-joint"),
        (Self::LeadsWithoutVote, "leads-without-vote"),
        (Self::PromotedByLeader, "promoted-by-leader"),
        (Self::AddedAgain, "added-again"),
        (Self::NothingPromised, "nothing-promised"),
        (Self::WitnessPlaced, "witness-placed"),
        (Self::CommittedThroughWitness, "committed-through-witness"),
        (Self::ReadByLease, "read-by-lease"),
        (Self::LeaseBesideOldLeader, "lease-beside-old-leader"),
        (Self::AnsweredFromTheTable, "answered-from-the-table"),
        (Self::SessionLapsed, "session-lapsed"),
        (Self::WaitsForSpace, "waits-for-space"),
        (Self::CompactionWaitsForSpace, "compaction-waits-for-space"),
        (Self::FullAtStart, "full-at-start"),
        (Self::PreferredLeads, "preferred-leads"),
        (Self::OtherLeads, "other-leads"),
        (Self::FetchOvertaken, "fetch-overtaken"),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(mark, _)| *mark == self).map_or("unknown", |(_, name)| name)
    }
}

/// The marks that a world has reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks(u64);

impl Marks {
    pub(crate) fn reach(&mut self, mark: Mark) {
        self.0 |= 1 << mark as u64;
    }

    /// Whether it was reached.
    pub fn has(self, mark: Mark) -> bool {
        self.0 & (1 << mark as u64) != 0
    }
}

/// In how many worlds of a sweep each mark was reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reached([u64; Mark::ALL.len()]);

impl Reached {
    pub(crate) fn add(&mut self, marks: Marks) {
        for (count, (mark, _)) in self.0.iter_mut().zip(Mark::ALL) {
            *count += u64::from(marks.has(mark));
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count += more;
        }
    }

    /// Each mark, and in how many worlds it was reached.
    pub fn iter(&self) -> impl Iterator<Item = (Mark, u64)> + '_ {
        Mark::ALL.iter().map(|(mark, _)| *mark).zip(self.0.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mark_has_a_place_and_a_name_of_its_own() {
        let mut reached = Reached::default();
        for (position, (mark, name)) in Mark::ALL.iter().enumerate() {
            assert_eq!((*mark as usize, mark.name()), (position, *name));
            let mut marks = Marks::default();
            marks.reach(*mark);
            assert!(Mark::ALL.iter().all(|(other, _)| marks.has(*other) == (other == mark)));
            reached.add(marks);
        }
        assert!(reached.iter().all(|(_, count)| count == 1));
    }
}
