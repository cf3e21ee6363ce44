//! Leases: how a leader knows by its clock alone that nobody else leads, and what voters promise for that.
//!
//! A node that answers a heartbeat promises to elect nobody for an election timeout from then on, by its own clock. A
//! leader that a quorum answered therefore has no successor for as long after it *sent* that heartbeat, less a margin
//! for clocks that run at different rates. The argument, and what breaks without each rule, is in
//! `docs/design/reads.md`.
//!
//! Nothing here is a state that could outlive its reason: whether there is a lease is computed, each time it is asked
//! for, from the answers of the present term under the membership in force.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::id::{Index, NodeId, Round, Time};
use crate::mutant::Mutant;
use crate::node::Node;
use crate::replication::progress::Progress;
use crate::role::Role;
use crate::role::leader::Leader;

/// What a leader remembers for its lease.
#[derive(Clone, Debug, Default)]
pub(crate) struct Grounds {
    /// When the latest rounds were sent, oldest first.
    sent: VecDeque<(Round, Time)>,
    /// Whom this leader invited to campaign, and the last entry that its log had then. Such a candidate is elected over
    /// every promise, and the invitation may arrive at any later time.
    invited: BTreeMap<NodeId, Index>,
}

impl Grounds {
    /// A round is sent. Those that could not give a lease any more are forgotten.
    pub(crate) fn send(&mut self, round: Round, now: Time, election_timeout: Duration) {
        while self.sent.pop_front_if(|(_, sent)| now.since(*sent) >= election_timeout).is_some() {}
        self.sent.push_back((round, now));
    }

    /// An invitation to campaign is sent to a node, to be obeyed with a log that ends at `last`.
    pub(crate) fn invite(&mut self, node: NodeId, last: Index) {
        self.invited.insert(node, last);
    }

    fn sent_at(&self, round: Round) -> Option<Time> {
        let at = self.sent.binary_search_by_key(&round, |(sent, _)| *sent).ok()?;
        self.sent.get(at).map(|(_, time)| *time)
    }
}

impl Node {
    /// Until when this node knows that no other leads: `None` if it does not know at all. It may have passed.
    pub(crate) fn lease_end(&self) -> Option<Time> {
        let lease = self.config.lease?;
        let Role::Leader(leader) = &self.role else { return None };
        // What its predecessors committed it knows with its own first entry only (etcd #7331).
        if self.commit < leader.first {
            return None;
        }
        // An invited node that has an entry from after the invitation did not obey, and cannot any more: the order
        // names the last entry. Of one that does not answer nobody knows (raft-rs #234).
        let refused = |(node, last): (&NodeId, &Index)| {
            leader.progress.get(node).is_some_and(|progress| progress.matched > *last)
        };
        let is_alone = leader.grounds.invited.iter().all(refused);
        if !is_alone && !self.config.mutated(Mutant::LeaseOutlivesTransfer) {
            return None;
        }
        let own = self.config.id;
        let answered = |id| {
            if id == own {
                leader.round.0
            } else {
                leader.progress.get(&id).map_or(0, |progress| progress.round.0)
            }
        };
        let agreed = Round(self.members.quorum().agreed(answered));
        let sent = if self.config.mutated(Mutant::LeaseFromReceipt) {
            self.latest_answer(leader)
        } else {
            leader.grounds.sent_at(agreed)?
        };
        let mut margin = lease.drift_margin;
        if self.config.mutated(Mutant::LeaseWithoutMargin) {
            margin = Duration::ZERO;
        }
        Some(sent.plus(self.config.election_timeout.saturating_sub(margin)))
    }

    /// For the ledger of bugs: when a quorum's answers arrived, not when they were asked for.
    fn latest_answer(&self, leader: &Leader) -> Time {
        let arrived = |id| {
            if id == self.config.id {
                return self.now.0;
            }
            leader.progress.get(&id).and_then(Progress::answered_at).map_or(0, |at| at.0)
        };
        Time(self.members.quorum().agreed(arrived))
    }

    /// Whether this node leads and nobody else does, at the time of the input that is handled.
    pub(crate) fn holds_lease(&self) -> bool {
        self.lease_end().is_some_and(|end| self.now < end)
    }

    /// This node is about to answer a heartbeat: for an election timeout it elects nobody.
    pub(crate) fn promise(&mut self) {
        if self.config.lease.is_some() && !self.config.mutated(Mutant::NoPromise) {
            self.promised_until = self.promised_until.max(self.now.plus(self.config.election_timeout));
        }
    }

    /// Whether a leader may count on this node to elect nobody. It holds whatever this node's role, term or leader
    /// has become since: an answer that is given cannot be taken back.
    pub(crate) fn is_promised(&self) -> bool {
        self.config.lease.is_some() && self.now < self.promised_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_millis(300);

    fn at(ms: u64) -> Time {
        Time(0).plus(Duration::from_millis(ms))
    }

    #[test]
    fn rounds_are_known_for_an_election_timeout() {
        let mut grounds = Grounds::default();
        for round in 1..=100 {
            grounds.send(Round(round), at(round * 30), TIMEOUT);
        }
        assert_eq!(grounds.sent_at(Round(0)), None);
        assert_eq!(grounds.sent_at(Round(90)), None);
        assert_eq!(grounds.sent_at(Round(91)), Some(at(91 * 30)));
        assert_eq!(grounds.sent_at(Round(100)), Some(at(3000)));
        assert_eq!(grounds.sent_at(Round(101)), None);
        assert_eq!(grounds.sent.len(), 10);
    }
}
