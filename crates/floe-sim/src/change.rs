//! Changes of the membership as a schedule asks for them: in steps that say what kind of member is meant, and become
//! operations on nodes when a leader is asked, because who is a member then is not known before.

use std::collections::BTreeSet;

use bytes::Bytes;
use floe_raft::{Membership, MembershipOperation, NodeId};

use crate::rng::Rng;

/// One step of a change. Those of one change take effect together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is done.
    pub what: StepKind,
    /// To whom: which of those that it can be done to, counted in a circle.
    pub pick: u64,
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// A node that is no member becomes a learner.
    AddLearner {
        /// Whether the leader is to make it a voter by itself.
        auto_promote: bool,
    },
    /// A node that is no member becomes a voter at once.
    AddVoter,
    /// A witness that is no member becomes a voter.
    AddWitness,
    /// A learner becomes a voter.
    Promote,
    /// A voter becomes a learner.
    Demote,
    /// A member leaves.
    Remove,
    /// The leader leaves.
    RemoveLeader,
    /// A member is reached elsewhere.
    Move,
}

/// The steps of one change: mostly one, else a member replaced by another, or several steps at once.
pub(crate) fn draw(rng: &mut Rng) -> Vec<Step> {
    let kinds = match rng.below(6) {
        0 => vec![StepKind::AddVoter, if rng.coin() { StepKind::RemoveLeader } else { StepKind::Remove }],
        1 => (0..rng.between(2, 4)).map(|_| kind(rng)).collect(),
        _ => vec![kind(rng)],
    };
    kinds.into_iter().map(|what| Step { what, pick: rng.below(1 << 16) }).collect()
}

fn kind(rng: &mut Rng) -> StepKind {
    match rng.below(15) {
        0..3 => StepKind::AddLearner { auto_promote: true },
        3 => StepKind::AddLearner { auto_promote: false },
        4..6 => StepKind::AddVoter,
        6..9 => StepKind::Promote,
        9 => StepKind::Demote,
        10..12 => StepKind::Remove,
        12 => StepKind::RemoveLeader,
        13 => StepKind::AddWitness,
        _ => StepKind::Move,
    }
}

/// Those who can join, by what they keep.
#[derive(Clone, Debug, Default)]
pub(crate) struct Free {
    pub(crate) with_data: BTreeSet<NodeId>,
    pub(crate) witnesses: BTreeSet<NodeId>,
}

/// What the steps mean where `membership` is in force, `leader` leads, and the nodes in `free` can join. A step that nobody
/// is left for is left out; so is one that would leave a group of fewer than three with fewer still.
pub(crate) fn resolve(
    steps: &[Step],
    membership: &Membership,
    leader: NodeId,
    free: &Free,
) -> Vec<MembershipOperation> {
    let mut named = BTreeSet::new();
    let mut operations = Vec::new();
    for step in steps {
        let members = membership.members();
        let leaver = BTreeSet::from([leader]);
        let candidates = match step.what {
            StepKind::AddLearner { .. } | StepKind::AddVoter => &free.with_data,
            StepKind::AddWitness => &free.witnesses,
            StepKind::Promote => &membership.learners,
            StepKind::Demote | StepKind::Remove | StepKind::RemoveLeader
                if members.len() < 3 && steps.len() == 1 =>
            {
                continue;
            }
            StepKind::Demote => &membership.voters,
            StepKind::Remove | StepKind::Move => &members,
            StepKind::RemoveLeader => &leaver,
        };
        let left: Vec<NodeId> = candidates.difference(&named).copied().collect();
        if left.is_empty() {
            continue;
        }
        let node = left[(step.pick % left.len() as u64) as usize];
        named.insert(node);
        let address = Bytes::from(format!("n{node}"));
        operations.push(match step.what {
            StepKind::AddLearner { auto_promote } => {
                MembershipOperation::AddLearner { node, address, auto_promote }
            }
            StepKind::AddVoter => MembershipOperation::AddVoter { node, address },
            StepKind::AddWitness => MembershipOperation::AddWitness { node, address },
            StepKind::Promote => MembershipOperation::Promote { node },
            StepKind::Demote => MembershipOperation::Demote { node },
            StepKind::Remove | StepKind::RemoveLeader => MembershipOperation::Remove { node },
            StepKind::Move => MembershipOperation::UpdateAddress {
                node,
                address: Bytes::from(format!("n{node}-{}", step.pick)),
            },
        });
    }
    operations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    fn nodes(ids: &[u64]) -> BTreeSet<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    #[test]
    fn a_step_finds_whom_it_is_for_and_no_node_is_named_twice() {
        let membership = Membership { learners: nodes(&[4]), ..Membership::of_voters(nodes(&[1, 2, 3])) };
        let resolved = |kinds: &[StepKind], pick: u64| -> Vec<NodeId> {
            let steps: Vec<Step> = kinds.iter().map(|what| Step { what: *what, pick }).collect();
            let free = Free { with_data: nodes(&[7, 8]), witnesses: nodes(&[9]) };
            let operations = resolve(&steps, &membership, NodeId(2), &free);
            operations.iter().map(MembershipOperation::node).collect()
        };
        assert_eq!(resolved(&[StepKind::AddVoter, StepKind::RemoveLeader], 5), nodes_of(&[8, 2]));
        assert_eq!(resolved(&[StepKind::AddWitness, StepKind::AddWitness], 5), nodes_of(&[9]));
        assert_eq!(resolved(&[StepKind::Remove; 5], 0), nodes_of(&[1, 2, 3, 4]));
        assert_eq!(resolved(&[StepKind::Promote, StepKind::Promote], 9), nodes_of(&[4]));
    }

    fn nodes_of(ids: &[u64]) -> Vec<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    #[test]
    fn every_kind_of_change_is_drawn() {
        let mut rng = Rng::new(1, Stream::Schedule);
        let drawn: Vec<Vec<Step>> = (0..1_000).map(|_| draw(&mut rng)).collect();
        assert!(drawn.iter().any(|steps| steps.len() > 2));
        for kind in [StepKind::Demote, StepKind::RemoveLeader, StepKind::Move, StepKind::AddVoter] {
            let alone = drawn.iter().filter(|steps| steps.len() == 1 && steps[0].what == kind).count();
            assert!(alone > 20, "{kind:?} is drawn {alone} times");
        }
    }
}
