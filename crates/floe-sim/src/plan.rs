//! What a seed means: the size of its world, its timings, and its own mix of faults.
//!
//! Every feature is off with probability one half, so that the worlds differ in kind and not only in detail: a
//! bug that needs losses and a stable leader is never found where every world also crashes. Each feature draws
//! from a stream of its own; taking one away leaves the others as they were, which is what the shrinker needs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use floe_raft::{Config, NodeId};
use floe_session::Limits;

use crate::action::Action;
use crate::clock::{MS, Moment, SECOND};
use crate::graph::{self, Graph};
use crate::lease;
use crate::rng::{Rng, Stream};
use crate::schedule;

/// A kind of fault, or of rare circumstance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// Packets are lost.
    Loss,
    /// Packets arrive twice.
    Duplicate,
    /// Any packet ever sent may arrive again.
    Replay,
    /// Some packets take very long.
    Delay,
    /// Links do not keep the order of packets.
    Reorder,
    /// The nodes fall into two sides.
    Partition,
    /// Links fail in one direction.
    OneWay,
    /// The nodes are connected as a chain, a star, or through a single one.
    Partial,
    /// Links go on and off.
    Flap,
    /// Links hold back all packets for a while.
    Clog,
    /// Processes die between two inputs.
    Crash,
    /// Processes die between two effects.
    Boundary,
    /// Processes stand still.
    Pause,
    /// Disks are lost for ever, of fewer than half of the voters.
    Wipe,
    /// Disks are slow for a while.
    SlowDisk,
    /// Disks do nothing for a while.
    StallDisk,
    /// Disk writes fail.
    FailDisk,
    /// Reads of older entries fail or are slow.
    Fetch,
    /// Clocks run at half to double speed.
    ClockRate,
    /// Clocks jump ahead.
    ClockJump,
    /// Leadership is handed over.
    Transfer,
    /// Nodes learn at once that a process is dead.
    PeerGone,
    /// The log is compacted early and often, so that snapshots are needed.
    Compact,
    /// The core keeps few entries in memory and small windows.
    SmallWindows,
    /// Members without a vote.
    Learners,
    /// The log is the real one over a simulated disk, torn sectors included.
    RealLog,
    /// Members join, are promoted, replaced and removed.
    Members,
    /// Voters promise, and leaders may read by lease; in half of these worlds they do, and clocks keep their rates.
    Lease,
    /// Some voters keep no commands.
    Witnesses,
    /// Clients have sessions, and send a write again until they know what became of it.
    Sessions,
    /// Disks have no room for a while.
    FullDisk,
    /// Some nodes are preferred as leaders.
    Priority,
}

impl Feature {
    /// Every feature and its name.
    pub const ALL: [(Self, &'static str); 32] = [
        (Self::Loss, "loss"),
        (Self::Duplicate, "duplicate"),
        (Self::Replay, "replay"),
        (Self::Delay, "delay"),
        (Self::Reorder, "reorder"),
        (Self::Partition, "partition"),
        (Self::OneWay, "one-way"),
        (Self::Partial, "partial"),
        (Self::Flap, "flap"),
        (Self::Clog, "clog"),
        (Self::Crash, "crash"),
        (Self::Boundary, "boundary"),
        (Self::Pause, "pause"),
        (Self::Wipe, "wipe"),
        (Self::SlowDisk, "slow-disk"),
        (Self::StallDisk, "stall-disk"),
        (Self::FailDisk, "fail-disk"),
        (Self::Fetch, "fetch"),
        (Self::ClockRate, "clock-rate"),
        (Self::ClockJump, "clock-jump"),
        (Self::Transfer, "transfer"),
        (Self::PeerGone, "peer-gone"),
        (Self::Compact, "compact"),
        (Self::SmallWindows, "small-windows"),
        (Self::Learners, "learners"),
        (Self::RealLog, "real-log"),
        (Self::Members, "members"),
        (Self::Lease, "lease"),
        (Self::Witnesses, "witnesses"),
        (Self::Sessions, "sessions"),
        (Self::FullDisk, "full-disk"),
        (Self::Priority, "priority"),
    ];

    /// The feature of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(feature, _)| *feature)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(feature, _)| *feature == self).map_or("unknown", |(_, name)| name)
    }

