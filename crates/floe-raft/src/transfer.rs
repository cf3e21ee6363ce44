//! Handing leadership over (thesis 3.10): the target is brought up to date, and then invited to campaign at once.
//!
//! Meanwhile proposals are refused, or the target would never catch up. The handover is a field of the leader's role:
//! whatever ends the role ends the handover, and no exit can forget to clear it (hashicorp/raft #487, #493).

use crate::error::TransferError;
use crate::id::{LogId, NodeId, Time};
use crate::message::{Envelope, Message};
use crate::mutant::Mutant;
use crate::node::Node;
use crate::role::Role;

/// A handover under way.
#[derive(Clone, Debug)]
pub(crate) struct Transfer {
    pub(crate) to: NodeId,
    /// Given up by then: one election timeout after it was asked for.
    pub(crate) deadline: Time,
    /// The invitation was sent since the target last gave a sign of life.
    pub(crate) invited: bool,
}

impl Node {
    pub(crate) fn start_transfer(&mut self, to: NodeId) -> Result<(), TransferError> {
        let Role::Leader(leader) = &mut self.role else {
            return Err(TransferError::NotLeader { hint: self.leader() });
        };
        let current = self.members.current();
        let may_lead = current.voters.contains(&to) && !current.is_witness(to);
        if !may_lead || !leader.progress.contains_key(&to) {
            return Err(TransferError::BadTarget);
        }
        if let Some(transfer) = &leader.transfer {
            return if transfer.to == to { Ok(()) } else { Err(TransferError::Busy) };
        }
        let mut deadline = self.now.plus(self.config.election_timeout);
        if self.config.mutated(Mutant::TransferForEver) {
            deadline = self.now.plus(self.config.election_timeout * 10_000);
        }
        leader.transfer = Some(Transfer { to, deadline, invited: false });
        Ok(())
    }

    /// Invites the target once it holds the whole log durably.
    pub(crate) fn hand_over(&mut self) {
        let Role::Leader(leader) = &mut self.role else { return };
        let Some(transfer) = &mut leader.transfer else { return };
        let last = self.log.last();
        let holds_all =
            leader.progress.get(&transfer.to).is_some_and(|progress| progress.matched == last.index);
        if holds_all && !transfer.invited {
            transfer.invited = true;
            // From here on there may be another leader at any time.
            leader.grounds.invite(transfer.to, last.index);
            let (from, to, term) = (self.config.id, transfer.to, self.hard_state.term);
            self.outbox.send(Envelope { from, to, term, message: Message::TimeoutNow { last } });
        }
    }

    /// The leader hands over to this node. Obeyed in the leader's own term and with the very log that it saw: an
    /// invitation that was delayed until the leader had given up and gone on must not depose it (raft-rs #234).
    pub(crate) fn handle_timeout_now(&mut self, from: NodeId, last: LogId) {
        let is_from_leader = matches!(&self.role, Role::Follower(follower) if follower.leader == Some(from));
        let may_lead = self.members.current().voters.contains(&self.config.id)
            && !self.config.witness
            && self.installing.is_none();
        let is_meant =
            is_from_leader && last == self.log.last() || self.config.mutated(Mutant::TransferUnfenced);
        if is_meant && may_lead {
            self.become_candidate(true);
        }
    }
}
