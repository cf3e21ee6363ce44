//! Membership changes under way: what a leader must know before it starts one, what it does when one is committed,
//! and how it parts with those who leave. The argument is in `docs/design/membership.md`.
//!
//! There is one path for all changes. A membership entry is in force from the moment it is in the log, and there is
//! at most one that is not committed. Everything that follows from a committed one (leaving a joint membership,
//! promoting a learner, stepping down) is decided anew at every drain from the membership in force and the commit
//! index alone. No flag remembers that something is still to be done, so that none can be lost with a leader, and
//! nothing can be done twice (etcd #12136, #12582).

use bytes::{Bytes, BytesMut};

use crate::change::{MembershipChange, MembershipOperation};
use crate::codec::encode_membership;
use crate::effect::Effect;
use crate::entry::{Entry, EntryKind};
use crate::error::MembershipError;
use crate::id::{Index, LogId, NodeId, Time};
use crate::membership::Membership;
use crate::mutant::Mutant;
use crate::node::Node;
use crate::replication::progress::{Farewell, Progress};
use crate::role::Role;
use crate::role::leader::Leader;
use crate::transfer::Transfer;

impl Node {
    /// Puts a change into the log, if it is sound and can be committed.
    pub(crate) fn start_change(&mut self, change: &MembershipChange) -> Result<LogId, MembershipError> {
        let Role::Leader(leader) = &self.role else {
            return Err(MembershipError::NotLeader { hint: self.leader() });
        };
        if let Some(index) = self.must_commit_first(leader) {
            return Err(MembershipError::Pending { index });
        }
        // The target of a handover would never catch up, and its order to campaign names the last entry.
        if leader.transfer.is_some() {
            return Err(MembershipError::Busy);
        }
        let next = self.members.current().changed(&change.operations).map_err(MembershipError::Invalid)?;
        for operation in &change.operations {
            if let MembershipOperation::Promote { node } = operation {
                self.check_caught_up(leader, *node)?;
            }
        }
        let entered = self.members.current().towards(next);
        if !change.forced {
            self.check_health(leader, &entered)?;
        }
        let payload = encoded(&entered);
        if payload.len() as u64 > self.config.command_bytes {
            return Err(MembershipError::Invalid("the membership is larger than a command may be"));
        }
        Ok(self.append_membership(entered, payload))
    }

    /// The entry that must be committed before a change may start, if any.
    ///
    /// Of the leader's own term one must be (Ongaro, raft-dev, July 2015). Without that, two changes by one server,
    /// each sound by itself, make disjoint majorities. The group is {1 2 3 4}. In term 1 its leader 1 appends
    /// {1 2 3 4 5} to its own log alone. In term 2 node 2 leads, by the votes of 3 and 4, appends {2 3 4}, and
    /// commits it with 3: a majority of three. Then 1 comes back with the old log and campaigns. By its own
    /// membership it needs three votes of five: its own, that of 4, which lacks the entry of term 2, and that of 5,
    /// which is new. It leads in term 3, and commits the addition of 5 with 4 and 5 over what was committed. Had 2
    /// committed its no-op with a majority of {1 2 3 4} first, either 4 would hold it and refuse its vote, or 1 would, and its addition of 5
    /// would be gone.
    fn must_commit_first(&self, leader: &Leader) -> Option<Index> {
        let at = self.members.current_at();
        if self.commit < leader.first && !self.config.mutated(Mutant::ChangeBeforeNoop) {
            Some(leader.first)
        } else if self.commit < at && !self.config.mutated(Mutant::TwoChanges) {
            Some(at)
        } else if self.members.current().is_joint() {
            // It is left at the next drain, at the latest when a handover is over.
            Some(self.log.last().index.next())
        } else {
            None
        }
    }

    /// A learner that is far behind or gone would be a voter that holds up every commit, when one of the others
    /// fails (thesis 4.2.1).
    fn check_caught_up(&self, leader: &Leader, node: NodeId) -> Result<(), MembershipError> {
        let Some(progress) = leader.progress.get(&node) else {
            return Err(MembershipError::Silent { node });
        };
        if !progress.is_active(self.now, self.config.election_timeout) {
            return Err(MembershipError::Silent { node });
        }
        // At least something of this term, since a log that is short altogether proves nothing.
        let needed =
            Index(self.log.last().index.0.saturating_sub(self.config.promotion_lag)).max(leader.first);
        if progress.matched < needed {
            return Err(MembershipError::NotCaughtUp { node, matched: progress.matched, needed });
        }
        Ok(())
    }

    /// Whether those that answer now could commit the membership, and go on under it. To remove a voter that lives
    /// while another is dead can leave a group that never commits again.
    fn check_health(&self, leader: &Leader, membership: &Membership) -> Result<(), MembershipError> {
        let is_active = |id: &NodeId| {
            *id == self.config.id
                || leader.progress.get(id).is_some_and(|progress| {
                    progress.farewell.is_none() && progress.is_active(self.now, self.config.election_timeout)
                })
        };
        for voters in [&membership.voters, &membership.outgoing] {
            let active = voters.iter().filter(|id| is_active(id)).count();
            let needed = voters.len() / 2 + 1;
            if !voters.is_empty() && active < needed {
                return Err(MembershipError::Unhealthy { active, needed });
            }
        }
        Ok(())
    }

    /// In force from here on, on this node; on the others, when it reaches them.
    fn append_membership(&mut self, membership: Membership, payload: Bytes) -> LogId {
        let id = LogId::new(self.hard_state.term, self.log.last().index.next());
        let entry = Entry { id, kind: EntryKind::Membership, payload };
        let Role::Leader(leader) = &mut self.role else { return id };
        leader.uncommitted.push(entry.cost());
        leader.meet(self.config.id, id.index, &membership);
        self.log.append(entry);
        self.members.push(id.index, membership.clone());
        self.outbox.push(Effect::MembershipChanged(membership));
        id
    }

