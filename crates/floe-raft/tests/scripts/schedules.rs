//! Random schedules over the same cluster and the same checker: loss, duplication, reordering, partitions, crashes
//! that keep some writes, slow disks, slow machines, compaction, handovers. At the end everything heals, and the
//! cluster must come to life again: liveness is checked, not only safety.
//!
//! A failure prints its seed and the last events; `replay` runs one seed alone.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use floe_raft::{
    Config, Index, Lease, Membership, MembershipChange, MembershipOperation, NodeId, ReadMode, Status, Term,
};

use crate::checker::Checker;
use crate::cluster::{Cluster, Options};
use crate::failure::Failure;
use crate::format;
use crate::network::{Filter, Link};
use crate::random::Random;

/// How rough a schedule is; drawn for each seed, so that quiet and wild ones both occur.
struct Weather {
    loss: u64,
    duplication: u64,
    reordering: u64,
    crash: u64,
    partition: u64,
    expiry: u64,
    time: u64,
    change: u64,
}

/// One run.
struct World {
    cluster: Cluster,
    random: Random,
    weather: Weather,
}

impl World {
    fn new(seed: u64, talks: bool) -> Result<Self, Failure> {
        let mut random = Random::new(seed);
        let voters = if random.one_in(2) { 3 } else { 5 };
        let mut config = Config::new(NodeId(1));
        config.pre_vote = !random.one_in(4);
        config.check_quorum = !random.one_in(4);
        config.inflight_messages = 1 + random.length(8);
        config.append_bytes = 40 << random.below(6);
        config.tail_bytes = if random.one_in(2) { 200 } else { 1 << 20 };
        config.apply_bytes = if random.one_in(2) { 100 } else { 1 << 20 };
        let learners = random.below(2);
        config.promotion_lag = random.below(4);
        let drift_margin = Duration::from_millis(random.below(100));
        config.lease = random.one_in(2).then_some(Lease { drift_margin });
        let spares = random.below(3);
        let witnesses = if random.one_in(3) { random.below(voters / 2 + 1) } else { 0 };
        let spare_witnesses = random.below(spares + 1);
        let mut options =
            Options { witnesses, learners, spares, spare_witnesses, seed, config, ..Options::new(voters) };
        if let Some(lease) = options.config.lease {
            // Clocks as different as the margin covers, and not more: of two that gain and lose r a second, the one gains
            // 2r / (1 + r) on the other.
            let share =
                lease.drift_margin.as_micros() * 1_000_000 / options.config.election_timeout.as_micros();
            let rate = u64::try_from(share * 1_000_000 / (2_000_000 - share)).unwrap_or(0);
            let clock = |random: &mut Random| random.below(2 * rate + 1) as i32 - rate as i32;
            options.rates =
                (1..=voters + learners + spares).map(|id| (NodeId(id), clock(&mut random))).collect();
        }
        if random.one_in(3) {
            options.priorities = (1..=voters).map(|id| (NodeId(id), 80 * random.below(4) as u8)).collect();
        }
        let chance = |random: &mut Random, from: u64| from << random.below(4);
        let weather = Weather {
            loss: chance(&mut random, 10),
            duplication: chance(&mut random, 15),
            reordering: chance(&mut random, 8),
            crash: chance(&mut random, 30),
            partition: chance(&mut random, 15),
            expiry: chance(&mut random, 12),
            time: chance(&mut random, 8),
            change: chance(&mut random, 1),
        };
        Ok(Self { cluster: Cluster::new(options, talks)?, random, weather })
    }

    /// One random event.
    fn step(&mut self) -> Result<(), Failure> {
        let ids = self.cluster.ids();
        let Some(id) = self.random.pick(&ids) else { return Ok(()) };
        if self.random.one_in(self.weather.crash) {
            return self.crash_or_restart(id);
        }
        if self.random.one_in(self.weather.partition) {
            return self.break_or_heal(&ids);
        }
        if self.random.one_in(self.weather.expiry) && self.cluster.is_up(id) {
            // All other nodes were slow, or this one's clock is fast.
            return self.cluster.expire(id);
        }
        if self.random.one_in(self.weather.time) {
            return self.pass_time();
        }
        match self.random.below(16) {
            0 | 1 => self.ask(id),
            2 => self.finish_work(id),
            3 => self.change_speed(id),
            4 if self.random.one_in(4) => self.compact(id),
            5 if self.random.one_in(10) => self.hand_over(&ids),
            6 if self.random.one_in(3) => self.calm_down(),
            7 if self.random.one_in(self.weather.change) => self.change(&ids),
            _ => self.move_parcels(),
        }
    }

