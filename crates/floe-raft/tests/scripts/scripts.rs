//! Runs every file of `testscripts/`, each as a test of its own.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::{Path, PathBuf};

use goldenscript::{Block, Command, Context, Runner};

use crate::cluster::Cluster;
use crate::command;

/// The state of one script while it runs.
#[derive(Default)]
struct Script {
    cluster: Option<Cluster>,
    /// A broken law.
    broken: Option<String>,
}

impl Runner for Script {
    type Command = Command;

    fn run(&mut self, command: &Command, _: &Context) -> Result<String, Box<dyn Error>> {
        let result = command::run(&mut self.cluster, command);
        let mut output = self.cluster.as_mut().map(Cluster::take_output).unwrap_or_default();
        let Err(failure) = result else { return Ok(output.join("\n")) };
        output.push(failure.text);
        let text = output.join("\n");
        if failure.is_law {
            self.broken = Some(text.clone());
        }
        Err(text.into())
    }

    fn end_command(&mut self, _: &Command, _: &Context) -> Result<String, Box<dyn Error>> {
        // A script may expect a command to be refused, but never that a law is broken.
        match self.broken.take() {
            Some(broken) => Err(broken.into()),
            None => Ok(String::new()),
        }
    }

    fn end_block(&mut self, _: &Block) -> Result<String, Box<dyn Error>> {
        Ok(self.cluster.as_mut().map(Cluster::take_changes).unwrap_or_default().join("\n"))
    }
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testscripts")
}

fn run(name: &str) {
    if let Err(error) = goldenscript::run(&mut Script::default(), directory().join(name)) {
        panic!("{name}: {error}");
    }
}

macro_rules! scripts {
    ($($topic:ident { $($name:ident)* })*) => {
        $( mod $topic { $(
            #[test]
            fn $name() {
                super::run(concat!(stringify!($topic), "/", stringify!($name)));
            }
        )* } )*

        /// The scripts that run.
        const NAMES: &[&str] = &[$( $( concat!(stringify!($topic), "/", stringify!($name)), )* )*];
    };
}

