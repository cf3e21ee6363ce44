//! Handing leadership over (thesis 3.10): the target is brought up to date, and then invited to campaign at once.
//!
//! Meanwhile proposals are refused, or the target would never catch up. The handover is a field of the leader's role:
//! whatever ends the role ends the handover, and no exit can forget to clear it (hashicorp/raft #487, #493).

use crate::error::TransferError;
use crate::id::{Index, LogId, NodeId, Time};
use crate::message::{Envelope, Message};
use crate::mutant::Mutant;
use crate::node::Node;
use crate::replication::progress::Progress;
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

    /// The own disk hangs, so that this leader can acknowledge nothing: it invites the voter that is closest to its log,
    /// and leads no more in any case. Its heartbeats end with that; were they to outlive the use of its disk, they would
    /// keep everybody from electing another (hashicorp/raft #503, etcd #13527). Nor can it win while the disk hangs: its
    /// own vote has to be on it.
    ///
    /// The invitation names what the successor acknowledged. Should it hold more by now, it ignores that, and is elected
    /// when its time has come.
    pub(crate) fn resign(&mut self) {
        self.be_humble();
        let successor = self.successor().filter(|(_, progress)| {
            progress.is_active(self.now, self.config.election_timeout) && progress.matched > Index::ZERO
        });
        if let Some((to, progress)) = successor
            && let Some(term) = self.log.term_at(progress.matched)
        {
            let last = LogId::new(term, progress.matched);
            let (from, term) = (self.config.id, self.hard_state.term);
            self.outbox.send(Envelope { from, to, term, message: Message::TimeoutNow { last } });
        }
        self.become_follower(self.hard_state.term, None);
    }

    /// The voter that could take over, and is closest to this leader's log.
    pub(crate) fn successor(&self) -> Option<(NodeId, &Progress)> {
        let Role::Leader(leader) = &self.role else { return None };
        let current = self.members.current();
        let candidates = leader.progress.iter().filter(|(id, progress)| {
            current.voters.contains(id) && !current.is_witness(**id) && progress.farewell.is_none()
        });
        let best = candidates.max_by_key(|(id, progress)| {
            let active = progress.is_active(self.now, self.config.election_timeout);
            (active, progress.matched, std::cmp::Reverse(**id))
        });
        best.map(|(id, progress)| (*id, progress))
    }

    /// The leader hands over to this node. Obeyed in the leader's own term and with the very log that it saw: an
    /// invitation that was delayed until the leader had given up and gone on must not depose it (raft-rs #234).
    pub(crate) fn handle_timeout_now(&mut self, from: NodeId, last: LogId) {
        let is_from_leader = matches!(&self.role, Role::Follower(follower) if follower.leader == Some(from));
        let may_lead = self.members.current().voters.contains(&self.config.id)
            && !self.config.witness
            && !self.is_disk_stalled()
            && self.installing.is_none();
        let is_meant =
            is_from_leader && last == self.log.last() || self.config.mutated(Mutant::TransferUnfenced);
        if is_meant && may_lead {
            self.become_candidate(true);
        }
    }
}