    /// Delivers one parcel, or all that one link carries.
    fn move_parcels(&mut self) -> Result<(), Failure> {
        let links = self.cluster.network.busy_links();
        let Some(link) = self.random.pick(&links) else { return self.pass_time() };
        let mut queue = self.cluster.network.queues.remove(&link).unwrap_or_default();
        let count = if self.random.one_in(3) { queue.len() } else { 1 };
        let mut arrives = Vec::new();
        for _ in 0..count {
            let overtakes = self.random.one_in(self.weather.reordering);
            let at = if overtakes { self.random.length(queue.len()) } else { 0 };
            let Some(parcel) = queue.remove(at) else { break };
            if self.random.one_in(self.weather.duplication) {
                queue.push_back(parcel.clone());
            }
            if self.random.one_in(self.weather.loss) || self.cluster.network.is_cut(link) {
                self.cluster.lose(link, &parcel);
            } else {
                arrives.push((link, parcel));
            }
        }
        self.cluster.network.queues.insert(link, queue);
        self.cluster.deliver(arrives)
    }

    fn pass_time(&mut self) -> Result<(), Failure> {
        let micros = match self.random.below(100) {
            0 => 400_000,
            1..5 => 30_000,
            _ => 2_000,
        };
        let duration = Duration::from_micros(self.random.below(micros));
        self.cluster.advance(duration, false)
    }

    /// For a while the links that are whole are quick.
    fn calm_down(&mut self) -> Result<(), Failure> {
        let duration = Duration::from_millis(self.random.below(700));
        self.cluster.advance(duration, true)
    }

    fn ask(&mut self, id: NodeId) -> Result<(), Failure> {
        if !self.cluster.is_up(id) {
            return Ok(());
        }
        let key = self.random.below(4);
        let leads = self.cluster.status(id).is_some_and(|status| status.leader == Some(id));
        // A refusal is an answer, too; the checker holds the node to it.
        let burst = if self.random.one_in(3) { 1 + self.random.length(6) } else { 1 };
        let reads = self.random.one_in(3);
        // Decided on in this term, or in one before.
        let term = self.cluster.status(id).map_or(Term(0), |status| status.hard_state.term);
        let in_term = self.random.one_in(4).then(|| Term(term.0 - term.0.min(self.random.below(2))));
        let mode = if self.random.one_in(2) { ReadMode::Index } else { ReadMode::Lease };
        for _ in 0..burst {
            let text = format!("k{key}={}", self.random.below(100));
            let _is_taken = match reads {
                true => self.cluster.read(id, mode)?.is_ok(),
                false if leads => self.cluster.propose(id, &text, in_term)?.is_ok(),
                false => self.cluster.forward(id, &text)?.is_ok(),
            };
        }
        self.cluster.settle(id)
    }

    /// Some of the work that a node's host holds back gets done.
    fn finish_work(&mut self, id: NodeId) -> Result<(), Failure> {
        if !self.cluster.is_up(id) {
            return Ok(());
        }
        let count = 1 + self.random.length(3);
        self.cluster.complete_writes(id, count)?;
        if self.random.one_in(2) {
            self.cluster.apply_next(id)?;
        }
        if self.random.one_in(2) {
            self.cluster.report_applied(id)?;
        }
        if !self.cluster.member(id)?.fetches.is_empty() {
            let fails = self.random.one_in(4);
            self.cluster.answer_fetch(id, fails)?;
        }
        self.cluster.settle(id)
    }

    /// A disk, a machine or the reading of old entries becomes slow, or quick again.
    fn change_speed(&mut self, id: NodeId) -> Result<(), Failure> {
        let slow = self.random.one_in(4);
        match self.random.below(3) {
            0 => self.cluster.disk(id)?.held = slow,
            1 => self.cluster.member(id)?.applies_held = slow,
            _ => self.cluster.member(id)?.fetches_held = slow,
        }
        if self.cluster.is_up(id) { self.cluster.settle(id) } else { Ok(()) }
    }

