//! Random faults over sleeping and busy groups: what is committed stays, and once the network is whole every group
//! commits again and goes back to sleep.

use std::collections::BTreeSet;
use std::time::Duration;

use floe_raft::Membership;
use proptest::prelude::*;

use crate::world::{ELECTION_MS, World, g, n};

/// What happens next: an action, two machines, a group, and how long to let things run after.
fn fault(world: &mut World, action: u8, a: u64, b: u64, group: u64, ms: u64) {
    let (a, b, group) = (n(a), n(b), g(group));
    match action {
        0..4 => {
            world.propose(group, b"x");
        }
        4 if world.machines.contains_key(&a) && world.machines[&a].group(group).is_some() => {
            world.read(a, group, ms);
        }
        5 if world.machines.len() > 2 => world.kill(a),
        6..8 if !world.machines.contains_key(&a) => world.start(a),
        8 => world.cut_both(a, b),
        9 => {
            world.cut.insert((a, b));
        }
        10 => world.cut.clear(),
        11 => {
            let _ = world.act(a, |multi, now| multi.transfer_leadership(now, group, b));
        }
        12 => {
            world.act(a, |multi, now| multi.handle_peer_gone(now, b));
        }
        _ => {}
    }
    world.run(ms);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn groups_survive_faults_and_fall_asleep_when_they_are_over(
        seed in any::<u64>(),
        loss in 0..300u64,
        repeats in 0..300u64,
        quiesce in 1..600u64,
        steps in proptest::collection::vec((0..16u8, 1..6u64, 1..6u64, 1..9u64, 0..900u64), 1..60)
    ) {
        // Eight groups, each on some of five machines.
        let mut choice = seed;
        let members = (1..=8).map(|group| {
            choice = choice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let voters = (0..1 + (choice >> 40) % 5).map(|i| n((choice >> 50).wrapping_add(i) % 5 + 1));
            (g(group), Membership::of_voters(voters))
        });
        let mut world = World::of(seed, members.collect(), Some(Duration::from_millis(quiesce)));
        (world.loss, world.repeats) = (loss, repeats);
        for (action, a, b, group, ms) in steps {
            fault(&mut world, action, a, b, group, ms);
            world.check();
        }
        let ids = world.members.values().flat_map(Membership::members).collect::<BTreeSet<_>>();
        for id in ids {
            if !world.machines.contains_key(&id) {
                world.start(id);
            }
        }
        world.cut.clear();
        (world.loss, world.repeats) = (0, 0);
        world.run(6 * ELECTION_MS);
        for group in 1..=8 {
            let leader = world.leader(g(group));
            prop_assert!(leader.is_some(), "group {group} has no leader");
            prop_assert!(world.propose(g(group), b"last"));
        }
        world.run(200);
        for group in 1..=8 {
            let members = world.members[&g(group)].members();
            let last = world.node(world.leader(g(group)).unwrap(), g(group)).last().index;
            for id in members {
                prop_assert_eq!(world.node(id, g(group)).applied(), last, "machine {} group {}", id, group);
            }
        }
        world.check();
        world.lull();
        let elections = world.elections;
        world.run(20 * ELECTION_MS);
        prop_assert_eq!(elections, world.elections);
        prop_assert!(world.all_asleep());
    }
}
