//! Handing leadership over without a command whose outcome nobody knows.
//!
//! When the leader changes, the core cannot say what became of a command that was passed on and not answered. So
//! before the core hands over, the leader asks every member to pass nothing more on to it, and waits, shortly, until
//! each says so: their word stands behind their last commands on the connection, which are then answered before the
//! campaign of the next leader begins. Members refuse meanwhile, and a refusal is definite.
//!
//! A handover that the core begins by itself, for a preferred member or because the own disk hangs, is met where it
//! would take effect: its invitation is kept back until the others have said so. To the core that is a network which
//! is slow for a moment, and an invitation that comes late is of no effect by its own terms.

use std::collections::BTreeSet;
use std::time::Duration;

use floe_raft::{Envelope, NodeId, Term, Time};

use crate::completion::Completer;
use crate::error::TransferError;
use crate::frame::Frame;

use super::Driver;

/// What is done once nobody passes anything on any more.
#[derive(Debug)]
enum Then {
    /// Have the core hand over to this member.
    Transfer(NodeId),
    /// Send the invitation that the core made by itself.
    Invite(Envelope),
}

impl Then {
    fn to(&self) -> NodeId {
        match self {
            Self::Transfer(to) => *to,
            Self::Invite(envelope) => envelope.to,
        }
    }
}

/// A handover that waits for the other members.
#[derive(Debug)]
pub(super) struct Handover {
    then: Then,
    token: u64,
    /// Those that have not said that they pass nothing more on.
    awaiting: BTreeSet<NodeId>,
    /// A member that does not answer by then is not waited for.
    pub(super) deadline: Time,
}

/// The others have paused, so that this member may be invited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cleared {
    to: NodeId,
    term: Term,
    /// Then they pass commands on again.
    until: Time,
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
        match self.handover.as_ref().map(|handover| handover.then.to()).or(node.status().transfer_to) {
            Some(under_way) if under_way == to => return Ok(()),
            Some(_) => return Err(TransferError::Busy),
            None => {}
        }
        let handover = self.ask_for_pause(now, Then::Transfer(to));
        self.handover = Some(handover);
        Ok(())
    }

    fn ask_for_pause(&mut self, now: Time, then: Then) -> Handover {
        self.handover_token += 1;
        let token = self.handover_token;
        let asked = |&peer: &NodeId| self.parts.transport.send(peer, &Frame::Pause { token });
        let awaiting = self.parts.publisher.others().into_iter().filter(asked).collect();
        Handover { then, token, awaiting, deadline: now.plus(self.handover_patience()) }
    }

    /// The core invites another member to lead: at once, if the others were asked to pause before, and otherwise when they
    /// have said that they do.
    pub(super) fn invite(&mut self, now: Time, invitation: Envelope) {
        let is_meant = |cleared: &Cleared| {
            (cleared.term, cleared.to) == (invitation.term, invitation.to) && now < cleared.until
        };
        if self.cleared.as_ref().is_some_and(is_meant) {
            return self.parts.transport.send_message(invitation);
        }
        let mut handover = match self.handover.take() {
            // They are asked already, for a handover which this one takes the place of.
            Some(handover) => Handover { then: Then::Invite(invitation), ..handover },
            None => self.ask_for_pause(now, Then::Invite(invitation)),
        };
        if handover.awaiting.is_empty() {
            handover.deadline = now;
        }
        self.handover = Some(handover);
        self.advance_handover(now);
    }

    /// Lets the core hand over once nobody passes anything on any more.
    pub(super) fn advance_handover(&mut self, now: Time) {
        let ready = |handover: &mut Handover| handover.awaiting.is_empty() || handover.deadline <= now;
        let Some(handover) = self.handover.take_if(ready) else { return };
        let (to, term) = (handover.then.to(), self.parts.node.term());
        // They said so a patience ago at the earliest, for an election timeout each.
        let until = now.plus(self.parts.limits.election_timeout.saturating_sub(self.handover_patience()));
        self.cleared = Some(Cleared { to, term, until });
        if let Then::Invite(invitation) = handover.then {
            return self.parts.transport.send_message(invitation);
        }
        let error = match self.parts.node.transfer_leadership(now, to) {
            Ok(()) => return,
            // Another leader is what was wanted.
            Err(floe_raft::TransferError::NotLeader { hint }) => TransferError::NotLeader { hint },
            Err(floe_raft::TransferError::BadTarget) => TransferError::BadTarget(to),
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
