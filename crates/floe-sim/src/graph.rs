//! Graphs of who can talk to whom, each with a name, and what is asked of a group in them: hardly any change of the
//! leader, and progress, because somebody can talk to a majority in each of them.
//!
//! The first four are those of the OmniPaxos paper (Ng, Haridi, Carbone, EuroSys 2023), in which Raft without PreVote
//! and CheckQuorum stands still or elects for ever. The others are what firewalls, routes and switches make.

use floe_raft::NodeId;

use crate::action::{Action, Link};
use crate::check::{Checked, Invariant, broken};
use crate::clock::{MS, Moment, SECOND};
use crate::plan::Plan;
use crate::world::World;

/// A graph. Every one is laid around the node that leads when it forms, which is `L` here; `a` to `d` are the
/// others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Graph {
    /// All talk to all.
    Full,
    /// All talk to `a` alone, and so does the leader: it has lost its quorum, and only `a` has one.
    QuorumLoss,
    /// The leader talks to nobody; the others talk to `a` alone, whose log is behind theirs. Only `a` can be
    /// elected, and may not be as it is.
    Constrained,
    /// Three nodes in a row, the leader at an end: `L a b`. The last one hears of no leader.
    Chained,
    /// Five in a circle: `L a b c d L`.
    Ring,
    /// Seven, all of which talk to `a` alone.
    Star,
    /// `a` hears all the others, and nobody hears it.
    OneWayIn,
    /// All the others hear `a`, and it hears nobody.
    OneWayOut,
    /// The leader sends to all and hears nobody.
    DeafLeader,
    /// Two halves that share one node: `L a b` and `b c d`.
    SharedNode,
    /// The leader in the smaller part: `L d` and `a b c`, with the link `d a` as the only one between them.
    Bridge,
    /// All talk to all, but the link between the leader and `a` goes on and off for ever.
    Flapping,
}

impl Graph {
    /// Every graph and its name.
    pub const ALL: [(Self, &'static str); 12] = [
        (Self::Full, "full"),
        (Self::QuorumLoss, "quorum-loss"),
        (Self::Constrained, "constrained"),
        (Self::Chained, "chained"),
        (Self::Ring, "ring"),
        (Self::Star, "star"),
        (Self::OneWayIn, "one-way-in"),
        (Self::OneWayOut, "one-way-out"),
        (Self::DeafLeader, "deaf-leader"),
        (Self::SharedNode, "shared-node"),
        (Self::Bridge, "bridge"),
        (Self::Flapping, "flapping"),
    ];

    /// The graph of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(graph, _)| *graph)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(graph, _)| *graph == self).map_or("unknown", |(_, name)| name)
    }

    /// How many voters it has.
    pub(crate) fn voters(self) -> u64 {
        match self {
            Self::Chained => 3,
            Self::Star => 7,
            Self::Full
            | Self::QuorumLoss
            | Self::Constrained
            | Self::Ring
            | Self::OneWayIn
            | Self::OneWayOut
            | Self::DeafLeader
            | Self::SharedNode
            | Self::Bridge
            | Self::Flapping => 5,
        }
    }

    /// Whether the node at place `from` is heard by the one at place `to`; the leader is at place 0, `a` at 1.
    fn connects(self, from: usize, to: usize) -> bool {
        let between = |one: usize, other: usize| (from, to) == (one, other) || (from, to) == (other, one);
        match self {
            Self::Full | Self::Flapping => true,
            Self::QuorumLoss | Self::Star => from == 1 || to == 1,
            Self::Constrained => from != 0 && to != 0 && (from == 1 || to == 1),
            Self::Chained => from.abs_diff(to) == 1,
            Self::Ring => from.abs_diff(to) == 1 || between(0, 4),
            Self::OneWayIn => from != 1,
            Self::OneWayOut => to != 1,
            Self::DeafLeader => to != 0,
            Self::SharedNode => (from <= 2 && to <= 2) || (from >= 2 && to >= 2),
            Self::Bridge => {
                let is_small = |place: usize| place == 0 || place == 4;
                is_small(from) == is_small(to) || between(4, 1)
            }
        }
    }

    /// The links that are cut for ever when it forms around the order of the nodes.
    fn cuts(self, order: &[NodeId]) -> Vec<Link> {
        let mut links = Vec::new();
        for (from_place, &from) in order.iter().enumerate() {
            for (to_place, &to) in order.iter().enumerate() {
                if from != to && !self.connects(from_place, to_place) {
                    links.push(Link { from, to });
                }
            }
        }
        links
    }
}

/// How often the leader may change in ten minutes, the change that the graph itself asks for included.
const CHANGES_MAX: u64 = 2;
/// How long a group has to elect its first leader, and to settle.
const WARM_UP: u64 = 10 * SECOND;
/// In each stretch of this length something must be committed.
const STRETCH: u64 = 20 * SECOND;
/// How long the graph stands.
pub(crate) const STANDS: u64 = 600 * SECOND;

