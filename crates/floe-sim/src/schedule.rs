//! When the faults of a seed strike, and whom: drawn in advance, so that a failure can be shrunk one intervention
//! at a time.

use std::collections::BTreeSet;

use floe_raft::NodeId;

use crate::action::{Action, Link, Target};
use crate::change;
use crate::clock::{MS, Moment, Rate, SECOND};
use crate::plan::Feature;
use crate::rng::{Rng, Stream};

/// The interventions of all features that are on, in order of time.
pub(crate) fn draw(
    seed: u64,
    features: &BTreeSet<Feature>,
    voters: &[NodeId],
    nodes: &[NodeId],
    end: Moment,
) -> Vec<(Moment, Action)> {
    let mut schedule = Vec::new();
    for feature in features {
        let mut rng = feature.stream(seed, Stream::Schedule);
        let mean = rng.magnitude(500 * MS, 20 * SECOND);
        let mut at = Moment(0);
        let mut wiped = 0;
        loop {
            at = at.plus(rng.exponential(mean) + MS);
            if at >= end {
                break;
            }
            if *feature == Feature::Wipe {
                wiped += 1;
                // A majority must keep its disks: beyond that nothing is promised, and nothing could be checked.
                if wiped > (voters.len() - 1) / 2 {
                    break;
                }
            }
            let Some(action) = intervention(*feature, &mut rng, voters, nodes) else { break };
            schedule.push((at, action));
        }
    }
    // A stable sort: equal moments stay in the order of the features.
    schedule.sort_by_key(|(at, _)| *at);
    schedule
}

fn intervention(feature: Feature, rng: &mut Rng, voters: &[NodeId], nodes: &[NodeId]) -> Option<Action> {
    let target = if rng.chance(400_000) { Target::Leader } else { Target::Node(*rng.pick(nodes)?) };
    let short = rng.magnitude(MS, SECOND);
    let long = rng.magnitude(100 * MS, 20 * SECOND);
    Some(match feature {
        Feature::Partition => Action::Cut { links: halves(rng, nodes), cut: long },
        Feature::OneWay => Action::Cut { links: one_way(rng, nodes), cut: long },
        Feature::Partial => Action::Cut { links: partial(rng, nodes), cut: long },
        Feature::Flap => Action::Flap {
            links: if rng.coin() { halves(rng, nodes) } else { one_way(rng, nodes) },
            period: rng.magnitude(10 * MS, 2 * SECOND),
            times: rng.between(2, 10) as u32,
        },
        Feature::Clog => Action::Clog { link: some_link(rng, nodes)?, clog: long.min(5 * SECOND) },
        Feature::Crash => Action::Crash { target, boundary: 0, down: long },
        Feature::Boundary => Action::Crash { target, boundary: rng.between(1, 12) as u32, down: short },
        Feature::Pause => Action::Pause { target, pause: long },
        Feature::Wipe => Action::Wipe { target: Target::Node(*rng.pick(voters)?) },
        Feature::SlowDisk => Action::SlowDisk { target, factor: rng.magnitude(2, 100) as u32, slow: long },
        Feature::StallDisk => Action::StallDisk { target, stall: long },
        Feature::FailDisk => Action::FailDisk { target, down: long },
        Feature::FullDisk => Action::FillDisk { target, full: long },
        Feature::ClockRate => Action::ClockRate { target, rate: Rate(rng.between(512, 2_048) as u32) },
        Feature::ClockJump => Action::ClockJump { target, ahead: rng.magnitude(MS, 3_600 * SECOND) },
        Feature::Transfer => Action::Transfer { to: *rng.pick(nodes)? },
        Feature::Members => Action::Change {
            steps: change::draw(rng),
            forced: rng.chance(150_000),
            tries: rng.magnitude(1, 16) as u32,
        },
        Feature::Loss
        | Feature::Duplicate
        | Feature::Replay
        | Feature::Delay
        | Feature::Reorder
        | Feature::Fetch
        | Feature::PeerGone
        | Feature::Compact
        | Feature::SmallWindows
        | Feature::Learners
        | Feature::RealLog
        | Feature::Lease
        | Feature::Witnesses
        | Feature::Sessions
        | Feature::Priority => return None,
    })
}