    fn crash_or_restart(&mut self, id: NodeId) -> Result<(), Failure> {
        // Mostly somebody comes back first: a cluster that is down proves little.
        let down = self.cluster.ids().into_iter().find(|id| !self.cluster.is_up(*id));
        if let Some(down) = down
            && !self.random.one_in(3)
        {
            return self.cluster.start(down);
        }
        if !self.cluster.is_up(id) {
            return Ok(());
        }
        let kept = self.random.length(4);
        self.cluster.crash(id, kept)?;
        if self.random.one_in(3) {
            for other in self.cluster.ids() {
                if self.cluster.is_up(other) {
                    self.cluster.peer_gone(other, id)?;
                }
            }
        }
        Ok(())
    }

    fn break_or_heal(&mut self, ids: &[NodeId]) -> Result<(), Failure> {
        if !self.random.one_in(3) {
            self.cluster.network.heal(Filter::default());
            return Ok(());
        }
        let leader = self.cluster.leader().filter(|_| self.random.one_in(2));
        let side: Vec<NodeId> = match leader {
            Some(leader) => vec![leader],
            None => ids.iter().copied().filter(|_| self.random.one_in(2)).collect(),
        };
        let both_ways = !self.random.one_in(3);
        for from in ids {
            for to in ids {
                let leaves = side.contains(from) && !side.contains(to);
                let enters = !side.contains(from) && side.contains(to);
                if leaves || (enters && both_ways) {
                    self.cluster.network.cut(Link { from: *from, to: *to });
                }
            }
        }
        Ok(())
    }

    fn compact(&mut self, id: NodeId) -> Result<(), Failure> {
        if !self.cluster.is_up(id) {
            return Ok(());
        }
        let last = self.cluster.member(id)?.machine.last;
        let log = &self.cluster.disk(id)?.durable;
        let base = log.base.index;
        if log.covers(last) && last.index > base {
            let index = Index(base.0 + 1 + self.random.below(last.index.0 - base.0));
            self.cluster.compact(id, index)?;
        }
        Ok(())
    }

    fn hand_over(&mut self, ids: &[NodeId]) -> Result<(), Failure> {
        let (Some(leader), Some(to)) = (self.cluster.leader(), self.random.pick(ids)) else { return Ok(()) };
        let _is_taken = self.cluster.transfer(leader, to)?.is_ok();
        self.cluster.settle(leader)
    }

    /// The leader is asked for a change of the membership: one node, or some at once.
    fn change(&mut self, ids: &[NodeId]) -> Result<(), Failure> {
        let Some(leader) = self.cluster.leader() else { return Ok(()) };
        let Some(Status { membership, .. }) = self.cluster.status(leader) else { return Ok(()) };
        let mut change = MembershipChange { forced: self.random.one_in(4), ..MembershipChange::default() };
        let count = if self.random.one_in(2) { 1 } else { 1 + self.random.length(3) };
        for _ in 0..count {
            let Some(node) = self.random.pick(ids) else { continue };
            let address = Bytes::from(format!("n{node}"));
            let auto_promote = self.random.one_in(2);
            let is_first = self.random.one_in(2);
            let (is_voter, is_learner) = (membership.is_voter(node), membership.learners.contains(&node));
            change.operations.push(match (is_voter, is_learner) {
                (true, _) if is_first => MembershipOperation::Remove { node },
                (true, _) => MembershipOperation::Demote { node },
                (false, true) if self.random.one_in(4) => MembershipOperation::Remove { node },
                (false, true) => MembershipOperation::Promote { node },
                (false, false) if self.cluster.options.is_witness(node) => {
                    MembershipOperation::AddWitness { node, address }
                }
                (false, false) if is_first => MembershipOperation::AddVoter { node, address },
                (false, false) => MembershipOperation::AddLearner { node, address, auto_promote },
            });
        }
        let _is_taken = self.cluster.change(leader, &change)?.is_ok();
        self.cluster.settle(leader)
    }

    /// The leader of a cluster that is well again. A change that was under way must have come to its end.
    fn healthy_leader(&mut self) -> Result<Status, Failure> {
        self.cluster.advance(Duration::from_secs(5), true)?;
        let leader = self.cluster.leader().and_then(|leader| self.cluster.status(leader));
        let Some(status) = leader else {
            let ids = self.cluster.ids();
            let nodes: Vec<String> = ids
                .into_iter()
                .filter_map(|id| self.cluster.status(id))
                .map(|status| {
                    format!("{} {}", format::status(&status), format::membership(&status.membership))
                })
                .collect();
            let text = format!("everything is well again, and nobody leads:\n{}", nodes.join("\n"));
            return Err(Failure::law(text));
        };
        if !status.membership.is_voter(status.id) {
            return Err(Failure::law(format!("n{} leads and is no voter", status.id)));
        }
        if let Some(index) = status.pending_change {
            return Err(Failure::law(format!("the change at {index} never ends")));
        }
        if let Some(node) = status.membership.auto_promote.first() {
            return Err(Failure::law(format!("n{node} waits for its promotion for ever")));
        }
        if status.progress.values().any(|peer| peer.leaving) {
            return Err(Failure::law("the leader never parts with one that left"));
        }
        Ok(status)
    }

