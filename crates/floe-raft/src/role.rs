//! The four roles, each with the data that only it has. Leaving a role drops its data, so that none of it can leak
//! into the next: no vote counted for a later campaign, no progress of an older term, no forgotten handover flag.

pub(crate) mod candidate;
pub(crate) mod follower;
pub(crate) mod leader;

use crate::effect::RoleKind;
use crate::id::{NodeId, Time};
use crate::role::candidate::Candidate;
use crate::role::follower::Follower;
use crate::role::leader::Leader;

/// What a node is at a time.
#[derive(Clone, Debug)]
pub(crate) enum Role {
    /// Follows a leader, or waits for one.
    Follower(Follower),
    /// Asks whether a campaign could succeed.
    PreCandidate(Candidate),
    /// Campaigns.
    Candidate(Candidate),
    /// Leads.
    Leader(Box<Leader>),
}

impl Role {
    pub(crate) fn kind(&self) -> RoleKind {
        match self {
            Self::Follower(_) => RoleKind::Follower,
            Self::PreCandidate(_) => RoleKind::PreCandidate,
            Self::Candidate(_) => RoleKind::Candidate,
            Self::Leader(_) => RoleKind::Leader,
        }
    }

    /// The leader of the current term, if known, on the node `own`.
    pub(crate) fn leader(&self, own: NodeId) -> Option<NodeId> {
        match self {
            Self::Follower(follower) => follower.leader,
            Self::PreCandidate(_) | Self::Candidate(_) => None,
            Self::Leader(_) => Some(own),
        }
    }

    /// When something is to be done if nothing is heard before.
    pub(crate) fn deadline(&self) -> Time {
        match self {
            Self::Follower(follower) => follower.deadline,
            Self::PreCandidate(candidate) | Self::Candidate(candidate) => candidate.deadline,
            Self::Leader(leader) => leader.deadline(),
        }
    }
}
