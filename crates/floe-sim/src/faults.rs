//! Carrying out interventions, and ending them.

use floe_raft::{Membership, NodeId};

use crate::action::{Action, Link, Target};
use crate::check::Checked;
use crate::clock::{MS, Moment};
use crate::host::Input;
use crate::members::WantedChange;
use crate::mutant::HostMutant;
use crate::storage::Storage;
use crate::trace::{EventId, Happening};
use crate::world::{Event, Mend, World};

/// The number of an intervention that is not of the schedule but follows from one that is.
const ASKED_AGAIN: u32 = u32::MAX;

impl World {
    /// Carries out an intervention of the schedule.
    pub(crate) fn intervene(&mut self, position: usize) -> Checked {
        if self.core.is_some() {
            return Ok(());
        }
        let Some((number, _, action)) = self.plan.schedule.get(position).cloned() else { return Ok(()) };
        self.cause = EventId(0);
        self.act(number, action)
    }

    /// Does something to the world.
    pub(crate) fn act(&mut self, number: u32, action: Action) -> Checked {
        let what = action.name();
        match action {
            Action::Cut { links, cut } => {
                self.cause = self.note(&Happening::Intervention { number, what, node: NodeId(0) });
                self.net.cut(&links);
                self.queue.push(self.now.plus(cut), Event::Mend(Mend::Links(links)));
                Ok(())
            }
            Action::Flap { links, period, times } => {
                self.cause = self.note(&Happening::Intervention { number, what, node: NodeId(0) });
                self.flap(links, period, times);
                Ok(())
            }
            Action::Clog { link, clog } => {
                self.cause = self.note(&Happening::Intervention { number, what, node: link.from });
                self.net.clog(link, self.now.plus(clog));
                Ok(())
            }
            Action::Transfer { to } => {
                let Some(leader) = self.find(Target::Leader) else { return Ok(()) };
                self.cause = self.note(&Happening::Intervention { number, what, node: to });
                self.input(leader, Input::Transfer(to))
            }
            Action::Change { steps, forced, tries } => {
                let Some(leader) = self.find(Target::Leader) else { return Ok(()) };
                let node = self.hosts[leader].id;
                self.cause = self.note(&Happening::Intervention { number, what, node });
                self.input(leader, Input::Change(WantedChange { steps, forced, tries, operations: None }))
            }
            Action::Crash { target, .. }
            | Action::Pause { target, .. }
            | Action::Wipe { target }
            | Action::SlowDisk { target, .. }
            | Action::StallDisk { target, .. }
            | Action::FailDisk { target, .. }
            | Action::FillDisk { target, .. }
            | Action::ClockRate { target, .. }
            | Action::ClockJump { target, .. } => {
                let Some(host) = self.find(target) else { return Ok(()) };
                let node = self.hosts[host].id;
                self.cause = self.note(&Happening::Intervention { number, what, node });
                self.act_on(host, &action)
            }
        }
    }

    fn act_on(&mut self, host: usize, action: &Action) -> Checked {
        let now = self.now;
        let machine = &mut self.hosts[host];
        match *action {
            Action::Crash { boundary: 0, down, .. } => return self.crash(host, down),
            Action::Crash { boundary, down, .. } => machine.crash_after = Some((boundary, down)),
            Action::Pause { pause, .. } => self.pause(host, now.plus(pause)),
            Action::Wipe { .. } => return self.wipe(host),
            Action::SlowDisk { factor, slow, .. } => {
                machine.slow = factor;
                self.queue.push(now.plus(slow), Event::Mend(Mend::SlowDisk(host)));
            }
            Action::StallDisk { stall, .. } => {
                machine.stalled_until = machine.stalled_until.max(now.plus(stall));
            }
            Action::FailDisk { down, .. } => machine.failing = Some(down),
            Action::FillDisk { full, .. } => {
                machine.full_until = machine.full_until.max(now.plus(full));
                machine.storage.set_full(true);
                self.queue.push(machine.full_until, Event::Mend(Mend::FullDisk(host)));
            }
            Action::ClockRate { rate, .. } => {
                machine.clock.set_rate(now, rate);
                self.look_at_the_clock(host);
            }
            Action::ClockJump { ahead, .. } => {
                machine.clock.jump(now, ahead);
                self.look_at_the_clock(host);
            }
            Action::Cut { .. }
            | Action::Flap { .. }
            | Action::Clog { .. }
            | Action::Transfer { .. }
            | Action::Change { .. } => {}
        }
        Ok(())
    }

    pub(crate) fn find(&self, target: Target) -> Option<usize> {
        match target {
            Target::Node(node) => self.position(node),
            Target::Leader => {
                let leading = (0..self.hosts.len()).filter(|host| self.hosts[*host].leads());
                leading.max_by_key(|host| self.hosts[*host].life.as_ref().map(|life| life.node.term()))
            }
        }
    }

    pub(crate) fn look_at_the_clock(&mut self, host: usize) {
        if let Some(life) = self.hosts[host].life.as_mut() {
            life.armed = None;
        }
        self.arm(host);
    }

