//! Some machines with many groups, in simulated time: a network that delays, loses and repeats, links that are cut,
//! disks that keep what was written, machines that die and come back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use floe_multi::{Beat, MultiConfig, MultiEffect, MultiNode};
use floe_raft::{
    Config, Effect, Entry, Envelope, Fetched, GroupId, HardState, Index, LogId, Membership, Message, Node,
    NodeId, ReadId, ReadMode, Restored, Time, Write, WriteId,
};

pub(crate) const MS: u64 = 1_000_000;
/// The election timeout of every world, in milliseconds.
pub(crate) const ELECTION_MS: u64 = 300;
/// The heartbeat interval of every world, in milliseconds.
pub(crate) const INTERVAL_MS: u64 = 30;

/// What one group has on one disk, and in its state machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    hard_state: HardState,
    log: Vec<Entry>,
    pub(crate) applied: Vec<Entry>,
}

#[derive(Clone, Debug)]
pub(crate) enum Parcel {
    Beat(Beat),
    Message(GroupId, Envelope),
}

#[derive(Clone, Debug)]
enum Event {
    Arrives(Parcel),
    Written(NodeId, u64, Vec<(GroupId, WriteId)>),
}

pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) machines: BTreeMap<NodeId, MultiNode>,
    pub(crate) disks: BTreeMap<(NodeId, GroupId), Disk>,
    lives: BTreeMap<NodeId, u64>,
    queue: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    random: u64,
    pub(crate) cut: BTreeSet<(NodeId, NodeId)>,
    /// Parcels lost and repeated, of a thousand.
    pub(crate) loss: u64,
    pub(crate) repeats: u64,
    pub(crate) latency: u64,
    pub(crate) sync: u64,
    /// Messages and beats sent so far.
    pub(crate) beats: u64,
    pub(crate) messages: u64,
    /// Drains that were begun.
    pub(crate) calls: u64,
    pub(crate) reads: Vec<(NodeId, GroupId, Effect)>,
    pub(crate) elections: u64,
    pub(crate) members: BTreeMap<GroupId, Membership>,
    pub(crate) quiesce_after: Option<Duration>,
    /// Groups whose answers to heartbeats are lost on the way, and no others.
    pub(crate) unanswered: BTreeSet<GroupId>,
    /// Everything ever sent, when it is to be sent again by a test.
    pub(crate) record: Option<Vec<Parcel>>,
}

pub(crate) fn n(id: u64) -> NodeId {
    NodeId(id)
}

pub(crate) fn g(id: u64) -> GroupId {
    GroupId(id)
}

impl World {
    /// Machines 1 to `machines`, and groups 1 to `groups` of which all machines are voters.
    pub(crate) fn new(seed: u64, machines: u64, groups: u64) -> Self {
        let all = Membership::of_voters((1..=machines).map(NodeId));
        let members = (1..=groups).map(|group| (GroupId(group), all.clone())).collect();
        Self::of(seed, members, Some(Duration::from_millis(ELECTION_MS)))
    }

    pub(crate) fn of(
        seed: u64,
        members: BTreeMap<GroupId, Membership>,
        quiesce_after: Option<Duration>,
    ) -> Self {
        let mut world = Self {
            now: 0,
            machines: BTreeMap::new(),
            disks: BTreeMap::new(),
            lives: BTreeMap::new(),
            queue: BTreeMap::new(),
            sequence: 0,
            random: seed,
            cut: BTreeSet::new(),
            loss: 0,
            repeats: 0,
            latency: MS,
            sync: MS,
            beats: 0,
            messages: 0,
            calls: 0,
            reads: Vec::new(),
            elections: 0,
            members,
            quiesce_after,
            unanswered: BTreeSet::new(),
            record: None,
        };
        let ids = world.members.values().flat_map(Membership::members).collect::<BTreeSet<_>>();
        ids.into_iter().for_each(|id| world.start(id));
        world
    }

    pub(crate) fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Starts a machine with what is on its disk.
    pub(crate) fn start(&mut self, id: NodeId) {
        let life = self.random();
        let config = MultiConfig { quiesce_after: self.quiesce_after, ..MultiConfig::new(id, life) };
        let mut multi = MultiNode::new(Time(self.now), config).unwrap();
        for (group, membership) in self.members.clone() {
            if !membership.contains(id) {
                continue;
            }
            let disk = self.disks.entry((id, group)).or_default();
            let last = disk.log.last().map_or(LogId::ZERO, |entry| entry.id);
            let mut terms: Vec<LogId> = Vec::new();
            for entry in &disk.log {
                if terms.last().is_none_or(|run| run.term != entry.id.term) {
                    terms.push(entry.id);
                }
            }
            let restored = Restored {
                hard_state: disk.hard_state,
                terms,
                last,
                tail: disk.log.clone(),
                membership,
                applied: Index(disk.applied.len() as u64),
                ..Restored::default()
            };
            let seed = self.random();
            multi.add_group(Time(self.now), seed, group, Config::new(id), restored).unwrap();
        }
        *self.lives.entry(id).or_default() += 1;
        self.machines.insert(id, multi);
        self.drain(id);
    }

