//! Who belongs to the group, who votes, and where each is reached.
//!
//! A membership is in force as soon as it is in the log, committed or not, and is rolled back when its entry is
//! truncated (thesis 4.1). While `outgoing` is not empty the group is *joint*: every decision needs a majority of
//! both sets (thesis 4.3).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use crate::id::{Index, NodeId};
use crate::mutant::{Mutant, Mutation};
use crate::quorum::Quorum;

/// The members of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// Those whose votes and acknowledgements count.
    pub voters: BTreeSet<NodeId>,
    /// While joint, the voters of the configuration that is being left; otherwise empty.
    pub outgoing: BTreeSet<NodeId>,
    /// Those that replicate without a vote. While joint, one that is also an outgoing voter is being demoted.
    pub learners: BTreeSet<NodeId>,
    /// Those learners that the leader makes voters once they are caught up.
    pub auto_promote: BTreeSet<NodeId>,
    /// Those voters that keep the log's terms but no commands. A subset of the voters, incoming or outgoing, and never a
    /// majority of either.
    pub witnesses: BTreeSet<NodeId>,
    /// Where each member is reached. Opaque to the core: the host put it there and dials it.
    pub addresses: BTreeMap<NodeId, Bytes>,
}

impl Membership {
    /// A group of voters that is not joint.
    pub fn of_voters(voters: impl IntoIterator<Item = NodeId>) -> Self {
        Self { voters: voters.into_iter().collect(), ..Self::default() }
    }

    /// Whether two majorities are needed.
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether the node's vote counts.
    pub fn is_voter(&self, node: NodeId) -> bool {
        self.voters.contains(&node) || self.outgoing.contains(&node)
    }

    /// Whether the node is one of those that keep no data.
    pub fn is_witness(&self, node: NodeId) -> bool {
        self.witnesses.contains(&node)
    }

    /// Whether the node may lead: one that votes and has the data.
    pub fn may_lead(&self, node: NodeId) -> bool {
        self.is_voter(node) && !self.is_witness(node)
    }

    /// Whether the node takes part at all.
    pub fn contains(&self, node: NodeId) -> bool {
        self.is_voter(node) || self.learners.contains(&node)
    }

    /// Every member once, ascending.
    pub fn members(&self) -> BTreeSet<NodeId> {
        self.voters.iter().chain(&self.outgoing).chain(&self.learners).copied().collect()
    }

    /// Why no group may have this membership, if so.
    ///
    /// What is committed is durable on a majority, and of a majority one must have the commands: otherwise a client would
    /// be told of a write that is on no disk at all. So witnesses alone must not be a majority, neither of the voters nor
    /// of those that are left.
    pub fn fault(&self) -> Option<&'static str> {
        if self.voters.is_empty() {
            return Some("no voter would be left");
        }
        if !self.witnesses.iter().all(|node| self.is_voter(*node)) {
            return Some("a witness must be a voter");
        }
        for voters in [&self.voters, &self.outgoing] {
            let witnesses = voters.intersection(&self.witnesses).count();
            if witnesses > voters.len() / 2 {
                return Some("a majority could be witnesses, and a committed write on no disk");
            }
        }
        None
    }

    /// The majorities that a decision needs.
    pub(crate) fn quorum(&self) -> Quorum<'_> {
        Quorum::of(self)
    }
}

/// The memberships of the log, so that truncation can return to an earlier one.
///
/// A membership that waited for its commit would not need this, but it is unsound in corners (etcd #7625): a leader
/// would count by a set that the next leader, which holds the new entry, no longer has. And one that is not rolled
/// back with its entry lets a node count votes by a configuration that the group never had (camunda #57393).
#[derive(Clone, Debug)]
pub(crate) struct Members {
    /// In force at the base of the log.
    base: Membership,
    /// Those of the log's entries, ascending.
    later: VecDeque<(Index, Membership)>,
    mutation: Mutation,
}

impl Members {
    pub(crate) fn new(base: Membership) -> Self {
        Self { base, later: VecDeque::new(), mutation: Mutation::default() }
    }

    /// For the ledger of bugs.
    pub(crate) fn mutate(&mut self, mutation: Mutation) {
        self.mutation = mutation;
    }

