//! What hosts and their operator do about the membership: ask for changes and ask again, start those who join, stop
//! those who left, and never let an id have a second disk.

use std::collections::BTreeSet;

use floe_raft::{LogId, Membership, MembershipChange, MembershipError, MembershipOperation, NodeId, Time};

use crate::action::Action;
use crate::change::{Free, Step, resolve};
use crate::check::Checked;
use crate::clock::{MS, SECOND};
use crate::marks::Mark;
use crate::mutant::HostMutant;
use crate::storage::Storage;
use crate::trace::Happening;
use crate::world::{At, Event, Mend, World};

/// A change that somebody asks a leader for.
#[derive(Clone, Debug)]
pub(crate) struct WantedChange {
    pub(crate) steps: Vec<Step>,
    pub(crate) forced: bool,
    /// How many times it is still asked for when the answer is that it should be.
    pub(crate) tries: u32,
    /// These very operations, instead of what the steps mean at that moment.
    pub(crate) operations: Option<Vec<MembershipOperation>>,
}

impl World {
    /// The leader is asked for a change.
    pub(crate) fn start_change(&mut self, host: usize, local: Time, wanted: &WantedChange) -> Checked {
        // After the healing nobody tends the group any more.
        if self.core.is_some() {
            return Ok(());
        }
        let free = self.free_nodes();
        let Some(life) = self.hosts[host].life.as_mut() else { return Ok(()) };
        let membership = life.node.membership();
        let strangers = free.into_iter().filter(|node| !membership.contains(*node));
        let (witnesses, with_data): (BTreeSet<NodeId>, BTreeSet<NodeId>) =
            strangers.partition(|node| self.plan.witnesses.contains(node));
        let free = Free { with_data, witnesses };
        let operations = match &wanted.operations {
            Some(operations) => operations.clone(),
            None => resolve(&wanted.steps, membership, life.node.id(), &free),
        };
        let change = MembershipChange { operations, forced: wanted.forced };
        let outcome = life.node.change_membership(local, &change);
        let node = life.node.id();
        let said = match &outcome {
            Ok(_) => "accepted",
            Err(MembershipError::NotLeader { .. }) => "not the leader",
            Err(MembershipError::Pending { .. }) => "pending",
            Err(MembershipError::Busy) => "busy",
            Err(MembershipError::NotCaughtUp { .. }) => "not caught up",
            Err(MembershipError::Silent { .. }) => "silent",
            Err(MembershipError::Unhealthy { .. }) => "unhealthy",
            Err(MembershipError::Invalid(_)) => "invalid",
        };
        self.note(&Happening::Change { node, operations: change.operations.len() as u64, outcome: said });
        match outcome {
            Ok(_) => return self.welcome(&change.operations),
            // There is nobody for it, or it makes no sense any more.
            Err(MembershipError::Invalid(_)) => {}
            Err(_) if wanted.tries > 1 => {
                let WantedChange { steps, forced, tries, operations: _ } = wanted.clone();
                let again = Action::Change { steps, forced, tries: tries - 1 };
                let later = self.plan.election_timeout_max() / 2;
                self.queue.push(self.now.plus(later), Event::Mend(Mend::Again(again)));
            }
            Err(_) => {}
        }
        Ok(())
    }

    /// Those who may be added: their disk is there, they were not stopped, and they are not about to be.
    fn free_nodes(&self) -> Vec<NodeId> {
        let is_free = |host: &&crate::host::Host| !host.wiped && !host.retired && !host.leaving;
        self.hosts.iter().filter(is_free).map(|host| host.id).collect()
    }

    /// Starts those who join, if they do not run yet.
    fn welcome(&mut self, operations: &[MembershipOperation]) -> Checked {
        for operation in operations {
            let (MembershipOperation::AddLearner { node, .. }
            | MembershipOperation::AddVoter { node, .. }
            | MembershipOperation::AddWitness { node, .. }) = operation
            else {
                continue;
            };
            let Some(host) = self.position(*node) else { continue };
            if self.mutant == Some(HostMutant::ReuseRemovedId) && self.hosts[host].lives.0 > 0 {
                self.crash(host, 10 * MS)?;
                self.hosts[host].storage = Storage::new(*node, &Membership::default(), &self.plan.host);
                self.check.memberships.replaced(*node);
            }
            if self.hosts[host].storage.image().last() != LogId::ZERO {
                self.marks.reach(Mark::AddedAgain);
            }
            if self.hosts[host].lives.0 == 0 {
                let soon = self.plan.host.takes(&mut self.host_rng, 100 * MS);
                self.queue.push(self.now.plus(soon), Event::Restart(host));
            }
        }
        Ok(())
    }

    /// A node has applied that it is a member no more: it may be stopped, for good.
    pub(crate) fn left(&mut self, host: usize) {
        if !self.plan.host.stops_removed || self.hosts[host].leaving {
            return;
        }
        self.hosts[host].leaving = true;
        let at = self.at(host);
        let later = self.plan.host.takes(&mut self.host_rng, SECOND);
        self.queue.push(self.now.plus(later), Event::Stop(at));
    }

    /// Stops a removed node, unless it was added again meanwhile.
    pub(crate) fn stop(&mut self, at: At) -> Checked {
        let id = self.hosts[at.host].id;
        self.hosts[at.host].leaving = false;
        if self.core.is_some() || self.memberships_that_count().any(|membership| membership.contains(id)) {
            return Ok(());
        }
        self.cause = crate::trace::EventId(0);
        self.cause = self.note(&Happening::Retired { node: id });
        self.crash(at.host, 0)?;
        self.hosts[at.host].retired = true;
        Ok(())
    }

    /// The memberships by which somebody may still decide something: the last committed one, and all that were appended
    /// since, wherever.
    pub(crate) fn memberships_that_count(&self) -> impl Iterator<Item = &Membership> {
        let committed = self.check.commits.membership();
        let memberships = &self.check.memberships;
        let later = memberships.after(self.check.commits.last());
        std::iter::once(memberships.of(committed)).chain(later)
    }
}
