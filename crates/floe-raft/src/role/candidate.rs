//! A campaign: the votes so far, of voters who were asked under one term for one purpose.

use std::collections::BTreeMap;

use crate::id::{NodeId, Time};

/// The data of a candidate, and of a pre-candidate.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    /// Who answered what. An own vote is in it once it is durable; pre-votes promise nothing and count at once.
    pub(crate) votes: BTreeMap<NodeId, bool>,
    /// When to give up and try anew. Drawn for each campaign: two candidates that split the votes once would
    /// otherwise split them for ever (etcd #10355).
    pub(crate) deadline: Time,
}

impl Candidate {
    pub(crate) fn new(deadline: Time) -> Self {
        Self { votes: BTreeMap::new(), deadline }
    }

    /// Notes an answer. A voter that granted once does not take it back, whatever arrives late.
    pub(crate) fn record(&mut self, voter: NodeId, granted: bool) {
        *self.votes.entry(voter).or_default() |= granted;
    }
}