    /// The majorities that a decision needs now.
    pub(crate) fn quorum(&self) -> Quorum<'_> {
        let quorum = self.current().quorum();
        if self.mutation.is(Mutant::JointByOneMajority) { quorum.incoming_only() } else { quorum }
    }

    /// The membership in force.
    pub(crate) fn current(&self) -> &Membership {
        self.later.back().map_or(&self.base, |(_, membership)| membership)
    }

    /// The membership that it took the place of, if that is still known. It is while the present one is not committed.
    pub(crate) fn previous(&self) -> Option<&Membership> {
        let before = self.later.len().checked_sub(1)?;
        Some(before.checked_sub(1).map_or(&self.base, |at| &self.later[at].1))
    }

    /// The membership that was in force at an index of the log, or at its base.
    pub(crate) fn at(&self, index: Index) -> &Membership {
        let known = self.later.partition_point(|(at, _)| *at <= index);
        known.checked_sub(1).map_or(&self.base, |at| &self.later[at].1)
    }

    /// The entry that put it in force; zero when none in the log did.
    pub(crate) fn current_at(&self) -> Index {
        self.later.back().map_or(Index::ZERO, |(index, _)| *index)
    }

    /// The entry at `index` came into the log.
    pub(crate) fn push(&mut self, index: Index, membership: Membership) {
        self.later.push_back((index, membership));
    }

    /// The log lost this entry and all after it. Whether another membership is in force now.
    pub(crate) fn truncate_from(&mut self, from: Index) -> bool {
        let before = self.later.len();
        while self.later.pop_back_if(|(index, _)| *index >= from).is_some() {}
        self.later.len() < before
    }

    /// The log was compacted up to `base`.
    pub(crate) fn compact(&mut self, base: Index) {
        while let Some((_, membership)) = self.later.pop_front_if(|(index, _)| *index <= base) {
            self.base = membership;
        }
    }

    /// A snapshot took the place of the log, and its membership that of all memberships. None of the old ones may
    /// stay: a node that went on counting by a retained one took part in disjoint majorities (openraft #1808).
    pub(crate) fn restart(&mut self, membership: Membership) {
        *self = Self { mutation: self.mutation, ..Self::new(membership) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ids: &[u64]) -> Membership {
        Membership::of_voters(ids.iter().copied().map(NodeId))
    }

    #[test]
    fn witnesses_alone_are_never_a_majority() {
        let with = |voters: &[u64], witnesses: &[u64]| {
            let witnesses = witnesses.iter().copied().map(NodeId).collect();
            Membership { witnesses, ..of(voters) }.fault()
        };
        for (voters, witnesses) in [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2), (6, 3), (7, 3)] {
            let voters: Vec<u64> = (1..=voters).collect();
            assert_eq!(with(&voters, &voters[..witnesses]), None, "{voters:?}");
            assert!(with(&voters, &voters[..=witnesses]).is_some(), "{voters:?}");
        }
        assert_eq!(with(&[1, 2, 3], &[4]), Some("a witness must be a voter"));
        let joint = Membership { outgoing: of(&[3]).voters, witnesses: of(&[3]).voters, ..of(&[1, 2, 3]) };
        assert!(joint.fault().is_some());
    }

    #[test]
    fn truncation_returns_to_the_membership_before() {
        let mut members = Members::new(of(&[1]));
        members.push(Index(4), of(&[1, 2]));
        members.push(Index(8), of(&[1, 2, 3]));
        assert!(!members.truncate_from(Index(9)));
        assert_eq!((members.current(), members.current_at()), (&of(&[1, 2, 3]), Index(8)));
        assert_eq!(members.previous(), Some(&of(&[1, 2])));
        assert_eq!((members.at(Index(3)), members.at(Index(4))), (&of(&[1]), &of(&[1, 2])));
        assert_eq!(members.at(Index(99)), &of(&[1, 2, 3]));
        assert!(members.truncate_from(Index(8)));
        assert_eq!(members.previous(), Some(&of(&[1])));
        assert_eq!((members.current(), members.current_at()), (&of(&[1, 2]), Index(4)));
        members.compact(Index(4));
        assert_eq!((members.current(), members.current_at()), (&of(&[1, 2]), Index::ZERO));
        assert_eq!(members.previous(), None);
        members.push(Index(9), of(&[7]));
        members.restart(of(&[5]));
        assert_eq!((members.current(), members.current_at()), (&of(&[5]), Index::ZERO));
    }
}
