//! Bugs that other systems had, kept to be put back: a simulator that does not find them proves nothing.
//!
//! Each is one visible line where the rule stands that it breaks, `if config.mutated(Mutant::...)`. Without the feature
//! `mutants` the answer is the constant `false`, and the line compiles to nothing. `docs/design/ledger.md` says how
//! each is found.
#![cfg_attr(
    not(feature = "mutants"),
    allow(unreachable_pub, reason = "seen only by those who ask for the feature")
)]

use std::collections::BTreeSet;

use crate::id::NodeId;
use crate::membership::Membership;

/// Declares the enum and, with the feature, the table of names and origins.
macro_rules! mutants {
    ($($(#[$doc:meta])+ $mutant:ident = $name:literal, $origin:literal;)+) => {
        /// One old bug. The origin names who had it, with the number of the issue in that project.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Mutant {
            $($(#[$doc])+ $mutant,)+
        }

        #[cfg(feature = "mutants")]
        impl Mutant {
            /// Every mutant, with its name and its origin.
            pub const ALL: &[(Self, &'static str, &'static str)] =
                &[$((Self::$mutant, $name, $origin),)+];
        }
    };
}

mutants! {
    // The log, its disk, and what is acknowledged and committed.
    /// A leader commits entries of older terms by counting (raft paper, figure 8).
    CommitOldTerms = "commit-old-terms", "logcabin #44, goraft #27, CCF #4485";
    /// A leader counts its own log, not its own disk.
    CountBeforeDisk = "count-before-disk", "goraft #150, dragonboat #224";
    /// A follower acknowledges what is not on its disk.
    AckBeforeDisk = "ack-before-disk", "valkey #3887, robustmq #2039";
    /// A follower acknowledges its own last entry, not the last one that the leader compared.
    AckOwnLast = "ack-own-last", "etcd #1366, CCF #6016, RATIS-2605";
    /// An acknowledgement of an older term counts.
    OldAck = "old-ack", "openraft cecb5de8";
    /// A write that is reported late counts for entries that were overwritten since.
    LateCompletion = "late-completion", "etcd/raft #8, etcd #1690, cockroach #124440";
    /// A heartbeat carries the leader's commit index, not what the peer acknowledged of it.
    HeartbeatCommits = "heartbeat-commits", "camunda #30354";
    /// An append that is late and short cuts off a log that agrees with it.
    ShortAppendTruncates = "short-append-truncates", "etcd #1763, CCF #5674";
    /// A late refusal moves the next entry to send below what is acknowledged.
    StaleReject = "stale-reject", "etcd/raft #149";
    /// A refusal while entries flow is not heard, so that the follower is never offered what it lacks.
    RefusalUnheard = "refusal-unheard", "yugabyte #32876";
    /// What was committed is never taken off the bytes that wait for their commit.
    UncommittedLeaks = "uncommitted-leaks", "etcd/raft #11";
    /// Entries are applied before they are on the own disk.
    ApplyBeforeDisk = "apply-before-disk", "etcd #10217, tikv #4560, qdrant #1172";

    // Elections.
    /// Votes and requests for votes leave before term and vote are durable.
    VoteBeforeDisk = "vote-before-disk", "sofa-jraft #1245";
    /// A node that steps down within a term forgets its vote.
    VoteGivenBack = "vote-given-back", "CCF #5891";
    /// A pre-vote is noted down as a vote.
    PreVoteVotes = "pre-vote-votes", "canonical/raft #196";
    /// A pre-vote that comes late counts as a vote.
    PreVoteCounts = "pre-vote-counts", "canonical/raft #196, openraft 511f33c7";
    /// A refused vote counts.
    RefusalCounts = "refusal-counts", "openraft #1220";
    /// A vote of an older term counts.
    OldVote = "old-vote", "trap 71: any message may be late";
    /// The longer log wins, whatever the term of its last entry.
    LongestLogWins = "longest-log-wins", "jgroups-raft #251";
    /// A leader of an older term gets no answer.
    OldLeaderUnanswered = "old-leader-unanswered", "etcd #5468, #8243, canonical/raft #279";
    /// A higher term in a refusal is not heard. Two voters are left: one that never campaigns, since it is a witness, and
    /// has voted in a later term for one that died; and one that could lead, and never learns of that term.
    RefusedTermUnheard = "refused-term-unheard", "etcd #8501, raft-rs #42, openraft #1796";
    /// Voters that hear a leader help to depose it.
    NoStickiness = "no-stickiness", "logcabin #56, etcd #9333, hashicorp/raft #476";
    /// A leader that nobody answers goes on, and goes on to beat.
    NoCheckQuorum = "no-check-quorum", "cockroach #79699, openraft #2080";
    /// All wait equally long before they campaign.
    EqualTimeouts = "equal-timeouts", "etcd #10355";
    /// A learner refuses its vote, although it was made a voter and does not know it yet.
    LearnerRefuses = "learner-refuses", "etcd #10998, raft-rs #57, redpanda #8495";
    /// A leader that is restarted leads on, without an election.
    LeaderResumes = "leader-resumes", "openraft's enable_leader_restore";
    /// An answer to a pull is taken whatever the own log has become meanwhile.
    PullUnchecked = "pull-unchecked", "elections.md, counter-example 1";
    /// Who drops entries for those that it pulled stays in the term in which it acknowledged them.
    PullKeepsTerm = "pull-keeps-term", "elections.md, counter-example 2";

    // Reads.
    /// The answers to the heartbeat before a read confirm it.
    ReadRoundReused = "read-round-reused", "etcd #20418, etcd/raft #397";
    /// The answers to heartbeats of an older term confirm a read.
    OldRound = "old-round", "tikv #9208";
    /// A leader serves reads without asking whether it still leads.
    ReadUnconfirmed = "read-unconfirmed", "d-engine #381, adjoint #41, sofa-jraft #15";
    /// A leader serves reads before an entry of its own term is committed.
    ReadBeforeNoop = "read-before-noop", "etcd #7331";
    /// A restarted follower asks for reads under the names that its earlier life used.
    ReadNamesReused = "read-names-reused", "etcd #20418";
    /// Reads that wait are dropped without a word when the leader changes.
    ReadsForgotten = "reads-forgotten", "etcd #11483";

    /// A lease is counted from when the answers arrived, not from when they were asked for. An answer that is under way
    /// for longer than the margin gives a lease that outlasts the promise, which began before the answer left.
    LeaseFromReceipt = "lease-from-receipt", "tikv #964, etcd #6005";
    /// A lease leaves no margin for clocks that run at different rates.
    LeaseWithoutMargin = "lease-without-margin", "sofa-jraft #25, #26";
    /// A lease goes on although another node was invited to campaign.
    LeaseOutlivesTransfer = "lease-outlives-transfer", "raft-rs #234, etcd #12704, tikv #1595";
    /// A voter that is restarted forgets what it promised a leader. The third voter, which does not hear the leader, asks
    /// it again and again, and is elected as soon as it is back.
    LeaseForgotten = "lease-forgotten", "trap 39: braft's FollowerLease::init is there for it";
    /// A voter promises nothing when it answers a heartbeat. Where nobody has to hear of a leader for an election timeout
    /// before helping another one, somebody is elected while the lease lasts.
    NoPromise = "no-promise", "nebula #2723, sofa-jraft #15";
    /// A voter keeps its promise when it is asked for a vote of a later term, and not in its own: it votes for a candidate
    /// whose term it learned of elsewhere.
    PromiseOfOneTerm = "promise-of-one-term", "trap 39: a promise outlives its term";

    // Proposals and handovers.
    /// A command that the network repeats is appended twice.
    ForwardTakenTwice = "forward-taken-twice", "etcd #18424";
    /// A restarted follower forwards commands under the names that its earlier life used.
    ForwardNamesReused = "forward-names-reused", "etcd #20418";
    /// A command whose fate is unknown is reported as refused.
    UnknownIsRefused = "unknown-is-refused", "summitdb #5";
    /// A handover that came to nothing is never given up.
    TransferForEver = "transfer-for-ever", "hashicorp/raft #487, #493, #581";
    /// An order to campaign is obeyed whenever it comes. It is overtaken by the end of the handover and by an entry after
    /// it, with which the leader has its lease again; then it arrives, and its campaign breaks every promise.
    TransferUnfenced = "transfer-unfenced", "raft-rs #234, etcd #12704, openraft #1747";

    // Snapshots.
    /// A leader whose log does not reach back far enough probes for ever.
    NoSnapshot = "no-snapshot", "openraft #1828";
    /// A snapshot that does not arrive is waited for.
    LostSnapshotAwaited = "lost-snapshot-awaited", "logcabin #174";
    /// A snapshot leaves a log in place that has another entry where the snapshot ends.
    SnapshotKeepsTail = "snapshot-keeps-tail", "hashicorp/raft #697";
    /// A snapshot older than what is committed is installed.
    OldSnapshotTaken = "old-snapshot-taken", "openraft #1892, etcd/raft #157";
    /// Entries are taken while a snapshot takes the place of the log.
    AppendWhileInstalling = "append-while-installing", "cockroach #3760";
    /// The membership of before a snapshot stays in force after it.
    SnapshotKeepsMembership = "snapshot-keeps-membership", "openraft #1808, scylla #9551";

    // Membership.
    /// A membership is changed before an entry of the leader's own term is committed.
    ChangeBeforeNoop = "change-before-noop", "Ongaro, raft-dev, July 2015; hydro #3192, copycat #23";
    /// A membership is changed while another change is not committed.
    TwoChanges = "two-changes", "NuRaft #107";
    /// A membership stays in force although its entry was truncated.
    MembershipKept = "membership-kept", "camunda #57393, canonical/raft #250";
    /// A joint membership decides by the majority of the new voters alone.
    JointByOneMajority = "joint-by-one-majority", "camunda #61854";
    /// A joint membership is left before it is committed.
    JointLeftEarly = "joint-left-early", "camunda #61854";
    /// A leader leaves only those joint memberships that it entered itself.
    JointForgotten = "joint-forgotten", "etcd #12136";
    /// The acknowledgements of learners count.
    LearnerCounts = "learner-counts", "trap 31: a learner is no voter";
    /// A witness is sent entries that are on the disk of no voter with data. If the leader is lost with its write, the
    /// witness refuses everybody for its longer log.
    WitnessAhead = "witness-ahead", "membership.md, the rules of witnesses";
    /// A leader that is no voter counts itself.
    OutsiderCounts = "outsider-counts", "RedisLabs/raft #13";
}

#[cfg(feature = "mutants")]
impl Mutant {
    /// The mutant of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known, _)| *known == name).map(|(mutant, _, _)| *mutant)
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(mutant, _, _)| *mutant == self).map_or("unknown", |(_, name, _)| name)
    }

    /// Who had it.
    pub fn origin(self) -> &'static str {
        Self::ALL.iter().find(|(mutant, _, _)| *mutant == self).map_or("unknown", |(_, _, origin)| origin)
    }
}

