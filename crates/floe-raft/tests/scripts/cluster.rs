//! A cluster of real nodes in one thread: virtual time, virtual disks, a virtual network, and a checker that looks
//! at every step. Nothing moves unless it is told to.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use floe_raft::{
    Config, Entry, Fetched, Index, LogId, Membership, MembershipChange, MembershipError, Node, NodeId,
    ProposalId, ProposeError, ReadError, ReadId, ReadMode, SnapshotOutcome, Status, Term, Time,
    TransferError,
};

use crate::checker::Checker;
use crate::disk::Disk;
use crate::failure::Failure;
use crate::format;
use crate::host::FetchRequest;
use crate::machine::Machine;
use crate::network::{Link, Network, Parcel};
use crate::random::Random;

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Voters, numbered from one.
    pub(crate) voters: u64,
    /// Those of the voters that are witnesses: the last ones.
    pub(crate) witnesses: u64,
    /// Learners, numbered after the voters.
    pub(crate) learners: u64,
    /// Nodes that belong to no group yet, numbered after the learners. They start without a membership: one that
    /// started from a membership with itself in it could elect itself (openraft #2002).
    pub(crate) spares: u64,
    /// Those of the spares that are witnesses: the last ones.
    pub(crate) spare_witnesses: u64,
    /// The priorities of nodes that have not the highest.
    pub(crate) priorities: BTreeMap<NodeId, u8>,
    /// By how many microseconds a second the clocks of nodes gain.
    pub(crate) rates: BTreeMap<NodeId, i32>,
    /// Everything random follows from it.
    pub(crate) seed: u64,
    /// The configuration of every node, but for its id.
    pub(crate) config: Config,
}

impl Options {
    /// A cluster of voters with the default configuration.
    pub(crate) fn new(voters: u64) -> Self {
        Self {
            voters,
            witnesses: 0,
            learners: 0,
            spares: 0,
            spare_witnesses: 0,
            priorities: BTreeMap::new(),
            rates: BTreeMap::new(),
            seed: 1,
            config: Config::new(NodeId(1)),
        }
    }

    /// The membership of the new group.
    pub(crate) fn membership(&self) -> Membership {
        let mut membership = Membership::of_voters((1..=self.voters).map(NodeId));
        membership.witnesses = (self.voters - self.witnesses + 1..=self.voters).map(NodeId).collect();
        membership.learners = (self.voters + 1..=self.voters + self.learners).map(NodeId).collect();
        membership
    }

    /// Whether a node is a witness, for ever.
    pub(crate) fn is_witness(&self, id: NodeId) -> bool {
        let last = |end: u64, count: u64| (end - count + 1..=end).contains(&id.0);
        last(self.voters, self.witnesses)
            || last(self.voters + self.learners + self.spares, self.spare_witnesses)
    }
}

const MILLION: u128 = 1_000_000;

fn rated(rate: i32) -> u128 {
    u128::try_from(1_000_000 + i64::from(rate)).unwrap_or(MILLION)
}

/// A true time in nanoseconds as a clock shows it that gains `rate` microseconds a second.
fn scaled(time: u64, rate: i32) -> u64 {
    u64::try_from(u128::from(time) * rated(rate) / MILLION).unwrap_or(u64::MAX)
}

/// One node and the host around it, without its disk.
#[derive(Debug)]
pub(crate) struct Member {
    /// The node; none while it is down.
    pub(crate) node: Option<Node>,
    /// How often it was started; each life has its own random numbers.
    lives: u64,
    /// The state machine in memory.
    pub(crate) machine: Machine,
    /// The state machine as a crash leaves it.
    pub(crate) checkpoint: Machine,
    /// Committed entries that wait to be applied, oldest first.
    pub(crate) applies: VecDeque<Vec<Entry>>,
    /// Whether applying waits until a script releases it.
    pub(crate) applies_held: bool,
    /// Applied, and not yet reported to the node.
    pub(crate) applied_report: Option<Index>,
    /// Reads of older entries that wait.
    pub(crate) fetches: VecDeque<FetchRequest>,
    /// Whether they wait until a script releases them.
    pub(crate) fetches_held: bool,
    /// Snapshots that arrived and were not installed (yet).
    pub(crate) staged: BTreeMap<LogId, Machine>,
    /// Whom to tell that a snapshot is durable here, once it is.
    pub(crate) owed: Vec<(NodeId, LogId)>,
    /// Commands passed on to the leader.
    pub(crate) forwards: BTreeMap<ProposalId, Bytes>,
    /// Reads asked for in all lives; ids are never used twice.
    reads: u64,
}

