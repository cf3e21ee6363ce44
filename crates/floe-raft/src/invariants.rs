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
            // Those of them that it does not part with.
            (!peers.eq(expected)).then_some("a leader's peers are not the members")
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::config::Config;
    use crate::effect::Effect;
    use crate::entry::{Entry, EntryKind, Restored};
    use crate::id::{Term, Time, WriteId};
    use crate::membership::Membership;
    use crate::message::{Envelope, Message};
    use crate::replication::progress::Farewell;
    use crate::role::follower::Follower;
    use crate::role::leader::Leader;

    const N1: NodeId = NodeId(1);
    const N2: NodeId = NodeId(2);

    fn follower() -> Node {
        let membership = Membership::of_voters([N1, N2]);
        let node = Node::new(Time(0), 1, Config::new(N1), Restored { membership, ..Restored::default() });
        node.expect("a new member of a group of two")
    }

    /// Performs every write at once.
    fn settle(node: &mut Node) {
        while let Some(effect) = node.poll_effect() {
            if let Effect::Persist(write) = effect {
                node.handle_persisted(node.now, write.id);
            }
        }
    }

    fn hear(node: &mut Node, term: u64, message: Message) {
        node.handle_message(node.now, Envelope { from: N2, to: N1, term: Term(term), message });
        settle(node);
    }

    fn candidate() -> Node {
        let mut node = follower();
        node.handle_timeout(node.poll_timeout().expect("a follower waits for its leader"));
        settle(&mut node);
        hear(&mut node, 1, Message::PreVoteReply { granted: true });
        node
    }

    /// It committed and applied its no-op.
    fn leader() -> Node {
        let mut node = candidate();
        hear(&mut node, 1, Message::VoteReply { granted: true });
        hear(&mut node, 1, Message::AppendOk { matched: Index(1) });
        node.handle_applied(node.now, Index(1));
        settle(&mut node);
        assert_eq!((node.is_leader(), node.commit, node.applied()), (true, Index(1), Index(1)));
        node
    }

    fn rule_broken_by(mut node: Node, fault: impl FnOnce(&mut Node)) -> Option<&'static str> {
        assert_eq!(Invariants::default().check(&node), Ok(()), "before the fault");
        fault(&mut node);
        let violation = Invariants::default().check(&node).err()?;
        assert_eq!(violation.node, N1);
        Some(violation.rule)
    }

    fn append(node: &mut Node) {
        let id = LogId::new(node.term(), node.last().index.next());
        node.log.append(Entry { id, kind: EntryKind::Noop, payload: Bytes::new() });
    }

    #[test]
    fn a_node_that_got_ahead_of_its_log_is_noticed() {
        let broken = |fault: fn(&mut Node)| rule_broken_by(leader(), fault);
        let compacted = broken(|node| {
            node.log.compact(node.last());
            node.apply.restart(Index::ZERO);
        });
        assert_eq!(compacted, Some("an entry that is not applied is compacted"));
        let uncommitted = broken(|node| {
            append(node);
            node.apply.restart(Index(2));
        });
        assert_eq!(uncommitted, Some("what is not committed was handed out"));
        let volatile = broken(|node| {
            append(node);
            node.commit = Index(2);
            node.apply.restart(Index(2));
        });
        assert_eq!(volatile, Some("what is not durable was handed out"));
        let compacted_and_volatile = broken(|node| {
            node.log.compact(node.last());
            append(node);
            node.commit = Index(2);
            node.apply.restart(Index(2));
        });
        assert_eq!(compacted_and_volatile, Some("what is not durable was handed out"));
        assert_eq!(broken(|node| node.commit = Index(2)), Some("more is committed than the log holds"));
        let never_entered = broken(|node| node.hard_state.term = Term(0));
        assert_eq!(never_entered, Some("the log holds a term that was never entered"));
        let gone = broken(|node| node.members.push(Index(2), Membership::of_voters([N1])));
        assert_eq!(gone, Some("a membership is in force whose entry is gone"));
    }

    #[test]
    fn a_message_that_waits_is_of_the_present_term_and_for_a_write_under_way() {
        let waits = |term: u64, write: u64, writes: bool| {
            rule_broken_by(follower(), |node| {
                if writes {
                    node.log.set_hard_state(node.hard_state);
                }
                let message = Message::VoteReply { granted: false };
                let envelope = Envelope { from: N1, to: N2, term: Term(term), message };
                node.outbox.send_after(WriteId(write), envelope);
            })
        };
        assert_eq!(waits(0, 1, true), None);
        assert_eq!(waits(1, 1, true), Some("a message of an old term waits to be sent"));
        assert_eq!(waits(0, 1, false), Some("a message waits for a write that is done"));
        assert_eq!(waits(0, 2, true), Some("a message waits for a write that is done"));
    }

    #[test]
    fn a_follower_that_verified_or_acknowledged_too_much_is_noticed() {
        let broken = |verified, acked| {
            rule_broken_by(follower(), |node| {
                let follower = Follower::new(Some(N2), None, node.now);
                node.role = Role::Follower(Follower { verified, acked, ..follower });
            })
        };
        assert_eq!(broken(Index(0), Index(0)), None);
        assert_eq!(broken(Index(1), Index(0)), Some("a follower verified more than it holds"));
        assert_eq!(broken(Index(0), Index(1)), Some("a follower acknowledged what was not verified"));
    }

    #[test]
    fn a_candidate_or_leader_that_voted_for_another_is_noticed() {
        let votes = |node: &mut Node| node.hard_state.vote = Some(N2);
        assert_eq!(rule_broken_by(candidate(), votes), Some("a candidate voted for another"));
        assert_eq!(rule_broken_by(leader(), votes), Some("a leader voted for another"));
        assert_eq!(rule_broken_by(follower(), votes), None);
        let witness = |node: &mut Node| node.config.witness = true;
        assert_eq!(rule_broken_by(follower(), witness), None);
        assert_eq!(rule_broken_by(candidate(), witness), Some("a witness campaigns or leads"));
    }

    fn led(fault: impl FnOnce(&mut Leader)) -> Option<&'static str> {
        rule_broken_by(leader(), |node| {
            let Role::Leader(leader) = &mut node.role else { panic!("it leads") };
            fault(leader);
        })
    }

    #[test]
    fn a_leader_without_its_own_term_in_its_log_is_noticed() {
        let volatile = rule_broken_by(leader(), |node| node.log.set_hard_state(node.hard_state));
        assert_eq!(volatile, Some("a leader's term is not durable"));
        let none = Some("a leader has no entry of its own term");
        assert_eq!(led(|leader| leader.first = Index(2)), none);
        assert_eq!(rule_broken_by(leader(), |node| node.hard_state.term = Term(2)), none);
    }

    #[test]
    fn a_leader_that_is_wrong_about_its_peers_is_noticed() {
        let progress = |matched: u64, next: u64| {
            led(|leader| {
                let peer = leader.progress.get_mut(&N2).expect("a peer");
                (peer.matched, peer.next) = (Index(matched), Index(next));
            })
        };
        let order = Some("matched < next <= last + 1 does not hold of a peer");
        assert_eq!(progress(0, 1), None);
        assert_eq!(progress(1, 2), None);
        assert_eq!(progress(1, 1), order);
        assert_eq!(progress(2, 1), order);
        assert_eq!(progress(0, 3), order);
        let peers = Some("a leader's peers are not the members");
        assert_eq!(led(|leader| drop(leader.progress.remove(&N2))), peers);
        let farewell = Farewell { removal: Index(1), round: None, deadline: None };
        let parts =
            |leader: &mut Leader, id| leader.progress.get_mut(&id).expect("a peer").farewell = Some(farewell);
        assert_eq!(led(|leader| parts(leader, N2)), peers, "a member is parted with");
        let other = NodeId(3);
        let knows_another = |leader: &mut Leader| {
            leader.progress.insert(other, leader.progress[&N2].clone());
        };
        assert_eq!(led(knows_another), peers);
        let parts_with_another = |leader: &mut Leader| {
            knows_another(leader);
            parts(leader, other);
        };
        assert_eq!(led(parts_with_another), None);
    }

    fn observed() -> Observed {
        let id = LogId::new(Term(2), Index(4));
        Observed {
            hard_state: HardState { term: Term(2), vote: Some(N1) },
            role: RoleKind::Leader,
            leader: Some(N1),
            base: id,
            last: id,
            commit: Index(4),
            applied: Index(4),
        }
    }

    fn then(change: impl FnOnce(&mut Observed)) -> Option<&'static str> {
        let mut after = observed();
        change(&mut after);
        check_delta(&observed(), &after)
    }

    #[test]
    fn what_only_rises_does_not_fall() {
        assert_eq!(then(|_| ()), None);
        assert_eq!(then(|after| after.hard_state.term = Term(1)), Some("the term fell"));
        assert_eq!(then(|after| after.commit = Index(3)), Some("the commit index fell"));
        assert_eq!(then(|after| after.applied = Index(3)), Some("the applied index fell"));
        assert_eq!(then(|after| after.base.index = Index(3)), Some("the base of the log fell"));
        assert_eq!(then(|after| after.last.index = Index(3)), Some("a leader truncated its log"));
        let deposed = |after: &mut Observed| {
            after.last.index = Index(3);
            after.role = RoleKind::Follower;
        };
        assert_eq!(then(deposed), None);
    }

    #[test]
    fn a_term_has_one_vote_and_one_leader() {
        assert_eq!(then(|after| after.hard_state.vote = None), Some("the vote of a term changed"));
        assert_eq!(then(|after| after.hard_state.vote = Some(N2)), Some("the vote of a term changed"));
        assert_eq!(then(|after| after.leader = Some(N2)), Some("a term has two leaders"));
        assert_eq!(then(|after| after.leader = None), None);
        let next_term = |after: &mut Observed| {
            after.hard_state = HardState { term: Term(3), vote: Some(N2) };
            (after.role, after.leader) = (RoleKind::Follower, Some(N2));
        };
        assert_eq!(then(next_term), None);
        let leads_on = |after: &mut Observed| after.hard_state.term = Term(3);
        assert_eq!(then(leads_on), Some("a leader of one term leads the next without an election"));
    }

    #[test]
    fn what_was_seen_is_compared_with_what_is_seen_next() {
        let mut invariants = Invariants::default();
        let mut node = leader();
        assert_eq!(invariants.check(&node), Ok(()));
        node.hard_state.vote = None;
        node.role = Role::Follower(Follower::new(None, None, node.now));
        let rule = "the vote of a term changed";
        assert_eq!(invariants.check(&node), Err(Violation { node: N1, rule }));
    }
}