    /// Goes on with what a committed membership asks for. Called at every drain.
    pub(crate) fn advance_membership(&mut self) {
        let Role::Leader(leader) = &mut self.role else { return };
        leader.time_farewells(self.commit, self.now.plus(self.config.election_timeout * 2));
        let current = self.members.current();
        let is_settled = self.commit >= leader.first.max(self.members.current_at())
            || (current.is_joint() && self.config.mutated(Mutant::JointLeftEarly));
        if !is_settled || leader.transfer.is_some() {
            return;
        }
        let is_own = self.members.current_at() >= leader.first;
        if current.is_joint() && !is_own && self.config.mutated(Mutant::JointForgotten) {
            return;
        }
        if current.is_joint() {
            // Committed by both sets, as a joint membership must be before it is left, whoever proposed it
            // (camunda #61854): `advance_commit` counts by it as long as it is in force.
            let next = current.left();
            let payload = encoded(&next);
            self.append_membership(next, payload);
        } else if !current.is_voter(self.config.id) {
            self.retire();
        } else if !current.auto_promote.is_empty() {
            self.promote_learners();
        }
    }

    /// This leader is no voter any more. It led until that was committed, for nobody else may have held the entry
    /// (thesis 4.2.2). Now it hands over to the voter that is closest to its own log, and steps down when that one
    /// leads, or when the time for it is over (`lead_on`).
    fn retire(&mut self) {
        let Some((to, _)) = self.successor() else { return };
        let deadline = self.now.plus(self.config.election_timeout);
        let Role::Leader(leader) = &mut self.role else { return };
        leader.transfer = Some(Transfer { to, deadline, invited: false });
    }

    /// Promotes the first learner that asked for it and is caught up. One at a time: each is a change by one voter.
    fn promote_learners(&mut self) {
        let Role::Leader(leader) = &self.role else { return };
        let current = self.members.current();
        let is_ready = |node: &&NodeId| self.check_caught_up(leader, **node).is_ok();
        let Some(&node) = current.auto_promote.iter().find(is_ready) else { return };
        let Ok(next) = current.changed(&[MembershipOperation::Promote { node }]) else { return };
        if self.check_health(leader, &next).is_ok() {
            let payload = encoded(&next);
            self.append_membership(next, payload);
        }
    }

    /// The entry of the change that is under way, if one is.
    pub(crate) fn pending_change(&self) -> Option<Index> {
        let at = self.members.current_at();
        (self.commit < at || self.members.current().is_joint()).then_some(at)
    }

    /// Whether this node leads without a vote, by a membership that is committed.
    pub(crate) fn is_retired(&self) -> bool {
        self.commit >= self.members.current_at() && !self.members.current().is_voter(self.config.id)
    }

    /// Whether this node may be needed to lead.
    ///
    /// A node that is absent from its own membership may be, as long as that is not known to be committed (thesis
    /// 4.2.2). Of {1 2} the leader 1 appends {2}, and crashes before 2 has it. 2 needs the vote of 1, which refuses
    /// it, because its own log is longer. Only 1 can lead, by the vote of 2 alone.
    pub(crate) fn may_campaign(&self) -> bool {
        let own = self.config.id;
        // Nobody could be brought up to date by it.
        if self.config.witness {
            return false;
        }
        let was_voter = || self.members.previous().is_some_and(|membership| membership.is_voter(own));
        self.members.current().is_voter(own) || (self.commit < self.members.current_at() && was_voter())
    }

    /// A peer that is leaving speaks of a higher term: whether it did, and is not spoken to any more.
    ///
    /// It campaigned before it heard that it is out. Its campaigns are not listened to, but its answers to this
    /// leader's messages would depose it all the same, were they taken like those of a member.
    pub(crate) fn end_farewell(&mut self, peer: NodeId) -> bool {
        let Role::Leader(leader) = &mut self.role else { return false };
        let is_leaving = leader.progress.get(&peer).is_some_and(|progress| progress.farewell.is_some());
        if is_leaving {
            leader.progress.remove(&peer);
        }
        is_leaving
    }
}

impl Leader {
    /// A membership comes into force: new members are spoken to from now on, and those who leave until they know it.
    fn meet(&mut self, own: NodeId, at: Index, membership: &Membership) {
        let members = membership.members();
        for (id, progress) in &mut self.progress {
            if members.contains(id) {
                progress.farewell = None;
            } else if progress.farewell.is_none() {
                progress.farewell = Some(Farewell { removal: at, round: None, deadline: None });
            }
        }
        for id in members.into_iter().filter(|id| *id != own) {
            let witness = membership.is_witness(id);
            self.progress.entry(id).or_insert_with(|| Progress::added(at, witness));
        }
    }

    /// From the commit of its removal on, a peer has until `deadline` to answer.
    fn time_farewells(&mut self, commit: Index, deadline: Time) {
        let farewells = self.progress.values_mut().filter_map(|progress| progress.farewell.as_mut());
        for farewell in farewells.filter(|farewell| farewell.removal <= commit) {
            farewell.deadline.get_or_insert(deadline);
        }
    }

    /// Lets go of those that did not answer in time.
    pub(crate) fn end_farewells(&mut self, now: Time) {
        self.progress.retain(|_, progress| {
            let deadline = progress.farewell.as_ref().and_then(|farewell| farewell.deadline);
            deadline.is_none_or(|deadline| now < deadline)
        });
    }
}

fn encoded(membership: &Membership) -> Bytes {
    let mut payload = BytesMut::new();
    encode_membership(membership, &mut payload);
    payload.freeze()
}
