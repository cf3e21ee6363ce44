//! The world: machines, what is on its way between them, and the events that happen to them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use floe_multi::{Beat, MultiNode};
use floe_raft::{Envelope, GroupId, Membership, NodeId, Write, WriteId};

use super::disk::Disk;
use super::group::{Group, GroupLife};
use crate::action::{Action, Link};
use crate::check::{Checked, Checker, Invariant, Violation, broken};
use crate::clock::{Clock, MS, Moment, SECOND};
use crate::net::{Network, Packet};
use crate::plan::{Feature, Plan};
use crate::queue::Queue;
use crate::rng::{Rng, Stream};
use crate::run::Statistics;
use crate::trace::{EventId, Happening, Trace};

/// What a packet carries.
#[derive(Clone, Debug)]
pub(crate) enum Load {
    Message(GroupId, Envelope),
    Beat(Beat),
}

/// A machine.
pub(crate) struct Host {
    pub(crate) id: NodeId,
    pub(crate) clock: Clock,
    pub(crate) disk: Disk,
    /// The process; `None` while it is down.
    pub(crate) life: Option<Life>,
    /// How many processes there were.
    pub(crate) lives: u32,
    pub(crate) paused_until: Option<Moment>,
    pub(crate) wiped: bool,
    pub(crate) slow: u32,
    pub(crate) stalled_until: Moment,
    pub(crate) failing: Option<u64>,
    pub(crate) crash_after: Option<(u32, u64)>,
}

/// A process.
pub(crate) struct Life {
    pub(crate) multi: MultiNode,
    pub(crate) groups: BTreeMap<GroupId, GroupLife>,
    pub(crate) armed: Option<Moment>,
    /// Writes that wait for the disk, and those that it is at.
    pub(crate) writes: Vec<(GroupId, Write)>,
    pub(crate) writing: Vec<(GroupId, Write)>,
}

/// A process: a host's position and which of its lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) host: usize,
    pub(crate) life: u32,
}

/// What happens at a moment.
#[derive(Debug)]
pub(crate) enum Event {
    Arrive(Packet<Load>),
    Timer(At),
    Written(At),
    PeerGone { at: At, peer: NodeId },
    Restart(usize),
    Resume(usize),
    Intervene(usize),
    Mend(Vec<Link>),
    Flap { links: Vec<Link>, period: u64, times: u32 },
    QuickDisk(usize),
    Operation { client: u64 },
    Demand { group: GroupId },
}

/// Machines with many groups, their clients and their misfortunes.
pub(crate) struct GroupsWorld {
    pub(crate) plan: Plan,
    pub(crate) now: Moment,
    pub(crate) queue: Queue<Event>,
    pub(crate) hosts: Vec<Host>,
    pub(crate) groups: Vec<Group>,
    pub(crate) net: Network<Load>,
    pub(crate) trace: Trace,
    /// Groups that are idle for so long sleep, in worlds in which they do.
    pub(crate) quiesce_after: Option<Duration>,
    pub(crate) disk_rng: Rng,
    pub(crate) host_rng: Rng,
    pub(crate) load_rng: Rng,
    /// Names for reads and proposals, unique in the world.
    pub(crate) names: u64,
    /// Until when packets from before the end of the faults may arrive: what waited for a process that stood still,
    /// or in a clog.
    pub(crate) stragglers_until: Moment,
    /// The faults are over.
    pub(crate) healed: bool,
    /// The clients have gone home.
    pub(crate) resting: bool,
    pub(crate) elections: u64,
    /// How many elections there were when all groups were found asleep.
    pub(crate) elections_asleep: Option<u64>,
    handled: u64,
}

