//! What a host of many groups needs so that an idle one costs nothing, and busy ones share their heartbeats.
//!
//! A node that is quiet waits for nothing: its next deed would be a heartbeat, or an election because none came. Its
//! host may stop calling it, if it learns by other means that the leader lives, and tells it with
//! [`Node::handle_resumed`] before it goes on. `docs/design/multi.md` says when that is sound.

use crate::id::{NodeId, Time};
use crate::node::Node;
use crate::replication::progress::Mode;
use crate::role::Role;
use crate::role::leader::Leader;

impl Node {
    /// Whether nothing is under way: all of the log is committed, durable and applied here, and, on a leader, held by
    /// every member; nobody waits for an answer. False for who neither leads nor has a leader.
    pub fn is_quiet(&self) -> bool {
        let last = self.log.last().index;
        let is_settled = self.commit == last
            && self.apply.applied() == last
            && self.log.durable() == last
            && self.log.waiting_since().is_none();
        is_settled
            && self.installing.is_none()
            && self.fetches.is_idle()
            && self.forwards.is_idle()
            && self.reads_waiting() == 0
            && match &self.role {
                // All that it holds is committed, and so agrees with any leader.
                Role::Follower(follower) => follower.leader.is_some() && follower.owed.is_none(),
                Role::Leader(leader) => self.is_quiet_leader(leader),
                Role::PreCandidate(_) | Role::Candidate(_) => false,
            }
    }

    fn is_quiet_leader(&self, leader: &Leader) -> bool {
        let last = self.log.last().index;
        let members = self.members.current();
        // What a leader does of itself in time keeps it awake: a handover, a promotion, the way out of a joint
        // membership, its own retirement.
        let is_stable = leader.transfer.is_none()
            && self.pending_change().is_none()
            && members.auto_promote.is_empty()
            && members.is_voter(self.config.id);
        is_stable
            && !leader.beat
            && leader.progress.values().all(|peer| {
                peer.mode == Mode::Replicate
                    && peer.matched == last
                    && peer.told >= self.commit
                    && peer.farewell.is_none()
                    && peer.fetch.is_none()
                    && !peer.nudge
            })
    }

    /// The host did not call this node for a while, and goes on now. `seen` tells when a member was last known to live
    /// and to agree that nothing happens.
    ///
    /// A follower has heard of its leader then: it waits one to two election timeouts *from that moment*, no longer, and
    /// until one is over refuses others. A leader beats at once and has an election timeout to hear from a majority;
    /// what was answered before the pause does not count for that.
    pub fn handle_resumed(&mut self, now: Time, seen: impl Fn(NodeId) -> Option<Time>) {
        self.advance(now);
        let timeout = self.config.election_timeout;
        let spread = self.random.below(timeout);
        match &mut self.role {
            Role::Follower(follower) => {
                if let Some(at) = follower.leader.and_then(seen) {
                    follower.contact = follower.contact.max(Some(at));
                    follower.deadline = follower.deadline.max(at.plus(timeout + spread));
                }
            }
            Role::Leader(leader) => {
                leader.beat = true;
                leader.check_at = self.now.plus(timeout);
                for (peer, progress) in &mut leader.progress {
                    progress.resumed(seen(*peer));
                }
            }
            Role::PreCandidate(_) | Role::Candidate(_) => {}
        }
        self.check();
    }

    /// A leader sends its next heartbeat with the next drain instead of later, so that the heartbeats of many groups
    /// go together. Changes nothing on others.
    pub fn hasten_heartbeat(&mut self, now: Time) {
        self.advance(now);
        if let Role::Leader(leader) = &mut self.role {
            leader.beat = true;
        }
        self.check();
    }

    /// When a leader beats next; `None` on others.
    pub fn heartbeat_at(&self) -> Option<Time> {
        match &self.role {
            Role::Leader(leader) => Some(leader.heartbeat_at),
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => None,
        }
    }
}