impl Member {
    fn new(membership: Membership) -> Self {
        let machine = Machine::new(membership);
        Self {
            node: None,
            lives: 0,
            checkpoint: machine.clone(),
            machine,
            applies: VecDeque::new(),
            applies_held: false,
            applied_report: None,
            fetches: VecDeque::new(),
            fetches_held: false,
            staged: BTreeMap::new(),
            owed: Vec::new(),
            forwards: BTreeMap::new(),
            reads: 0,
        }
    }
}

/// The cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) options: Options,
    pub(crate) now: Time,
    pub(crate) members: BTreeMap<NodeId, Member>,
    pub(crate) disks: BTreeMap<NodeId, Disk>,
    pub(crate) network: Network,
    pub(crate) checker: Checker,
    /// Snapshots that got lost on the way: sender and receiver. The sender's host notices when time passes.
    pub(crate) lost_snapshots: Vec<(NodeId, NodeId)>,
    /// Alarms that the nodes raised.
    pub(crate) alarms: usize,
    /// Commands proposed; makes each unique.
    proposals: u64,
    /// Whether events are written down.
    pub(crate) talks: bool,
    output: Vec<String>,
    /// The state line last shown of each node.
    shown: BTreeMap<NodeId, String>,
}

impl Cluster {
    /// Starts every node with an empty disk.
    pub(crate) fn new(options: Options, talks: bool) -> Result<Self, Failure> {
        let membership = options.membership();
        let mut cluster = Self {
            now: Time(1_000_000_000),
            members: BTreeMap::new(),
            disks: BTreeMap::new(),
            network: Network::default(),
            checker: Checker::new(membership.clone()),
            lost_snapshots: Vec::new(),
            alarms: 0,
            proposals: 0,
            talks,
            output: Vec::new(),
            shown: BTreeMap::new(),
            options,
        };
        let members = membership.members();
        let first_spare = cluster.options.voters + cluster.options.learners + 1;
        let spares = (first_spare..first_spare + cluster.options.spares).map(NodeId);
        for id in members.into_iter().chain(spares) {
            let birth = if membership.contains(id) { membership.clone() } else { Membership::default() };
            cluster.members.insert(id, Member::new(birth.clone()));
            cluster.disks.insert(id, Disk::new(birth));
            if cluster.options.is_witness(id) {
                cluster.checker.witnesses.insert(id);
            }
        }
        for id in cluster.ids() {
            cluster.start(id)?;
        }
        Ok(cluster)
    }

    /// What the clock of a node shows.
    pub(crate) fn local(&self, id: NodeId) -> Time {
        Time(scaled(self.now.0, self.options.rates.get(&id).copied().unwrap_or(0)))
    }

    /// The first moment at which the clock of a node shows this time.
    fn global(&self, id: NodeId, time: Time) -> Time {
        let rate = self.options.rates.get(&id).copied().unwrap_or(0);
        let mut moment = u64::try_from(u128::from(time.0) * MILLION / rated(rate)).unwrap_or(u64::MAX);
        while scaled(moment, rate) < time.0 {
            moment += 1;
        }
        Time(moment)
    }

    /// Every node, up or down.
    pub(crate) fn ids(&self) -> Vec<NodeId> {
        self.members.keys().copied().collect()
    }

    /// A node's host.
    pub(crate) fn member(&mut self, id: NodeId) -> Result<&mut Member, Failure> {
        self.members.get_mut(&id).ok_or_else(|| Failure::new(format!("there is no n{id}")))
    }

    /// A node's disk.
    pub(crate) fn disk(&mut self, id: NodeId) -> Result<&mut Disk, Failure> {
        self.disks.get_mut(&id).ok_or_else(|| Failure::new(format!("there is no n{id}")))
    }

    /// A node that is up.
    pub(crate) fn node(&mut self, id: NodeId) -> Result<&mut Node, Failure> {
        self.member(id)?.node.as_mut().ok_or_else(|| Failure::new(format!("n{id} is down")))
    }

    /// Whether a node is up.
    pub(crate) fn is_up(&self, id: NodeId) -> bool {
        self.members.get(&id).is_some_and(|member| member.node.is_some())
    }

    /// A copy of a node's state, if it is up.
    pub(crate) fn status(&self, id: NodeId) -> Option<Status> {
        self.members.get(&id)?.node.as_ref().map(Node::status)
    }