/// What the bugs agree on that count others beside the voters: the largest value that as many as a majority of the
/// voters have reached, whoever they are.
pub(crate) fn agreed_with(
    membership: &Membership,
    others: &BTreeSet<NodeId>,
    held: impl Fn(NodeId) -> u64,
) -> u64 {
    let mut values: Vec<u64> = membership.voters.union(others).map(|id| held(*id)).collect();
    values.sort_unstable_by(|a, b| b.cmp(a));
    values.get(membership.voters.len() / 2).copied().unwrap_or(0)
}

/// The bug that a part of a node has, for those parts that do not see its configuration. Takes no room without the
/// feature.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mutation(#[cfg(feature = "mutants")] pub(crate) Option<Mutant>);

impl Mutation {
    /// Whether it is that bug.
    #[cfg(feature = "mutants")]
    pub(crate) fn is(self, mutant: Mutant) -> bool {
        self.0 == Some(mutant)
    }

    /// Never, without the feature.
    #[cfg(not(feature = "mutants"))]
    pub(crate) const fn is(self, _mutant: Mutant) -> bool {
        false
    }
}

#[cfg(all(test, feature = "mutants"))]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_lead_back() {
        for (mutant, name, origin) in Mutant::ALL {
            assert_eq!(Mutant::of_name(name), Some(*mutant));
            assert_eq!((mutant.name(), mutant.origin()), (*name, *origin));
            assert!(!origin.is_empty());
        }
    }
}