    /// The feature's own stream in a seed.
    pub(crate) fn stream(self, seed: u64, stream: Stream) -> Rng {
        let position = Self::ALL.iter().position(|(feature, _)| *feature == self).unwrap_or(0) as u64;
        Rng::new(seed ^ (position + 1).wrapping_mul(0xC2B2_AE3D_27D4_EB4F), stream)
    }
}

/// What is taken away from a seed, or forced upon it: how a shrunk failure is written down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restrictions {
    /// The number of voters, instead of the seed's own.
    pub voters: Option<u64>,
    /// A graph of links is formed and stands for ten minutes, in place of the seed's own faults.
    pub graph: Option<Graph>,
    /// The number of clients, instead of the seed's own.
    pub clients: Option<u64>,
    /// The number of groups, instead of the seed's own.
    pub groups: Option<u64>,
    /// Features that are on, whatever the seed has drawn.
    pub with: BTreeSet<Feature>,
    /// Features that are off, even those.
    pub without: BTreeSet<Feature>,
    /// Interventions of the schedule that do not take place, by their number.
    pub skip: BTreeSet<u32>,
    /// The chaos lasts this many simulated seconds.
    pub seconds: Option<u64>,
    /// The real key-value store runs beside the map of each host, if the crate is built with its feature `store`. The
    /// history is the same.
    pub store: bool,
}

/// A network of a seed. Times in nanoseconds, chances in millionths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkPlan {
    /// The least delay of a packet.
    pub delay_min: u64,
    /// The mean of what comes on top, exponentially distributed.
    pub delay_mean: u64,
    /// What also comes on top, at most; uniformly distributed.
    pub delay_spread: u64,
    /// How often a packet is late.
    pub late: u32,
    /// How late, at most.
    pub late_max: u64,
    /// How often a packet is lost.
    pub loss: u32,
    /// How often a packet arrives twice.
    pub duplicate: u32,
    /// How often, when a packet is sent, an old one is sent again.
    pub replay: u32,
    /// Whether a link keeps the order of its packets.
    pub ordered: bool,
}

/// The hosts of a seed. Times in nanoseconds, chances in millionths, sizes in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostPlan {
    /// Everything takes exactly as long as its mean, and all begin at once: worlds that are shown to people.
    pub steady: bool,
    /// How long inputs gather before they are handled together; zero handles each at once.
    pub gather: u64,
    /// The mean time of a durable write.
    pub sync_mean: u64,
    /// The mean time of applying a batch.
    pub apply_mean: u64,
    /// The mean time of a read of older entries.
    pub fetch_mean: u64,
    /// How often such a read fails.
    pub fetch_failure: u32,
    /// The mean time of transferring a snapshot.
    pub snapshot_mean: u64,
    /// Applied bytes between two checkpoints of the state machine.
    pub checkpoint_bytes: u64,
    /// Applied entries between two checkpoints, if not zero.
    pub checkpoint_entries: u64,
    /// Entries that stay in the log below a checkpoint.
    pub trailing: u64,
    /// How many of the newest entries a node is given at a restart.
    pub restored_tail: usize,
    /// Whether nodes learn that a process is dead.
    pub peer_gone: bool,
    /// Whether the log is the real one.
    pub real_log: bool,
    /// Whether a node that has applied its removal is stopped for good. Otherwise it goes on, and may be added again.
    pub stops_removed: bool,
    /// How much each node is preferred as a leader; those that are not named, most.
    pub priorities: BTreeMap<NodeId, u8>,
    /// The bounds of the clients' sessions, if they have some.
    pub sessions: Option<Limits>,
    /// Whether reads are answered by lease. Clocks keep what leases ask of them then.
    pub lease_reads: bool,
    /// Whether a read is answered from what the node has applied, without asking anybody. Such reads are not
    /// linearizable, and not checked to be.
    pub stale_reads: bool,
    /// Whether those who may join are up before they are asked to.
    pub early_joiners: bool,
    /// The old bug that it has.
    #[cfg(feature = "mutants")]
    pub log_mutant: Option<floe_wal::Mutant>,
}

