//! Interventions, the end of the faults, and what must be true of every group after it.

use floe_raft::{GroupId, NodeId};

use super::world::{Event, GroupsWorld};
use crate::action::{Action, Target};
use crate::check::{Checked, Invariant, broken};
use crate::clock::{MS, Rate};
use crate::trace::{EventId, Happening};

impl GroupsWorld {
    /// Carries out one intervention.
    pub(crate) fn strike(&mut self, action: Action) -> Checked {
        let now = self.now;
        match action {
            Action::Cut { links, cut } => {
                self.net.cut(&links);
                self.queue.push(now.plus(cut), Event::Mend(links));
            }
            Action::Clog { link, clog } => {
                self.stragglers_until = self.stragglers_until.max(now.plus(clog));
                self.net.clog(link, now.plus(clog));
            }
            Action::Transfer { to } => return self.transfer(to),
            Action::Crash { target, boundary, down } => {
                let Some(host) = self.find(target) else { return Ok(()) };
                if boundary == 0 {
                    return self.crash(host, down);
                }
                self.hosts[host].crash_after = Some((boundary, down));
            }
            Action::Pause { target, pause } => {
                let Some(host) = self.find(target) else { return Ok(()) };
                let until = now.plus(pause);
                self.stragglers_until = self.stragglers_until.max(until);
                let machine = &mut self.hosts[host];
                if machine.life.is_some() && machine.paused_until.is_none_or(|paused| paused < until) {
                    machine.paused_until = Some(until);
                    self.queue.push(until, Event::Resume(host));
                }
            }
            Action::Wipe { target } => return self.wipe(target),
            Action::SlowDisk { target, factor, slow } => {
                let Some(host) = self.find(target) else { return Ok(()) };
                self.hosts[host].slow = factor;
                self.queue.push(now.plus(slow), Event::QuickDisk(host));
            }
            Action::StallDisk { target, stall } => {
                let Some(host) = self.find(target) else { return Ok(()) };
                self.stall(host, now.plus(stall));
            }
            // To the core a disk that is full is one that hangs.
            Action::FillDisk { target, full } => {
                let Some(host) = self.find(target) else { return Ok(()) };
                self.stall(host, now.plus(full));
            }
            Action::FailDisk { target, down } => {
                let Some(host) = self.find(target) else { return Ok(()) };
                self.hosts[host].failing = Some(down);
            }
            Action::ClockRate { target, rate } => {
                let Some(host) = self.find(target) else { return Ok(()) };
                self.hosts[host].clock.set_rate(now, rate);
                return self.look_at_the_clock(host);
            }
            Action::ClockJump { target, ahead } => {
                let Some(host) = self.find(target) else { return Ok(()) };
                self.hosts[host].clock.jump(now, ahead);
                return self.look_at_the_clock(host);
            }
            // What is for a single group that is looked at closely has no meaning here.
            _ => {}
        }
        Ok(())
    }

    /// The machine that is meant. Whose leads here: the one that leads most groups.
    fn find(&self, target: Target) -> Option<usize> {
        match target {
            Target::Node(node) => self.position(node),
            Target::Leader => (0..self.hosts.len()).max_by_key(|host| {
                let life = self.hosts[*host].life.as_ref();
                life.map(|life| {
                    let leads =
                        |group: &GroupId| life.multi.group(*group).is_some_and(floe_raft::Node::is_leader);
                    life.groups.keys().filter(|group| leads(group)).count()
                })
            }),
        }
    }

    /// Every group that can be is asked to be led by that machine.
    fn transfer(&mut self, to: NodeId) -> Checked {
        for host in 0..self.hosts.len() {
            if self.hosts[host].paused_until.is_some() {
                continue;
            }
            self.act(host, |multi, now| {
                for group in multi.groups().collect::<Vec<_>>() {
                    // Those that are not led here, or not by a member of that machine, refuse.
                    let _ = multi.transfer_leadership(now, group, to);
                }
            })?;
        }
        Ok(())
    }