    /// Stops those that were removed and do not know it. They ask for votes, and without stickiness they are listened
    /// to, so that an operator has to stop them.
    fn stop_strangers(&mut self) -> Result<(), Failure> {
        self.cluster.advance(Duration::from_secs(5), true)?;
        let statuses = self.cluster.ids().into_iter().filter_map(|id| self.cluster.status(id));
        let Some(latest) = statuses.max_by_key(|status| status.commit) else { return Ok(()) };
        for id in self.cluster.ids() {
            if latest.pending_change.is_none() && !latest.membership.contains(id) {
                self.cluster.crash(id, 0)?;
            }
        }
        Ok(())
    }

    /// Everything heals; then the cluster must live.
    fn recover(&mut self) -> Result<(), Failure> {
        self.cluster.network.heal(Filter::default());
        for id in self.cluster.ids() {
            if !self.cluster.is_up(id) {
                self.cluster.start(id)?;
            }
            self.cluster.disk(id)?.held = false;
            let member = self.cluster.member(id)?;
            member.applies_held = false;
            member.fetches_held = false;
            self.cluster.settle(id)?;
        }
        if !self.cluster.options.config.check_quorum {
            self.stop_strangers()?;
        }
        let Status { mut id, mut membership, .. } = self.healthy_leader()?;
        if !self.cluster.options.priorities.is_empty() {
            // Those that were of no use as leaders are humble for a while.
            self.cluster.advance(Duration::from_secs(12), true)?;
            Status { id, membership, .. } = self.healthy_leader()?;
            self.check_preference(id, &membership)?;
        }
        let leader = id;
        let members = membership.members();
        let at = self.cluster.propose(leader, "end=1", None)?;
        self.cluster.settle(leader)?;
        let at = at.map_err(|error| Failure::law(format!("the leader refuses a proposal: {error}")))?;
        for id in members.clone() {
            let is_witness = self.cluster.options.is_witness(id);
            if self.cluster.read(id, ReadMode::Lease)?.is_err() != is_witness {
                return Err(Failure::law(format!("n{id} refuses a read, or a witness takes one")));
            }
            self.cluster.settle(id)?;
        }
        self.cluster.advance(Duration::from_secs(2), true)?;
        self.converged(members, at.index)
    }

