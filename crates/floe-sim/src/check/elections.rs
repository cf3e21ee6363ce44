//! Who led and who voted for whom, for ever.

use std::collections::BTreeMap;

use floe_raft::{NodeId, Term};

use super::{Checked, Invariant, broken};

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
    fn a_falling_term_is_found() {
        let mut elections = Elections::default();
        assert_eq!(invariant(elections.in_term(NodeId(1), Term(5))), None);
        assert_eq!(invariant(elections.in_term(NodeId(1), Term(4))), Some(Invariant::MonotonicTerm));
        elections.restarts(NodeId(1), Term(4));
        assert_eq!(invariant(elections.in_term(NodeId(1), Term(4))), None);
    }
}