fn some_link(rng: &mut Rng, nodes: &[NodeId]) -> Option<Link> {
    let (from, to) = (*rng.pick(nodes)?, *rng.pick(nodes)?);
    Some(Link { from, to })
}

fn links_where(nodes: &[NodeId], mut cut: impl FnMut(NodeId, NodeId) -> bool) -> Vec<Link> {
    let mut links = Vec::new();
    for &from in nodes {
        for &to in nodes {
            if from != to && cut(from, to) {
                links.push(Link { from, to });
            }
        }
    }
    links
}

/// Two sides that do not hear each other; often one of them is a single node.
fn halves(rng: &mut Rng, nodes: &[NodeId]) -> Vec<Link> {
    let mut shuffled = nodes.to_vec();
    rng.shuffle(&mut shuffled);
    let count = if rng.coin() { 1 } else { rng.between(1, nodes.len() as u64) as usize };
    let side: BTreeSet<NodeId> = shuffled.into_iter().take(count).collect();
    links_where(nodes, |from, to| side.contains(&from) != side.contains(&to))
}

/// One direction of some links: of a single one, of all from one node, of all to one node, or of random ones.
fn one_way(rng: &mut Rng, nodes: &[NodeId]) -> Vec<Link> {
    let Some(&lonely) = rng.pick(nodes) else { return Vec::new() };
    match rng.below(4) {
        0 => some_link(rng, nodes).into_iter().collect(),
        1 => links_where(nodes, |from, _| from == lonely),
        2 => links_where(nodes, |_, to| to == lonely),
        _ => links_where(nodes, |_, _| rng.chance(300_000)),
    }
}

/// The partial partitions of the literature: all talk through one node only, a chain, and one node that sees a
/// majority which does not see itself.
fn partial(rng: &mut Rng, nodes: &[NodeId]) -> Vec<Link> {
    let mut order = nodes.to_vec();
    rng.shuffle(&mut order);
    let place = |node: NodeId| order.iter().position(|other| *other == node).unwrap_or(0);
    match rng.below(4) {
        // Quorum loss: everybody sees only the hub.
        0 => links_where(nodes, |from, to| place(from) != 0 && place(to) != 0),
        // Chained: everybody sees only the neighbours.
        1 => links_where(nodes, |from, to| place(from).abs_diff(place(to)) != 1),
        // Two halves that share one node.
        2 => {
            let half = order.len() / 2;
            let side = |node| place(node).cmp(&half) as i8;
            links_where(nodes, |from, to| side(from) * side(to) < 0)
        }
        // Constrained election: the hub sees all, the last one sees nobody, the others see the hub.
        _ => links_where(nodes, |from, to| {
            let last = order.len() - 1;
            place(from) == last || place(to) == last || (place(from) != 0 && place(to) != 0)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_majority_keeps_its_disks() {
        let voters: Vec<NodeId> = (1..=5).map(NodeId).collect();
        for seed in 0..200 {
            let schedule =
                draw(seed, &BTreeSet::from([Feature::Wipe]), &voters, &voters, Moment(60 * SECOND));
            assert!(schedule.len() <= 2, "{schedule:?}");
        }
    }

    #[test]
    fn shapes_are_what_they_are_called() {
        let nodes: Vec<NodeId> = (1..=5).map(NodeId).collect();
        let mut rng = Rng::new(1, Stream::Schedule);
        for _ in 0..100 {
            let links = halves(&mut rng, &nodes);
            let back = |link: &Link| links.contains(&Link { from: link.to, to: link.from });
            assert!(links.iter().all(back), "a partition cuts both directions: {links:?}");
            assert!(partial(&mut rng, &nodes).iter().all(|link| link.from != link.to));
        }
    }
}
