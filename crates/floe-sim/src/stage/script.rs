//! The plan of a world that nobody drew: a quiet cluster, as somebody wants to show it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use floe_raft::{Config, Lease, NodeId};
use floe_session::Limits;

use super::backstage::Timeouts;
use super::{LONGEST, MOST_ACTS};
use crate::clock::MS;
use crate::mutant::Mutant;
use crate::plan::{HostPlan, NetworkPlan, Plan, WorkloadPlan};

/// What a scripted world is like. Times in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// For what is left to chance: delays, timeouts, losses.
    pub seed: u64,
    /// How many voters, numbered from 1.
    pub voters: u64,
    /// How many learners, numbered after the voters.
    pub learners: u64,
    /// How many that may join, numbered after the learners.
    pub joiners: u64,
    /// How many groups the machines share. With more than one clients work by themselves, and idle groups sleep.
    pub groups: u64,
    /// Who is a witness.
    pub witnesses: BTreeSet<NodeId>,
    /// Between two heartbeats.
    pub heartbeat_ms: u64,
    /// The least election timeout; the largest is twice as long.
    pub election_timeout_ms: u64,
    /// The least and the largest delay of a packet.
    pub delay_ms: [u64; 2],
    /// How long a durable write takes.
    pub sync_ms: u64,
    /// How long applying a batch takes.
    pub apply_ms: u64,
    /// How many packets of a hundred are lost.
    pub loss_percent: u32,
    /// Whether nodes ask before they campaign.
    pub pre_vote: bool,
    /// Whether a leader that a majority does not answer steps down.
    pub check_quorum: bool,
    /// How reads are answered.
    pub reads: Reads,
    /// After how many applied entries a node makes a snapshot; never if zero.
    pub snapshot_after: u64,
    /// How many entries stay in the log below a snapshot.
    pub trailing: u64,
    /// How many clients work by themselves.
    pub clients: u64,
    /// A bug that every node has.
    pub mutant: Option<Mutant>,
    /// The first election timeouts of nodes. The first one of a list holds until it has run out, however often it is
    /// set anew by a leader's message; then the second does. When the list is at its end timeouts are drawn.
    pub timeouts_ms: BTreeMap<NodeId, Vec<u64>>,
}

/// How reads are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// When the leader has confirmed that it leads, after the read came.
    Index,
    /// By a lease, while the leader has one.
    Lease,
    /// From what the asked node has applied: perhaps out of date.
    Stale,
}

/// Why a stage does not do something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StageError {
    /// No world is like that.
    #[error("{0}")]
    Setup(String),
    /// Nothing of the kind can be done.
    #[error("{0}")]
    Act(String),
    /// It makes no sense at this moment.
    #[error("{0}")]
    Refused(String),
    /// It goes beyond what a stage shows.
    #[error("{0}")]
    TooLong(String),
}

impl Default for Script {
    fn default() -> Self {
        Self {
            seed: 1,
            voters: 3,
            learners: 0,
            joiners: 0,
            groups: 1,
            witnesses: BTreeSet::new(),
            heartbeat_ms: 50,
            election_timeout_ms: 150,
            delay_ms: [8, 12],
            sync_ms: 3,
            apply_ms: 1,
            loss_percent: 0,
            pre_vote: true,
            check_quorum: true,
            reads: Reads::Index,
            snapshot_after: 0,
            trailing: 0,
            clients: 0,
            mutant: None,
            timeouts_ms: BTreeMap::new(),
        }
    }
}

/// The most voters that a script may have.
const MOST_VOTERS: u64 = 9;
/// The most nodes.
const MOST_NODES: u64 = 16;
/// No time of a script is longer.
const LONGEST_MS: u64 = LONGEST.0 / MS;

