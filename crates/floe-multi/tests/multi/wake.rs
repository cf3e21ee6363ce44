//! Each way in which a sleeping group must wake, and each message that must not keep it asleep.

use floe_raft::{Effect, Time};

use crate::world::{ELECTION_MS, INTERVAL_MS, MS, Parcel, World, g, n};

/// A world in which machine 1 leads all groups and everybody sleeps.
fn sleeping(seed: u64, machines: u64, groups: u64) -> World {
    let mut world = World::new(seed, machines, groups);
    (1..=groups).for_each(|group| world.make_leader(g(group), n(1)));
    world.lull();
    world
}

/// How long until the group has another leader than `old`, in milliseconds.
fn failover(world: &mut World, group: u64, old: u64) -> u64 {
    let from = world.now;
    for _ in 0..10 * ELECTION_MS {
        world.run(1);
        let leader = world.machines.iter().find(|(id, multi)| {
            **id != n(old) && multi.group(g(group)).is_some_and(floe_raft::Node::is_leader)
        });
        if leader.is_some() {
            return (world.now - from) / MS;
        }
    }
    panic!("no other leader");
}

/// Of how many groups a machine other than `old` leads. Not all at once: two may campaign at the same time, and then
/// both wait.
fn led_by_others(world: &World, groups: u64, old: u64) -> usize {
    let leads = |group: &u64| {
        world.machines.iter().any(|(id, multi)| {
            *id != n(old) && multi.group(g(*group)).is_some_and(floe_raft::Node::is_leader)
        })
    };
    (1..=groups).filter(leads).count()
}

#[test]
fn a_proposal_at_the_leader_commits_at_once_and_everybody_has_it() {
    let mut world = sleeping(1, 3, 20);
    let elections = world.elections;
    assert!(world.propose(g(7), b"x"));
    world.run(10);
    let applied = |id| world.node(n(id), g(7)).applied();
    assert!(applied(1) == applied(2) && applied(2) == applied(3));
    assert_eq!(world.node(n(1), g(7)).last().index, applied(1));
    world.lull();
    assert_eq!(world.elections, elections);
}

#[test]
fn the_machine_of_the_leader_is_silent_and_all_groups_fail_over_as_if_awake() {
    let mut world = sleeping(2, 3, 50);
    world.kill(n(1));
    let first = (1..=50).map(|group| failover(&mut world, group, 1)).sum::<u64>();
    // At most two timeouts after the last beat, and the rounds of an election that may be split.
    assert!(first <= 4 * ELECTION_MS, "{first} ms for all");
    assert!((1..=50).all(|group| world.propose(g(group), b"x")));
    world.run(100);
    world.check();
}

#[test]
fn the_machine_of_the_leader_restarts_at_once_and_nobody_waits_for_a_silence() {
    let mut world = sleeping(3, 3, 20);
    world.kill(n(1));
    world.run(5);
    world.start(n(1));
    world.run(ELECTION_MS / 2);
    let led = led_by_others(&world, 20, 1);
    assert!(led >= 15, "{led} of 20, though its restart was told");
}

#[test]
fn a_dead_process_is_evidence_for_all_groups() {
    let mut world = sleeping(4, 3, 20);
    world.kill(n(1));
    for id in [2, 3] {
        world.act(n(id), |multi, now| multi.handle_peer_gone(now, n(1)));
    }
    world.run(ELECTION_MS / 2);
    let led = led_by_others(&world, 20, 1);
    assert!(led >= 15, "{led} of 20");
}

#[test]
fn a_follower_that_restarts_deposes_nobody() {
    let mut world = sleeping(5, 3, 20);
    let terms = (1..=20).map(|group| world.node(n(1), g(group)).term()).collect::<Vec<_>>();
    for _ in 0..3 {
        world.kill(n(2));
        world.run(20);
        world.start(n(2));
        world.run(3 * ELECTION_MS);
        world.lull();
    }
    assert!((1..=20).all(|group| world.leader(g(group)) == Some(n(1))));
    assert_eq!(terms, (1..=20).map(|group| world.node(n(1), g(group)).term()).collect::<Vec<_>>());
}

