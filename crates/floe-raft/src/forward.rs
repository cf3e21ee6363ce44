//! Commands that a follower passes on to its leader.
//!
//! Every command gets exactly one answer: where the leader appended it, or that it refused it, or that nobody can
//! say. The last is the case as soon as the leader is lost from sight after the command was sent. It is never sent
//! twice, and the network that repeats it does not have it appended twice: the receiver remembers what it took.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use crate::effect::Effect;
use crate::entry::{Entry, HardState};
use crate::error::ProposeError;
use crate::id::{LogId, NodeId, ProposalId, Term, Time};
use crate::message::Message;
use crate::mutant::Mutant;
use crate::node::Node;
use crate::role::Role;

/// Commands on their way to the leader.
#[derive(Clone, Debug)]
pub(crate) struct Forwards {
    /// The name of the next command on the wire. Names ascend, from a number that no earlier life of this node used:
    /// a delayed answer to that one's command must not be taken for the answer to this one's, and the leader must not
    /// take this one's for a repetition of that one's.
    next: u64,
    fresh: Vec<(ProposalId, Bytes)>,
    /// Sent and not answered, by their names on the wire.
    sent: BTreeMap<ProposalId, Sent>,
    /// The cost of all of them.
    bytes: u64,
    /// When to look for those that were never answered.
    expire_at: Time,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    /// The host's name.
    proposal: ProposalId,
    cost: u64,
    at: Time,
}

impl Forwards {
    pub(crate) fn new(salt: u64) -> Self {
        Self { next: salt, fresh: Vec::new(), sent: BTreeMap::new(), bytes: 0, expire_at: Time(0) }
    }

    /// Whether no command waits for its answer.
    pub(crate) fn is_idle(&self) -> bool {
        self.fresh.is_empty() && self.sent.is_empty()
    }

    fn name(&mut self, proposal: ProposalId, cost: u64, at: Time) -> ProposalId {
        self.next = self.next.wrapping_add(1);
        let name = ProposalId(self.next);
        self.sent.insert(name, Sent { proposal, cost, at });
        name
    }
}

/// The messages of commands that this node took from others in the present term, whether it appended or refused
/// them: a repetition is dropped, since the first was or will be answered.
///
/// A message is known by its first name; they are never regrouped. Those of older terms are not taken at all: whether
/// this node took them then is forgotten.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    /// The latest lives of each member, oldest first. A life is the upper half of its names.
    lives: BTreeMap<NodeId, VecDeque<Life>>,
    /// The term in which an earlier life of this node may have led, and taken what this one does not know of.
    earlier: Option<Term>,
}

#[derive(Clone, Debug)]
struct Life {
    id: u64,
    /// Everything up to here counts as taken. What the network reorders by more than [`Taken::WINDOW`] messages is
    /// lost that way, and its fate reported as unknown.
    floor: ProposalId,
    /// What was taken above it.
    recent: BTreeSet<ProposalId>,
}

impl Taken {
    /// Messages remembered one by one, for each life of a member.
    const WINDOW: usize = 64;
    /// Lives remembered of a member. A message would have to be delayed for as many of its sender's restarts, within
    /// one term, to be taken twice.
    const LIVES: usize = 64;

    pub(crate) fn new(restored: HardState) -> Self {
        Self { lives: BTreeMap::new(), earlier: Some(restored.term) }
    }

    /// A new term began: what is of the old one is refused by its term.
    pub(crate) fn forget(&mut self) {
        self.lives.clear();
        self.earlier = None;
    }

    /// Takes a message, unless it was taken before.
    fn admit(&mut self, from: NodeId, first: ProposalId) -> bool {
        let lives = self.lives.entry(from).or_default();
        let id = first.0 >> 32;
        let at = lives.iter().rposition(|life| life.id == id).unwrap_or_else(|| {
            if lives.len() >= Self::LIVES {
                lives.pop_front();
            }
            lives.push_back(Life { id, floor: ProposalId(0), recent: BTreeSet::new() });
            lives.len() - 1
        });
        let Some(life) = lives.get_mut(at) else { return false };
        if first <= life.floor || !life.recent.insert(first) {
            return false;
        }
        if life.recent.len() > Self::WINDOW
            && let Some(oldest) = life.recent.pop_first()
        {
            life.floor = oldest;
        }
        true
    }
}

fn cost(payload: &Bytes) -> u64 {
    payload.len() as u64 + Entry::OVERHEAD
}

impl Node {
    pub(crate) fn start_forward(&mut self, proposal: ProposalId, payload: Bytes) -> Result<(), ProposeError> {
        if payload.len() as u64 > self.config.command_bytes {
            return Err(ProposeError::TooLarge);
        }
        let hint = self.leader();
        // A witness could not tell what became of it: it applies nothing.
        if hint.is_none() || self.config.witness {
            return Err(ProposeError::NotLeader { hint });
        }
        let cost = cost(&payload);
        let total = self.forwards.bytes.saturating_add(cost);
        if self.forwards.bytes > 0 && total > self.config.uncommitted_bytes {
            return Err(ProposeError::Busy);
        }
        self.forwards.bytes = total;
        self.forwards.fresh.push((proposal, payload));
        Ok(())
    }

