//! Commands that a follower passes on to its leader.
//!
//! Every command gets exactly one answer: where the leader appended it, or that it refused it, or that nobody can
//! say. The last is the case as soon as the leader is lost from sight after the command was sent. It is never sent
//! twice: a repetition could be appended twice.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::effect::Effect;
use crate::entry::Entry;
use crate::error::ProposeError;
use crate::id::{LogId, NodeId, ProposalId, Time};
use crate::message::{Envelope, Message};
use crate::node::Node;
use crate::role::Role;

/// Commands on their way to the leader.
#[derive(Clone, Debug)]
pub(crate) struct Forwards {
    /// Makes the names on the wire differ from those of an earlier life of this node, so that a delayed answer to
    /// that one's proposal 7 is not taken for the answer to this one's.
    salt: u64,
    fresh: Vec<(ProposalId, Bytes)>,
    /// Sent and not answered: the cost of each, and when it was sent.
    sent: BTreeMap<ProposalId, (u64, Time)>,
    /// The cost of all of them.
    bytes: u64,
    /// When to look for those that were never answered.
    expire_at: Time,
}

impl Forwards {
    pub(crate) fn new(salt: u64) -> Self {
        Self { salt, fresh: Vec::new(), sent: BTreeMap::new(), bytes: 0, expire_at: Time(0) }
    }

    fn on_wire(&self, proposal: ProposalId) -> ProposalId {
        ProposalId(proposal.0 ^ self.salt)
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
        if hint.is_none() {
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
            let name = self.forwards.on_wire(proposal);
            self.forwards.sent.insert(name, (cost, self.now));
            proposals.push((name, payload));
        }
        self.send(leader, Message::Propose { proposals });
    }

    /// Commands came from a member. A leader appends them whatever term the sender knows of; it is this node's term
    /// that they are appended in.
    pub(crate) fn handle_propose(&mut self, from: NodeId, proposals: Vec<(ProposalId, Bytes)>) {
        let outcomes =
            proposals.into_iter().map(|(name, payload)| (name, self.append_command(payload))).collect();
        let message = Message::ProposeReply { outcomes };
        // Where a command was appended is a fact, and a refusal promises nothing.
        let term = self.hard_state.term;
        self.outbox.send(Envelope { from: self.config.id, to: from, term, message });
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
            let Some((cost, _)) = self.forwards.sent.remove(&name) else { continue };
            self.forwards.bytes -= cost;
            let proposal = self.forwards.on_wire(name);
            self.outbox.push(Effect::Forwarded { proposal, outcome });
        }
    }

    /// The leader lives, but a command or its answer was lost: after two election timeouts nobody can say.
    pub(crate) fn expire_forwards(&mut self) {
        if self.forwards.sent.is_empty() || self.now < self.forwards.expire_at {
            return;
        }
        self.forwards.expire_at = self.now.plus(self.config.election_timeout);
        let (now, patience) = (self.now, self.config.election_timeout * 2);
        let lost = self
            .forwards
            .sent
            .extract_if(.., |_, (_, sent)| now.since(*sent) >= patience)
            .map(|(name, (cost, _))| (name, cost))
            .collect::<Vec<_>>();
        for (name, cost) in lost {
            self.forwards.bytes -= cost;
            let proposal = self.forwards.on_wire(name);
            self.outbox.push(Effect::Forwarded { proposal, outcome: Err(ProposeError::Unknown) });
        }
    }

    /// The leader or the term changed. What was never sent is refused; the fate of the rest is unknown.
    pub(crate) fn drop_forwards(&mut self, hint: Option<NodeId>) {
        for (proposal, _) in std::mem::take(&mut self.forwards.fresh) {
            let outcome = Err(ProposeError::NotLeader { hint });
            self.outbox.push(Effect::Forwarded { proposal, outcome });
        }
        for name in std::mem::take(&mut self.forwards.sent).into_keys() {
            let proposal = self.forwards.on_wire(name);
            self.outbox.push(Effect::Forwarded { proposal, outcome: Err(ProposeError::Unknown) });
        }
        self.forwards.bytes = 0;
    }
}