impl Script {
    /// Refuses what makes no world.
    fn check(&self) -> Result<(), StageError> {
        let check = |holds: bool, reason: &str| {
            if holds { Ok(()) } else { Err(StageError::Setup(reason.to_owned())) }
        };
        let limit = |holds: bool, reason: &str| {
            if holds { Ok(()) } else { Err(StageError::TooLong(reason.to_owned())) }
        };
        let Self { voters, learners, joiners, .. } = *self;
        check(voters >= 1, "a group has at least one voter")?;
        limit(voters <= MOST_VOTERS, "a world has nine voters at most")?;
        limit(
            voters.saturating_add(learners).saturating_add(joiners) <= MOST_NODES,
            "a world has 16 nodes at most",
        )?;
        check(self.groups >= 1, "a world has at least one group")?;
        limit(self.groups <= 50, "a world has 50 groups at most")?;
        check(
            self.groups == 1 || self.is_for_groups(),
            "a world of many groups has no joiners, witnesses, snapshots, fixed timeouts, bugs, and reads by index only",
        )?;
        limit(self.clients <= 16, "a world has 16 clients at most, besides the viewer")?;
        let nodes = voters + learners + joiners;
        let known = |node: &NodeId| (1..=nodes).contains(&node.0);
        check(self.witnesses.iter().all(known), "a witness is no node of this world")?;
        let is_learner = |node: &NodeId| node.0 > voters && node.0 <= voters + learners;
        check(!self.witnesses.iter().any(is_learner), "a witness votes, and cannot be a learner")?;
        let witnesses = self.witnesses.iter().filter(|node| node.0 <= voters).count() as u64;
        check(witnesses * 2 <= voters, "more than half of the voters are witnesses")?;
        check(witnesses < voters, "somebody must keep the data")?;
        check(self.timeouts_ms.keys().all(known), "`timeouts_ms` names no node of this world")?;
        check((1..=LONGEST_MS).contains(&self.heartbeat_ms), "the heartbeat interval is 1 ms to 10 minutes")?;
        check(
            (self.heartbeat_ms * 2..=LONGEST_MS).contains(&self.election_timeout_ms),
            "the election timeout is at least two heartbeat intervals, and at most ten minutes",
        )?;
        check(self.delay_ms[0] <= self.delay_ms[1], "the least delay is above the largest one")?;
        let times = [self.delay_ms[1], self.sync_ms, self.apply_ms];
        let timeouts = self.timeouts_ms.values().flatten();
        check(times.iter().chain(timeouts).all(|ms| *ms <= LONGEST_MS), "a time is longer than ten minutes")?;
        let most = self.timeouts_ms.values().map(Vec::len).max().unwrap_or(0);
        limit(most <= MOST_ACTS, "`timeouts_ms` has too many timeouts")?;
        check(self.loss_percent <= 100, "more packets are lost than sent")
    }

    /// The world's plan.
    pub(crate) fn plan(&self) -> Result<Plan, StageError> {
        self.check()?;
        let Self { voters, learners, joiners, .. } = *self;
        let nodes = |from: u64, count: u64| (from + 1..=from + count).map(NodeId).collect();
        let [delay_min, delay_max] = self.delay_ms.map(|ms| ms * MS);
        let mut config = Config::new(NodeId(1));
        config.heartbeat_interval = Duration::from_millis(self.heartbeat_ms);
        config.election_timeout = Duration::from_millis(self.election_timeout_ms);
        (config.pre_vote, config.check_quorum) = (self.pre_vote, self.check_quorum);
        if self.reads == Reads::Lease {
            config.lease = Some(Lease { drift_margin: config.election_timeout / 10 });
        }
        let host = HostPlan {
            steady: true,
            sync_mean: self.sync_ms * MS,
            apply_mean: self.apply_ms * MS,
            fetch_mean: MS,
            snapshot_mean: 20 * MS,
            checkpoint_bytes: u64::MAX,
            checkpoint_entries: self.snapshot_after,
            trailing: self.trailing,
            restored_tail: usize::MAX,
            lease_reads: self.reads == Reads::Lease,
            stale_reads: self.reads == Reads::Stale,
            sessions: Some(Limits { fresh_ms: LONGEST_MS, ..Limits::default() }),
            real_log: self.needs_real_log(),
            ..HostPlan::default()
        };
        let workload = WorkloadPlan {
            clients: self.clients,
            think_mean: 200 * MS,
            delay: (delay_min + delay_max) / 2 + 1,
            timeout: 2_000 * MS,
            reads: 400_000,
            ..WorkloadPlan::default()
        };
        Ok(Plan {
            seed: self.seed,
            voters: nodes(0, voters),
            learners: nodes(voters, learners),
            joiners: nodes(voters + learners, joiners),
            groups: self.groups,
            witnesses: self.witnesses.clone(),
            features: BTreeSet::new(),
            config,
            store: false,
            network: NetworkPlan {
                delay_min,
                delay_spread: delay_max - delay_min,
                loss: self.loss_percent * 10_000,
                ordered: true,
                ..NetworkPlan::default()
            },
            host,
            workload,
            end: LONGEST,
            liveness: false,
            schedule: Vec::new(),
        })
    }

    /// Worlds of many groups look at what groups have in common, and at nothing else.
    fn is_for_groups(&self) -> bool {
        self.joiners == 0
            && self.witnesses.is_empty()
            && self.snapshot_after == 0
            && self.timeouts_ms.is_empty()
            && self.mutant.is_none()
            && self.reads == Reads::Index
    }

    /// A bug of the log shows in the real log only.
    fn needs_real_log(&self) -> bool {
        match self.mutant {
            #[cfg(feature = "mutants")]
            Some(Mutant::Log(_)) => true,
            _ => false,
        }
    }

    pub(crate) fn timeouts(&self) -> Timeouts {
        let nanos = |timeouts: &Vec<u64>| timeouts.iter().map(|ms| ms * MS).collect::<VecDeque<u64>>();
        Timeouts(self.timeouts_ms.iter().map(|(node, timeouts)| (*node, nanos(timeouts))).collect())
    }
}
