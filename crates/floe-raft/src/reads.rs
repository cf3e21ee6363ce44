//! Linearizable reads without a log entry (ReadIndex, thesis 6.4).
//!
//! A read may be served at an index when, *after* the read was asked for, a quorum confirmed that the leader still
//! leads, and that index is applied. The leader notes its commit index, beats, and waits for a quorum of answers to
//! that very round or a later one. Rounds are the leader's own numbers and are answered under its term: no name that
//! a caller chose takes part, so that a delayed answer to an earlier use of it confirms nothing (etcd #20418).
//!
//! Before the first entry of its term is committed a leader does not know how far its predecessors committed (etcd
//! #7331): reads wait for that.
//!
//! Other members ask the leader for an index and wait until they have applied it. One request covers all reads that
//! waited when it left; those that come while it is under way leave together with the next one, so that load makes
//! the batches larger and not the requests more.
//!
//! A read by lease skips the round: a leader that knows by its clock that nobody else leads (`lease.rs`) confirms at
//! its commit index at once. Without a lease it is a read like the others.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::effect::Effect;
use crate::error::ReadError;
use crate::id::{Index, NodeId, ReadId, Round, Time};
use crate::input::ReadMode;
use crate::message::{Envelope, Message};
use crate::mutant::Mutant;
use crate::node::Node;
use crate::role::Role;

/// Reads that may wait on one node; more are refused as `Busy`.
const MAX_WAITING: usize = 1 << 16;

/// Who asked for an index.
#[derive(Clone, Debug, Default)]
struct Askers {
    own: Vec<ReadId>,
    /// Other members, each with its latest request, which covers its earlier ones.
    peers: BTreeMap<NodeId, Round>,
}

impl Askers {
    fn is_empty(&self) -> bool {
        self.own.is_empty() && self.peers.is_empty()
    }
}

/// Reads that the leader has yet to confirm.
#[derive(Clone, Debug, Default)]
pub(crate) struct LeaderReads {
    /// Those that no round covers yet.
    fresh: Askers,
    /// Those that wait for a quorum to answer the round, and the index they were promised.
    asked: VecDeque<(Round, Index, Askers)>,
}

impl LeaderReads {
    /// Whether a round should start for the reads alone. One is under way at a time: its answer starts the next. If
    /// it is lost, the next regular heartbeat takes its place.
    pub(crate) fn wants_round(&self) -> bool {
        self.asked.is_empty() && !self.fresh.is_empty()
    }

    /// A round starts, at this commit index.
    pub(crate) fn start(&mut self, round: Round, commit: Index) {
        if !self.fresh.is_empty() {
            self.asked.push_back((round, commit, std::mem::take(&mut self.fresh)));
        }
    }

    fn len(&self) -> usize {
        self.fresh.own.len() + self.asked.iter().map(|(_, _, askers)| askers.own.len()).sum::<usize>()
    }
}

/// Reads that a follower asked its leader about.
#[derive(Clone, Debug)]
pub(crate) struct Asks {
    /// The latest request. It starts at a number that no earlier life of this node used: else an answer to an
    /// earlier life, delayed, would confirm a read of this one at an index from before it was asked for.
    round: Round,
    fresh: Vec<ReadId>,
    /// Those that a lease may answer.
    fresh_by_lease: Vec<ReadId>,
    /// The request under way.
    asked: Option<Asked>,
}

/// A request to the leader.
#[derive(Clone, Debug)]
struct Asked {
    /// When it was sent last.
    sent: Time,
    mode: ReadMode,
    /// The reads that it covers.
    reads: Vec<ReadId>,
}

impl Asks {
    pub(crate) fn new(salt: u64) -> Self {
        Self { round: Round(salt), fresh: Vec::new(), fresh_by_lease: Vec::new(), asked: None }
    }

    fn fresh_len(&self) -> usize {
        self.fresh.len() + self.fresh_by_lease.len()
    }

