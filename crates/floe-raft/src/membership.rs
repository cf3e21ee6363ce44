//! Who belongs to the group, who votes, and where each is reached.
//!
//! A membership is in force as soon as it is in the log, committed or not, and is rolled back when its entry is
//! truncated (thesis 4.1). While `outgoing` is not empty the group is *joint*: every decision needs a majority of
//! both sets (thesis 4.3).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::id::NodeId;

/// The members of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// Those whose votes and acknowledgements count.
    pub voters: BTreeSet<NodeId>,
    /// While joint, the voters of the configuration that is being left; otherwise empty.
    pub outgoing: BTreeSet<NodeId>,
    /// Those that replicate without a vote.
    pub learners: BTreeSet<NodeId>,
    /// Those voters that keep the log's terms but no data. A subset of the voters, incoming or outgoing.
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

    /// Whether the node takes part at all.
    pub fn contains(&self, node: NodeId) -> bool {
        self.is_voter(node) || self.learners.contains(&node)
    }

    /// Every member once, ascending.
    pub fn members(&self) -> BTreeSet<NodeId> {
        self.voters.iter().chain(&self.outgoing).chain(&self.learners).copied().collect()
    }
}