impl HostPlan {
    /// How long something takes.
    pub(crate) fn takes(&self, rng: &mut Rng, mean: u64) -> u64 {
        if self.steady { mean } else { rng.exponential(mean) }
    }
}

/// The clients of a seed. Times in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkloadPlan {
    /// How many.
    pub clients: u64,
    /// The mean time between an answer and the next operation.
    pub think_mean: u64,
    /// How long a request takes to a node, and an answer back; a mean of half a millisecond if zero.
    pub delay: u64,
    /// When a client gives up, or tries again.
    pub timeout: u64,
    /// How many times a client with a session sends a write again. Zero without sessions.
    pub retries: u32,
    /// Reads, in millionths of all operations.
    pub reads: u32,
    /// Compare-and-set, in millionths of the writes.
    pub compares: u32,
    /// Bytes that commands are padded with, at most.
    pub padding: u64,
    /// How often a client tries another node than the one that it believes to lead.
    pub wander: u32,
}

/// All that a seed has drawn.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// The voters, `1..=voters`.
    pub voters: Vec<NodeId>,
    /// The learners, numbered after the voters.
    pub learners: Vec<NodeId>,
    /// Those who may join later, numbered after the learners.
    pub joiners: Vec<NodeId>,
    /// How many groups the machines share. Most worlds have one and look at it closely.
    pub groups: u64,
    /// Which of the voters and of those who may join are witnesses.
    pub witnesses: BTreeSet<NodeId>,
    /// The features that are on.
    pub features: BTreeSet<Feature>,
    /// The core's configuration; each node puts its own id in.
    pub config: Config,
    /// The real key-value store runs beside the map of each host.
    pub store: bool,
    /// The network.
    pub network: NetworkPlan,
    /// The hosts.
    pub host: HostPlan,
    /// The clients.
    pub workload: WorkloadPlan,
    /// When the chaos ends.
    pub end: Moment,
    /// Whether a random majority is healed at the end, and must commit again.
    pub liveness: bool,
    /// What is done when, each with its number.
    pub schedule: Vec<(u32, Moment, Action)>,
}