    fn len(&self) -> usize {
        self.fresh_len() + self.asked.as_ref().map_or(0, |asked| asked.reads.len())
    }

    fn add(&mut self, read: ReadId, mode: ReadMode) {
        match mode {
            ReadMode::Index => self.fresh.push(read),
            ReadMode::Lease => self.fresh_by_lease.push(read),
        }
    }

    /// The reads of the next request: all that wait. If only one of them needs a round, all get one; to send them apart
    /// would let the one kind wait behind the other for ever.
    fn take_next(&mut self) -> Option<(ReadMode, Vec<ReadId>)> {
        if self.fresh_len() == 0 {
            return None;
        }
        let mode = if self.fresh.is_empty() { ReadMode::Lease } else { ReadMode::Index };
        let mut reads = std::mem::take(&mut self.fresh);
        reads.append(&mut self.fresh_by_lease);
        Some((mode, reads))
    }

    /// Whether a request should be repeated. Its number stays: all that it covers was asked for before it was first
    /// sent, so that any answer to it will do.
    fn is_overdue(&self, now: Time, patience: Duration) -> bool {
        self.asked.as_ref().is_some_and(|asked| now.since(asked.sent) >= patience)
    }
}

/// Reads that are confirmed and wait until their index is applied.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReadyReads {
    at: BTreeMap<Index, Vec<ReadId>>,
    count: usize,
}

impl ReadyReads {
    fn push(&mut self, index: Index, reads: Vec<ReadId>) {
        self.count += reads.len();
        if !reads.is_empty() {
            self.at.entry(index).or_default().extend(reads);
        }
    }
}

impl Node {
    /// How many reads wait here.
    pub(crate) fn reads_waiting(&self) -> usize {
        let leader = match &self.role {
            Role::Leader(leader) => leader.reads.len(),
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => 0,
        };
        leader + self.asks.len() + self.ready_reads.count
    }

    pub(crate) fn start_read(&mut self, read: ReadId, mode: ReadMode) -> Result<(), ReadError> {
        if self.config.witness {
            return Err(ReadError::Witness);
        }
        if self.ready_reads.count + self.asks.fresh_len() >= MAX_WAITING {
            return Err(ReadError::Busy);
        }
        if mode == ReadMode::Lease && self.holds_lease() {
            self.ready_reads.push(self.commit, vec![read]);
            return Ok(());
        }
        match &mut self.role {
            Role::Leader(leader) if leader.reads.fresh.own.len() >= MAX_WAITING => Err(ReadError::Busy),
            Role::Leader(leader) => {
                leader.reads.fresh.own.push(read);
                Ok(())
            }
            Role::Follower(follower) if follower.leader.is_some() => {
                self.asks.add(read, mode);
                Ok(())
            }
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => Err(ReadError::NoLeader),
        }
    }

    /// Confirms the reads whose round a quorum answered.
    pub(crate) fn confirm_reads(&mut self) {
        let Role::Leader(leader) = &mut self.role else { return };
        if leader.reads.asked.is_empty() {
            return;
        }
        let own = self.config.id;
        let answered = |id| {
            if id == own {
                leader.round.0
            } else {
                leader.progress.get(&id).map_or(0, |progress| progress.round.0)
            }
        };
        let mut agreed = Round(self.members.quorum().agreed(answered));
        if self.config.mutated(Mutant::ReadUnconfirmed) {
            agreed = leader.round;
        }
        while let Some((_, index, askers)) = leader.reads.asked.pop_front_if(|(round, _, _)| *round <= agreed)
        {
            self.ready_reads.push(index, askers.own);
            for (to, round) in askers.peers {
                let message = Message::ReadIndexReply { round, index: Some(index) };
                self.outbox.send(Envelope { from: own, to, term: self.hard_state.term, message });
            }
        }
    }

