//! The quorum of a membership: a majority of its voters and, while it is joint, of those that are leaving, too
//! (thesis 4.3). Every decision of a group goes through this one type, so that none can forget the second set.

use std::collections::BTreeSet;

use crate::id::NodeId;
use crate::membership::Membership;
use crate::quorum::Verdict;
use crate::quorum::majority::Majority;

static NOBODY: BTreeSet<NodeId> = BTreeSet::new();

/// The majorities that a decision needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quorum<'a> {
    incoming: Majority<'a>,
    /// Empty, and thereby agreeing to everything, unless joint.
    outgoing: Majority<'a>,
}

impl<'a> Quorum<'a> {
    pub(crate) fn of(membership: &'a Membership) -> Self {
        Self { incoming: Majority(&membership.voters), outgoing: Majority(&membership.outgoing) }
    }

    /// For the ledger of bugs: forgets the second set.
    pub(crate) fn incoming_only(self) -> Self {
        Self { outgoing: Majority(&NOBODY), ..self }
    }

    /// The largest value that the group has reached, given how far each voter is.
    pub(crate) fn agreed(self, reached: impl Fn(NodeId) -> u64) -> u64 {
        self.incoming.agreed(&reached).min(self.outgoing.agreed(&reached))
    }

    /// How a vote stands, given what each voter said.
    pub(crate) fn verdict(self, said: impl Fn(NodeId) -> Option<bool>) -> Verdict {
        match (self.incoming.verdict(&said), self.outgoing.verdict(&said)) {
            (Verdict::Lost, _) | (_, Verdict::Lost) => Verdict::Lost,
            (Verdict::Pending, _) | (_, Verdict::Pending) => Verdict::Pending,
            (Verdict::Won, Verdict::Won) => Verdict::Won,
        }
    }

    /// Whether those for which `holds` is true form a quorum.
    pub(crate) fn is_met(self, holds: impl Fn(NodeId) -> bool) -> bool {
        self.verdict(|node| Some(holds(node))) == Verdict::Won
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joint(voters: &[u64], outgoing: &[u64]) -> Membership {
        let set = |ids: &[u64]| ids.iter().copied().map(NodeId).collect();
        Membership { voters: set(voters), outgoing: set(outgoing), ..Membership::default() }
    }

    #[test]
    fn a_joint_group_moves_as_fast_as_its_slower_half() {
        let membership = joint(&[1, 2, 3], &[3, 4, 5]);
        let at = |values: [u64; 5]| Quorum::of(&membership).agreed(|NodeId(id)| values[id as usize - 1]);
        assert_eq!(at([9, 9, 9, 2, 1]), 2);
        assert_eq!(at([1, 2, 9, 9, 9]), 2);
        assert_eq!(at([7, 1, 8, 9, 1]), 7);
        let simple = joint(&[1, 2, 3], &[]);
        assert_eq!(Quorum::of(&simple).agreed(|NodeId(id)| id), 2);
    }

    #[test]
    fn two_disjoint_majorities_cannot_both_decide_alone() {
        let membership = joint(&[1, 2, 3], &[4, 5, 6]);
        let quorum = Quorum::of(&membership);
        assert!(!quorum.is_met(|NodeId(id)| id <= 3));
        assert!(!quorum.is_met(|NodeId(id)| id >= 4));
        assert!(quorum.is_met(|NodeId(id)| [1, 2, 4, 5].contains(&id)));
        assert_eq!(quorum.verdict(|NodeId(id)| (id <= 3).then_some(true)), Verdict::Pending);
        assert_eq!(quorum.verdict(|NodeId(id)| (id >= 5).then_some(false)), Verdict::Lost);
    }

    #[test]
    fn learners_do_not_count() {
        let membership = Membership { learners: [NodeId(4)].into(), ..joint(&[1, 2, 3], &[]) };
        assert!(!Quorum::of(&membership).is_met(|NodeId(id)| id == 1 || id == 4));
    }
}