    /// The most preferred of those who may lead does, when all are well.
    fn check_preference(&self, leader: NodeId, membership: &Membership) -> Result<(), Failure> {
        let priority = |id: &NodeId| self.cluster.options.priorities.get(id).copied().unwrap_or(u8::MAX);
        let best = membership.members().into_iter().filter(|id| membership.may_lead(*id));
        match best.max_by_key(priority) {
            Some(best) if priority(&best) > priority(&leader) => {
                Err(Failure::law(format!("n{leader} leads, though n{best} is preferred")))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Of those that left nothing is asked: a read that was confirmed there may wait for an entry that never comes.
    fn converged(&mut self, members: BTreeSet<NodeId>, index: Index) -> Result<(), Failure> {
        let reads = self.cluster.checker.reads_waiting(&members);
        for id in members {
            let member = self.cluster.member(id)?;
            let (applied, forwards) = (member.machine.last.index, member.forwards.len());
            if applied != index {
                return Err(Failure::law(format!("n{id} has applied {applied}, not {index}")));
            }
            if forwards > 0 {
                return Err(Failure::law(format!("n{id} never heard of {forwards} forwarded proposals")));
            }
        }
        if reads > 0 {
            return Err(Failure::law(format!("{reads} reads were never answered")));
        }
        if self.cluster.alarms > 0 {
            return Err(Failure::law("a node raised an alarm, though no node misbehaves"));
        }
        Ok(())
    }
}

/// What schedules amounted to, so that quiet ones do not pass for proof.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    leaders: usize,
    commits: u64,
    installs: usize,
    reads: usize,
    forwards: usize,
    changes: usize,
}

impl Tally {
    fn add(&mut self, checker: &Checker) {
        self.leaders += checker.leaders();
        self.commits += checker.commit().0;
        self.installs += checker.tally.installs;
        self.reads += checker.tally.reads;
        self.forwards += checker.tally.forwards;
        self.changes += checker.tally.changes;
    }
}

/// Runs one schedule. The events of the last steps come with a failure.
fn schedule(seed: u64, steps: usize, talks: bool) -> Result<Checker, (Failure, Vec<String>)> {
    let mut events = Vec::new();
    let mut world = World::new(seed, talks).map_err(|failure| (failure, Vec::new()))?;
    for step in 0..=steps {
        let result = if step < steps { world.step() } else { world.recover() };
        if talks {
            events.extend(world.cluster.take_output());
            let changes = world.cluster.take_changes();
            events.extend(changes.iter().map(|line| format!("    {step}: {line}")));
        }
        if let Err(failure) = result {
            return Err((failure, events));
        }
    }
    Ok(world.cluster.checker)
}

/// Runs a range of seeds; a failing one again, with its story.
fn schedules(seeds: std::ops::Range<u64>, steps: usize) {
    let count = seeds.end - seeds.start;
    let mut tally = Tally::default();
    for seed in seeds {
        match schedule(seed, steps, false) {
            Ok(checker) => tally.add(&checker),
            Err(_) => replay(seed, steps),
        }
    }
    let each = |total: usize| total as u64 / count;
    let lively = each(tally.leaders) >= 3
        && tally.commits / count >= 10
        && each(tally.installs * 4) >= 1
        && each(tally.reads) >= 3
        && each(tally.forwards) >= 3
        && each(tally.changes) >= 1;
    assert!(lively, "the schedules of {count} seeds are too quiet to prove anything: {tally:?}");
}

/// Runs one seed and tells how it came to fail.
fn replay(seed: u64, steps: usize) {
    if let Err((failure, events)) = schedule(seed, steps, true) {
        let shown = &events[events.len().saturating_sub(200)..];
        panic!("seed {seed} with {steps} steps: {failure}\n{}\n{failure}", shown.join("\n"));
    }
}

#[test]
fn short_schedules_keep_the_laws_and_recover() {
    schedules(0..180, 400);
}

#[test]
fn long_schedules_keep_the_laws_and_recover() {
    schedules(1_000..1_020, 2_500);
}

/// For a developer who changed the protocol: `cargo test --release -p floe-raft --test scripts -- --ignored`.
#[test]
#[ignore = "takes minutes; run it by name after a change of the protocol"]
fn many_schedules_keep_the_laws_and_recover() {
    schedules(10_000..14_000, 2_000);
}

/// A leader is cut off, and the clocks of the others run half as fast again: whether one of them leads within its lease.
fn is_lease_broken(seed: u64, drift_margin: Duration) -> Result<bool, Failure> {
    let mut options = Options { seed, ..Options::new(3) };
    options.config.lease = Some(Lease { drift_margin });
    options.rates = [(NodeId(2), 500_000), (NodeId(3), 500_000)].into();
    let mut cluster = Cluster::new(options, false)?;
    cluster.expire(NodeId(1))?;
    cluster.stabilize()?;
    for other in [NodeId(2), NodeId(3)] {
        cluster.network.cut(Link { from: NodeId(1), to: other });
        cluster.network.cut(Link { from: other, to: NodeId(1) });
    }
    match cluster.advance(Duration::from_millis(500), true) {
        Ok(()) => Ok(false),
        Err(failure) if failure.is_law && failure.text.contains("holds a lease") => Ok(true),
        Err(failure) => Err(failure),
    }
}

/// In 200 ms these clocks count the 300 ms of a promise: a margin of 100 ms covers that, and less does not.
#[test]
fn a_drift_margin_that_is_too_small_is_found() -> Result<(), Failure> {
    let broken = |margin_ms| -> Result<usize, Failure> {
        let runs = (0..60).map(|seed| is_lease_broken(seed, Duration::from_millis(margin_ms)));
        Ok(runs.collect::<Result<Vec<bool>, Failure>>()?.into_iter().filter(|broken| *broken).count())
    };
    assert!(broken(30)? > 0, "a margin of 30 ms does not cover these clocks, and nobody notices");
    assert_eq!(broken(100)?, 0);
    Ok(())
}
