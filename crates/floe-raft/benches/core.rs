//! The core alone: a group in one process, in memory, every message delivered and every write done at once. What is
//! measured is the protocol's own work, and nothing of disks, sockets or threads.
//!
//!     cargo bench -p floe-raft
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]
#![allow(missing_docs, reason = "the macro of criterion makes a public function")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::collections::VecDeque;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use floe_raft::{
    Config, Effect, Entry, Envelope, Fetched, Index, Membership, Node, NodeId, ReadId, ReadMode, Restored,
    Time,
};

const COMMAND: &[u8] = &[7; 64];

/// Nodes 1 to n; node 1 leads.
struct Group {
    now: Time,
    nodes: Vec<Node>,
    mail: VecDeque<Envelope>,
    delivered: u64,
    reads: u64,
}

impl Group {
    fn new(size: u64) -> Self {
        let membership = Membership::of_voters((1..=size).map(NodeId));
        let node = |id| {
            let restored = Restored { membership: membership.clone(), ..Restored::default() };
            Node::new(Time(0), id, Config::new(NodeId(id)), restored).unwrap()
        };
        let mut group = Self {
            now: Time(0),
            nodes: (1..=size).map(node).collect(),
            mail: VecDeque::new(),
            delivered: 0,
            reads: 0,
        };
        group.now = group.nodes[0].poll_timeout().unwrap();
        group.nodes[0].handle_timeout(group.now);
        group.drain(0);
        group.settle();
        assert!(group.nodes[0].is_leader());
        group
    }

    fn drain(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        while let Some(effect) = node.poll_effect() {
            match effect {
                Effect::Send(envelope) => self.mail.push_back(envelope),
                Effect::Persist(write) => node.handle_persisted(self.now, write.id),
                Effect::Apply(entries) => {
                    let last = entries.last().unwrap().id;
                    node.handle_applied(self.now, last.index);
                    node.handle_compacted(last);
                }
                Effect::ReadReady { .. } => self.reads += 1,
                Effect::Fetch { id, .. } => {
                    node.handle_fetched(self.now, id, Fetched::Entries(Vec::<Entry>::new()));
                }
                _ => {}
            }
        }
    }

    /// Delivers what is under way, each receiver all of its mail before it is drained, as a host does.
    fn exchange(&mut self) {
        let mut touched = [false; 16];
        for _ in 0..self.mail.len() {
            let Some(envelope) = self.mail.pop_front() else { break };
            let to = envelope.to.0 as usize - 1;
            self.delivered += 1;
            self.nodes[to].handle_message(self.now, envelope);
            touched[to] = true;
        }
        for at in (0..self.nodes.len()).filter(|at| touched[*at]) {
            self.drain(at);
        }
    }

    fn settle(&mut self) {
        while !self.mail.is_empty() {
            self.exchange();
        }
    }

    /// Commits so many proposals, `outstanding` of them under way at a time.
    fn commit(&mut self, count: u64, outstanding: u64) {
        let mut proposed = self.nodes[0].commit().0;
        let last = Index(proposed + count);
        while self.nodes[0].commit() < last {
            let room = (self.nodes[0].commit().0 + outstanding).min(last.0) - proposed;
            for _ in 0..room {
                self.nodes[0].propose(self.now, Bytes::from_static(COMMAND)).unwrap();
            }
            proposed += room;
            if room > 0 {
                self.drain(0);
            }
            self.exchange();
        }
    }
}

fn proposals(criterion: &mut Criterion) {
    let mut bench = criterion.benchmark_group("proposal");
    bench.throughput(Throughput::Elements(1));
    for outstanding in [1, 32, 1024] {
        for size in [1, 3, 5] {
            let name = BenchmarkId::new(format!("{outstanding}_outstanding"), format!("{size}_nodes"));
            bench.bench_function(name, |bencher| {
                let mut group = Group::new(size);
                bencher.iter_custom(|count| {
                    let begun = cpu_time();
                    group.commit(count, outstanding);
                    cpu_time() - begun
                });
            });
        }
    }
}

/// The time that one message costs, sent, received and acted upon, in groups of different sizes.
fn messages(criterion: &mut Criterion) {
    let mut bench = criterion.benchmark_group("message");
    bench.throughput(Throughput::Elements(1));
    for outstanding in [1, 1024] {
        for size in 3..=9 {
            let name = BenchmarkId::new(format!("{outstanding}_outstanding"), format!("{size}_nodes"));
            bench.bench_function(name, |bencher| {
                let mut group = Group::new(size);
                bencher.iter_custom(|count| {
                    let first = group.delivered;
                    let begun = cpu_time();
                    while group.delivered - first < count {
                        group.commit(outstanding, outstanding);
                    }
                    // The last round delivers some more than were asked for.
                    let each = (cpu_time() - begun).as_secs_f64() / (group.delivered - first) as f64;
                    Duration::from_secs_f64(each * count as f64)
                });
            });
        }
    }
}

/// A linearizable read at the leader, with a round of its own, and by lease of the leader's clock.
fn reads(criterion: &mut Criterion) {
    let mut bench = criterion.benchmark_group("read");
    bench.throughput(Throughput::Elements(1));
    for outstanding in [1, 1024] {
        bench.bench_function(format!("{outstanding}_outstanding"), |bencher| {
            let mut group = Group::new(3);
            let mut next = 0;
            bencher.iter_custom(|count| {
                let begun = cpu_time();
                let until = group.reads + count;
                while group.reads < until {
                    for _ in 0..outstanding.min(until - group.reads) {
                        next += 1;
                        group.nodes[0].read(group.now, ReadId(next), ReadMode::Index).unwrap();
                    }
                    group.drain(0);
                    group.settle();
                }
                cpu_time() - begun
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
    name = core;
    config = Criterion::default().measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500)).sample_size(30);
    targets = proposals, messages, reads
}
criterion_main!(core);