scripts! {
    election {
        first_election
        split_vote
        up_to_date_log_wins
        longer_log_wins
        pre_vote_keeps_a_rejoining_node_quiet
        without_pre_vote_a_rejoining_node_disturbs
        stickiness
        stickiness_ends
        check_quorum
        one_way_partition
        low_term_node_catches_up
        vote_is_durable_before_the_reply
        own_vote_is_durable_before_the_request
        restart_never_votes_twice
        a_lost_vote_was_never_given
        an_unreported_vote_counts
        retried_vote_is_granted_again
        a_repeated_request_waits_once
        late_pre_votes_change_nothing
        a_single_node_elects_itself
        stalled_disk_steps_down
        a_stalled_disk_hands_over
        an_old_leader_is_elected_again
        a_refusal_is_no_vote
        a_restarted_leader_does_not_lead
        repeated_answers_count_once
        a_stalled_disk_promises_no_vote
        a_stalled_disk_hands_over_to_nobody
        fast_failover
        evidence_reaches_one_first
        a_split_vote_beside_a_dead_leader
        false_evidence_changes_nothing
        evidence_ages
        learner_neither_votes_nor_campaigns
        graph_quorum_loss
        graph_constrained_election
        graph_chained
        a_pull_finds_where_logs_part
        a_pull_leaves_the_term
        a_pull_in_pages
        a_pull_reads_from_disk
        a_pull_is_not_answered_by_those_who_hear_a_leader
        a_late_pull_reply_changes_nothing
    }
    replication {
        one_entry
        leader_does_not_count_what_it_has_not_written
        slow_leader_disk
        batching
        a_read_that_fails_sends_nothing
        a_heartbeat_names_no_entry
        a_divergent_tail_and_small_appends
        commit_hints_to_idle_followers
        under_load_commits_travel_with_entries
        appends_are_split_by_size
        pipelining
        window_full
        window_full_in_bytes
        lost_appends_are_sent_again
        a_full_window_is_lost
        duplicated_and_reordered_appends
        a_short_stale_append_does_not_truncate
        a_follower_acknowledges_only_what_was_verified
        conflict_backtracking
        nothing_is_awaited_from_the_dead
        stale_rejects_are_ignored
        aba_overwrite_race
        aba_three_writes_under_way
        old_entries_are_read_from_disk
        a_slow_machine_is_fed_in_pieces
        too_much_is_refused
        a_restarted_follower_lost_its_tail
    }
    commit {
        minority_leader_never_commits
        figure_8
        applied_only_from_the_own_disk
        no_op_commits_older_terms
        commit_never_passes_what_was_verified
        learner_does_not_count
    }
    reads {
        on_the_leader
        share_a_round
        on_a_follower
        on_a_learner
        before_the_first_commit
        delayed_replies_confirm_nothing_new
        a_leader_without_a_majority_answers_none
        aborted_on_leader_change
        without_a_leader
        lost_questions_are_asked_again
        wait_for_the_machine
        after_a_restart
        a_single_node_reads
        by_lease
        by_lease_on_a_follower
        a_lease_ends
        a_lease_runs_from_the_sending
        no_lease_before_the_first_commit
        a_restarted_voter_keeps_its_promise
        an_invitation_ends_the_lease
        evidence_waits_for_the_lease
        a_promise_outlives_its_term
        a_lease_is_counted_by_the_membership_in_force
    }
    forward {
        to_the_leader
        through_the_leader_itself
        without_a_leader
        refused_by_the_leader
        the_receiver_is_in_a_later_term
        a_repeated_message_is_taken_once
        unknown_on_leader_change
        unknown_when_the_leader_dies
        unknown_when_it_was_lost
        decided_in_another_term
        too_much_is_refused
    }
    transfer {
        to_a_peer_that_is_caught_up
        waits_until_the_target_has_everything
        gives_up_after_an_election_timeout
        a_delayed_request_is_fenced
        a_request_of_an_earlier_term_is_ignored
        cleared_when_it_steps_down
        a_repeated_invitation
        refusals
    }
    snapshot {
        for_a_lagging_follower
        a_repeated_announcement
        a_newer_one_is_not_sent_meanwhile
        for_a_learner
        stale
        drops_a_divergent_tail
        keeps_a_matching_suffix
        compaction_overtakes_a_lost_window
        appends_while_installing
        lost_on_the_way
        overtakes_a_read_of_what_is_to_be_applied
        crash_before_the_log_restarts
        restart_from_checkpoint_and_log
    }
    crash {
        r23_before_the_request
        r24_on_the_leader_alone
        r25_on_all_followers
        r26_on_a_minority_of_the_followers
        r26_on_a_minority_that_wins
        r26_on_a_majority
        r27_committed_on_the_leader_only
        r28_the_answer_is_lost
        r29_split_brain
        whole_cluster
    }
    membership {
        add_a_learner_then_promote
        promote_refused_while_behind
        promote_automatically
        add_a_voter_directly
        a_new_voter_has_time_to_answer
        joint_three_to_five
        joint_needs_both_majorities
        joint_to_a_disjoint_group
        remove_a_follower
        remove_the_leader
        a_retired_leader_steps_down_in_time
        one_change_at_a_time
        no_change_before_the_no_op
        rolled_back_with_its_entry
        restart_while_joint
        the_leader_crashes_while_joint
        the_leader_crashes_while_leaving
        left_only_after_the_no_op
        a_removed_node_returns
        a_removed_node_returns_with_a_higher_term
        a_departing_peer_deposes_nobody
        an_unaware_voter_votes
        a_removed_leader_may_be_needed
        one_of_two_leaves
        an_unhealthy_change_is_refused
        no_change_during_a_handover
        an_outsider_counts_for_nothing
        a_joining_node_never_campaigns
        a_snapshot_carries_what_is_committed
        a_snapshot_replaces_every_membership
        demote_a_voter
        who_leaves_is_spoken_to_until_it_is_committed
        larger_than_a_command_is_refused
        an_address_moves
    }
    witness {
        it_counts_and_votes
        it_refuses_who_is_behind
        it_never_campaigns
        leadership_is_not_handed_to_it
        it_is_placed_without_a_stream
        added_and_removed
        witnesses_alone_are_no_majority
        replaced_by_another
        it_answers_no_client
        its_vote_outlives_a_restart
        it_is_never_the_only_one
        one_that_leaves_is_not_the_only_one
        it_follows_a_leader_that_is_no_voter
    }
    priority {
        the_less_preferred_waits
        a_leader_hands_over_to_the_preferred
        the_preferred_is_dead
        the_preferred_is_cut_off
        the_preferred_lags
        none_is_preferred
        a_hopeless_candidate_puts_nobody_off
        who_could_not_lead_is_humble
        a_learner_and_a_witness_are_not_preferred
    }
    quiet {
        when_nothing_is_under_way
        what_keeps_a_follower_awake
        what_keeps_a_leader_awake
        a_pause_of_a_follower
        a_pause_of_a_leader
        heartbeats_are_hastened
    }
    story {
        one_change_in_slow_motion
        the_leader_stops
        partition
    }
}

/// A file that nobody runs would prove nothing.
#[test]
fn every_script_is_run() -> Result<(), Box<dyn Error>> {
    let mut found = BTreeSet::new();
    for topic in std::fs::read_dir(directory())? {
        let topic = topic?;
        for file in std::fs::read_dir(topic.path())? {
            let name = format!("{}/{}", topic.file_name().display(), file?.file_name().display());
            found.insert(name);
        }
    }
    let listed: BTreeSet<String> = NAMES.iter().map(ToString::to_string).collect();
    assert_eq!(found, listed, "list each file of testscripts/ in tests/scripts/scripts.rs");
    Ok(())
}

/// The first line of each script says in a sentence what it shows.
#[test]
fn every_script_opens_with_a_sentence() -> Result<(), Box<dyn Error>> {
    for name in NAMES {
        let text = std::fs::read_to_string(directory().join(name))?;
        assert!(text.starts_with("# "), "{name} does not say what it shows");
    }
    Ok(())
}
