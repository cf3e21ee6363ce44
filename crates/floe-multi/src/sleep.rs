//! Who sleeps. Decided anew from facts whenever something happened in a group or is said about it; nothing remembers
//! that a group should sleep or wake. The rules and the bugs that they prevent are in `docs/design/multi.md`.

use floe_raft::{GroupId, NodeId, Term};

use crate::group::Group;
use crate::node::MultiNode;

impl MultiNode {
    /// Whether the group's members agree, as far as this machine knows, that nothing happens.
    pub(crate) fn may_sleep(&self, group: GroupId) -> bool {
        let Some(known) = self.groups.get(&group) else { return false };
        if self.config.quiesce_after.is_none() || !known.node.is_quiet() {
            return false;
        }
        let term = known.node.term();
        if known.node.is_leader() {
            self.is_idle(known) && self.is_agreed(group, known, term)
        } else {
            let leader = known.node.leader().and_then(|leader| self.machines.get(&leader));
            leader.is_some_and(|machine| machine.vouched.term(group) == Some(term))
        }
    }

    fn is_idle(&self, group: &Group) -> bool {
        let idle = group.idle_since.map(|since| self.now.since(since));
        idle.zip(self.config.quiesce_after).is_some_and(|(idle, after)| idle >= after)
    }

    fn is_agreed(&self, group: GroupId, known: &Group, term: Term) -> bool {
        let agrees =
            |peer| self.machines.get(&peer).is_some_and(|machine| machine.vouching.is_agreed(group, term));
        self.others(known).into_iter().all(agrees)
    }

    fn others(&self, group: &Group) -> Vec<NodeId> {
        let mut members = group.node.membership().members();
        members.remove(&self.config.id);
        members.into_iter().collect()
    }

    /// Ends a pause: the node learns how long it was before anything else happens to it.
    pub(crate) fn wake(&mut self, group: GroupId) {
        let Self { groups, machines, now, .. } = self;
        let Some(known) = groups.get_mut(&group) else { return };
        if !std::mem::take(&mut known.asleep) {
            return;
        }
        let leads = known.node.is_leader();
        // What a leader knows of a member is its echo; what a member knows of its leader is the last beat that it
        // could follow.
        known.node.handle_resumed(*now, |peer| {
            let machine = machines.get(&peer)?;
            let at = if leads { Some(machine.echoed) } else { machine.vouched.at };
            at.map(|at| at.min(*now))
        });
        self.look_at(group);
    }

    /// After a group's drain: what to vouch for, what to refuse, and whether it sleeps.
    pub(crate) fn decide(&mut self, group: GroupId) {
        self.vouch(group);
        self.refuse(group);
        let asleep = self.may_sleep(group);
        let Some(known) = self.groups.get_mut(&group) else { return };
        // One that slept and may not any more was woken before its drain; what changed since puts it back in line.
        if known.asleep && !asleep {
            return self.look_at(group);
        }
        known.asleep = asleep;
        let deadline = if asleep { None } else { known.node.poll_timeout() };
        self.timers.arm(group, &mut known.armed, deadline);
        if known.node.is_leader() && !asleep {
            self.leading.insert(group);
        } else {
            self.leading.remove(&group);
        }
    }

    /// Vouches for a group that is led here and idle, and withdraws it when it is not.
    fn vouch(&mut self, group: GroupId) {
        let (now, patience) = (self.now, self.config.election_timeout);
        let Some(known) = self.groups.get_mut(&group) else { return };
        let term = known.node.term();
        let is_quiet = known.node.is_leader() && known.node.is_quiet();
        known.idle_since = if is_quiet { known.idle_since.or(Some(now)) } else { None };
        let Some(known) = self.groups.get(&group) else { return };
        let mut to = Vec::new();
        if self.is_idle(known) {
            to = self.others(known);
            // To a silent machine nothing is vouched for that is not already: it could not agree.
            let is_there = |peer: &NodeId| {
                self.machines.get(peer).is_some_and(|machine| {
                    machine.vouching.contains(group, term) || machine.is_alive(now, patience)
                })
            };
            if !to.iter().all(is_there) {
                to.clear();
            }
        }
        let Some(known) = self.groups.get_mut(&group) else { return };
        if known.vouched_to.is_empty() && to.is_empty() {
            return;
        }
        let before = std::mem::replace(&mut known.vouched_to, to.clone());
        for peer in before.into_iter().filter(|peer| !to.contains(peer)) {
            let Some(machine) = self.machines.get_mut(&peer) else { continue };
            machine.due |= machine.vouching.remove(group);
            self.has_beats |= machine.due;
        }
        for peer in to {
            let Some(machine) = self.machines.get_mut(&peer) else { continue };
            if machine.vouching.is_empty() {
                machine.echoed = machine.echoed.max(now);
            }
            machine.due |= machine.vouching.insert(group, term);
            self.has_beats |= machine.due;
        }
    }

    /// Refuses what is vouched for and not so here. Any machine may vouch: one that is not this group's leader as well.
    fn refuse(&mut self, group: GroupId) {
        if self.machines.values().all(|machine| machine.vouched.is_empty()) {
            return;
        }
        let agreed = self.may_sleep(group);
        let Some(known) = self.groups.get(&group) else { return };
        let leader = known.node.leader().filter(|_| agreed && !known.node.is_leader());
        for (peer, machine) in &mut self.machines {
            if machine.vouched.is_empty() {
                continue;
            }
            let refused = machine.vouched.term(group).is_some() && Some(*peer) != leader;
            machine.due |= machine.vouched.set_refused(group, refused);
            self.has_beats |= machine.due;
        }
    }
}
