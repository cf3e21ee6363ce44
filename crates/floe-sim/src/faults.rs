//! Carrying out interventions, ending them, and the liveness phase: a random majority is healed, the rest stays
//! broken for ever, and the majority must commit again.

use std::collections::BTreeSet;

use floe_raft::{Index, NodeId};

use crate::action::{Action, Link, Target};
use crate::check::{Checked, Invariant, broken};
use crate::clock::{MS, Moment, Rate};
use crate::host::Input;
use crate::mutant::HostMutant;
use crate::storage::Storage;
use crate::trace::{EventId, Happening};
use crate::world::{At, Event, Mend, World};

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
            Action::Crash { target, .. }
            | Action::Pause { target, .. }
            | Action::Wipe { target }
            | Action::SlowDisk { target, .. }
            | Action::StallDisk { target, .. }
            | Action::FailDisk { target, .. }
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
            Action::ClockRate { rate, .. } => {
                machine.clock.set_rate(now, rate);
                self.look_at_the_clock(host);
            }
            Action::ClockJump { ahead, .. } => {
                machine.clock.jump(now, ahead);
                self.look_at_the_clock(host);
            }
            Action::Cut { .. } | Action::Flap { .. } | Action::Clog { .. } | Action::Transfer { .. } => {}
        }
        Ok(())
    }

    fn find(&self, target: Target) -> Option<usize> {
        match target {
            Target::Node(node) => self.position(node),
            Target::Leader => {
                let leading = (0..self.hosts.len()).filter(|host| self.hosts[*host].leads());
                leading.max_by_key(|host| self.hosts[*host].life.as_ref().map(|life| life.node.term()))
            }
        }
    }

    fn look_at_the_clock(&mut self, host: usize) {
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
    pub(crate) fn mend(&mut self, mend: Mend) {
        if self.core.is_some() {
            return;
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
            Mend::Again(_) => {}
            Mend::SlowDisk(host) => {
                self.note(&Happening::Mended { what: "slow disk" });
                self.hosts[host].slow = 1;
            }
        }
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
                let soon = self.now.plus(self.host_rng.exponential(MS));
                let at = self.at(host);
                self.queue.push(soon, Event::PeerGone { at, peer });
            }
        }
    }

    fn pause(&mut self, host: usize, until: Moment) {
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

    fn wake_up(&mut self, host: usize) -> Checked {
        self.hosts[host].paused_until = None;
        let node = self.hosts[host].id;
        self.cause = EventId(0);
        self.cause = self.note(&Happening::Resumed { node });
        self.look_at_the_clock(host);
        self.step_host(host)
    }

    /// Machine and disk are lost, and the member with them: an id is used once.
    fn wipe(&mut self, host: usize) -> Checked {
        if self.mutant == Some(HostMutant::ReuseId) {
            self.crash(host, 10 * MS)?;
            let id = self.hosts[host].id;
            let membership = self.hosts[host].storage.checkpoint().membership.clone();
            self.hosts[host].storage = Storage::new(id, &membership, &self.plan.host);
            return Ok(());
        }
        // A majority of the voters keeps its disks, whatever the schedule says.
        let voters = self.plan.voters.len();
        let lost = self.hosts[..voters].iter().filter(|machine| machine.wiped).count();
        if self.hosts[host].wiped || (host < voters && (lost + 1) * 2 >= voters) {
            return Ok(());
        }
        self.crash(host, 0)?;
        self.hosts[host].wiped = true;
        Ok(())
    }

    /// The end of the chaos: heals a random majority and leaves the rest broken for ever.
    pub(crate) fn heal(&mut self) -> Checked {
        let mut candidates: Vec<NodeId> = self
            .plan
            .voters
            .iter()
            .copied()
            .filter(|node| self.position(*node).is_some_and(|host| !self.hosts[host].wiped))
            .collect();
        self.liveness_rng.shuffle(&mut candidates);
        let majority = self.plan.voters.len() / 2 + 1;
        let extra = if self.liveness_rng.coin() {
            0
        } else {
            self.liveness_rng.below(candidates.len() as u64) as usize
        };
        candidates.truncate((majority + extra).min(candidates.len()));
        let core: BTreeSet<NodeId> = candidates.into_iter().collect();
        self.break_the_rest(&core);
        let names: Vec<String> = core.iter().map(|node| format!("n{node}")).collect();
        self.cause = EventId(0);
        self.cause = self.note(&Happening::Liveness { core: &names.join(" ") });
        self.net.heal(core.clone());
        self.core = Some(core.clone());
        // Four election timeouts are for elections, not for a disk that takes one of them to read an entry.
        let plan = &mut self.plan.host;
        plan.sync_mean = plan.sync_mean.min(MS);
        plan.fetch_mean = plan.fetch_mean.min(MS / 10);
        plan.apply_mean = plan.apply_mean.min(MS / 10);
        plan.snapshot_mean = plan.snapshot_mean.min(MS);
        let election = self.plan.election_timeout_max();
        self.workload.hurry(election / 16);
        for client in 0..self.workload.clients() {
            self.queue.push(self.now, Event::NextOperation { client });
        }
        for node in core {
            let Some(host) = self.position(node) else { continue };
            self.heal_host(host)?;
        }
        let above = self.check.commits.last();
        self.queue.push(self.now.plus(4 * election), Event::MustHaveCommitted { above });
        Ok(())
    }

    fn heal_host(&mut self, host: usize) -> Checked {
        let now = self.now;
        let machine = &mut self.hosts[host];
        machine.slow = 1;
        machine.stalled_until = now;
        machine.failing = None;
        machine.crash_after = None;
        machine.clock.set_rate(now, Rate::TRUE);
        let at = At { host, life: machine.lives };
        if machine.life.is_none() {
            return self.restart(host);
        }
        if machine.paused_until.is_some() {
            self.wake_up(host)?;
        }
        self.look_at_the_clock(host);
        // What the disk is at ends soon, instead of when the stall would have been over.
        let writes = self.hosts[host].life.as_ref().is_some_and(|life| !life.writing.is_empty());
        if writes {
            self.queue.push(now.plus(MS), Event::Written(at));
        }
        Ok(())
    }

    /// Cuts more links of those that are not healed, in one direction or both.
    fn break_the_rest(&mut self, core: &BTreeSet<NodeId>) {
        let nodes: Vec<NodeId> = self.plan.nodes().collect();
        let style = self.liveness_rng.below(4);
        for &from in &nodes {
            for &to in &nodes {
                let healed = core.contains(&from) && core.contains(&to);
                let cut = match style {
                    0 => true,
                    1 => core.contains(&from),
                    2 => core.contains(&to),
                    _ => self.liveness_rng.coin(),
                };
                if from != to && !healed && cut {
                    self.net.cut(&[Link { from, to }]);
                }
            }
        }
    }

    /// Four election timeouts after the healing, something more must be committed.
    pub(crate) fn must_have_committed(&mut self, above: Index) -> Checked {
        if self.check.commits.last() > above {
            return Ok(());
        }
        let standing: Vec<String> = self
            .hosts
            .iter()
            .map(|host| match host.standing() {
                Some((role, term)) => format!("n{} {role:?} in term {term}", host.id),
                None => format!("n{} down", host.id),
            })
            .collect();
        let core = self.core.iter().flatten().map(|node| format!("n{node}")).collect::<Vec<_>>().join(" ");
        Err(broken(
            Invariant::Liveness,
            format!(
                "nothing after {above} is committed 4 election timeouts after {core} could talk: {}",
                standing.join(", ")
            ),
        ))
    }
}