    /// A member asks for an index. Only a leader has one; a refusal is an answer, too, so that nobody waits in vain.
    pub(crate) fn handle_read_index(&mut self, from: NodeId, round: Round, mode: ReadMode) {
        let by_lease = mode == ReadMode::Lease && self.holds_lease();
        if let Role::Leader(leader) = &mut self.role
            && leader.progress.contains_key(&from)
        {
            if by_lease {
                self.send(from, Message::ReadIndexReply { round, index: Some(self.commit) });
            } else {
                leader.reads.fresh.peers.insert(from, round);
            }
            return;
        }
        self.send(from, Message::ReadIndexReply { round, index: None });
    }

    pub(crate) fn handle_read_index_reply(&mut self, from: NodeId, round: Round, index: Option<Index>) {
        if self.leader() != Some(from) || round != self.asks.round {
            return;
        }
        let Some(Asked { reads, .. }) = self.asks.asked.take() else { return };
        match index {
            Some(index) => self.ready_reads.push(index, reads),
            None => self.abort_reads(reads),
        }
    }

    /// Asks the leader for an index on behalf of the reads that wait, unless a request is under way.
    pub(crate) fn ask_read_index(&mut self) {
        let Role::Follower(follower) = &self.role else { return };
        let Some(leader) = follower.leader else { return };
        if self.asks.asked.is_some() {
            return;
        }
        let Some((mode, reads)) = self.asks.take_next() else { return };
        self.asks.round = Round(self.asks.round.0.wrapping_add(1));
        self.asks.asked = Some(Asked { sent: self.now, mode, reads });
        self.send(leader, Message::ReadIndex { round: self.asks.round, mode });
    }

    /// The leader lives: repeats a request that it should have answered.
    pub(crate) fn retry_read_index(&mut self, leader: NodeId) {
        if self.asks.is_overdue(self.now, self.config.heartbeat_interval)
            && let Some(asked) = &mut self.asks.asked
        {
            asked.sent = self.now;
            let message = Message::ReadIndex { round: self.asks.round, mode: asked.mode };
            self.send(leader, message);
        }
    }

    /// Tells the host of reads whose index is applied.
    pub(crate) fn finish_reads(&mut self) {
        while let Some(first) = self.ready_reads.at.first_entry()
            && *first.key() <= self.apply.applied()
        {
            let (index, reads) = first.remove_entry();
            self.ready_reads.count -= reads.len();
            for read in reads {
                self.outbox.push(Effect::ReadReady { read, index });
            }
        }
    }

    /// The leader or the term changed: nobody will confirm the reads that wait for it. Those already confirmed stay.
    /// Returns the members that asked this node, for it to answer them in its new role.
    pub(crate) fn drop_reads(&mut self) -> BTreeMap<NodeId, Round> {
        let mut reads = std::mem::take(&mut self.asks.fresh);
        reads.append(&mut self.asks.fresh_by_lease);
        reads.extend(self.asks.asked.take().into_iter().flat_map(|asked| asked.reads));
        let mut peers = BTreeMap::new();
        if let Role::Leader(leader) = &mut self.role {
            let LeaderReads { fresh, asked } = std::mem::take(&mut leader.reads);
            for askers in asked.into_iter().map(|(_, _, askers)| askers).chain([fresh]) {
                reads.extend(askers.own);
                peers.extend(askers.peers);
            }
        }
        if !self.config.mutated(Mutant::ReadsForgotten) {
            self.abort_reads(reads);
        }
        peers
    }

    /// Answers members that asked this node while it led.
    pub(crate) fn refuse_reads(&mut self, peers: BTreeMap<NodeId, Round>) {
        for (to, round) in peers {
            self.send(to, Message::ReadIndexReply { round, index: None });
        }
    }

    fn abort_reads(&mut self, reads: Vec<ReadId>) {
        for read in reads {
            self.outbox.push(Effect::ReadAborted { read });
        }
    }
}