    fn flap(&mut self, links: Vec<Link>, period: u64, times: u32) {
        self.net.cut(&links);
        let mend = Mend::Flap { links, period, times: times.saturating_sub(1) };
        self.queue.push(self.now.plus(period), Event::Mend(mend));
    }

    /// Ends an intervention, or its present state.
    pub(crate) fn mend(&mut self, mend: Mend) -> Checked {
        if self.core.is_some() {
            return Ok(());
        }
        self.cause = EventId(0);
        match mend {
            Mend::Links(links) => {
                self.note(&Happening::Mended { what: "links" });
                self.net.mend(&links);
            }
            Mend::Flap { links, period, times } => {
                self.note(&Happening::Mended { what: "flapping links" });
                self.net.mend(&links);
                if times > 0 {
                    let again = Action::Flap { links, period, times };
                    self.queue.push(self.now.plus(period), Event::Mend(Mend::Again(again)));
                }
            }
            Mend::Again(Action::Flap { links, period, times }) => self.flap(links, period, times),
            Mend::Again(action) => return self.act(ASKED_AGAIN, action),
            Mend::FullDisk(host) => {
                // Another one may have filled it for longer.
                if self.hosts[host].full_until <= self.now {
                    self.note(&Happening::Mended { what: "full disk" });
                    self.hosts[host].storage.set_full(false);
                }
            }
            Mend::SlowDisk(host) => {
                self.note(&Happening::Mended { what: "slow disk" });
                self.hosts[host].slow = 1;
            }
        }
        Ok(())
    }

    /// A process dies; what it had under way on its disk may or may not be there.
    pub(crate) fn crash(&mut self, host: usize, down: u64) -> Checked {
        let machine = &mut self.hosts[host];
        machine.crash_after = None;
        machine.failing = None;
        machine.paused_until = None;
        let Some(life) = machine.life.take() else { return Ok(()) };
        let node = machine.id;
        machine.storage.crash(life.writing, &mut self.disk_rng);
        if let Some(stores) = &mut self.stores {
            stores.crashed(host);
        }
        self.cause = self.note(&Happening::Crashed { node });
        self.queue.push(self.now.plus(down), Event::Restart(host));
        if self.plan.host.peer_gone {
            self.tell_of_death(host);
        }
        Ok(())
    }

    /// Kernels refuse connections to a dead process, and its peers notice at once.
    fn tell_of_death(&mut self, dead: usize) {
        let peer = self.hosts[dead].id;
        for host in 0..self.hosts.len() {
            let id = self.hosts[host].id;
            let reachable = self.net.delivers(id, peer) && self.net.delivers(peer, id);
            if host != dead && self.hosts[host].life.is_some() && reachable {
                let soon = self.now.plus(self.plan.host.takes(&mut self.host_rng, MS));
                let at = self.at(host);
                self.queue.push(soon, Event::PeerGone { at, peer });
            }
        }
    }

    pub(crate) fn pause(&mut self, host: usize, until: Moment) {
        let machine = &mut self.hosts[host];
        if machine.life.is_some() && machine.paused_until.is_none_or(|paused| paused < until) {
            machine.paused_until = Some(until);
            self.queue.push(until, Event::Resume(host));
        }
    }

    /// A process that stood still goes on.
    pub(crate) fn resume(&mut self, host: usize) -> Checked {
        if self.core.is_some() || self.hosts[host].paused_until != Some(self.now) {
            return Ok(());
        }
        self.wake_up(host)
    }

    pub(crate) fn wake_up(&mut self, host: usize) -> Checked {
        self.hosts[host].paused_until = None;
        let node = self.hosts[host].id;
        self.cause = EventId(0);
        self.cause = self.note(&Happening::Resumed { node });
        self.look_at_the_clock(host);
        self.start_job(host);
        self.step_host(host)
    }

    /// Machine and disk are lost, and the member with them: an id is used once.
    pub(crate) fn wipe(&mut self, host: usize) -> Checked {
        if self.mutant == Some(HostMutant::ReuseId) {
            self.crash(host, 10 * MS)?;
            let id = self.hosts[host].id;
            let membership = self.hosts[host].storage.checkpoint().membership.clone();
            self.hosts[host].storage = Storage::new(id, &membership, &self.plan.host);
            return Ok(());
        }
        if self.hosts[host].wiped || !self.can_bear_the_loss(self.hosts[host].id) {
            return Ok(());
        }
        self.crash(host, 0)?;
        self.hosts[host].wiped = true;
        Ok(())
    }

    /// Whether a majority of all sets of voters keeps its disks without this one.
    pub(crate) fn can_bear_the_loss(&self, node: NodeId) -> bool {
        let is_lost = |voter: &&NodeId| {
            **voter == node || self.position(**voter).is_none_or(|host| self.hosts[host].wiped)
        };
        let bears = |membership: &Membership| {
            [&membership.voters, &membership.outgoing]
                .into_iter()
                .all(|set| !set.contains(&node) || set.iter().filter(is_lost).count() * 2 < set.len())
        };
        // Of what a witness counted for, one disk may hold the only copy. Nothing is wrong if it goes, and nobody can
        // lead any more.
        self.plan.witnesses.is_empty() && self.memberships_that_count().all(bears)
    }
}