impl GroupsWorld {
    pub(crate) fn new(plan: Plan, trace: Trace) -> Self {
        let seed = plan.seed;
        let mut rng = Rng::new(seed ^ 0x6D61_6E79, Stream::Plan);
        let sleeps = rng.coin();
        let quiesce_ms = rng.magnitude(1, 2_000);
        let groups: Vec<Group> =
            (1..=plan.groups).map(|id| draw_group(GroupId(id), &plan, &mut rng)).collect();
        let mut host_rng = Rng::new(seed, Stream::Host);
        let host = |id: NodeId| {
            let here = groups.iter().filter(|group| group.membership.contains(id)).map(|group| group.id);
            Host {
                id,
                clock: Clock::new(if plan.host.steady { 0 } else { host_rng.below(1_000 * SECOND) }),
                disk: Disk::new(id, here, plan.host.real_log),
                life: None,
                lives: 0,
                paused_until: None,
                wiped: false,
                slow: 1,
                stalled_until: Moment(0),
                failing: None,
                crash_after: None,
            }
        };
        let hosts = plan.voters.iter().chain(&plan.learners).copied().map(host).collect();
        Self {
            now: Moment(0),
            queue: Queue::new(),
            hosts,
            groups,
            net: Network::new(seed, plan.network.clone()),
            trace,
            quiesce_after: match plan.host.steady {
                true => Some(Duration::from_nanos(crate::stage::SLEEP)),
                false => sleeps.then_some(Duration::from_millis(quiesce_ms)),
            },
            disk_rng: Rng::new(seed, Stream::Disk),
            host_rng,
            load_rng: Rng::new(seed, Stream::Workload),
            names: 0,
            stragglers_until: Moment(0),
            healed: false,
            resting: false,
            elections: 0,
            elections_asleep: None,
            handled: 0,
            plan,
        }
    }

    /// Starts every machine and every client, and writes the schedule into the future.
    pub(crate) fn begin(&mut self) -> Checked {
        let features: Vec<&str> = self.plan.features.iter().map(|feature| feature.name()).collect();
        let happening = Happening::World {
            seed: self.plan.seed,
            voters: self.plan.voters.len() as u64,
            learners: self.plan.learners.len() as u64,
            joiners: 0,
            witnesses: 0,
            heartbeat: self.plan.config.heartbeat_interval.as_nanos() as u64,
            election: self.plan.config.election_timeout.as_nanos() as u64,
            features: &features.join(" "),
        };
        self.trace.record(self.now, EventId(0), &happening);
        for group in &self.groups {
            let members = group.membership.members().iter().map(|id| id.to_string()).collect::<Vec<_>>();
            let happening = Happening::Group { group: group.id, members: &members.join(" ") };
            self.trace.record(self.now, EventId(0), &happening);
        }
        for number in 0..self.plan.schedule.len() {
            self.queue.push(self.plan.schedule[number].1, Event::Intervene(number));
        }
        for host in 0..self.hosts.len() {
            let at = Moment(if self.plan.host.steady { 0 } else { self.host_rng.below(20 * MS) });
            self.queue.push(at, Event::Restart(host));
        }
        for client in 0..self.plan.workload.clients {
            self.queue.push(Moment(MS), Event::Operation { client });
        }
        Ok(())
    }

    /// Runs until this moment, or to the first violation.
    pub(crate) fn run_until(&mut self, end: Moment) -> Checked {
        while self.queue.next().is_some_and(|at| at <= end) {
            self.step()?;
        }
        self.now = self.now.max(end);
        Ok(())
    }

    /// Handles the next event.
    pub(crate) fn step(&mut self) -> Checked {
        let Some((at, event)) = self.queue.pop() else { return Ok(()) };
        self.now = at;
        self.handled += 1;
        self.handle(event).map_err(|violation| Box::new(Violation { at: self.now, ..*violation }))
    }

    /// How many events were handled.
    pub(crate) fn handled(&self) -> u64 {
        self.handled
    }

