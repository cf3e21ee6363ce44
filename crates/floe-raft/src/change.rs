//! Changes of the membership as pure functions: what a list of operations makes of a membership, how the group gets
//! from one set of voters to another, and what is left of a joint membership once it is left.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::id::NodeId;
use crate::membership::Membership;

/// A change of the membership: some operations that take effect together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MembershipChange {
    /// What to do, each to another node.
    pub operations: Vec<MembershipOperation>,
    /// Do it even when too few of the voters to be answer for the change to be committed now. The group stands still
    /// until enough of them do.
    pub forced: bool,
}

impl MembershipChange {
    /// These operations, if the group stays able to commit.
    pub fn new(operations: impl IntoIterator<Item = MembershipOperation>) -> Self {
        Self { operations: operations.into_iter().collect(), forced: false }
    }
}

/// What to do to one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MembershipOperation {
    /// A new node receives the log and does not vote.
    AddLearner {
        /// The node, which was never a member with another disk.
        node: NodeId,
        /// Where it is reached.
        address: Bytes,
        /// Whether the leader is to make it a voter once it is caught up.
        auto_promote: bool,
    },
    /// A new node votes at once, with a log that is still empty. Until it is caught up the group can bear one
    /// failure less (thesis 4.2.1): a learner that is promoted is the better way.
    AddVoter {
        /// The node, which was never a member with another disk.
        node: NodeId,
        /// Where it is reached.
        address: Bytes,
    },
    /// A new node votes at once, and keeps all of the log but the commands: a voter for a place without room or trust for
    /// the data. Never asked to lead, never a source. It stays a witness until it is removed.
    AddWitness {
        /// The node, which was never a member with another disk.
        node: NodeId,
        /// Where it is reached.
        address: Bytes,
    },
    /// A learner becomes a voter. Refused while it is behind or silent.
    Promote {
        /// The learner.
        node: NodeId,
    },
    /// A voter becomes a learner.
    Demote {
        /// The voter.
        node: NodeId,
    },
    /// A member leaves, for good: its id is never used again for another disk.
    Remove {
        /// The member.
        node: NodeId,
    },
    /// A member is reached elsewhere.
    UpdateAddress {
        /// The member.
        node: NodeId,
        /// Where it is reached now.
        address: Bytes,
    },
}

impl MembershipOperation {
    /// The node that it is about.
    pub fn node(&self) -> NodeId {
        match self {
            Self::AddLearner { node, .. }
            | Self::AddVoter { node, .. }
            | Self::AddWitness { node, .. }
            | Self::Promote { node }
            | Self::Demote { node }
            | Self::Remove { node }
            | Self::UpdateAddress { node, .. } => *node,
        }
    }
}

