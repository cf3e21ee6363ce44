//! What a stage needs on which the protocol is shown to people: to see who has voted, and to choose who campaigns first.

use std::collections::BTreeMap;

use crate::id::{NodeId, Time};
use crate::node::Node;
use crate::role::Role;

impl Node {
    /// Who granted and who refused the campaign that is under way, or that is asked about; `None` without one.
    pub fn votes(&self) -> Option<&BTreeMap<NodeId, bool>> {
        match &self.role {
            Role::PreCandidate(candidate) | Role::Candidate(candidate) => Some(&candidate.votes),
            Role::Follower(_) | Role::Leader(_) => None,
        }
    }

    /// When the election timeout runs out; `None` on a leader.
    pub fn election_deadline(&self) -> Option<Time> {
        match &self.role {
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => Some(self.role.deadline()),
            Role::Leader(_) => None,
        }
    }

    /// Lets another election timeout stand in the place of the one that was drawn, until the next one is drawn. Only
    /// simulators and tests do so: no rule depends on how long a timeout is, but nodes that choose the same ones split
    /// their votes for ever. Nothing happens on a leader.
    pub fn set_election_deadline(&mut self, deadline: Time) {
        match &mut self.role {
            Role::Follower(follower) => follower.deadline = deadline,
            Role::PreCandidate(candidate) | Role::Candidate(candidate) => candidate.deadline = deadline,
            Role::Leader(_) => {}
        }
    }
}
