//! The world itself: true time, what will happen, and the hosts that it happens to.

use std::collections::BTreeSet;

use floe_raft::{FetchId, Index, Membership, Node, NodeId};

use crate::check::{Advance, Checked, Checker, Invariant, Violation, broken};
use crate::clock::{Clock, MS, Moment, SECOND};
use crate::host::{Host, Input, Life, LifeId, Seen};
use crate::image::LogImage;
use crate::machine::OpId;
use crate::marks::{Mark, Marks};
use crate::mutant::{HostMutant, Mutant};
use crate::net::{Network, Packet, TransferId};
use crate::plan::Plan;
use crate::queue::Queue;
use crate::rng::{Rng, Stream};
use crate::stage::Backstage;
use crate::storage::Storage;
use crate::store::Stores;
use crate::trace::{EventId, Happening, Trace};
use crate::work::FULL_DISK_RETRY;
use crate::workload::Workload;

/// A simulated cluster with its clients and its misfortunes.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) mutant: Option<HostMutant>,
    pub(crate) now: Moment,
    /// The event that is being handled; what comes of it names it as its cause.
    pub(crate) cause: EventId,
    pub(crate) queue: Queue<Event>,
    pub(crate) hosts: Vec<Host>,
    pub(crate) net: Network,
    pub(crate) check: Checker,
    pub(crate) trace: Trace,
    pub(crate) workload: Workload,
    pub(crate) disk_rng: Rng,
    pub(crate) host_rng: Rng,
    pub(crate) liveness_rng: Rng,
    pub(crate) transfers: TransferId,
    /// The chaos is over: nothing is broken or mended any more outside of the core.
    pub(crate) core: Option<BTreeSet<NodeId>>,
    pub(crate) marks: Marks,
    /// When the world ends.
    pub(crate) ends: Moment,
    /// Buffer for what the network delivers.
    arrivals: Vec<(Moment, Packet)>,
    handled: u64,
    /// The real stores, in worlds that ask for them.
    pub(crate) stores: Option<Box<Stores>>,
    /// What viewers do and see, on a stage.
    pub(crate) backstage: Option<Box<Backstage>>,
}

/// What happens at a moment. What is meant for a process names its life, and is nothing when that is over.
#[derive(Debug)]
pub(crate) enum Event {
    Arrive(Packet),
    Wake(At),
    Timer(At),
    Written(At),
    Fetch {
        at: At,
        cause: EventId,
        id: FetchId,
        first: Index,
        last: Index,
        max_bytes: u64,
    },
    Applied(At),
    TransferTimeout {
        at: At,
        to: NodeId,
        transfer: TransferId,
    },
    PeerGone {
        at: At,
        peer: NodeId,
    },
    Restart(usize),
    Resume(usize),
    /// A node that was removed is stopped for good.
    Stop(At),
    Intervene(usize),
    Mend(Mend),
    Request {
        host: usize,
        op: OpId,
        cause: EventId,
    },
    Answer(OpId, crate::workload::Answer),
    GiveUp(OpId),
    NextOperation {
        client: usize,
    },
    TryAgain {
        client: usize,
        op: OpId,
    },
    Heal,
    MustHaveCommitted {
        above: Index,
    },
}

/// A process: a host's position and which of its lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) host: usize,
    pub(crate) life: LifeId,
}

/// The end of an intervention.
#[derive(Debug)]
pub(crate) enum Mend {
    Links(Vec<crate::action::Link>),
    Flap {
        links: Vec<crate::action::Link>,
        period: u64,
        times: u32,
    },
    SlowDisk(usize),
    FullDisk(usize),
    /// The intervention goes on.
    Again(crate::action::Action),
}