    /// Machine and disk are lost for ever, and with them a member of every group there. In each group more than half of
    /// the voters keep their disks.
    fn wipe(&mut self, target: Target) -> Checked {
        let Some(host) = self.find(target) else { return Ok(()) };
        let id = self.hosts[host].id;
        let is_lost = |node: NodeId| {
            node == id || self.position(node).is_some_and(|position| self.hosts[position].wiped)
        };
        let is_too_many = self.groups.iter().any(|group| {
            let voters = &group.membership.voters;
            voters.contains(&id) && voters.iter().filter(|voter| is_lost(**voter)).count() * 2 >= voters.len()
        });
        if is_too_many || self.hosts[host].wiped {
            return Ok(());
        }
        self.crash(host, 0)?;
        self.hosts[host].wiped = true;
        Ok(())
    }

    /// The end of the faults: every machine that has a disk runs, and the network is perfect.
    pub(crate) fn heal(&mut self) -> Checked {
        self.healed = true;
        self.trace.record(self.now, EventId(0), &Happening::Liveness { core: "all" });
        self.net.heal(self.hosts.iter().map(|host| host.id).collect());
        let plan = &mut self.plan.host;
        plan.sync_mean = plan.sync_mean.min(MS);
        self.plan.workload.think_mean = (self.plan.election_timeout_max() / 16).max(MS);
        for group in &mut self.groups {
            group.at_heal = group.check.commits.last();
        }
        for host in 0..self.hosts.len() {
            let now = self.now;
            let machine = &mut self.hosts[host];
            machine.slow = 1;
            machine.stalled_until = now;
            machine.failing = None;
            machine.crash_after = None;
            machine.paused_until = None;
            machine.clock.set_rate(now, Rate::TRUE);
            if machine.life.is_none() {
                self.restart(host)?;
            } else {
                let at = self.at(host);
                self.look_at_the_clock(host)?;
                let writes = self.hosts[host].life.as_ref().is_some_and(|life| !life.writing.is_empty());
                if writes {
                    self.queue.push(now.plus(MS), Event::Written(at));
                }
            }
        }
        // Each group is asked for something now and again, so that it has something to commit.
        for client in 0..self.plan.groups {
            self.queue.push(self.now.plus(MS), Event::Demand { group: GroupId(client + 1) });
        }
        Ok(())
    }

    /// Something is asked of a group, again and again while the clients are there.
    pub(crate) fn demand(&mut self, group: GroupId) -> Checked {
        if self.resting {
            return Ok(());
        }
        let again = self.plan.election_timeout_max() / 8;
        self.queue.push(self.now.plus(again), Event::Demand { group });
        self.ask(0, group)
    }

    /// The clients go home.
    pub(crate) fn rest(&mut self) {
        self.resting = true;
    }

    /// Each group that has a majority committed something since the faults were over.
    pub(crate) fn must_have_committed(&self) -> Checked {
        for group in &self.groups {
            let last = group.check.commits.last();
            if last <= group.at_heal {
                return Err(broken(
                    Invariant::Liveness,
                    format!(
                        "group {}: nothing after {last} is committed 4 election timeouts after all is well",
                        group.id
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Where groups sleep, each whose members all live does, and no leader changes meanwhile.
    pub(crate) fn must_sleep(&mut self) -> Checked {
        if self.quiesce_after.is_none() || !self.plan.config.check_quorum {
            return Ok(());
        }
        let is_lost = |node: NodeId| self.position(node).is_none_or(|position| self.hosts[position].wiped);
        let mut all = true;
        for group in &self.groups {
            let members = group.membership.members();
            if members.iter().any(|member| is_lost(*member)) {
                all = false;
                continue;
            }
            let awake = members.iter().find(|member| {
                let life = self.position(**member).and_then(|position| self.hosts[position].life.as_ref());
                !life.is_some_and(|life| life.multi.is_asleep(group.id))
            });
            if let Some(member) = awake {
                return Err(broken(
                    Invariant::Liveness,
                    format!("group {} does not sleep on n{member}, though nothing happens", group.id),
                ));
            }
        }
        match self.elections_asleep {
            Some(before) if all && before != self.elections => {
                Err(broken(Invariant::Liveness, "a leader changed while all groups slept"))
            }
            _ => {
                self.elections_asleep = Some(self.elections);
                Ok(())
            }
        }
    }
}