    /// Kills a machine. What its disk had not yet is lost.
    pub(crate) fn kill(&mut self, id: NodeId) {
        self.machines.remove(&id);
    }

    fn push(&mut self, at: u64, event: Event) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), event);
    }

    pub(crate) fn send(&mut self, mut parcel: Parcel) {
        if let Parcel::Beat(beat) = &mut parcel {
            beat.answers.retain(|answer| !self.unanswered.contains(&answer.group));
        }
        let (from, to) = match &parcel {
            Parcel::Beat(beat) => (beat.from, beat.to),
            Parcel::Message(_, envelope) => (envelope.from, envelope.to),
        };
        match &parcel {
            Parcel::Beat(_) => self.beats += 1,
            Parcel::Message(..) => self.messages += 1,
        }
        if let Some(record) = &mut self.record {
            record.push(parcel.clone());
        }
        if self.cut.contains(&(from, to)) || self.random() % 1000 < self.loss {
            return;
        }
        let copies = if self.random() % 1000 < self.repeats { 2 } else { 1 };
        for _ in 0..copies {
            let jitter = self.random() % self.latency.max(1);
            self.push(self.now + self.latency + jitter, Event::Arrives(parcel.clone()));
        }
    }

    /// Lets one machine do something, and performs what it asks for.
    pub(crate) fn act<R>(&mut self, id: NodeId, act: impl FnOnce(&mut MultiNode, Time) -> R) -> Option<R> {
        let now = Time(self.now);
        let result = act(self.machines.get_mut(&id)?, now);
        self.drain(id);
        Some(result)
    }

    fn drain(&mut self, id: NodeId) {
        self.calls += 1;
        while let Some(effect) = self.machines.get_mut(&id).and_then(MultiNode::poll_effect) {
            match effect {
                MultiEffect::Persist(batch) => {
                    let written = batch.iter().map(|(group, write)| (*group, write.id)).collect();
                    // What a crash finds on the disk is decided when it was written: at once here. The report comes late.
                    for (group, write) in batch {
                        self.write(id, group, write);
                    }
                    let life = self.lives[&id];
                    self.push(self.now + self.sync, Event::Written(id, life, written));
                }
                MultiEffect::Beat(beat) => self.send(Parcel::Beat(beat)),
                MultiEffect::Group(group, Effect::Send(envelope)) => {
                    let is_beat = matches!(
                        envelope.message,
                        Message::Heartbeat { .. } | Message::HeartbeatReply { .. }
                    );
                    assert!(!is_beat, "a heartbeat went alone");
                    self.send(Parcel::Message(group, envelope));
                }
                MultiEffect::Group(group, effect) => self.perform(id, group, effect),
            }
        }
    }

    fn write(&mut self, id: NodeId, group: GroupId, write: Write) {
        let disk = self.disks.get_mut(&(id, group)).unwrap();
        if let Some(from) = write.truncate_from {
            disk.log.truncate(from.0 as usize - 1);
        }
        disk.log.extend(write.entries);
        disk.hard_state = write.hard_state.unwrap_or(disk.hard_state);
    }

    fn perform(&mut self, id: NodeId, group: GroupId, effect: Effect) {
        let now = Time(self.now);
        match effect {
            Effect::Apply(entries) => {
                let last = entries.last().unwrap().id.index;
                self.disks.get_mut(&(id, group)).unwrap().applied.extend(entries);
                self.machines.get_mut(&id).unwrap().handle_applied(now, group, last);
            }
            Effect::Fetch { id: fetch, first, last, .. } => {
                let log = &self.disks[&(id, group)].log;
                let entries = log[first.0 as usize - 1..last.0 as usize].to_vec();
                let machine = self.machines.get_mut(&id).unwrap();
                machine.handle_fetched(now, group, fetch, Fetched::Entries(entries));
            }
            Effect::RoleChanged { role: floe_raft::RoleKind::Leader, .. } => self.elections += 1,
            Effect::RoleChanged { .. } | Effect::MembershipChanged(_) => {}
            Effect::ReadReady { .. } | Effect::ReadAborted { .. } => self.reads.push((id, group, effect)),
            other => panic!("{other:?}"),
        }
    }

    /// Runs until the time, in milliseconds.
    pub(crate) fn run_until(&mut self, at_ms: u64) {
        let until = at_ms * MS;
        loop {
            let timers = self.machines.iter().filter_map(|(id, multi)| Some((multi.poll_timeout()?.0, *id)));
            let timer = timers.min();
            let event = self.queue.first_key_value().map(|(key, _)| key.0);
            let next = [timer.map(|(at, _)| at), event].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            if event.is_some_and(|at| at <= next) {
                let (_, event) = self.queue.pop_first().unwrap();
                self.happen(event);
            } else if let Some((_, id)) = timer {
                self.act(id, |multi, now| multi.handle_timeout(now));
            }
        }
        self.now = until;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrives(Parcel::Beat(beat)) => {
                self.act(beat.to, |multi, now| multi.handle_beat(now, beat));
            }
            Event::Arrives(Parcel::Message(group, envelope)) => {
                self.act(envelope.to, |multi, now| multi.handle_message(now, group, envelope));
            }
            Event::Written(id, life, writes) if self.lives[&id] == life => {
                self.act(id, |multi, now| {
                    writes.iter().for_each(|(group, write)| multi.handle_persisted(now, *group, *write));
                });
            }
            Event::Written(..) => {}
        }
    }

    /// Runs for so many milliseconds.
    pub(crate) fn run(&mut self, ms: u64) {
        self.run_until(self.now / MS + ms);
    }

    pub(crate) fn node(&self, id: NodeId, group: GroupId) -> &Node {
        self.machines[&id].group(group).unwrap()
    }

    /// The leader of the highest term of a group, if one leads.
    pub(crate) fn leader(&self, group: GroupId) -> Option<NodeId> {
        let nodes = self.machines.iter().filter_map(|(id, multi)| Some((*id, multi.group(group)?)));
        let leaders = nodes.filter(|(_, node)| node.is_leader());
        leaders.max_by_key(|(_, node)| node.term()).map(|(id, _)| id)
    }

    /// Proposes to the group's leader; whether there is one and it took it.
    pub(crate) fn propose(&mut self, group: GroupId, payload: &'static [u8]) -> bool {
        let Some(leader) = self.leader(group) else { return false };
        let outcome = self.act(leader, |multi, now| multi.propose(now, group, Bytes::from_static(payload)));
        outcome.is_some_and(|outcome| outcome.is_ok())
    }

    pub(crate) fn read(&mut self, id: NodeId, group: GroupId, read: u64) -> bool {
        self.act(id, |multi, now| multi.read(now, group, ReadId(read), ReadMode::Index).is_ok()).unwrap()
    }

    /// Makes `leader` lead the group.
    pub(crate) fn make_leader(&mut self, group: GroupId, leader: NodeId) {
        for _ in 0..100 {
            self.run(100);
            let Some(now) = self.leader(group) else { continue };
            if now == leader {
                return;
            }
            let _ = self.act(now, |multi, at| multi.transfer_leadership(at, group, leader));
        }
        panic!("{leader} does not come to lead {group}");
    }

    pub(crate) fn is_asleep(&self, group: GroupId) -> bool {
        let mut members = self.machines.values().filter(|multi| multi.group(group).is_some());
        members.all(|multi| multi.is_asleep(group))
    }

    pub(crate) fn all_asleep(&self) -> bool {
        self.members.keys().all(|group| self.is_asleep(*group))
    }

    /// Runs until every group sleeps everywhere.
    pub(crate) fn lull(&mut self) {
        for _ in 0..100 {
            self.run(100);
            if self.all_asleep() {
                return;
            }
        }
        panic!("the groups do not go to sleep");
    }

    pub(crate) fn cut_both(&mut self, a: NodeId, b: NodeId) {
        self.cut.insert((a, b));
        self.cut.insert((b, a));
    }

    /// Every two state machines of a group agree.
    pub(crate) fn check(&self) {
        for group in self.members.keys() {
            let of_group = self.disks.iter().filter(|((_, known), _)| known == group);
            let mut applied = of_group.map(|(_, disk)| &disk.applied).collect::<Vec<_>>();
            applied.sort_by_key(|applied| applied.len());
            for pair in applied.windows(2) {
                assert_eq!(pair[0][..], pair[1][..pair[0].len()], "{group}");
            }
        }
    }
}
