//! What must be true of a node at any moment, and from each moment to the next.
//!
//! A checker apart from what it checks, after LogCabin's `RaftConsensusInvariants`. A node runs it on itself after
//! every input in debug builds; a simulator may run one of its own across restarts.

use crate::effect::RoleKind;
use crate::entry::HardState;
use crate::id::{Index, LogId, NodeId};
use crate::node::Node;
use crate::role::Role;

/// A rule that a node broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("node {node}: {rule}")]
pub struct Violation {
    /// The node.
    pub node: NodeId,
    /// The rule, as a statement of what is wrong.
    pub rule: &'static str,
}

/// Checks one node over time.
#[derive(Clone, Debug, Default)]
pub struct Invariants {
    previous: Option<Observed>,
}

/// What is remembered of a node to compare with.
#[derive(Clone, Copy, Debug)]
struct Observed {
    hard_state: HardState,
    role: RoleKind,
    leader: Option<NodeId>,
    base: LogId,
    last: LogId,
    commit: Index,
    applied: Index,
}

impl Invariants {
    /// Checks the node as it is, and what changed since the last call.
    pub fn check(&mut self, node: &Node) -> Result<(), Violation> {
        let observed = Observed {
            hard_state: node.hard_state,
            role: node.role.kind(),
            leader: node.leader(),
            base: node.log.base(),
            last: node.log.last(),
            commit: node.commit,
            applied: node.apply.applied(),
        };
        let fault = check_basic(node)
            .or_else(|| check_role(node))
            .or_else(|| self.previous.and_then(|previous| check_delta(&previous, &observed)));
        self.previous = Some(observed);
        match fault {
            Some(rule) => Err(Violation { node: node.id(), rule }),
            None => Ok(()),
        }
    }
}

fn check_basic(node: &Node) -> Option<&'static str> {
    let (base, last, durable) = (node.log.base(), node.log.last(), node.log.durable());
    let (applied, handed) = (node.apply.applied(), node.apply.handed());
    // Between a snapshot and the write that restarts the log, the disk holds nothing of the present log.
    let is_restarting = durable < base.index;
    let rules = [
        (base.index <= applied, "an entry that is not applied is compacted"),
        (applied <= handed, "more is applied than was handed out"),
        (handed <= node.commit, "what is not committed was handed out"),
        (is_restarting || handed <= durable, "what is not durable was handed out"),
        (node.commit <= last.index, "more is committed than the log holds"),
        (last.term <= node.hard_state.term, "the log holds a term that was never entered"),
        (node.members.current_at() <= last.index, "a membership is in force whose entry is gone"),
        (
            node.outbox.waiting().all(|(_, envelope)| envelope.term == node.hard_state.term),
            "a message of an old term waits to be sent",
        ),
        (
            node.outbox.waiting().all(|(write, _)| Some(*write) <= node.log.hard_state_write()),
            "a message waits for a write that is done",
        ),
    ];
    rules.iter().find(|(holds, _)| !holds).map(|(_, rule)| *rule).or_else(|| node.log.fault())
}

fn check_role(node: &Node) -> Option<&'static str> {
    if node.config.witness && !matches!(node.role, Role::Follower(_)) {
        return Some("a witness campaigns or leads");
    }
    let last = node.log.last().index;
    match &node.role {
        Role::Follower(follower) => {
            if follower.verified > last {
                return Some("a follower verified more than it holds");
            }
            (follower.acked > follower.verified).then_some("a follower acknowledged what was not verified")
        }
        Role::PreCandidate(_) => None,
        Role::Candidate(_) => {
            (node.hard_state.vote != Some(node.id())).then_some("a candidate voted for another")
        }
        Role::Leader(leader) => {
            if node.hard_state.vote != Some(node.id()) {
                return Some("a leader voted for another");
            }
            if node.log.hard_state_write().is_some() {
                return Some("a leader's term is not durable");
            }
            // The last entry, since the first one may be compacted.
            if leader.first > last || node.log.last().term != node.hard_state.term {
                return Some("a leader has no entry of its own term");
            }
            let progress = || leader.progress.values();
            if progress().any(|peer| peer.matched >= peer.next || peer.next > last.next()) {
                return Some("matched < next <= last + 1 does not hold of a peer");
            }
            let expected = node.members.current().members().into_iter().filter(|id| *id != node.id());
            let peers = leader.progress.iter().filter(|(_, peer)| peer.farewell.is_none()).map(|(id, _)| *id);
            if !peers.eq(expected) {
                return Some("a leader's peers are not the members");
            }
            let is_member = |id| node.members.current().contains(id);
            let leaving = leader.progress.iter().filter(|(_, peer)| peer.farewell.is_some());
            leaving.into_iter().any(|(id, _)| is_member(*id)).then_some("a member is parted with")
        }
    }
}

fn check_delta(before: &Observed, after: &Observed) -> Option<&'static str> {
    let same_term = before.hard_state.term == after.hard_state.term;
    let still_leads = same_term && before.role == RoleKind::Leader && after.role == RoleKind::Leader;
    let rules = [
        (before.hard_state.term <= after.hard_state.term, "the term fell"),
        (
            !same_term || before.hard_state.vote.is_none() || before.hard_state.vote == after.hard_state.vote,
            "the vote of a term changed",
        ),
        (before.commit <= after.commit, "the commit index fell"),
        (before.applied <= after.applied, "the applied index fell"),
        (before.base <= after.base, "the base of the log fell"),
        (!still_leads || before.last <= after.last, "a leader truncated its log"),
        (
            !same_term || before.leader.is_none() || after.leader.is_none() || before.leader == after.leader,
            "a term has two leaders",
        ),
        (
            after.role != RoleKind::Leader
                || before.role == RoleKind::Leader && same_term
                || before.role != RoleKind::Leader,
            "a leader of one term leads the next without an election",
        ),
    ];
    rules.iter().find(|(holds, _)| !holds).map(|(_, rule)| *rule)
}