impl World {
    pub(crate) fn new(plan: Plan, mutant: Option<Mutant>, trace: Trace) -> Self {
        #[cfg(feature = "mutants")]
        let mut plan = plan;
        #[cfg(feature = "mutants")]
        {
            plan.config.mutant = mutant.and_then(Mutant::core);
            plan.host.log_mutant = mutant.and_then(Mutant::log);
        }
        let mutant = mutant.and_then(Mutant::host);
        let seed = plan.seed;
        let mut host_rng = Rng::new(seed, Stream::Host);
        let membership = Membership {
            voters: plan.voters.iter().copied().collect(),
            learners: plan.learners.iter().copied().collect(),
            witnesses: plan.voters.iter().copied().filter(|node| plan.witnesses.contains(node)).collect(),
            ..Membership::default()
        };
        let founder = |id| Membership::of_voters([id]);
        let hosts = plan
            .nodes()
            .map(|id| Host {
                id,
                clock: Clock::new(if plan.host.steady { 0 } else { host_rng.below(1_000 * SECOND) }),
                storage: {
                    let membership = match mutant {
                        _ if membership.contains(id) => membership.clone(),
                        Some(HostMutant::JoinAsFounder) => founder(id),
                        _ => Membership::default(),
                    };
                    Storage::new(id, &membership, &plan.host)
                },
                life: None,
                lives: LifeId(0),
                retired: false,
                leaving: false,
                paused_until: None,
                wiped: false,
                slow: 1,
                stalled_until: Moment(0),
                full_until: Moment(0),
                failing: None,
                evidence_at: None,
                crash_after: None,
            })
            .collect();
        Self {
            now: Moment(0),
            cause: EventId(0),
            queue: Queue::new(),
            hosts,
            net: Network::new(seed, plan.network.clone()),
            check: Checker::new(membership, plan.host.sessions),
            trace,
            workload: Workload::new(seed, &plan.workload),
            disk_rng: Rng::new(seed, Stream::Disk),
            host_rng,
            liveness_rng: Rng::new(seed, Stream::Liveness),
            transfers: TransferId(0),
            core: None,
            ends: plan.end,
            marks: Marks::default(),
            arrivals: Vec::new(),
            handled: 0,
            stores: None,
            backstage: None,
            plan,
            mutant,
        }
    }

