//! Groups in which nothing happens cost nothing.

use std::time::Duration;

use floe_raft::Membership;

use crate::world::{ELECTION_MS, INTERVAL_MS, World, g, n};

#[test]
fn a_thousand_idle_groups_cost_one_message_a_pair_an_interval_each_way_and_touch_no_group() {
    let mut world = World::new(1, 3, 1000);
    world.run(6 * ELECTION_MS);
    world.lull();
    world.run(1000);
    assert!(world.machines.values().all(|multi| multi.awake() == 0), "no group has a timer");
    let (beats, messages, calls) = (world.beats, world.messages, world.calls);
    let before = world.machines.clone();
    world.run(INTERVAL_MS * 100);
    let (beats, messages, calls) = (world.beats - beats, world.messages - messages, world.calls - calls);
    assert!((590..=606).contains(&beats), "{beats} beats in 100 intervals on six directed pairs");
    assert_eq!(messages, 0);
    // Three ticks and six arrivals an interval.
    assert!(calls <= 9 * 101, "{calls} calls");
    for (id, multi) in &world.machines {
        for group in (1..=1000).map(g) {
            let (now, then) = (multi.group(group).unwrap(), before[id].group(group).unwrap());
            assert_eq!(now.poll_timeout(), then.poll_timeout(), "no node was called");
        }
    }
}

#[test]
fn one_busy_group_among_sleeping_ones_wakes_no_other() {
    let mut world = World::new(2, 3, 100);
    world.lull();
    for _ in 0..50 {
        assert!(world.propose(g(50), b"x"));
        world.run(20);
    }
    assert!(world.machines.values().all(|multi| multi.awake() == 1));
    world.lull();
    world.check();
}

#[test]
fn a_group_of_one_sleeps_without_a_message() {
    let members = (1..=10).map(|group| (g(group), Membership::of_voters([n(group % 3 + 1)]))).collect();
    let mut world = World::of(3, members, Some(Duration::from_millis(ELECTION_MS)));
    world.lull();
    world.run(5000);
    assert_eq!((world.beats, world.messages), (0, 0));
    assert!(world.propose(g(1), b"x") && world.node(n(2), g(1)).last().index.0 == 2);
    world.run(100);
    assert_eq!(world.node(n(2), g(1)).applied().0, 2);
}

#[test]
fn a_group_with_a_member_that_is_behind_or_dead_stays_awake() {
    let mut world = World::new(4, 3, 5);
    world.make_leader(g(1), n(1));
    world.kill(n(3));
    assert!(world.propose(g(1), b"x"));
    world.run(5000);
    for id in [n(1), n(2)] {
        assert!((1..=5).all(|group| !world.machines[&id].is_asleep(g(group))), "machine {id}");
    }
    world.start(n(3));
    world.lull();
}

#[test]
fn a_learner_is_waited_for() {
    let membership = Membership { learners: [n(3)].into(), ..Membership::of_voters([n(1), n(2)]) };
    let mut world = World::of(5, [(g(1), membership)].into(), Some(Duration::from_millis(ELECTION_MS)));
    world.cut_both(n(1), n(3));
    world.cut_both(n(2), n(3));
    world.run(5000);
    assert!(!world.machines[&n(1)].is_asleep(g(1)) && !world.machines[&n(2)].is_asleep(g(1)));
    world.cut.clear();
    world.lull();
}

#[test]
fn nobody_sleeps_where_one_machine_lets_no_group_sleep() {
    let mut world = World::new(6, 3, 3);
    world.kill(n(2));
    world.quiesce_after = None;
    world.start(n(2));
    world.run(5000);
    assert!(world.machines.values().all(|multi| multi.awake() == 3));
    let elections = world.elections;
    world.run(5000);
    assert_eq!(world.elections, elections);
}