    /// Sends what was gathered, in messages of bounded size.
    pub(crate) fn pass_on(&mut self) {
        let Role::Follower(follower) = &self.role else { return };
        let Some(leader) = follower.leader else { return };
        if self.forwards.fresh.is_empty() {
            return;
        }
        let mut bytes = 0;
        let mut proposals = Vec::new();
        for (proposal, payload) in std::mem::take(&mut self.forwards.fresh) {
            let cost = cost(&payload);
            if bytes > 0 && bytes + cost > self.config.append_bytes {
                self.send(leader, Message::Propose { proposals: std::mem::take(&mut proposals) });
                bytes = 0;
            }
            bytes += cost;
            proposals.push((self.forwards.name(proposal, cost, self.now), payload));
        }
        self.send(leader, Message::Propose { proposals });
    }

    /// Commands came from a member that takes this node for the leader of the present term.
    pub(crate) fn handle_propose(&mut self, from: NodeId, proposals: Vec<(ProposalId, Bytes)>) {
        let Some((first, _)) = proposals.first() else { return };
        if !self.taken.admit(from, *first) && !self.config.mutated(Mutant::ForwardTakenTwice) {
            return;
        }
        // An earlier life of this node may have led this term, and this may be the repetition of what it appended.
        let may_be_appended = !self.is_leader() && self.taken.earlier == Some(self.hard_state.term);
        let append = |(name, payload)| {
            let outcome = self.append_command(payload);
            (name, if may_be_appended { Err(ProposeError::Unknown) } else { outcome })
        };
        let outcomes = proposals.into_iter().map(append).collect();
        self.send(from, Message::ProposeReply { outcomes });
    }

    pub(crate) fn handle_propose_reply(
        &mut self,
        from: NodeId,
        outcomes: Vec<(ProposalId, Result<LogId, ProposeError>)>,
    ) {
        // The answers of a leader that is given up on come too late: theirs has been given.
        if self.leader() != Some(from) {
            return;
        }
        for (name, outcome) in outcomes {
            let Some(sent) = self.forwards.sent.remove(&name) else { continue };
            self.forwards.bytes -= sent.cost;
            self.outbox.push(Effect::Forwarded { proposal: sent.proposal, outcome });
        }
    }

    /// The leader lives, but a command or its answer was lost: after two election timeouts nobody can say.
    pub(crate) fn expire_forwards(&mut self) {
        if self.forwards.sent.is_empty() || self.now < self.forwards.expire_at {
            return;
        }
        self.forwards.expire_at = self.now.plus(self.config.election_timeout);
        let (now, patience) = (self.now, self.config.election_timeout * 2);
        let lost = self.forwards.sent.extract_if(.., |_, sent| now.since(sent.at) >= patience);
        for (_, Sent { proposal, cost, at: _ }) in lost {
            self.forwards.bytes -= cost;
            self.outbox.push(Effect::Forwarded { proposal, outcome: Err(ProposeError::Unknown) });
        }
    }

    /// The leader or the term changed. What was never sent is refused; the fate of the rest is unknown.
    pub(crate) fn drop_forwards(&mut self, hint: Option<NodeId>) {
        for (proposal, _) in std::mem::take(&mut self.forwards.fresh) {
            let outcome = Err(ProposeError::NotLeader { hint });
            self.outbox.push(Effect::Forwarded { proposal, outcome });
        }
        for Sent { proposal, .. } in std::mem::take(&mut self.forwards.sent).into_values() {
            let mut outcome = Err(ProposeError::Unknown);
            if self.config.mutated(Mutant::UnknownIsRefused) {
                outcome = Err(ProposeError::NotLeader { hint });
            }
            self.outbox.push(Effect::Forwarded { proposal, outcome });
        }
        self.forwards.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(life: u64, count: u64) -> ProposalId {
        ProposalId(life << 32 | count)
    }

    #[test]
    fn a_repeated_message_is_taken_once_and_reordered_ones_all() {
        let mut taken = Taken::new(HardState::default());
        for first in [3, 1, 2] {
            assert!(taken.admit(NodeId(1), name(7, first)));
        }
        for first in [1, 2, 3] {
            assert!(!taken.admit(NodeId(1), name(7, first)));
        }
        assert!(taken.admit(NodeId(2), name(7, 1)), "another member's");
        assert!(taken.admit(NodeId(1), name(5, 1)), "of another life");
        assert!(!taken.admit(NodeId(1), name(7, 1)));
        taken.forget();
        assert!(taken.admit(NodeId(1), name(7, 1)));
    }

    #[test]
    fn what_left_the_window_still_counts_as_taken() {
        let mut taken = Taken::new(HardState::default());
        for first in 1..=500 {
            assert!(taken.admit(NodeId(1), name(7, first)));
        }
        for first in 1..=500 {
            assert!(!taken.admit(NodeId(1), name(7, first)));
        }
        assert_eq!(taken.lives[&NodeId(1)][0].recent.len(), Taken::WINDOW);
        for life in 10..1000 {
            assert!(taken.admit(NodeId(1), name(life, 1)));
        }
        assert_eq!(taken.lives[&NodeId(1)].len(), Taken::LIVES);
    }
}
