//! Who led and who voted for whom, for ever.

use std::collections::BTreeMap;

use floe_raft::{Membership, NodeId, Term};

use super::{Checked, Invariant, broken, decides, describe};

/// Every leader and every vote of a world.
#[derive(Debug, Default)]
pub(crate) struct Elections {
    leaders: BTreeMap<Term, NodeId>,
    votes: BTreeMap<(NodeId, Term), NodeId>,
    terms: BTreeMap<NodeId, Term>,
}

impl Elections {
    /// `node` leads in `term`, or speaks as if.
    pub(crate) fn leads(&mut self, node: NodeId, term: Term) -> Checked {
        let leader = *self.leaders.entry(term).or_insert(node);
        if leader == node {
            return Ok(());
        }
        Err(broken(Invariant::ElectionSafety, format!("n{leader} and n{node} both lead in term {term}")))
    }

    /// `node` tells of its vote for `candidate`, which may be itself.
    pub(crate) fn votes(&mut self, node: NodeId, term: Term, candidate: NodeId) -> Checked {
        let first = *self.votes.entry((node, term)).or_insert(candidate);
        if first == candidate {
            return Ok(());
        }
        Err(broken(
            Invariant::OneVote,
            format!("n{node} votes for n{candidate} in term {term}, after it voted for n{first}"),
        ))
    }

    /// `node` won the election of `term`, by the membership that is in force on it.
    pub(crate) fn won(&self, node: NodeId, term: Term, membership: &Membership) -> Checked {
        // Its own vote is said with its request, of which a group of one has no need.
        let voted = |voter: NodeId| voter == node || self.votes.get(&(voter, term)) == Some(&node);
        if decides(membership, voted) {
            return Ok(());
        }
        let voters: Vec<String> = membership
            .members()
            .into_iter()
            .filter(|voter| voted(*voter))
            .map(|voter| format!("n{voter}"))
            .collect();
        Err(broken(
            Invariant::ElectedByQuorum,
            format!("n{node} leads term {term} by {} of {}", voters.join(" "), describe(membership)),
        ))
    }

    /// `node` is in `term` now; checked over restarts with what it had made durable.
    pub(crate) fn in_term(&mut self, node: NodeId, term: Term) -> Checked {
        let last = self.terms.entry(node).or_default();
        if term < *last {
            return Err(broken(
                Invariant::MonotonicTerm,
                format!("n{node} is in term {term} after it was in term {last}"),
            ));
        }
        *last = term;
        Ok(())
    }

    /// `node` died; it starts again from `durable`.
    pub(crate) fn restarts(&mut self, node: NodeId, durable: Term) {
        self.terms.insert(node, durable);
    }

    /// How many terms had a leader.
    pub(crate) fn count(&self) -> u64 {
        self.leaders.len() as u64
    }

    /// The highest term that had a leader.
    pub(crate) fn last(&self) -> Option<(Term, NodeId)> {
        self.leaders.last_key_value().map(|(term, node)| (*term, *node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invariant(checked: Checked) -> Option<Invariant> {
        checked.err().map(|violation| violation.invariant)
    }

    #[test]
    fn two_leaders_of_a_term_are_found() {
        let mut elections = Elections::default();
        assert_eq!(invariant(elections.leads(NodeId(1), Term(3))), None);
        assert_eq!(invariant(elections.leads(NodeId(1), Term(3))), None);
        assert_eq!(invariant(elections.leads(NodeId(2), Term(4))), None);
        assert_eq!(invariant(elections.leads(NodeId(2), Term(3))), Some(Invariant::ElectionSafety));
    }

    #[test]
    fn a_second_vote_is_found() {
        let mut elections = Elections::default();
        assert_eq!(invariant(elections.votes(NodeId(1), Term(3), NodeId(2))), None);
        assert_eq!(invariant(elections.votes(NodeId(1), Term(3), NodeId(2))), None);
        assert_eq!(invariant(elections.votes(NodeId(1), Term(4), NodeId(3))), None);
        assert_eq!(invariant(elections.votes(NodeId(1), Term(3), NodeId(1))), Some(Invariant::OneVote));
    }

    #[test]
    fn a_leader_of_a_minority_is_found() {
        let mut elections = Elections::default();
        let mut membership = Membership::of_voters([1, 2, 3].map(NodeId));
        membership.learners.insert(NodeId(4));
        elections.votes(NodeId(4), Term(1), NodeId(1)).unwrap();
        let minority = elections.won(NodeId(1), Term(1), &membership);
        assert_eq!(invariant(minority), Some(Invariant::ElectedByQuorum));
        elections.votes(NodeId(2), Term(1), NodeId(1)).unwrap();
        assert_eq!(invariant(elections.won(NodeId(1), Term(1), &membership)), None);
        membership.outgoing = [5, 6, 7].map(NodeId).into();
        let joint = elections.won(NodeId(1), Term(1), &membership);
        assert_eq!(invariant(joint), Some(Invariant::ElectedByQuorum));
        assert_eq!(invariant(elections.won(NodeId(1), Term(1), &Membership::of_voters([NodeId(1)]))), None);
    }

    #[test]
    fn a_falling_term_is_found() {
        let mut elections = Elections::default();
        assert_eq!(invariant(elections.in_term(NodeId(1), Term(5))), None);
        assert_eq!(invariant(elections.in_term(NodeId(1), Term(4))), Some(Invariant::MonotonicTerm));
        elections.restarts(NodeId(1), Term(4));
        assert_eq!(invariant(elections.in_term(NodeId(1), Term(4))), None);
    }
}
