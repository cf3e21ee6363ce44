//! Leading: the timers of a leader, its heartbeats, and when it gives up.

use std::collections::{BTreeMap, VecDeque};

use crate::id::{Index, NodeId, Round, Time};
use crate::lease::Grounds;
use crate::message::{Envelope, Message};
use crate::mutant::Mutant;
use crate::node::Node;
use crate::priority::Preference;
use crate::reads::LeaderReads;
use crate::replication::progress::Progress;
use crate::role::Role;
use crate::transfer::Transfer;

/// The data of a leader. All of it belongs to one term.
#[derive(Clone, Debug)]
pub(crate) struct Leader {
    /// What is known of each other member, and of those that are leaving.
    pub(crate) progress: BTreeMap<NodeId, Progress>,
    /// Its no-op. When this is committed, so is all that earlier leaders committed.
    pub(crate) first: Index,
    /// The latest heartbeat.
    pub(crate) round: Round,
    /// A heartbeat is due at the next drain.
    pub(crate) beat: bool,
    pub(crate) heartbeat_at: Time,
    /// When to look whether a majority still answers and the disk still writes.
    pub(crate) check_at: Time,
    pub(crate) uncommitted: Uncommitted,
    pub(crate) reads: LeaderReads,
    pub(crate) transfer: Option<Transfer>,
    /// What its lease stands on.
    pub(crate) grounds: Grounds,
    pub(crate) preference: Preference,
}

impl Leader {
    /// The next of its timers.
    pub(crate) fn deadline(&self) -> Time {
        let transfer = self.transfer.as_ref().map_or(self.check_at, |transfer| transfer.deadline);
        self.heartbeat_at.min(self.check_at).min(transfer)
    }
}

/// What of the leader's own term waits for its commit, in bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Uncommitted {
    /// The cost of each entry, oldest first; the last one is the log's last.
    costs: VecDeque<u64>,
    total: u64,
}

impl Uncommitted {
    /// Whether one more fits. An entry larger than the whole limit fits when nothing else waits: otherwise it could
    /// never be proposed at all.
    pub(crate) fn admits(&self, cost: u64, limit: u64) -> bool {
        self.total == 0 || self.total.saturating_add(cost) <= limit
    }

    pub(crate) fn push(&mut self, cost: u64) {
        self.costs.push_back(cost);
        self.total += cost;
    }

    /// All but the last `remaining` entries of the log are committed.
    pub(crate) fn release(&mut self, remaining: u64) {
        while self.costs.len() as u64 > remaining
            && let Some(cost) = self.costs.pop_front()
        {
            self.total -= cost;
        }
    }
}

impl Node {
    /// A timer of the leader is due.
    pub(crate) fn lead_on(&mut self) {
        let Role::Leader(leader) = &mut self.role else { return };
        if leader.heartbeat_at <= self.now {
            leader.beat = true;
        }
        if leader.transfer.as_ref().is_some_and(|transfer| transfer.deadline <= self.now) {
            leader.transfer = None;
            // A handover of one that is no voter any more is its last deed, whether it succeeded or not.
            if self.is_retired() {
                return self.become_follower(self.hard_state.term, None);
            }
        }
        if self.stall_deadline().is_some_and(|deadline| deadline <= self.now) {
            return self.resign();
        }
        let Role::Leader(leader) = &mut self.role else { return };
        if leader.check_at <= self.now {
            leader.check_at = self.now.plus(self.config.election_timeout);
            leader.end_farewells(self.now);
            if self.is_fit_to_lead() {
                let Role::Leader(leader) = &mut self.role else { return };
                leader.progress.values_mut().for_each(|progress| progress.recent = false);
                self.look_for_preferred();
            } else {
                // And with it its heartbeats stop. A leader that nobody can answer, but that goes on to beat, keeps
                // everybody else from electing a better one (cockroach #79699).
                self.be_humble();
                self.become_follower(self.hard_state.term, None);
            }
        }
    }

    /// Whether a majority answered since the last look.
    fn is_fit_to_lead(&self) -> bool {
        let Role::Leader(leader) = &self.role else { return false };
        let own = self.config.id;
        let answers = |id| id == own || leader.progress.get(&id).is_some_and(|progress| progress.recent);
        let has_quorum = self.members.quorum().is_met(answers) || self.config.mutated(Mutant::NoCheckQuorum);
        has_quorum || !self.config.check_quorum
    }

    /// When this leader gives up because its own disk does not answer. Alone it goes on: there is nobody to take over.
    pub(crate) fn stall_deadline(&self) -> Option<Time> {
        let Role::Leader(leader) = &self.role else { return None };
        let since = self.log.waiting_since().filter(|_| !leader.progress.is_empty())?;
        Some(since.plus(self.config.election_timeout))
    }

    /// Whether a write is under way for longer than a group waits for its leader.
    pub(crate) fn is_disk_stalled(&self) -> bool {
        let waits_too_long = |since| self.now.since(since) >= self.config.election_timeout;
        self.log.waiting_since().is_some_and(waits_too_long)
    }

    /// Sends the heartbeats that are due. A round is also what confirms reads, so that one starts when reads wait.
    pub(crate) fn beat(&mut self) {
        let Role::Leader(leader) = &mut self.role else { return };
        let knows_commit = self.commit >= leader.first || self.config.mutated(Mutant::ReadBeforeNoop);
        let wants_round = leader.reads.wants_round() && knows_commit;
        if !leader.beat && !wants_round {
            return;
        }
        leader.beat = false;
        leader.round = Round(leader.round.0 + 1);
        leader.heartbeat_at = self.now.plus(self.config.heartbeat_interval);
        if self.config.lease.is_some() {
            leader.grounds.send(leader.round, self.now, self.config.election_timeout);
        }
        if knows_commit {
            let late = u64::from(self.config.mutated(Mutant::ReadRoundReused));
            leader.reads.start(Round(leader.round.0 - late), self.commit);
        }
        for (&to, progress) in &mut leader.progress {
            // Beyond what the peer acknowledged its log may be another one; what a heartbeat commits is not compared.
            let mut commit = self.commit.min(progress.matched);
            if self.config.mutated(Mutant::HeartbeatCommits) {
                commit = self.commit;
            }
            progress.told = progress.told.max(commit);
            if let Some(farewell) = &mut progress.farewell
                && commit >= farewell.removal
            {
                farewell.round.get_or_insert(leader.round);
            }
            let message = Message::Heartbeat { commit, round: leader.round };
            self.outbox.send(Envelope { from: self.config.id, to, term: self.hard_state.term, message });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_proposal_is_always_admitted() {
        let mut uncommitted = Uncommitted::default();
        assert!(uncommitted.admits(500, 100));
        uncommitted.push(60);
        assert!(uncommitted.admits(40, 100));
        assert!(!uncommitted.admits(41, 100));
        uncommitted.push(40);
        uncommitted.release(1);
        assert_eq!(uncommitted.total, 40);
        uncommitted.release(5);
        assert_eq!(uncommitted.total, 40);
        uncommitted.release(0);
        assert_eq!(uncommitted.total, 0);
    }
}
