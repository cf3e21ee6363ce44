//! The heartbeats of all groups between two machines are one message, and mean what single ones mean.

use floe_raft::{Effect, RoleKind};

use crate::world::{ELECTION_MS, INTERVAL_MS, World, g, n};

fn awake(machines: u64, groups: u64) -> World {
    let members = World::new(1, machines, groups).members;
    World::of(1, members, None)
}

#[test]
fn fifty_groups_cost_one_message_a_pair_an_interval_each_way_and_one_to_answer() {
    let mut world = awake(3, 50);
    world.run(3000);
    for group in 1..=50 {
        world.make_leader(g(group), n(group % 3 + 1));
    }
    world.run(1000);
    let (beats, messages, elections) = (world.beats, world.messages, world.elections);
    world.run(INTERVAL_MS * 100);
    let (beats, messages) = (world.beats - beats, world.messages - messages);
    // Six directed pairs: heartbeats of those who lead, and answers.
    assert!(beats <= 6 * 2 * 101, "{beats} beats");
    assert_eq!((messages, elections), (0, world.elections));
}

#[test]
fn a_round_that_a_read_starts_does_not_wait_for_the_interval() {
    let mut world = awake(3, 20);
    world.run(3000);
    let leader = world.leader(g(3)).unwrap();
    let due = world.node(leader, g(3)).heartbeat_at().unwrap();
    let before = world.now;
    assert!(due.0 > before + 10_000_000, "the interval has just begun");
    assert!(world.read(leader, g(3), 1));
    world.run(5);
    assert!(matches!(world.reads[..], [(_, group, Effect::ReadReady { .. })] if group == g(3)));
}

#[test]
fn an_answer_counts_for_its_own_group_alone() {
    let mut world = awake(3, 2);
    world.make_leader(g(1), n(1));
    world.make_leader(g(2), n(1));
    world.unanswered.insert(g(1));
    world.run(ELECTION_MS * 3);
    assert_ne!(world.node(n(1), g(1)).status().role, RoleKind::Leader, "nobody answers in this group");
    assert_eq!(world.node(n(1), g(2)).status().role, RoleKind::Leader, "all do in that one");
}

#[test]
fn a_read_is_confirmed_by_answers_of_its_own_group_alone() {
    let mut world = awake(3, 2);
    world.make_leader(g(1), n(1));
    world.make_leader(g(2), n(1));
    world.unanswered.insert(g(1));
    assert!(world.read(n(1), g(1), 1) && world.read(n(1), g(2), 2));
    world.run(100);
    assert!(matches!(world.reads[..], [(_, group, Effect::ReadReady { .. })] if group == g(2)));
    world.unanswered.clear();
    world.run(100);
    assert_eq!(world.reads.len(), 2);
}

#[test]
fn groups_fall_into_step_and_no_interval_grows() {
    let mut world = awake(3, 9);
    world.run(3000);
    (1..=9).for_each(|group| world.make_leader(g(group), n(1)));
    for read in 0..9 {
        // Each read starts a round of its own and shifts its group.
        assert!(world.read(n(1), g(read % 9 + 1), read));
        world.run(7);
    }
    world.run(INTERVAL_MS * 2);
    let next = |group| world.node(n(1), g(group)).heartbeat_at().unwrap();
    assert!((2..=9).all(|group| next(group) == next(1)));
    assert!(next(1).0 <= world.now + INTERVAL_MS * 1_000_000);
}

#[test]
fn the_writes_of_all_groups_are_one_batch() {
    use floe_multi::MultiEffect;
    let mut world = awake(1, 30);
    world.run(1000);
    let machine = world.machines.get_mut(&n(1)).unwrap();
    let now = floe_raft::Time(world.now);
    for group in 1..=30 {
        machine.propose(now, g(group), b"x".as_slice().into()).unwrap();
        machine.propose(now, g(group), b"y".as_slice().into()).unwrap();
    }
    let Some(MultiEffect::Persist(batch)) = machine.poll_effect() else { panic!("the writes come first") };
    assert_eq!(batch.len(), 30);
    assert!(batch.iter().all(|(_, write)| write.entries.len() == 2));
}