impl Plan {
    /// What the seed means under these restrictions.
    pub fn draw(seed: u64, restrictions: &Restrictions) -> Self {
        let mut rng = Rng::new(seed, Stream::Plan);
        // All is drawn before it is restricted, so that a restriction moves nothing else.
        let drawn_voters = *rng.pick(&[1, 2, 3, 3, 3, 3, 4, 5, 5, 5, 6, 7, 9]).unwrap_or(&3);
        let learner_count = rng.between(1, 2);
        let features = draw_features(&mut rng, seed);
        let features = &(&features | &restrictions.with) - &restrictions.without;
        let features = if restrictions.graph.is_some() { restrictions.with.clone() } else { features };
        let drawn_voters = restrictions.graph.map_or(drawn_voters, Graph::voters);
        let voter_count = restrictions.voters.unwrap_or(drawn_voters).clamp(1, 16);
        let learner_count = if features.contains(&Feature::Learners) { learner_count } else { 0 };
        let voters: Vec<NodeId> = (1..=voter_count).map(NodeId).collect();
        let learners: Vec<NodeId> = (1..=learner_count).map(|nth| NodeId(voter_count + nth)).collect();
        let joiners = draw_joiners(seed, &features, voter_count + learner_count);
        let witnesses = draw_witnesses(seed, &features, &voters, &joiners);
        let mut config = draw_config(&mut rng, seed, &features);
        let network = draw_network(&mut rng, seed, &features, &config);
        let mut host = draw_host(&mut rng, seed, &features, &config);
        if features.contains(&Feature::Priority) {
            let nodes = voters.iter().chain(&learners).chain(&joiners);
            host.priorities = draw_priorities(seed, nodes.copied());
        }
        let mut workload = draw_workload(&mut rng);
        if features.contains(&Feature::Sessions) {
            workload.retries = Feature::Sessions.stream(seed, Stream::Plan).magnitude(1, 16) as u32;
        }
        workload.clients = restrictions.clients.unwrap_or(workload.clients).max(1);
        let liveness = rng.coin();
        if liveness {
            // Without them a node that is cut off may disturb the others for ever, and nothing is promised.
            (config.pre_vote, config.check_quorum) = (true, true);
        }
        let groups = restrictions.groups.unwrap_or_else(|| draw_groups(seed));
        let groups = if restrictions.graph.is_some() { 1 } else { groups.clamp(1, 1_000) };
        let seconds = restrictions.seconds.unwrap_or(if groups > 1 { GROUPS_SECONDS } else { 60 });
        let end = Moment(seconds * SECOND);
        let nodes: Vec<NodeId> = voters.iter().chain(&learners).chain(&joiners).copied().collect();
        let schedule = schedule::draw(seed, &features, &voters, &nodes, end)
            .into_iter()
            .enumerate()
            .filter_map(|(number, (at, action))| {
                let action = if host.lease_reads { lease::tame(action, &config)? } else { action };
                Some((number as u32, at, action))
            })
            .filter(|(number, _, _)| !restrictions.skip.contains(number))
            .collect();
        let mut plan = Self {
            seed,
            voters,
            learners,
            joiners,
            groups,
            witnesses,
            features,
            config,
            store: restrictions.store,
            network,
            host,
            workload,
            end,
            liveness,
            schedule,
        };
        if restrictions.graph.is_some() {
            graph::calm(&mut plan);
        }
        plan
    }