impl Membership {
    /// What the operations make of a membership that is not joint; or why they make no sense.
    pub(crate) fn changed(&self, operations: &[MembershipOperation]) -> Result<Self, &'static str> {
        debug_assert!(!self.is_joint());
        let mut named = BTreeSet::new();
        let mut next = self.clone();
        for operation in operations {
            if !named.insert(operation.node()) {
                return Err("it names a node twice");
            }
            next.perform(operation)?;
        }
        if next == *self {
            return Err("it changes nothing");
        }
        match next.fault() {
            Some(reason) => Err(reason),
            None => Ok(next),
        }
    }

    fn perform(&mut self, operation: &MembershipOperation) -> Result<(), &'static str> {
        let node = operation.node();
        let expect = |holds: bool, reason| if holds { Ok(()) } else { Err(reason) };
        match operation {
            MembershipOperation::AddLearner { address, auto_promote, .. } => {
                self.admit(node, address)?;
                self.learners.insert(node);
                if *auto_promote {
                    self.auto_promote.insert(node);
                }
            }
            MembershipOperation::AddVoter { address, .. } => {
                self.admit(node, address)?;
                self.voters.insert(node);
            }
            MembershipOperation::AddWitness { address, .. } => {
                self.admit(node, address)?;
                self.voters.insert(node);
                self.witnesses.insert(node);
            }
            MembershipOperation::Promote { .. } => {
                expect(self.learners.remove(&node), "only a learner can be promoted")?;
                self.auto_promote.remove(&node);
                self.voters.insert(node);
            }
            MembershipOperation::Demote { .. } => {
                // Its log has no commands, and its id is bound to it.
                expect(!self.is_witness(node), "a witness has no data to be a learner with")?;
                expect(self.voters.remove(&node), "only a voter can become a learner")?;
                self.learners.insert(node);
            }
            MembershipOperation::Remove { .. } => {
                let found = self.voters.remove(&node) | self.learners.remove(&node);
                expect(found, "a node that is no member cannot be removed")?;
                self.auto_promote.remove(&node);
                self.witnesses.remove(&node);
                self.addresses.remove(&node);
            }
            MembershipOperation::UpdateAddress { address, .. } => {
                expect(self.contains(node), "a node that is no member has no address")?;
                self.addresses.insert(node, address.clone());
            }
        }
        Ok(())
    }

    fn admit(&mut self, node: NodeId, address: &Bytes) -> Result<(), &'static str> {
        if node.0 == 0 {
            return Err("a node id is never zero");
        }
        if self.contains(node) {
            return Err("the node is a member already");
        }
        self.addresses.insert(node, address.clone());
        Ok(())
    }

    /// The membership to enter on the way to `next`: itself when the voters differ by one at most, since then any
    /// majority of the one set meets any majority of the other (thesis 4.1); otherwise the joint one (thesis 4.3).
    ///
    /// Two voters at once are too many for the direct way: {1 2 3} to {1 2 3 4 5} would let {1 2} elect a leader by
    /// the old set and {3 4 5} another one by the new.
    pub(crate) fn towards(&self, next: Self) -> Self {
        if self.voters.symmetric_difference(&next.voters).count() <= 1 {
            return next;
        }
        let mut joint = next;
        joint.outgoing = self.voters.clone();
        joint.witnesses.extend(&self.witnesses);
        for (node, address) in self.addresses.iter().filter(|(node, _)| self.voters.contains(node)) {
            joint.addresses.entry(*node).or_insert_with(|| address.clone());
        }
        joint
    }

    /// What remains when a joint membership is left.
    pub(crate) fn left(&self) -> Self {
        let mut next = self.clone();
        next.outgoing.clear();
        next.witnesses.retain(|node| self.voters.contains(node));
        let members = next.members();
        next.addresses.retain(|node, _| members.contains(node));
        next
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;

    use super::MembershipOperation as Op;
    use super::*;

    fn address(node: NodeId) -> Bytes {
        Bytes::from(format!("host{node}:1"))
    }

    fn group(voters: &[u64], learners: &[u64]) -> Membership {
        let mut membership = Membership::of_voters(voters.iter().copied().map(NodeId));
        membership.learners = learners.iter().copied().map(NodeId).collect();
        membership.addresses = membership.members().into_iter().map(|node| (node, address(node))).collect();
        membership
    }

    fn add_voter(node: u64) -> Op {
        Op::AddVoter { node: NodeId(node), address: address(NodeId(node)) }
    }

    fn remove(node: u64) -> Op {
        Op::Remove { node: NodeId(node) }
    }

    fn operation() -> impl Strategy<Value = Op> {
        (1..8u64).prop_map(NodeId).prop_flat_map(|node| {
            prop_oneof![
                any::<bool>().prop_map(move |auto_promote| Op::AddLearner {
                    node,
                    address: address(node),
                    auto_promote
                }),
                Just(Op::AddVoter { node, address: address(node) }),
                Just(Op::AddWitness { node, address: address(node) }),
                Just(Op::Promote { node }),
                Just(Op::Demote { node }),
                Just(Op::Remove { node }),
                Just(Op::UpdateAddress { node, address: Bytes::from_static(b"elsewhere:2") }),
            ]
        })
    }

    proptest! {
        /// The one property that makes a change safe: no two quorums, one of each side of a step, are strangers.
        #[test]
        fn quorums_of_consecutive_memberships_meet(
            voters in btree_set(1..8u64, 1..6),
            learner in 1..8u64,
            witnesses in 0..3usize,
            operations in vec(operation(), 1..5),
        ) {
            let voters: Vec<u64> = voters.into_iter().collect();
            let learners: Vec<u64> = [learner].into_iter().filter(|id| !voters.contains(id)).collect();
            let mut before = group(&voters, &learners);
            before.witnesses = voters.iter().copied().map(NodeId).take(witnesses.min(voters.len() / 2)).collect();
            let Ok(next) = before.changed(&operations) else { return Ok(()) };
            let entered = before.towards(next.clone());
            prop_assert_eq!(&entered.left(), &next);
            for (a, b) in [(&before, &entered), (&entered, &next)] {
                for side in 0..1u32 << 8 {
                    let inside = |node: NodeId| side & (1 << node.0) != 0;
                    let both = a.quorum().is_met(inside) && b.quorum().is_met(|node| !inside(node));
                    prop_assert!(!both, "{:?} and {:?} both decide", a, b);
                }
            }
            for membership in [&entered, &next] {
                prop_assert!(membership.auto_promote.is_subset(&membership.learners));
                prop_assert!(membership.learners.is_disjoint(&membership.voters));
                prop_assert_eq!(membership.fault(), None);
                prop_assert!(membership.members().iter().all(|node| membership.addresses.contains_key(node)));
            }
        }
    }

    #[test]
    fn one_voter_is_changed_directly_and_more_by_a_joint_membership() {
        let before = group(&[1, 2, 3], &[4]);
        let next = |operations: &[Op]| before.towards(before.changed(operations).unwrap());
        assert!(!next(&[add_voter(5)]).is_joint());
        assert!(!next(&[Op::Promote { node: NodeId(4) }]).is_joint());
        assert!(!next(&[remove(2), remove(4)]).is_joint());
        // To replace one is to change two.
        let replaced = next(&[add_voter(5), remove(3)]);
        assert!(replaced.is_joint());
        assert_eq!(replaced.addresses.get(&NodeId(3)), Some(&address(NodeId(3))));
        assert_eq!(replaced.left().addresses.get(&NodeId(3)), None);
        let demoted = next(&[Op::Demote { node: NodeId(1) }, Op::Demote { node: NodeId(2) }]);
        assert!(demoted.is_voter(NodeId(1)) && demoted.learners.contains(&NodeId(1)));
        assert!(!demoted.left().is_voter(NodeId(1)));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let before = group(&[1, 2], &[4]);
        let refused = |operations: &[Op]| before.changed(operations).unwrap_err();
        assert_eq!(refused(&[]), "it changes nothing");
        assert_eq!(refused(&[remove(1), Op::Demote { node: NodeId(1) }]), "it names a node twice");
        assert_eq!(refused(&[remove(1), remove(2)]), "no voter would be left");
        assert_eq!(refused(&[add_voter(4)]), "the node is a member already");
        assert_eq!(refused(&[add_voter(0)]), "a node id is never zero");
        assert_eq!(refused(&[Op::Promote { node: NodeId(2) }]), "only a learner can be promoted");
        assert_eq!(refused(&[Op::Demote { node: NodeId(4) }]), "only a voter can become a learner");
        assert_eq!(refused(&[remove(9)]), "a node that is no member cannot be removed");
        let witness = |node| Op::AddWitness { node: NodeId(node), address: address(NodeId(node)) };
        let mut group_of_three = before.changed(&[witness(5)]).unwrap();
        assert!(group_of_three.is_voter(NodeId(5)) && !group_of_three.may_lead(NodeId(5)));
        let reason = "a majority could be witnesses, and a committed write on no disk";
        assert_eq!(group_of_three.changed(&[remove(1), witness(6)]).unwrap_err(), reason);
        group_of_three = group_of_three.changed(&[witness(6)]).unwrap();
        assert_eq!(group_of_three.changed(&[remove(1)]).unwrap_err(), reason);
        let demoted = group_of_three.changed(&[Op::Demote { node: NodeId(5) }]).unwrap_err();
        assert_eq!(demoted, "a witness has no data to be a learner with");
        let nowhere = Op::UpdateAddress { node: NodeId(9), address: Bytes::new() };
        assert_eq!(refused(&[nowhere]), "a node that is no member has no address");
        let same = Op::UpdateAddress { node: NodeId(4), address: address(NodeId(4)) };
        assert_eq!(refused(&[same]), "it changes nothing");
    }
}