/// Clients that leave time to think, so that ten minutes are no more work than one is elsewhere.
pub(crate) fn calm(plan: &mut Plan) {
    plan.workload.think_mean = plan.workload.think_mean.max(500 * MS);
    plan.workload.reads = plan.workload.reads.min(500_000);
    (plan.config.pre_vote, plan.config.check_quorum) = (true, true);
    plan.liveness = false;
}

impl World {
    /// Lets a group elect a leader, forms the graph around it, and checks what is asked for ten minutes long.
    pub(crate) fn live_in(&mut self, graph: Graph) -> Checked {
        let formed = Moment(WARM_UP);
        self.run_until(formed)?;
        let leader = self.check.elections.last().map(|(_, leader)| leader);
        let others = self.plan.voters.iter().copied().filter(|node| Some(*node) != leader);
        let order: Vec<NodeId> = leader.into_iter().chain(others).collect();
        if graph == Graph::Constrained {
            self.let_fall_behind(&order)?;
        }
        let elected = self.check.elections.count();
        self.net.cut(&graph.cuts(&order));
        if graph == Graph::Flapping
            && let [leader, other, ..] = order[..]
        {
            self.flap_for_ever(leader, other)?;
        }
        let end = self.now.plus(STANDS);
        while self.now < end {
            let before = self.check.commits.last();
            self.run_until(self.now.plus(STRETCH))?;
            if self.check.commits.last() == before {
                return Err(broken(
                    Invariant::Liveness,
                    format!(
                        "nothing after {before} is committed for {} s in the graph {}",
                        STRETCH / SECOND,
                        graph.name()
                    ),
                ));
            }
        }
        let changes = self.check.elections.count() - elected;
        if changes > CHANGES_MAX {
            return Err(broken(
                Invariant::LeaderIsStable,
                format!("the leader changes {changes} times in the graph {}", graph.name()),
            ));
        }
        Ok(())
    }

    /// The node at place 1 misses what the leader commits with the others.
    fn let_fall_behind(&mut self, order: &[NodeId]) -> Checked {
        let [_, behind, ..] = order[..] else { return Ok(()) };
        let others = order.iter().copied().filter(|node| *node != behind);
        let links: Vec<Link> = others
            .flat_map(|other| [Link { from: behind, to: other }, Link { from: other, to: behind }])
            .collect();
        self.net.cut(&links);
        let before = self.check.commits.last();
        let limit = self.now.plus(STRETCH);
        while self.check.commits.last() <= before.plus(3) && self.now < limit {
            self.run_until(self.now.plus(10 * MS))?;
        }
        self.net.mend(&links);
        Ok(())
    }

    fn flap_for_ever(&mut self, leader: NodeId, other: NodeId) -> Checked {
        let links = vec![Link { from: leader, to: other }, Link { from: other, to: leader }];
        let period = self.plan.election_timeout_max() * 2;
        self.act(0, Action::Flap { links, period, times: u32::MAX })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_lead_back() {
        for (graph, name) in Graph::ALL {
            assert_eq!(Graph::of_name(name), Some(graph));
            assert_eq!(graph.name(), name);
        }
    }

    /// The places that hear a majority and are heard by it, themselves included.
    fn quorum_connected(graph: Graph) -> Vec<usize> {
        let count = graph.voters() as usize;
        let both =
            |one: usize, other| one == other || (graph.connects(one, other) && graph.connects(other, one));
        (0..count).filter(|one| (0..count).filter(|other| both(*one, *other)).count() * 2 > count).collect()
    }

    #[test]
    fn somebody_can_talk_to_a_majority_in_every_graph() {
        let expected: [(Graph, &[usize]); 12] = [
            (Graph::Full, &[0, 1, 2, 3, 4]),
            (Graph::QuorumLoss, &[1]),
            (Graph::Constrained, &[1]),
            (Graph::Chained, &[0, 1, 2]),
            (Graph::Ring, &[0, 1, 2, 3, 4]),
            (Graph::Star, &[1]),
            (Graph::OneWayIn, &[0, 2, 3, 4]),
            (Graph::OneWayOut, &[0, 2, 3, 4]),
            (Graph::DeafLeader, &[1, 2, 3, 4]),
            (Graph::SharedNode, &[0, 1, 2, 3, 4]),
            (Graph::Bridge, &[1, 2, 3, 4]),
            (Graph::Flapping, &[0, 1, 2, 3, 4]),
        ];
        for (graph, places) in expected {
            assert_eq!(quorum_connected(graph), places, "{graph:?}");
        }
    }

    #[test]
    fn cuts_are_what_does_not_connect() {
        let order: Vec<NodeId> = [4, 2, 1].map(NodeId).to_vec();
        let link = |from, to| Link { from: NodeId(from), to: NodeId(to) };
        assert_eq!(Graph::Chained.cuts(&order), [link(4, 1), link(1, 4)]);
        assert!(Graph::Full.cuts(&order).is_empty());
    }
}