    /// All nodes, voters first.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.voters.iter().chain(&self.learners).chain(&self.joiners).copied()
    }

    /// How much a node is preferred as a leader.
    pub(crate) fn priority(&self, node: NodeId) -> u8 {
        self.host.priorities.get(&node).copied().unwrap_or(u8::MAX)
    }

    /// The longest time that a correct clock waits before it campaigns.
    pub fn election_timeout_max(&self) -> u64 {
        nanos(self.config.election_timeout) * 2
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// How many features a seed draws one after another. Those that came to be later have coins of their own, so that an old
/// seed still means what it meant, with something added.
const DRAWN_TOGETHER: usize = 29;

fn draw_features(rng: &mut Rng, seed: u64) -> BTreeSet<Feature> {
    let (old, new) = Feature::ALL.split_at(DRAWN_TOGETHER);
    let old = old.iter().filter(|_| rng.coin());
    let new = new.iter().filter(|(feature, _)| feature.stream(seed, Stream::Feature).coin());
    old.chain(new).map(|(feature, _)| *feature).collect()
}

/// Those who may join in a world whose membership changes.
fn draw_joiners(seed: u64, features: &BTreeSet<Feature>, before: u64) -> Vec<NodeId> {
    if !features.contains(&Feature::Members) {
        return Vec::new();
    }
    let mut rng = Feature::Members.stream(seed, Stream::Plan);
    (1..=rng.between(1, 6)).map(|nth| NodeId(before + nth)).collect()
}

/// How long the chaos lasts where there are many groups. Each of them costs as much as a world of one.
const GROUPS_SECONDS: u64 = 15;

/// One group in most seeds, up to fifty in the others. From a stream of its own: it moves nothing else.
fn draw_groups(seed: u64) -> u64 {
    let mut rng = Rng::new(seed ^ 0x6772_6F75, Stream::Plan);
    if rng.chance(62_500) { rng.magnitude(2, 50) } else { 1 }
}

/// The witnesses: never a majority of the first voters, and perhaps one of those who may join.
fn draw_witnesses(
    seed: u64,
    features: &BTreeSet<Feature>,
    voters: &[NodeId],
    joiners: &[NodeId],
) -> BTreeSet<NodeId> {
    if !features.contains(&Feature::Witnesses) {
        return BTreeSet::new();
    }
    let mut rng = Feature::Witnesses.stream(seed, Stream::Plan);
    let mut shuffled = voters.to_vec();
    rng.shuffle(&mut shuffled);
    let count = if voters.len() < 2 { 0 } else { rng.between(1, voters.len() as u64 / 2) as usize };
    let joiner = joiners.first().filter(|_| rng.coin());
    shuffled.iter().take(count).chain(joiner).copied().collect()
}

/// Some are preferred most, some least, and the others in between.
fn draw_priorities(seed: u64, nodes: impl Iterator<Item = NodeId>) -> BTreeMap<NodeId, u8> {
    let mut rng = Feature::Priority.stream(seed, Stream::Plan);
    let mut priority = || match rng.below(4) {
        0 => u8::MAX,
        1 => 0,
        _ => rng.below(256) as u8,
    };
    nodes.map(|node| (node, priority())).collect()
}

fn draw_config(rng: &mut Rng, seed: u64, features: &BTreeSet<Feature>) -> Config {
    let mut config = Config::new(NodeId(1));
    let heartbeat_ms = rng.magnitude(25, 120);
    config.heartbeat_interval = Duration::from_millis(heartbeat_ms);
    config.election_timeout = Duration::from_millis(heartbeat_ms * rng.between(5, 10));
    config.pre_vote = !rng.chance(125_000);
    config.check_quorum = !rng.chance(125_000);
    if features.contains(&Feature::SmallWindows) {
        let mut rng = Feature::SmallWindows.stream(seed, Stream::Plan);
        config.inflight_messages = rng.magnitude(1, 16) as usize;
        config.inflight_bytes = rng.magnitude(256, 16_384);
        config.append_bytes = rng.magnitude(64, 4_096);
        config.tail_bytes = rng.magnitude(64, 8_192);
        config.uncommitted_bytes = rng.magnitude(256, 65_536);
        config.apply_bytes = rng.magnitude(64, 4_096);
    }
    if features.contains(&Feature::Lease) {
        config.lease = Some(lease::draw(&mut Feature::Lease.stream(seed, Stream::Plan), &config));
    }
    if features.contains(&Feature::Members) {
        config.promotion_lag = Feature::Members.stream(seed, Stream::Disk).magnitude(1, 1_000);
    }
    config
}

fn draw_network(rng: &mut Rng, seed: u64, features: &BTreeSet<Feature>, config: &Config) -> NetworkPlan {
    let election = nanos(config.election_timeout);
    let on = |feature: Feature| features.contains(&feature).then(|| feature.stream(seed, Stream::Plan));
    let delay_min = rng.magnitude(20_000, MS);
    let delay_mean = rng.magnitude(20_000, election / 10);
    let mut plan = NetworkPlan { delay_min, delay_mean, ordered: true, ..NetworkPlan::default() };
    if let Some(mut rng) = on(Feature::Loss) {
        plan.loss = rng.magnitude(1_000, 300_000) as u32;
    }
    if let Some(mut rng) = on(Feature::Duplicate) {
        plan.duplicate = rng.magnitude(1_000, 200_000) as u32;
    }
    if let Some(mut rng) = on(Feature::Replay) {
        plan.replay = rng.magnitude(1_000, 200_000) as u32;
    }
    if let Some(mut rng) = on(Feature::Delay) {
        plan.late = rng.magnitude(1_000, 100_000) as u32;
        plan.late_max = rng.magnitude(10 * MS, 2 * SECOND);
    }
    if on(Feature::Reorder).is_some() {
        plan.ordered = false;
    }
    plan
}

fn draw_host(rng: &mut Rng, seed: u64, features: &BTreeSet<Feature>, config: &Config) -> HostPlan {
    let gathers = rng.coin();
    let gather = rng.magnitude(10_000, 2 * MS);
    let mut plan = HostPlan {
        gather: if gathers { gather } else { 0 },
        sync_mean: rng.magnitude(50_000, nanos(config.election_timeout) / 20),
        apply_mean: rng.magnitude(1_000, 2 * MS),
        fetch_mean: rng.magnitude(1_000, MS),
        snapshot_mean: rng.magnitude(MS, 50 * MS),
        checkpoint_bytes: rng.magnitude(65_536, 1 << 20),
        trailing: rng.magnitude(16, 512),
        restored_tail: if rng.coin() { usize::MAX } else { rng.below(8) as usize },
        peer_gone: features.contains(&Feature::PeerGone),
        real_log: features.contains(&Feature::RealLog),
        ..HostPlan::default()
    };
    if features.contains(&Feature::Fetch) {
        let mut rng = Feature::Fetch.stream(seed, Stream::Plan);
        plan.fetch_failure = rng.magnitude(1_000, 300_000) as u32;
        plan.fetch_mean = rng.magnitude(MS, 100 * MS);
    }
    if features.contains(&Feature::Compact) {
        let mut rng = Feature::Compact.stream(seed, Stream::Plan);
        plan.checkpoint_bytes = rng.magnitude(128, 16_384);
        plan.trailing = rng.below(16);
    }
    if features.contains(&Feature::Sessions) {
        let mut rng = Feature::Sessions.stream(seed, Stream::Host);
        plan.sessions = Some(Limits {
            retention_ms: rng.magnitude(1_000, 60_000),
            fresh_ms: rng.magnitude(2_000, 60_000),
            ahead_ms: rng.magnitude(1_000, 60_000),
            window: rng.magnitude(1, 16) as u32,
            max_sessions: rng.magnitude(2, 100) as u32,
            max_bytes: rng.magnitude(1_024, 65_536),
            ..Limits::default()
        });
    }
    plan.lease_reads = features.contains(&Feature::Lease) && Feature::Lease.stream(seed, Stream::Host).coin();
    let mut rng = Feature::Members.stream(seed, Stream::Host);
    (plan.stops_removed, plan.early_joiners) = (rng.coin(), rng.coin());
    plan
}

fn draw_workload(rng: &mut Rng) -> WorkloadPlan {
    WorkloadPlan {
        clients: rng.between(1, 6),
        think_mean: rng.magnitude(10 * MS, SECOND),
        delay: 0,
        timeout: rng.magnitude(50 * MS, 5 * SECOND),
        retries: 0,
        reads: rng.between(100_000, 700_000) as u32,
        compares: rng.between(0, 600_000) as u32,
        padding: if rng.coin() { 0 } else { rng.magnitude(8, 512) },
        wander: rng.magnitude(10_000, 1_000_000) as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_lead_back() {
        for (feature, name) in Feature::ALL {
            assert_eq!(Feature::of_name(name), Some(feature));
            assert_eq!(feature.name(), name);
        }
    }

    #[test]
    fn every_feature_is_off_in_about_half_of_the_seeds() {
        let plans: Vec<Plan> = (0..400).map(|seed| Plan::draw(seed, &Restrictions::default())).collect();
        for (feature, name) in Feature::ALL {
            let on = plans.iter().filter(|plan| plan.features.contains(&feature)).count();
            assert!((140..260).contains(&on), "{name} is on in {on} of 400 seeds");
        }
        assert!(plans.iter().all(|plan| plan.config.validate().is_ok()));
    }

    #[test]
    fn taking_a_feature_away_leaves_the_others_alone() {
        for seed in 0..50 {
            let all = Plan::draw(seed, &Restrictions::default());
            let without = BTreeSet::from([Feature::Loss]);
            let less = Plan::draw(seed, &Restrictions { without, ..Restrictions::default() });
            assert_eq!(less.network, NetworkPlan { loss: 0, ..all.network.clone() });
            assert_eq!(less.schedule, all.schedule);
            assert_eq!(less.host, all.host);
        }
    }
}
