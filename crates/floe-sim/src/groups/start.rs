//! Deaths and births of processes, and what is compared when they happen.

use std::collections::BTreeMap;

use floe_multi::{MultiConfig, MultiNode};
use floe_raft::{Config, GroupId, Index, NodeId, Restored};

use super::group::GroupLife;
use super::world::{Event, GroupsWorld, Host, Life};
use crate::check::{Checked, Invariant, broken};
use crate::clock::{MS, Moment};
use crate::image::LogImage;
use crate::trace::{EventId, Happening};

impl GroupsWorld {
    /// A process dies; what it had under way on its disk may or may not be there.
    pub(crate) fn crash(&mut self, host: usize, down: u64) -> Checked {
        let machine = &mut self.hosts[host];
        machine.crash_after = None;
        machine.failing = None;
        machine.paused_until = None;
        let Some(life) = machine.life.take() else { return Ok(()) };
        let node = machine.id;
        machine.disk.crash(life.writing, &mut self.disk_rng);
        self.trace.record(self.now, EventId(0), &Happening::Crashed { node });
        self.queue.push(self.now.plus(down), Event::Restart(host));
        if self.plan.host.peer_gone {
            self.tell_of_death(host);
        }
        Ok(())
    }

    fn tell_of_death(&mut self, dead: usize) {
        let peer = self.hosts[dead].id;
        for host in 0..self.hosts.len() {
            let id = self.hosts[host].id;
            let reachable = self.net.delivers(id, peer) && self.net.delivers(peer, id);
            if host != dead && self.hosts[host].life.is_some() && reachable {
                let soon = self.now.plus(self.host_rng.exponential(MS));
                let at = self.at(host);
                self.queue.push(soon, Event::PeerGone { at, peer });
            }
        }
    }

    /// Starts a process from what is on its disk. Its state machines begin anew, and the logs are applied again.
    pub(crate) fn restart(&mut self, host: usize) -> Checked {
        let tail = self.plan.host.restored_tail;
        let (life, quiesce_after) = (self.host_rng.number(), self.quiesce_after);
        let machine = &mut self.hosts[host];
        if machine.life.is_some() || machine.wiped {
            return Ok(());
        }
        machine.disk.open()?;
        let (id, now) = (machine.id, machine.clock.local(self.now));
        let Config { heartbeat_interval, election_timeout, .. } = self.plan.config;
        let config = MultiConfig { id, life, heartbeat_interval, election_timeout, quiesce_after };
        let cannot = |error: String| broken(Invariant::Restarts, format!("n{id} cannot start: {error}"));
        let mut multi = MultiNode::new(now, config).map_err(|error| cannot(error.to_string()))?;
        let mut groups = BTreeMap::new();
        for group in &mut self.groups {
            if !group.membership.contains(id) {
                continue;
            }
            let Some(image) = machine.disk.image(group.id) else { continue };
            let newest = image.entries.len().saturating_sub(tail);
            let restored = Restored {
                hard_state: image.hard_state,
                base: image.base,
                terms: image.terms(),
                last: image.last(),
                tail: image.entries.range(newest..).cloned().collect(),
                membership: group.membership.clone(),
                memberships: image.memberships(),
                applied: Index(0),
            };
            let term = image.hard_state.term;
            group.check.elections.restarts(id, term);
            groups.insert(group.id, GroupLife { log: image.clone(), term, ..GroupLife::default() });
            let config = Config { id, priority: self.plan.priority(id), ..self.plan.config.clone() };
            let seed = self.host_rng.number();
            multi
                .add_group(now, seed, group.id, config, restored)
                .map_err(|error| cannot(error.to_string()))?;
        }
        machine.life = Some(Life { multi, groups, armed: None, writes: Vec::new(), writing: Vec::new() });
        machine.lives += 1;
        self.trace.record(self.now, EventId(0), &Happening::Resumed { node: id });
        for group in self.groups.iter().map(|group| group.id).collect::<Vec<_>>() {
            self.check_durable(group)?;
        }
        self.act(host, |_, _| ())
    }

    /// A process that stood still goes on.
    pub(crate) fn resume(&mut self, host: usize) -> Checked {
        let machine = &mut self.hosts[host];
        if machine.paused_until.is_none_or(|until| until > self.now) {
            return Ok(());
        }
        machine.paused_until = None;
        self.look_at_the_clock(host)
    }

    /// The clock may show another time than when the timer was set.
    pub(crate) fn look_at_the_clock(&mut self, host: usize) -> Checked {
        if let Some(life) = &mut self.hosts[host].life {
            life.armed = None;
        }
        self.act(host, |_, _| ())
    }

    /// Sets the timer to the machine's next deadline.
    pub(crate) fn arm(&mut self, host: usize) {
        let at = self.at(host);
        let machine = &mut self.hosts[host];
        let Some(life) = &mut machine.life else { return };
        let Some(deadline) = life.multi.poll_timeout() else { return };
        let due = machine.clock.moment_of(deadline).max(self.now);
        if life.armed.is_none_or(|armed| due < armed || armed < self.now) {
            life.armed = Some(due);
            self.queue.push(due, Event::Timer(at));
        }
    }

    /// What is committed in a group is still on the disks of a quorum of it.
    pub(crate) fn check_durable(&mut self, group: GroupId) -> Checked {
        let Self { hosts, groups, .. } = self;
        let Some(group) = groups.get((group.0 as usize).saturating_sub(1)) else { return Ok(()) };
        group.check.commits.durable(&|node| disk_of(hosts, group.id, node))
    }

    /// The moment at which a stall of the disk is over.
    pub(crate) fn stall(&mut self, host: usize, until: Moment) {
        let machine = &mut self.hosts[host];
        machine.stalled_until = machine.stalled_until.max(until);
    }
}

/// What is on a machine's disk of a group; `None` of one that is lost for ever.
pub(crate) fn disk_of(hosts: &[Host], group: GroupId, node: NodeId) -> Option<&LogImage> {
    let host = hosts.get((node.0 as usize).checked_sub(1)?)?;
    if host.wiped { None } else { host.disk.image(group) }
}
