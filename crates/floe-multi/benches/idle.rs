//! What many groups cost beside each other: nothing for those that sleep.
//!
//!     cargo bench -p floe-multi
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]
#![allow(missing_docs, reason = "the macro of criterion makes a public function")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::collections::VecDeque;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use floe_multi::{Beat, MultiConfig, MultiEffect, MultiNode};
use floe_raft::{Config, Effect, Envelope, GroupId, Membership, NodeId, Restored, Time};

enum Mail {
    Beat(Beat),
    Message(GroupId, Envelope),
}

/// Three machines with the same groups, in memory.
struct Machines {
    now: Time,
    multis: Vec<MultiNode>,
    mail: VecDeque<Mail>,
}

impl Machines {
    fn new(groups: u64, sleep: bool) -> Self {
        let membership = Membership::of_voters((1..=3).map(NodeId));
        let mut machines = Self { now: Time(0), multis: Vec::new(), mail: VecDeque::new() };
        for id in (1..=3).map(NodeId) {
            let mut config = MultiConfig::new(id, id.0);
            config.quiesce_after = sleep.then_some(config.election_timeout);
            let mut multi = MultiNode::new(Time(0), config).unwrap();
            for group in 1..=groups {
                let restored = Restored { membership: membership.clone(), ..Restored::default() };
                let seed = id.0 * 1000 + group;
                multi.add_group(Time(0), seed, GroupId(group), Config::new(id), restored).unwrap();
            }
            machines.multis.push(multi);
        }
        (0..3).for_each(|at| machines.drain(at));
        machines.settle();
        while machines.now < Time(0).plus(Duration::from_secs(10)) {
            machines.tick();
        }
        let awake = if sleep { 0 } else { groups as usize };
        assert!(machines.multis.iter().all(|multi| multi.awake() == awake));
        machines
    }

    fn drain(&mut self, at: usize) {
        let multi = &mut self.multis[at];
        while let Some(effect) = multi.poll_effect() {
            match effect {
                MultiEffect::Persist(batch) => {
                    batch
                        .iter()
                        .for_each(|(group, write)| multi.handle_persisted(self.now, *group, write.id));
                }
                MultiEffect::Beat(beat) => self.mail.push_back(Mail::Beat(beat)),
                MultiEffect::Group(group, Effect::Send(envelope)) => {
                    self.mail.push_back(Mail::Message(group, envelope));
                }
                MultiEffect::Group(group, Effect::Apply(entries)) => {
                    let last = entries.last().unwrap().id;
                    multi.handle_applied(self.now, group, last.index);
                    multi.handle_compacted(group, last);
                }
                MultiEffect::Group(..) => {}
            }
        }
    }

    fn settle(&mut self) {
        while let Some(mail) = self.mail.pop_front() {
            let to = match mail {
                Mail::Beat(beat) => {
                    let to = beat.to.0 as usize - 1;
                    self.multis[to].handle_beat(self.now, beat);
                    to
                }
                Mail::Message(group, envelope) => {
                    let to = envelope.to.0 as usize - 1;
                    self.multis[to].handle_message(self.now, group, envelope);
                    to
                }
            };
            self.drain(to);
        }
    }

    /// Goes to the next deadline of any machine, and lets everything that follows from it happen.
    fn tick(&mut self) {
        let next = self.multis.iter().filter_map(MultiNode::poll_timeout).min();
        self.now = self.now.max(next.unwrap_or(self.now));
        for at in 0..3 {
            if self.multis[at].poll_timeout().is_some_and(|due| due <= self.now) {
                self.multis[at].handle_timeout(self.now);
                self.drain(at);
            }
        }
        self.settle();
    }
}

/// An interval of three machines: all timers that are due, all messages that they send.
fn intervals(criterion: &mut Criterion) {
    let mut bench = criterion.benchmark_group("interval");
    for (kind, sleep) in [("asleep", true), ("awake", false)] {
        for groups in [1, 10, 100, 1000] {
            bench.throughput(Throughput::Elements(1));
            bench.bench_function(BenchmarkId::new(kind, groups), |bencher| {
                let mut machines = Machines::new(groups, sleep);
                let interval = Duration::from_millis(30);
                bencher.iter_custom(|count| {
                    let begun = cpu_time();
                    let end = machines.now.plus(interval * u32::try_from(count).unwrap());
                    while machines.now < end {
                        machines.tick();
                    }
                    cpu_time() - begun
                });
            });
        }
    }
}

/// What a host does between two deadlines when nothing comes: it looks whether there is something to do.
fn between(criterion: &mut Criterion) {
    let mut bench = criterion.benchmark_group("between_deadlines");
    for groups in [1, 1000] {
        bench.bench_function(BenchmarkId::new("asleep", groups), |bencher| {
            let mut machines = Machines::new(groups, true);
            bencher.iter(|| (machines.multis[0].poll_effect().is_none(), machines.multis[0].poll_timeout()));
        });
    }
}

/// Proposals in one group, one at a time, among others that sleep.
fn busy(criterion: &mut Criterion) {
    let mut bench = criterion.benchmark_group("proposal_in_one_group");
    bench.throughput(Throughput::Elements(1));
    for groups in [1, 1000] {
        bench.bench_function(BenchmarkId::new("of", groups), |bencher| {
            let mut machines = Machines::new(groups, true);
            let leads = |multi: &MultiNode| multi.group(GroupId(1)).is_some_and(floe_raft::Node::is_leader);
            let leader = machines.multis.iter().position(leads).unwrap();
            bencher.iter(|| {
                let now = machines.now;
                machines.multis[leader].propose(now, GroupId(1), Bytes::from_static(&[7; 64])).unwrap();
                machines.drain(leader);
                machines.settle();
            });
        });
    }
}

/// The processor time of this thread, so that what else the machine does counts for nothing; true time where the system
/// does not tell it.
fn cpu_time() -> Duration {
    static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = told.and_then(|told| told.split(' ').next()?.parse().ok());
    nanos.map_or_else(|| BEGUN.elapsed(), Duration::from_nanos)
}

criterion_group! {
    name = idle;
    config = Criterion::default().measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500)).sample_size(20);
    targets = intervals, between, busy
}
criterion_main!(idle);