    /// The node that leads in the highest term.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        let leaders = self.members.values().filter_map(|member| member.node.as_ref());
        leaders.filter(|node| node.is_leader()).max_by_key(|node| node.term()).map(Node::id)
    }

    /// Makes a text a command that differs from every other.
    pub(crate) fn unique(&mut self, text: &str) -> Bytes {
        self.proposals += 1;
        Bytes::from(format!("{text}#{}", self.proposals))
    }

    /// Appends a command at a leader. The effects wait for [`Cluster::settle`].
    pub(crate) fn propose(
        &mut self,
        id: NodeId,
        text: &str,
        in_term: Option<Term>,
    ) -> Result<Result<LogId, ProposeError>, Failure> {
        let payload = self.unique(text);
        let now = self.local(id);
        let outcome = match in_term {
            Some(term) => self.node(id)?.propose_in_term(now, term, payload.clone()),
            None => self.node(id)?.propose(now, payload.clone()),
        };
        if let (Ok(at), Some(term)) = (outcome, in_term)
            && at.term != term
        {
            return Err(Failure::law(format!("n{id} appends at {at} what was decided in term {term}")));
        }
        if let Err(error) = outcome {
            self.checker.proposed(id, &payload, Err(error))?;
        }
        Ok(outcome)
    }

    /// Passes a command on to the leader.
    pub(crate) fn forward(
        &mut self,
        id: NodeId,
        text: &str,
    ) -> Result<Result<ProposalId, ProposeError>, Failure> {
        let payload = self.unique(text);
        let proposal = ProposalId(self.proposals);
        let now = self.local(id);
        let outcome = self.node(id)?.forward(now, proposal, payload.clone());
        match outcome {
            Ok(()) => {
                self.member(id)?.forwards.insert(proposal, payload);
            }
            Err(error) => self.checker.proposed(id, &payload, Err(error))?,
        }
        Ok(outcome.map(|()| proposal))
    }

    /// Asks for a linearizable read.
    pub(crate) fn read(&mut self, id: NodeId, mode: ReadMode) -> Result<Result<ReadId, ReadError>, Failure> {
        let now = self.local(id);
        let member = self.member(id)?;
        member.reads += 1;
        let read = ReadId(member.reads);
        let outcome = self.node(id)?.read(now, read, mode);
        if outcome.is_ok() {
            self.checker.read_requested(id, read);
        }
        Ok(outcome.map(|()| read))
    }

    /// Hands leadership over.
    pub(crate) fn transfer(&mut self, id: NodeId, to: NodeId) -> Result<Result<(), TransferError>, Failure> {
        let now = self.local(id);
        Ok(self.node(id)?.transfer_leadership(now, to))
    }

    /// Starts a change of the membership.
    pub(crate) fn change(
        &mut self,
        id: NodeId,
        change: &MembershipChange,
    ) -> Result<Result<LogId, MembershipError>, Failure> {
        let now = self.local(id);
        Ok(self.node(id)?.change_membership(now, change))
    }

    /// Tells a node that another's process is dead.
    pub(crate) fn peer_gone(&mut self, id: NodeId, peer: NodeId) -> Result<(), Failure> {
        let now = self.local(id);
        self.node(id)?.handle_peer_gone(now, peer);
        self.settle(id)
    }

    /// The power of a node fails. `kept` of its pending writes are on disk all the same.
    pub(crate) fn crash(&mut self, id: NodeId, kept: usize) -> Result<(), Failure> {
        self.node(id)?;
        self.disk(id)?.crash(kept);
        self.checker.crashed(id);
        let member = self.member(id)?;
        let old = std::mem::replace(member, Member::new(Membership::default()));
        member.lives = old.lives;
        member.reads = old.reads;
        member.machine = old.checkpoint.clone();
        member.checkpoint = old.checkpoint;
        self.lost_snapshots.extend(old.owed.into_iter().map(|(sender, _)| (sender, id)));
        Ok(())
    }

    /// Starts a node from its disk.
    pub(crate) fn start(&mut self, id: NodeId) -> Result<(), Failure> {
        let Options { seed, ref config, .. } = self.options;
        let witness = self.options.is_witness(id);
        let priority = self.options.priorities.get(&id).copied().unwrap_or(config.priority);
        let config = Config { id, witness, priority, ..config.clone() };
        let now = self.local(id);
        let (member, disk) = match (self.members.get_mut(&id), self.disks.get_mut(&id)) {
            (Some(member), Some(disk)) if member.node.is_none() => (member, disk),
            _ => return Err(Failure::new(format!("n{id} is not down"))),
        };
        // A snapshot was installed and the log not yet restarted after it, or the machine was made durable before
        // the log was: what the machine contains is committed, so the log may start after it.
        if !disk.durable.covers(member.checkpoint.last) {
            disk.restart_after(member.checkpoint.last, member.checkpoint.membership.clone());
        }
        member.lives += 1;
        let seed = Random::new(seed << 32 | id.0 << 16 | member.lives).next();
        let restored = disk.restored(member.checkpoint.last.index, config.tail_bytes);
        let node = Node::new(now, seed, config, restored)
            .map_err(|error| Failure::law(format!("n{id}: {error}")))?;
        self.checker.started(&node.status(), disk)?;
        member.node = Some(node);
        self.settle(id)
    }

    /// Replaces a node's disk by one with a history, and restarts it.
    pub(crate) fn preset(&mut self, id: NodeId, disk: Disk) -> Result<(), Failure> {
        if self.is_up(id) {
            self.crash(id, 0)?;
        }
        let blank = Disk::new(disk.durable.membership.clone());
        let history = floe_raft::Write {
            id: floe_raft::WriteId(0),
            hard_state: Some(disk.hard_state),
            restart_after: None,
            truncate_from: None,
            entries: disk.durable.entries.clone(),
        };
        self.checker.persist(id, &blank, &history)?;
        self.disks.insert(id, disk);
        self.start(id)
    }

    /// Makes the state machine durable as it is. Refused while the log is not durable up to there.
    pub(crate) fn checkpoint(&mut self, id: NodeId) -> Result<LogId, Failure> {
        let last = self.member(id)?.machine.last;
        if !self.disk(id)?.durable.covers(last) {
            return Err(Failure::new(format!("{last} is applied at n{id} but not durable in its log")));
        }
        let member = self.member(id)?;
        member.checkpoint = member.machine.clone();
        Ok(last)
    }

    /// Makes the state machine durable and drops the log up to an index that it contains.
    pub(crate) fn compact(&mut self, id: NodeId, index: Index) -> Result<LogId, Failure> {
        let applied = self.checkpoint(id)?;
        let disk = self.disk(id)?;
        let Some(base) = disk.durable.id_at(index).filter(|base| base.index <= applied.index) else {
            return Err(Failure::new(format!("n{id} cannot compact to {index}: it applied {applied}")));
        };
        disk.compact(base);
        self.node(id)?.handle_compacted(base);
        self.settle(id)?;
        Ok(base)
    }

    /// Delivers parcels, in order; the receivers act only when each has got all of its own.
    pub(crate) fn deliver(&mut self, parcels: Vec<(Link, Parcel)>) -> Result<(), Failure> {
        let mut receivers = Vec::new();
        for (link, parcel) in parcels {
            if self.is_up(link.to) {
                self.receive(link, parcel)?;
                if !receivers.contains(&link.to) {
                    receivers.push(link.to);
                }
            } else {
                self.lose(link, &parcel);
            }
        }
        for receiver in receivers {
            self.settle(receiver)?;
        }
        Ok(())
    }

    fn receive(&mut self, link: Link, parcel: Parcel) -> Result<(), Failure> {
        let now = self.local(link.to);
        match parcel {
            Parcel::Message(envelope) => self.node(link.to)?.handle_message(now, envelope),
            Parcel::Snapshot(envelope, machine) => {
                let member = self.member(link.to)?;
                member.owed.push((link.from, machine.last));
                member.staged.insert(machine.last, *machine);
                self.node(link.to)?.handle_message(now, envelope);
            }
            Parcel::Receipt(outcome) => self.node(link.to)?.handle_snapshot_sent(now, link.from, outcome),
        }
        Ok(())
    }

    /// A parcel is gone. Messages are lost in silence; of a snapshot the sender's host learns by its connection.
    pub(crate) fn lose(&mut self, link: Link, parcel: &Parcel) {
        match parcel {
            Parcel::Message(_) => {}
            Parcel::Snapshot(..) => self.lost_snapshots.push((link.from, link.to)),
            Parcel::Receipt(_) => self.lost_snapshots.push((link.to, link.from)),
        }
    }

    /// Delivers whatever may move until nothing does.
    pub(crate) fn stabilize(&mut self) -> Result<(), Failure> {
        for _ in 0..1_000 {
            let parcels = self.network.take_prompt();
            if parcels.is_empty() {
                return Ok(());
            }
            self.deliver(parcels)?;
        }
        Err(Failure::law("the nodes never stop talking, though no time passes"))
    }

    /// The earliest timer of the nodes that are up.
    pub(crate) fn next_timer(&self) -> Option<(Time, NodeId)> {
        let up = self.members.iter().filter_map(|(id, member)| Some((*id, member.node.as_ref()?)));
        up.filter_map(|(id, node)| Some((self.global(id, node.poll_timeout()?), id))).min()
    }

    /// Lets time pass: fires every timer in its order; with `delivers`, messages arrive at once.
    pub(crate) fn advance(&mut self, duration: Duration, delivers: bool) -> Result<(), Failure> {
        let end = self.now.plus(duration);
        let mut fired_now = 0;
        self.notice_lost_snapshots()?;
        loop {
            if delivers {
                self.stabilize()?;
            }
            let Some((time, id)) = self.next_timer().filter(|(time, _)| *time <= end) else { break };
            fired_now = if time > self.now { 0 } else { fired_now + 1 };
            if fired_now > 100 {
                return Err(Failure::law(format!("the timer of n{id} fires for ever at the same time")));
            }
            self.now = self.now.max(time);
            self.fire(id)?;
            self.notice_lost_snapshots()?;
        }
        self.now = end;
        Ok(())
    }

    /// Lets time pass, with messages, until the timer of a node is the next to fire.
    pub(crate) fn run_until_due(&mut self, id: NodeId) -> Result<(), Failure> {
        for _ in 0..1_000 {
            self.stabilize()?;
            match self.next_timer() {
                Some((time, next)) if next != id => {
                    let wait = time.since(self.now);
                    self.advance(wait, true)?;
                }
                _ => return Ok(()),
            }
        }
        Err(Failure::new(format!("the timer of n{id} is never due")))
    }

    /// Fires a node's timer.
    pub(crate) fn fire(&mut self, id: NodeId) -> Result<(), Failure> {
        let now = self.local(id);
        self.node(id)?.handle_timeout(now);
        self.settle(id)
    }

    /// Lets time pass until a node's timer is due, and fires it alone: the other nodes are slow this once.
    pub(crate) fn expire(&mut self, id: NodeId) -> Result<(), Failure> {
        let Some(time) = self.node(id)?.poll_timeout() else {
            return Err(Failure::new(format!("n{id} has no timer")));
        };
        self.now = self.now.max(self.global(id, time));
        self.fire(id)
    }

    /// Tells the senders of lost snapshots.
    pub(crate) fn notice_lost_snapshots(&mut self) -> Result<(), Failure> {
        for (sender, receiver) in std::mem::take(&mut self.lost_snapshots) {
            if self.is_up(sender) {
                let now = self.local(sender);
                self.node(sender)?.handle_snapshot_sent(now, receiver, SnapshotOutcome::Failed);
                self.say(|| format!("n{sender} snapshot to n{receiver} failed"));
                self.settle(sender)?;
            }
        }
        Ok(())
    }

    /// Answers the oldest request for older entries, or fails it.
    pub(crate) fn answer_fetch(&mut self, id: NodeId, fails: bool) -> Result<(), Failure> {
        let now = self.local(id);
        let Some(request) = self.member(id)?.fetches.pop_front() else {
            return Err(Failure::new(format!("n{id} waits for no fetch")));
        };
        let fetched = if fails { Fetched::Failed } else { request.serve(&self.disk(id)?.durable) };
        self.node(id)?.handle_fetched(now, request.id, fetched);
        Ok(())
    }

    /// While a node may answer reads by its lease, nobody leads after it.
    pub(crate) fn check_leases(&self) -> Result<(), Failure> {
        if self.options.config.lease.is_none() {
            return Ok(());
        }
        let leaders = || {
            self.members.values().filter_map(|member| member.node.as_ref()).filter(|node| node.is_leader())
        };
        for holder in leaders() {
            let end = holder.status().lease_until.filter(|end| self.local(holder.id()) < *end);
            if end.is_some() && leaders().any(|other| other.term() > holder.term()) {
                return Err(Failure::law(format!(
                    "n{} holds a lease, and another leads after it",
                    holder.id()
                )));
            }
        }
        Ok(())
    }

    /// Writes an event down.
    pub(crate) fn say(&mut self, text: impl FnOnce() -> String) {
        if self.talks {
            self.output.push(text());
        }
    }

    /// What was written down since the last call.
    pub(crate) fn take_output(&mut self) -> Vec<String> {
        std::mem::take(&mut self.output)
    }

    /// The state line of a node.
    pub(crate) fn state_line(&self, id: NodeId) -> String {
        self.status(id).map_or_else(|| format!("n{id} down"), |status| format::status(&status))
    }

    /// The state lines that changed since they were last shown.
    pub(crate) fn take_changes(&mut self) -> Vec<String> {
        let mut changes = Vec::new();
        for id in self.ids() {
            let line = self.state_line(id);
            if self.shown.get(&id) != Some(&line) {
                changes.push(line.clone());
                self.shown.insert(id, line);
            }
        }
        changes
    }
}
