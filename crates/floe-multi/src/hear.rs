//! What beats and the passing of time tell about other machines.

use floe_raft::{Envelope, GroupId, Message, NodeId, Term, Time};

use crate::beat::{Answer, Beat, Echo, Heartbeat, Vouch};
use crate::machine::Sign;
use crate::node::MultiNode;

impl MultiNode {
    /// A beat arrived. What it carries for groups that are not here is ignored.
    pub fn handle_beat(&mut self, now: Time, beat: Beat) {
        self.advance(now);
        let Beat { from, to, life, stamp, echo, vouch, refusals, heartbeats, answers } = beat;
        if to != self.config.id || from == to || from.0 == 0 {
            return;
        }
        // An old one vouches for nothing, but its heartbeats are as good as any that come late.
        let (own, ours) = (self.config.life, self.stamp);
        let answered = echo.filter(|echo| echo.life == own && echo.stamp <= ours).map(|echo| echo.stamp);
        let sign = self.machine(from).map(|machine| machine.hear(now, (life, stamp), answered, ours));
        self.has_beats = true;
        match sign {
            Some(Sign::Restarted) => {
                self.gone(from);
                self.hear(from, echo, &vouch, &refusals);
            }
            Some(Sign::Alive) => self.hear(from, echo, &vouch, &refusals),
            Some(Sign::Old) | None => {}
        }
        for Heartbeat { group, term, commit, round } in heartbeats {
            let message = Message::Heartbeat { commit, round };
            self.deliver(group, Envelope { from, to, term, message });
        }
        for Answer { group, term, round } in answers {
            self.deliver(group, Envelope { from, to, term, message: Message::HeartbeatReply { round } });
        }
    }

    /// The time of [`MultiNode::poll_timeout`] came. Early or repeated calls do nothing.
    pub fn handle_timeout(&mut self, now: Time) {
        self.advance(now);
        let now = self.now;
        let mut is_beat = false;
        for group in self.timers.due(now) {
            let Some(known) = self.groups.get_mut(&group) else { continue };
            is_beat |= known.node.heartbeat_at().is_some_and(|at| at <= now);
            known.node.handle_timeout(now);
            self.look_at(group);
        }
        self.notice_silence();
        let patience = self.config.election_timeout;
        let is_due =
            self.beat_at <= now && self.machines.values().any(|machine| machine.wants_beats(now, patience));
        if is_beat || is_due {
            self.beat();
        }
    }

    /// The machine's process is known to be dead, as in [`floe_raft::Node::handle_peer_gone`]: all groups are told.
    pub fn handle_peer_gone(&mut self, now: Time, peer: NodeId) {
        self.advance(now);
        self.gone(peer);
        if let Some(machine) = self.machines.get_mut(&peer) {
            machine.heard = None;
        }
    }

    /// All that lead here and are awake beat, and with them the machine itself.
    fn beat(&mut self) {
        let now = self.now;
        let leading = self.leading.iter().copied().collect::<Vec<_>>();
        for group in leading {
            if let Some(known) = self.groups.get_mut(&group) {
                known.node.hasten_heartbeat(now);
                self.look_at(group);
            }
        }
        let patience = self.config.election_timeout;
        for machine in self.machines.values_mut() {
            machine.due |= machine.wants_beats(now, patience);
            self.has_beats |= machine.due;
        }
        self.beat_at = now.plus(self.config.heartbeat_interval);
    }

    /// A heartbeat or an answer to one. It does not keep a group from counting as idle, and does not by itself wake it:
    /// a sleeping leader that woke for a late answer would beat, and wake for the answers to that, for ever.
    fn deliver(&mut self, group: GroupId, envelope: Envelope) {
        if let Some(known) = self.groups.get_mut(&group) {
            known.node.handle_message(self.now, envelope);
            self.look_at(group);
        }
    }

    /// Takes in what a machine says of itself and of us.
    fn hear(&mut self, from: NodeId, echo: Option<Echo>, vouch: &Vouch, refusals: &[(GroupId, Term)]) {
        let (now, stamp) = (self.now, self.stamp);
        let Self { machines, groups, .. } = self;
        let Some(machine) = machines.get_mut(&from) else { return };
        let mut affected = Vec::new();
        let mut disturbed = Vec::new();
        // An echo of an earlier life of ours says that it has not heard this one.
        if let Some(echo) = echo.filter(|echo| echo.life == self.config.life && echo.stamp <= stamp) {
            machine.echoed = machine.echoed.max(Time(echo.stamp));
            affected.extend(machine.vouching.acknowledge(echo.version));
            let refused = refusals.iter().filter(|(group, term)| machine.vouching.contains(*group, *term));
            disturbed.extend(refused.map(|(group, _)| *group));
        }
        match machine.vouched.hear(now, vouch, |group| groups.contains_key(&group)) {
            Some(changed) => {
                machine.due |= !changed.is_empty();
                affected.extend(changed);
            }
            // It learns that by the version in our echo, and tells everything.
            None => {
                affected.extend(machine.vouched.forget());
                machine.due = true;
            }
        }
        self.has_beats |= machine.due;
        disturbed.into_iter().for_each(|group| self.touch(group));
        affected.into_iter().for_each(|group| self.look_at(group));
    }

    /// Machines that should have been heard.
    fn notice_silence(&mut self) {
        let (now, patience) = (self.now, self.config.election_timeout);
        let mut affected = Vec::new();
        for machine in self.machines.values_mut() {
            if machine.silent_at(patience).is_none_or(|at| at > now) {
                continue;
            }
            if machine.echoed.plus(patience) <= now {
                affected.extend(machine.vouching.clear());
            }
            if machine.vouched.at.is_none_or(|at| at.plus(patience) <= now) {
                affected.extend(machine.vouched.forget());
            }
            // Perhaps it hears us: it learns that we do not hear it.
            machine.due = true;
            self.has_beats = true;
        }
        affected.into_iter().for_each(|group| self.touch(group));
    }

    /// A machine's process is dead. What it vouched for is over, and every group that it is a member of is told.
    fn gone(&mut self, peer: NodeId) {
        if let Some(machine) = self.machines.get_mut(&peer) {
            let mut affected = machine.vouching.clear();
            affected.extend(machine.vouching.acknowledge(0));
            affected.extend(machine.vouched.forget());
            affected.into_iter().for_each(|group| self.touch(group));
        }
        let concerned = self
            .groups
            .iter()
            .filter(|(_, group)| group.node.leader() == Some(peer) || group.node.membership().contains(peer));
        let concerned = concerned.map(|(group, _)| *group).collect::<Vec<_>>();
        for group in concerned {
            self.input(self.now, group, |node, now| node.handle_peer_gone(now, peer));
        }
    }
}