#[test]
fn a_follower_that_is_dead_for_long_wakes_the_leader_which_goes_on() {
    let mut world = sleeping(6, 3, 10);
    let elections = world.elections;
    world.kill(n(3));
    world.run(2 * ELECTION_MS);
    assert!(!world.machines[&n(1)].is_asleep(g(1)), "its machine does not echo");
    assert!((1..=10).all(|group| world.propose(g(group), b"x")));
    world.run(100);
    assert_eq!(world.elections, elections);
    world.start(n(3));
    world.lull();
    assert_eq!(world.elections, elections);
}

#[test]
fn a_leader_that_is_cut_off_in_its_sleep_steps_down_and_another_leads() {
    let mut world = sleeping(7, 3, 10);
    world.cut_both(n(1), n(2));
    world.cut_both(n(1), n(3));
    world.run(4 * ELECTION_MS);
    assert!((1..=10).all(|group| !world.node(n(1), g(group)).is_leader()));
    assert!((1..=10).all(|group| world.leader(g(group)).is_some_and(|leader| leader != n(1))));
    world.cut.clear();
    world.lull();
    world.check();
}

#[test]
fn one_link_is_cut_and_the_leader_stays() {
    for (from, to) in [(1, 2), (2, 1)] {
        let mut world = sleeping(8, 3, 10);
        let elections = world.elections;
        world.cut.insert((n(from), n(to)));
        world.run(20 * ELECTION_MS);
        assert!((1..=10).all(|group| world.leader(g(group)) == Some(n(1))));
        assert_eq!(world.elections, elections, "{from} to {to}");
        world.cut.clear();
        world.lull();
    }
}

#[test]
fn a_lost_request_of_a_sleeping_follower_does_not_hang() {
    let mut world = sleeping(9, 3, 5);
    let elections = world.elections;
    world.cut.insert((n(2), n(1)));
    assert!(world.read(n(2), g(3), 1));
    world.cut.clear();
    assert!(world.reads.is_empty());
    world.run(3 * INTERVAL_MS);
    assert!(matches!(world.reads[..], [(_, _, Effect::ReadReady { .. })]), "the refusal woke the leader");
    assert_eq!(world.elections, elections);
    world.lull();
}

#[test]
fn a_read_at_a_sleeping_leader_asks_the_others() {
    let mut world = sleeping(10, 3, 5);
    assert!(world.read(n(1), g(3), 1));
    assert!(world.reads.is_empty(), "nothing is read on the word of a beat");
    world.run(10);
    assert!(matches!(world.reads[..], [(_, _, Effect::ReadReady { .. })]));
}

#[test]
fn a_deposed_leader_reads_nothing_after_a_sleep() {
    let mut world = sleeping(11, 3, 1);
    world.cut_both(n(1), n(2));
    world.cut_both(n(1), n(3));
    // Before machine 1 has noticed anything the others can have a leader: by evidence of its death.
    for id in [2, 3] {
        world.act(n(id), |multi, now| multi.handle_peer_gone(now, n(1)));
    }
    world.run(ELECTION_MS / 2);
    assert!(world.node(n(1), g(1)).is_leader() && world.machines[&n(1)].is_asleep(g(1)));
    assert_ne!(world.leader(g(1)), Some(n(1)));
    assert!(world.propose(g(1), b"new") && world.read(n(1), g(1), 1));
    world.run(5 * ELECTION_MS);
    assert!(matches!(world.reads[..], [(_, _, Effect::ReadAborted { .. })]), "{:?}", world.reads);
}

#[test]
fn the_leader_loses_the_group_and_its_followers_do_not_sleep_on() {
    // The machine lives and beats, but one group was taken off it without a word.
    let mut world = sleeping(12, 3, 10);
    world.act(n(1), |multi, _| multi.remove_group(g(4)));
    let ms = failover(&mut world, 4, 1);
    assert!(ms <= 3 * ELECTION_MS, "{ms} ms");
    assert!((1..=10).filter(|group| *group != 4).all(|group| world.is_asleep(g(group))));
}