    fn handle(&mut self, event: Event) -> Checked {
        match event {
            Event::Arrive(packet) => self.arrive(packet),
            Event::Timer(at) => self.timer(at),
            Event::Written(at) => self.written(at),
            Event::PeerGone { at, peer } => self.when_running(at, Event::PeerGone { at, peer }, |world| {
                world.act(at.host, |multi, now| multi.handle_peer_gone(now, peer))
            }),
            Event::Restart(host) => self.restart(host),
            Event::Resume(host) => self.resume(host),
            Event::Intervene(number) => self.intervene(number),
            Event::Mend(links) => {
                if !self.healed {
                    self.net.mend(&links);
                }
                Ok(())
            }
            Event::Flap { links, period, times } => {
                if !self.healed {
                    self.flap(links, period, times);
                }
                Ok(())
            }
            Event::QuickDisk(host) => {
                self.hosts[host].slow = 1;
                Ok(())
            }
            Event::Operation { client } => self.operation(client),
            Event::Demand { group } => self.demand(group),
        }
    }

    /// Does something if that process lives; when it stands still, the event waits until it goes on.
    pub(crate) fn when_running(
        &mut self,
        at: At,
        event: Event,
        act: impl FnOnce(&mut Self) -> Checked,
    ) -> Checked {
        let host = &self.hosts[at.host];
        if host.life.is_none() || host.lives != at.life {
            return Ok(());
        }
        match host.paused_until {
            Some(until) => {
                self.queue.push(until, event);
                Ok(())
            }
            None => act(self),
        }
    }

    fn arrive(&mut self, packet: Packet<Load>) -> Checked {
        let Some(host) = self.position(packet.to) else { return Ok(()) };
        if !self.net.delivers(packet.from, packet.to) {
            return Ok(());
        }
        let at = self.at(host);
        self.when_running(at, Event::Arrive(packet.clone()), |world| {
            let Packet { from, to, body, cause } = packet;
            world.trace.record(world.now, cause, &Happening::Arrived { from, to });
            world.act(host, |multi, now| match body {
                Load::Beat(beat) => multi.handle_beat(now, beat),
                Load::Message(group, envelope) => multi.handle_message(now, group, envelope),
            })
        })
    }

    fn timer(&mut self, at: At) -> Checked {
        self.when_running(at, Event::Timer(at), |world| {
            let now = world.now;
            let Some(life) = &mut world.hosts[at.host].life else { return Ok(()) };
            if life.armed != Some(now) {
                return Ok(());
            }
            life.armed = None;
            world.act(at.host, |multi, now| multi.handle_timeout(now))
        })
    }

    /// The disk is done with a batch of writes of all groups.
    fn written(&mut self, at: At) -> Checked {
        let host = &mut self.hosts[at.host];
        if host.lives != at.life || host.life.is_none() {
            return Ok(());
        }
        if host.stalled_until > self.now {
            self.queue.push(host.stalled_until, Event::Written(at));
            return Ok(());
        }
        if let Some(down) = host.failing.take() {
            return self.crash(at.host, down);
        }
        // The kernel finishes the writes of a process that stands still; it hears of that later.
        if let Some(until) = host.paused_until {
            self.queue.push(until, Event::Written(at));
            return Ok(());
        }
        let Some(life) = &mut host.life else { return Ok(()) };
        let batch = std::mem::take(&mut life.writing);
        let id = host.id;
        host.disk.write(&batch).map_err(|reason| {
            broken(Invariant::LogIsWhole, format!("n{id} cannot write its log: {reason}"))
        })?;
        let mut last = BTreeMap::<GroupId, WriteId>::new();
        let mut shrunk = BTreeSet::new();
        for (group, write) in &batch {
            last.insert(*group, write.id);
            if write.truncate_from.is_some() || write.restart_after.is_some() {
                shrunk.insert(*group);
            }
        }
        for group in shrunk {
            self.check_durable(group)?;
        }
        self.act(at.host, |multi, now| {
            last.into_iter().for_each(|(group, write)| multi.handle_persisted(now, group, write));
        })?;
        self.start_writing(at.host);
        Ok(())
    }

