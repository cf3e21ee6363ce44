//! Every way in which a host can break its contract is found. `needed` is how many seeds it took when the test was
//! written; the sweep may take ten thousand.

use floe_sim::{HostMutant, Invariant, Mutant, Options, sweep};

/// Sweeps until the mutant is found, at most over `limit` seeds, and checks which rule caught it.
fn found(mutant: HostMutant, limit: u64, rules: &[Invariant]) {
    let options = Options { mutant: Some(Mutant::Host(mutant)), ..Options::default() };
    let sweep = sweep(1..=limit, &options, |sweep| sweep.failures.is_empty());
    let Some(failure) = sweep.failures.first() else {
        panic!("{} is not found within {limit} seeds", mutant.name());
    };
    let violation = failure.violation.as_ref().expect("a failure has a violation");
    assert!(rules.contains(&violation.invariant), "{} is found by {violation}", mutant.name());
}

macro_rules! mutants {
    ($($test:ident: $mutant:ident, $limit:literal, [$($rule:ident),*];)*) => {
        $(
            #[test]
            fn $test() {
                found(HostMutant::$mutant, $limit, &[$(Invariant::$rule),*]);
            }
        )*

        #[test]
        fn every_mutant_has_a_test() {
            let tested = [$(HostMutant::$mutant),*];
            assert!(HostMutant::ALL.iter().all(|(mutant, _, _)| tested.contains(mutant)));
        }
    };
}

mutants! {
    an_acknowledgement_before_the_sync: AckBeforeSync, 50, [DurableBeforeSaid];
    a_forgotten_vote: ForgetVote, 600, [OneVote];
    a_forgotten_hard_state: ForgetHardState, 200, [OneVote, MonotonicTerm, DurableBeforeSaid];
    a_hard_state_apart_from_its_entries: SplitHardState, 100, [DurableBeforeSaid];
    a_lost_tail: LoseTail, 100, [CommittedIsDurable, Restarts, LogIsWhole, StateMachineSafety, LeaderCompleteness];
    a_kept_tail: KeepTail, 200, [LogIsWhole, LogMatching, StateMachineSafety, NoFalseAlarm];
    entries_out_of_order: ApplyOutOfOrder, 100, [StateMatches, StateMachineSafety];
    entries_applied_twice: ApplyTwice, 100, [StateMatches, StateMachineSafety];
    entries_left_out: ApplyNotAll, 100, [StateMatches, StateMachineSafety];
    an_old_snapshot: OldSnapshot, 300, [StateMatches];
    a_read_without_asking: ReadWithoutIndex, 100, [Linearizability];
    a_read_of_the_checkpoint: ReadCheckpoint, 100, [Linearizability];
    an_acknowledgement_before_the_commit: AckBeforeCommit, 100, [CommittedIsDurable, Linearizability];
    an_acknowledgement_of_what_was_overwritten: AckOverwritten, 300, [CommittedIsDurable, Linearizability];
    a_log_compacted_too_far: CompactAhead, 100, [Restarts];
    an_id_used_again_after_its_removal: ReuseRemovedId, 8_000,
        [OneVote, CommittedIsDurable, MonotonicTerm, NoFalseAlarm, ElectionSafety, LeaderCompleteness];
    a_group_of_its_own: JoinAsFounder, 100, [MembershipInForce, ElectionSafety, ElectedByQuorum];
    a_snapshot_with_another_membership: SnapshotMembership, 2_000, [MembershipInForce];
    a_forgotten_membership: ForgetMembership, 200, [MembershipInForce];
    a_snapshot_without_sessions: SnapshotWithoutSessions, 300, [StateMatches];
    a_retry_done_again: ApplyRetry, 300, [StateMatches];
    a_retry_without_its_name: RetryWithoutName, 300, [ExactlyOnce];
    a_write_that_a_full_disk_forgets: FullDiskForgets, 300, [DurableBeforeSaid, CommittedIsDurable, LogIsWhole];
    an_id_used_again: ReuseId, 300, [OneVote, CommittedIsDurable, MonotonicTerm, NoFalseAlarm, ElectionSafety];
}