#[test]
fn the_withdrawal_is_lost_and_the_next_beat_repeats_it() {
    let mut world = sleeping(13, 3, 10);
    world.cut.insert((n(1), n(2)));
    world.act(n(1), |multi, _| multi.remove_group(g(4)));
    world.run(2);
    world.cut.clear();
    let ms = failover(&mut world, 4, 1);
    assert!(ms <= 3 * ELECTION_MS, "{ms} ms");
}

#[test]
fn old_beats_repeated_for_ever_keep_no_dead_leader_alive() {
    let mut world = sleeping(14, 3, 5);
    world.record = Some(Vec::new());
    world.run(20 * INTERVAL_MS);
    let recorded = world.record.take().unwrap();
    let from_leader = |parcel: &Parcel| matches!(parcel, Parcel::Beat(beat) if beat.from == n(1));
    let old = recorded.into_iter().filter(from_leader).collect::<Vec<_>>();
    assert!(old.len() > 20);
    world.kill(n(1));
    for _ in 0..3 * ELECTION_MS / 10 {
        old.iter().take(20).cloned().for_each(|parcel| world.send(parcel));
        world.run(10);
    }
    assert!((1..=5).all(|group| world.leader(g(group)).is_some()));
}

#[test]
fn beats_of_an_ended_life_put_nobody_to_sleep_again() {
    let mut world = sleeping(15, 3, 5);
    world.record = Some(Vec::new());
    world.run(20 * INTERVAL_MS);
    let old = world.record.take().unwrap();
    world.kill(n(1));
    world.start(n(1));
    world.run(5);
    for _ in 0..4 * ELECTION_MS / 10 {
        old.iter().take(20).cloned().for_each(|parcel| world.send(parcel));
        world.run(10);
    }
    assert!((1..=5).all(|group| world.leader(g(group)).is_some()));
    world.lull();
}

#[test]
fn leadership_is_handed_over_in_its_sleep_and_the_new_leader_lulls_them_again() {
    let mut world = sleeping(16, 3, 10);
    for round in 0..6 {
        let (from, to) = (n(round % 3 + 1), n((round + 1) % 3 + 1));
        let _ = world.act(from, |multi, now| multi.transfer_leadership(now, g(2), to));
        world.run(50);
        assert_eq!(world.leader(g(2)), Some(to));
        world.lull();
    }
}

#[test]
fn a_machine_that_stood_still_does_not_trust_what_it_knew() {
    let mut world = sleeping(17, 3, 10);
    // The leader's process is stopped: nothing reaches it, and nothing comes from it.
    let stopped = world.machines.remove(&n(1)).unwrap();
    world.run(6 * ELECTION_MS);
    assert!((1..=10).all(|group| world.propose(g(group), b"x")));
    world.run(50);
    world.machines.insert(n(1), stopped);
    world.act(n(1), |multi, now| multi.handle_timeout(now));
    assert!((1..=10).all(|group| !world.machines[&n(1)].is_asleep(g(group))));
    world.lull();
    assert!((1..=10).all(|group| !world.node(n(1), g(group)).is_leader()));
    world.check();
}

#[test]
fn compaction_of_a_sleeping_group_wakes_nobody() {
    let mut world = sleeping(18, 3, 5);
    let last = world.node(n(2), g(1)).last();
    world.act(n(2), |multi, _| multi.handle_compacted(g(1), last));
    assert!(world.is_asleep(g(1)));
    assert_eq!(world.node(n(2), g(1)).status().base, last);
}

#[test]
fn timeouts_that_come_early_or_twice_change_nothing() {
    let mut world = sleeping(19, 3, 5);
    let beats = world.beats;
    for id in [1, 2, 3] {
        for _ in 0..10 {
            world.act(n(id), |multi, now| multi.handle_timeout(Time(now.0.saturating_sub(5))));
        }
    }
    assert_eq!(world.beats, beats);
    assert!(world.all_asleep());
}