    /// Gives all writes that wait to the disk, if it is free: one batch at a time.
    pub(crate) fn start_writing(&mut self, host: usize) {
        let at = self.at(host);
        let machine = &mut self.hosts[host];
        let (slow, stalled_until) = (machine.slow, machine.stalled_until);
        let Some(life) = &mut machine.life else { return };
        if !life.writing.is_empty() || life.writes.is_empty() {
            return;
        }
        std::mem::swap(&mut life.writes, &mut life.writing);
        let takes = self.plan.host.takes(&mut self.disk_rng, self.plan.host.sync_mean) * u64::from(slow);
        self.queue.push(self.now.max(stalled_until).plus(takes), Event::Written(at));
    }

    pub(crate) fn position(&self, node: NodeId) -> Option<usize> {
        let position = (node.0 as usize).checked_sub(1)?;
        (position < self.hosts.len()).then_some(position)
    }

    pub(crate) fn at(&self, host: usize) -> At {
        At { host, life: self.hosts[host].lives }
    }

    /// The group of that id: they are numbered from one.
    pub(crate) fn group(&mut self, group: GroupId) -> Option<&mut Group> {
        self.groups.get_mut((group.0 as usize).checked_sub(1)?)
    }

    /// How long it may take until idle groups sleep: what was under way has to end first.
    pub(crate) fn patience(&self) -> u64 {
        let quiesce = self.quiesce_after.map_or(0, |after| after.as_nanos() as u64);
        quiesce + 6 * self.plan.election_timeout_max()
    }

    pub(crate) fn statistics(&self) -> Statistics {
        let mut statistics = Statistics {
            simulated: self.now.0,
            events: self.handled,
            traced: self.trace.events(),
            ..Statistics::default()
        };
        for group in &self.groups {
            let (invoked, acknowledged) = group.check.clients.counts();
            statistics.invoked += invoked;
            statistics.acknowledged += acknowledged;
            statistics.committed += group.check.commits.last().0;
            let term = group.check.elections.last().map_or(0, |(term, _)| term.0);
            statistics.term = statistics.term.max(term);
        }
        statistics
    }

    fn flap(&mut self, links: Vec<Link>, period: u64, times: u32) {
        self.net.cut(&links);
        self.queue.push(self.now.plus(period), Event::Mend(links.clone()));
        if times > 1 {
            let again = Event::Flap { links, period, times: times - 1 };
            self.queue.push(self.now.plus(2 * period), again);
        }
    }

    /// Carries out an intervention of the schedule.
    fn intervene(&mut self, position: usize) -> Checked {
        if self.healed {
            return Ok(());
        }
        let Some((number, _, action)) = self.plan.schedule.get(position).cloned() else { return Ok(()) };
        let happening = Happening::Intervention { number, what: action.name(), node: NodeId(0) };
        self.trace.record(self.now, EventId(0), &happening);
        match action {
            Action::Flap { links, period, times } => {
                self.flap(links, period, times);
                Ok(())
            }
            action => self.strike(action),
        }
    }
}

/// A group on some of the machines, most often on three; on one that is a learner's machine as a learner.
fn draw_group(id: GroupId, plan: &Plan, rng: &mut Rng) -> Group {
    let mut nodes: Vec<NodeId> = plan.voters.clone();
    if plan.host.steady {
        // In a world that is shown each machine has a part in every group.
        let mut membership = Membership::of_voters(nodes);
        membership.learners.extend(&plan.learners);
        let check = Checker::new(membership.clone(), None);
        return Group { id, check, membership, at_heal: floe_raft::Index(0) };
    }
    rng.shuffle(&mut nodes);
    let count = *rng.pick(&[1, 2, 3, 3, 3, 3, 5, 7]).unwrap_or(&3);
    nodes.truncate(count);
    let mut membership = Membership::of_voters(nodes);
    if plan.features.contains(&Feature::Learners) && rng.coin() {
        membership.learners = plan.learners.iter().copied().take(1).collect();
    }
    Group { id, check: Checker::new(membership.clone(), None), membership, at_heal: floe_raft::Index(0) }
}
