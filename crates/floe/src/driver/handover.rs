//! Handing leadership over without a command whose outcome nobody knows.
//!
//! When the leader changes, the core cannot say what became of a command that was passed on and not answered. So
//! before the core hands over, the leader asks every member to pass nothing more on to it, and waits, shortly, until
//! each says so: their word stands behind their last commands on the connection, which are then answered before the
//! campaign of the next leader begins. Members refuse meanwhile, and a refusal is definite.

use std::collections::BTreeSet;
use std::time::Duration;

use floe_raft::{NodeId, Term, Time};

use crate::completion::Completer;
use crate::error::TransferError;
use crate::frame::Frame;

use super::Driver;

/// A handover that waits for the other members.
#[derive(Debug)]
pub(super) struct Handover {
    to: NodeId,
    token: u64,
    /// Those that have not said that they pass nothing more on.
    awaiting: BTreeSet<NodeId>,
    /// A member that does not answer by then is not waited for.
    pub(super) deadline: Time,
}

/// A leader asked this member to pass nothing on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pause {
    leader: NodeId,
    term: Term,
    /// The handover has failed by then.
    until: Time,
}

impl<R: Send + 'static> Driver<R> {
    /// How long the other members are waited for.
    fn handover_patience(&self) -> Duration {
        self.parts.limits.election_timeout / 4
    }

    /// A caller wants another member to lead.
    pub(super) fn transfer(&mut self, now: Time, to: NodeId, waiter: Completer<Result<(), TransferError>>) {
        match self.begin_handover(now, to) {
            Ok(()) => {
                let deadline = now.plus(self.handover_patience() + self.parts.limits.election_timeout * 2);
                self.transfers.push((deadline, waiter));
            }
            Err(error) => waiter.complete(Err(error), &mut self.wakes),
        }
    }

    /// Starts a handover, or joins one to the same target.
    pub(super) fn begin_handover(&mut self, now: Time, to: NodeId) -> Result<(), TransferError> {
        let node = &self.parts.node;
        if !node.is_leader() {
            return Err(TransferError::NotLeader { hint: node.leader() });
        }
        if to == node.id() || !node.membership().may_lead(to) {
            return Err(TransferError::BadTarget(to));
        }
        match self.handover.as_ref().map(|handover| handover.to).or(node.status().transfer_to) {
            Some(under_way) if under_way == to => return Ok(()),
            Some(_) => return Err(TransferError::Busy),
            None => {}
        }
        self.handover_token += 1;
        let token = self.handover_token;
        let asked = |&peer: &NodeId| self.parts.transport.send(peer, &Frame::Pause { token });
        let awaiting = self.parts.publisher.others().into_iter().filter(asked).collect();
        self.handover = Some(Handover { to, token, awaiting, deadline: now.plus(self.handover_patience()) });
        Ok(())
    }

    /// Lets the core hand over once nobody passes anything on any more.
    pub(super) fn advance_handover(&mut self, now: Time) {
        let ready = |handover: &mut Handover| handover.awaiting.is_empty() || handover.deadline <= now;
        let Some(handover) = self.handover.take_if(ready) else { return };
        let error = match self.parts.node.transfer_leadership(now, handover.to) {
            Ok(()) => return,
            // Another leader is what was wanted.
            Err(floe_raft::TransferError::NotLeader { hint }) => TransferError::NotLeader { hint },
            Err(floe_raft::TransferError::BadTarget) => TransferError::BadTarget(handover.to),
            Err(floe_raft::TransferError::Busy) => TransferError::Busy,
        };
        for (_, waiter) in self.transfers.drain(..) {
            waiter.complete(Err(error), &mut self.wakes);
        }
    }

    /// A leader asks to pass nothing on to it.
    pub(super) fn pause(&mut self, now: Time, leader: NodeId, token: u64) {
        let until = now.plus(self.parts.limits.election_timeout);
        self.paused = Some(Pause { leader, term: self.parts.node.term(), until });
        self.parts.transport.send(leader, &Frame::Paused { token });
    }

    /// A member passes nothing on any more.
    pub(super) fn peer_paused(&mut self, peer: NodeId, token: u64) {
        if let Some(handover) = &mut self.handover
            && handover.token == token
        {
            handover.awaiting.remove(&peer);
        }
    }

    /// Whether the leader does not want commands now.
    pub(super) fn is_paused(&self, now: Time) -> bool {
        self.paused.is_some_and(|pause| {
            pause.until > now
                && pause.term == self.parts.node.term()
                && Some(pause.leader) == self.parts.node.leader()
        })
    }
}