    /// Starts every host and every client, and writes the schedule into the future.
    pub(crate) fn begin(&mut self) -> Checked {
        if self.plan.store && self.mutant.is_none() {
            self.stores = Stores::new(self.hosts.len(), self.plan.seed);
        }
        let features: Vec<&str> = self.plan.features.iter().map(|feature| feature.name()).collect();
        let happening = Happening::World {
            seed: self.plan.seed,
            voters: self.plan.voters.len() as u64,
            learners: self.plan.learners.len() as u64,
            joiners: self.plan.joiners.len() as u64,
            witnesses: self.plan.witnesses.len() as u64,
            heartbeat: self.plan.config.heartbeat_interval.as_nanos() as u64,
            election: self.plan.config.election_timeout.as_nanos() as u64,
            features: &features.join(" "),
        };
        self.cause = self.trace.record(self.now, EventId(0), &happening);
        for number in 0..self.plan.schedule.len() {
            self.queue.push(self.plan.schedule[number].1, Event::Intervene(number));
        }
        let members = self.plan.voters.len() + self.plan.learners.len();
        for host in 0..self.hosts.len() {
            let at = Moment(if self.plan.host.steady { 0 } else { self.host_rng.below(20 * MS) });
            if host < members || self.plan.host.early_joiners {
                self.queue.push(at, Event::Restart(host));
            }
        }
        for client in 0..self.workload.clients() {
            let at = Moment(self.workload.think());
            self.queue.push(at, Event::NextOperation { client });
        }
        if self.plan.liveness {
            self.queue.push(self.plan.end, Event::Heal);
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
        // What nothing caused has no cause, and not that of whatever happened before.
        self.cause = EventId(0);
        self.handled += 1;
        let done = self.handle(event);
        done.map_err(|violation| {
            let violation = Box::new(Violation { at: self.now, ..*violation });
            self.trace.record(self.now, self.cause, &Happening::Violated { violation: &violation });
            violation
        })
    }

    /// How many events were handled.
    pub(crate) fn handled(&self) -> u64 {
        self.handled
    }

    fn handle(&mut self, event: Event) -> Checked {
        match event {
            Event::Arrive(packet) => self.arrive(packet),
            Event::Wake(at) => self.when_alive(at, |world| world.step_host(at.host)),
            Event::Timer(at) => self.when_alive(at, |world| world.timer_due(at.host)),
            Event::Written(at) => self.when_alive(at, |world| world.written(at)),
            Event::Fetch { at, cause, id, first, last, max_bytes } => {
                self.when_alive(at, |world| world.fetch(at.host, cause, id, first, last, max_bytes))
            }
            Event::Applied(at) => self.when_alive(at, |world| world.job_done(at)),
            Event::TransferTimeout { at, to, transfer } => {
                self.when_alive(at, |world| world.transfer_timed_out(at.host, to, transfer))
            }
            Event::PeerGone { at, peer } => self.when_alive(at, |world| {
                world.cause = world.note(&Happening::PeerGone { node: world.hosts[at.host].id, peer });
                world.input(at.host, Input::PeerGone(peer))
            }),
            Event::Restart(host) => self.restart(host),
            Event::Resume(host) => self.resume(host),
            Event::Intervene(number) => self.intervene(number),
            Event::Mend(mend) => self.mend(mend),
            Event::Stop(at) => self.when_alive(at, |world| world.stop(at)),
            Event::Request { host, op, cause } => {
                self.cause = cause;
                self.request(host, op)
            }
            Event::Answer(op, answer) => {
                self.answered(op, answer);
                Ok(())
            }
            Event::GiveUp(op) => {
                self.give_up(op);
                Ok(())
            }
            Event::NextOperation { client } => {
                self.next_operation(client);
                Ok(())
            }
            Event::TryAgain { client, op } => {
                self.try_again(client, op);
                Ok(())
            }
            Event::Heal => self.heal(),
            Event::MustHaveCommitted { above } => self.must_have_committed(above),
        }
    }

    fn when_alive(&mut self, at: At, then: impl FnOnce(&mut Self) -> Checked) -> Checked {
        let host = &self.hosts[at.host];
        if host.life.is_some() && host.lives == at.life { then(self) } else { Ok(()) }
    }

    /// Writes something into the trace, caused by what is being handled.
    pub(crate) fn note(&mut self, happening: &Happening<'_>) -> EventId {
        self.trace.record(self.now, self.cause, happening)
    }

    /// The position of a node's host.
    pub(crate) fn position(&self, node: NodeId) -> Option<usize> {
        let position = node.0.checked_sub(1)? as usize;
        (position < self.hosts.len()).then_some(position)
    }

    pub(crate) fn at(&self, host: usize) -> At {
        At { host, life: self.hosts[host].lives }
    }

    /// Gives a packet to the network.
    pub(crate) fn send(&mut self, packet: Packet, extra: u64) {
        let (from, to) = (packet.from, packet.to);
        let mut arrivals = std::mem::take(&mut self.arrivals);
        if let Some(why) = self.net.send(self.now, packet, extra, &mut arrivals) {
            self.note(&Happening::Lost { from, to, why });
        }
        for (at, packet) in arrivals.drain(..) {
            self.queue.push(at, Event::Arrive(packet));
        }
        self.arrivals = arrivals;
    }

    fn arrive(&mut self, packet: Packet) -> Checked {
        let (from, to) = (packet.from, packet.to);
        self.cause = packet.cause;
        let Some(host) = self.position(to) else { return Ok(()) };
        let reaches = self.net.delivers(from, to);
        if !reaches || self.hosts[host].life.is_none() {
            let why = if reaches { "down" } else { "cut" };
            self.note(&Happening::Lost { from, to, why });
            return Ok(());
        }
        self.cause = self.note(&Happening::Arrived { from, to });
        self.input(host, Input::Packet(packet))
    }

    /// Starts a process from what is on its disk.
    pub(crate) fn restart(&mut self, host: usize) -> Checked {
        let tail = self.plan.host.restored_tail;
        let (mutant, config) = (self.mutant, self.plan.config.clone());
        let seed = self.host_rng.number();
        let machine = &mut self.hosts[host];
        if machine.life.is_some() || machine.wiped || machine.retired {
            return Ok(());
        }
        let Some(mut restored) = machine.storage.restore(tail, mutant, &mut self.marks)? else {
            // Whoever starts processes tries again.
            self.marks.reach(Mark::FullAtStart);
            self.queue.push(self.now.plus(FULL_DISK_RETRY), Event::Restart(host));
            return Ok(());
        };
        if mutant == Some(HostMutant::ApplyTwice) {
            restored.applied = restored.applied.prev().max(restored.base.index);
        }
        let id = machine.id;
        let happening = Happening::Started {
            node: id,
            hard_state: restored.hard_state,
            base: restored.base,
            last: restored.last,
            applied: machine.storage.checkpoint().machine.applied(),
        };
        let local = machine.clock.local(self.now);
        let witness = self.plan.witnesses.contains(&id);
        let priority = self.plan.priority(id);
        let config = floe_raft::Config { id, witness, priority, ..config };
        let durable = machine.storage.image().hard_state.term;
        let node = Node::new(local, seed, config, restored)
            .map_err(|error| broken(Invariant::Restarts, format!("n{id} cannot start: {error}")))?;
        let mut life = Life::new(node, &machine.storage);
        life.machine.reload(self.plan.host.sessions).map_err(|error| {
            broken(Invariant::Restarts, format!("n{id} cannot read its sessions: {error}"))
        })?;
        life.seen.commit = life.node.commit();
        if mutant == Some(HostMutant::ApplyTwice) {
            let before = life.log.id_at(life.seen.commit).unwrap_or(life.log.base);
            life.machine.forge_applied(before);
        }
        // A witness has nothing to keep in one.
        if let Some(stores) = self.stores.as_mut().filter(|_| !witness) {
            stores.started(host, life.machine.applied())?;
        }
        machine.life = Some(life);
        machine.leaving = false;
        machine.lives.0 += 1;
        self.cause = self.trace.record(self.now, self.cause, &happening);
        self.check.elections.restarts(id, durable);
        if self.hosts[host].life.as_ref().is_some_and(|life| life.node.membership().is_joint()) {
            self.marks.reach(Mark::RestartWhileJoint);
        }
        self.check_durable()?;
        self.step_host(host)
    }

    /// What is committed is still on the disks of a quorum.
    pub(crate) fn check_durable(&self) -> Checked {
        let Self { hosts, check, .. } = self;
        check.commits.durable(&|node| disk_of(hosts, node))
    }

    /// Compares what a node says of itself with what it said before. `dies`: in the middle of its effects, so that it may
    /// have appended what it has not asked to be written.
    pub(crate) fn observe(&mut self, host: usize, dies: bool) -> Checked {
        let Self { hosts, check, trace, marks, .. } = self;
        let Some(life) = hosts[host].life.as_mut() else { return Ok(()) };
        let id = life.node.id();
        let sound = life.invariants.check(&life.node);
        sound.map_err(|violation| broken(Invariant::NodeIsSound, violation.to_string()))?;
        let (term, leads, commit) = (life.node.term(), life.node.is_leader(), life.node.commit());
        let last = life.log.last();
        let seen = std::mem::replace(&mut life.seen, Seen { term, leads, commit, last });
        if term != seen.term {
            check.elections.in_term(id, term)?;
        }
        let elected = leads && !(seen.leads && seen.term == term);
        if elected {
            check.elections.leads(id, term)?;
        }
        let Some(life) = hosts[host].life.as_ref() else { return Ok(()) };
        if last != seen.last {
            check.memberships.agrees(id, check.lineage.membership_entry(last), life.node.membership())?;
        }
        if commit != seen.commit {
            trace.record(self.now, self.cause, &Happening::Commit { node: id, index: commit });
            // What it counted in this step it may have counted before it was deposed in the same step.
            let term = if leads { term } else { seen.term };
            if seen.leads && !leads {
                marks.reach(Mark::DeposedWhileCounting);
            }
            let advance = Advance {
                node: id,
                term,
                leads: leads || seen.leads,
                from: seen.commit,
                to: commit,
                log: &life.log,
                unwritten: dies.then(|| life.node.membership()),
                disks: &|node| disk_of(hosts, node),
            };
            let counted = check.advanced(&advance, seen.last, last)?;
            if counted {
                marks.reach(Mark::CommittedThroughWitness);
            }
        }
        check.memberships.judge(&check.commits)?;
        if elected {
            check.commits.elected(id, term, &life.log)?;
            check.elections.won(id, term, check.in_force(id, last))?;
        }
        if leads && !check.in_force(id, last).is_voter(id) {
            marks.reach(Mark::LeadsWithoutVote);
        }
        self.check_lease(host)
    }
}

/// What is on a node's disk; `None` of one that is lost for ever.
fn disk_of(hosts: &[Host], node: NodeId) -> Option<&LogImage> {
    let host = hosts.get((node.0 as usize).checked_sub(1)?)?;
    (!host.wiped).then(|| host.storage.image())
}
