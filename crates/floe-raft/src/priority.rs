//! Preferred leaders: some machines are nearer to the clients, or better than others.
//!
//! A priority changes *when* a node campaigns and *whether* a leader hands over, and nothing else. It is no ground to refuse
//! a vote, and no node waits for one that it prefers: elections by priority that do stand still as soon as the
//! preferred node is dead, or has a log that is behind (NuRaft #30, #51, #553). At most one election timeout is added to
//! the others' wait; after that they are elected like anybody.
//!
//! A node knows its own priority alone. A leader that has not the highest asks the others, at each of its looks, whether one
//! of them has a higher one, and hands over to the highest that answered and is caught up. It tries seldom, and one that
//! had to give up leading for its disk or its connections does not answer for a while: a preferred node that cannot lead
//! would otherwise be made leader again and again.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::id::{NodeId, Time};
use crate::message::{Envelope, Message};
use crate::node::Node;
use crate::role::Role;
use crate::role::leader::Leader;

/// Who would rather lead, as far as a leader knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Preference {
    /// Those with a higher priority that answered since the last look.
    rivals: BTreeMap<NodeId, u8>,
    /// When a handover may be tried again.
    not_before: Option<Time>,
}

/// How many election timeouts a leader waits between two tries to hand over to a preferred node.
const PAUSE: u32 = 10;
/// For how many election timeouts a node that had to give up leading does not ask for it.
const HUMILITY: u32 = 20;

impl Node {
    /// How much longer than the most preferred node this one waits, of a time that they would both wait.
    pub(crate) fn deference(&self, wait: Duration) -> Duration {
        wait * u32::from(u8::MAX - self.config.priority) / u32::from(u8::MAX)
    }

    /// Hands over to a preferred node, if one is ready, and asks who would be.
    pub(crate) fn look_for_preferred(&mut self) {
        if self.config.priority == u8::MAX {
            return;
        }
        let Role::Leader(leader) = &mut self.role else { return };
        let rivals = std::mem::take(&mut leader.preference.rivals);
        let may_try = leader.preference.not_before.is_none_or(|time| time <= self.now);
        let is_busy = leader.transfer.is_some() || self.pending_change().is_some();
        let Role::Leader(leader) = &self.role else { return };
        let ready = rivals.into_iter().filter(|(id, _)| self.could_take_over(leader, *id));
        let best = ready.max_by_key(|(id, priority)| (*priority, Reverse(*id)));
        if let Some((to, _)) = best.filter(|_| may_try && !is_busy && self.commit >= leader.first) {
            let pause = self.now.plus(self.config.election_timeout * PAUSE);
            if self.start_transfer(to).is_ok()
                && let Role::Leader(leader) = &mut self.role
            {
                leader.preference.not_before = Some(pause);
            }
            return;
        }
        let current = self.members.current();
        let candidates = leader.progress.keys().filter(|id| current.may_lead(**id));
        let (from, term) = (self.config.id, self.hard_state.term);
        let message = Message::Priority { priority: self.config.priority };
        for &to in candidates {
            self.outbox.send(Envelope { from, to, term, message: message.clone() });
        }
    }

    /// Whether a handover to this node would take but a moment, in which proposals are refused.
    fn could_take_over(&self, leader: &Leader, id: NodeId) -> bool {
        let current = self.members.current();
        leader.progress.get(&id).is_some_and(|progress| {
            current.voters.contains(&id)
                && !current.is_witness(id)
                && progress.is_active(self.now, self.config.election_timeout)
                && progress.matched.plus(self.config.promotion_lag) >= self.log.last().index
        })
    }

    /// A leader says what its priority is, or a follower that its own is higher.
    pub(crate) fn handle_priority(&mut self, from: NodeId, priority: u8) {
        let own = self.config.priority;
        match &mut self.role {
            Role::Leader(leader) if priority > own && leader.progress.contains_key(&from) => {
                leader.preference.rivals.insert(from, priority);
            }
            Role::Follower(follower) if follower.leader == Some(from) && own > priority => {
                let is_fit = self.installing.is_none() && !self.is_disk_stalled();
                if is_fit && self.may_campaign() && self.humble_until.is_none_or(|time| time <= self.now) {
                    self.send(from, Message::Priority { priority: own });
                }
            }
            Role::Leader(_) | Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => {}
        }
    }

    /// This node led and was of no use.
    pub(crate) fn be_humble(&mut self) {
        self.humble_until = Some(self.now.plus(self.config.election_timeout * HUMILITY));
    }
}
