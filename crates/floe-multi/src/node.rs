//! The machine: its groups, its families of methods, and what a drain puts out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use floe_raft::{
    Config, Effect, Envelope, FetchId, Fetched, GroupId, Index, LogId, MembershipChange, MembershipError,
    Message, Node, NodeId, ProposalId, ProposeError, ReadError, ReadId, ReadMode, Restored, SnapshotOutcome,
    Term, Time, TransferError, Write, WriteId,
};

use crate::beat::{Answer, Heartbeat};
use crate::config::MultiConfig;
use crate::effect::MultiEffect;
use crate::error::{AddGroupError, GroupError, MultiConfigError};
use crate::group::Group;
use crate::machine::Machine;
use crate::timers::Timers;

/// Machines remembered. What is for others goes unwrapped, as single messages.
const MAX_MACHINES: usize = 1024;

/// All groups of one machine.
///
/// **The driving law** is that of [`Node`]: hand over every input that waits, then drain [`MultiNode::poll_effect`] to
/// `None`, then set the timer to [`MultiNode::poll_timeout`].
#[derive(Clone, Debug)]
pub struct MultiNode {
    pub(crate) config: MultiConfig,
    /// The latest time that an input carried.
    pub(crate) now: Time,
    /// Of the last beat.
    pub(crate) stamp: u64,
    pub(crate) groups: BTreeMap<GroupId, Group>,
    pub(crate) machines: BTreeMap<NodeId, Machine>,
    pub(crate) timers: Timers,
    /// Groups that lead and are awake: they beat together.
    pub(crate) leading: BTreeSet<GroupId>,
    /// When those machines get a beat that wait for nothing else.
    pub(crate) beat_at: Time,
    /// Groups that the next drain looks at.
    dirty: VecDeque<GroupId>,
    /// A machine may have a beat waiting.
    pub(crate) has_beats: bool,
    batch: Vec<(GroupId, Write)>,
    out: VecDeque<MultiEffect>,
    /// The effects of one group, on their way from its node to `out`; empty between drains.
    scratch: Vec<Effect>,
}

impl MultiNode {
    /// A machine without groups.
    pub fn new(now: Time, config: MultiConfig) -> Result<Self, MultiConfigError> {
        config.validate()?;
        Ok(Self {
            config,
            now,
            stamp: 0,
            groups: BTreeMap::new(),
            machines: BTreeMap::new(),
            timers: Timers::default(),
            leading: BTreeSet::new(),
            beat_at: now,
            dirty: VecDeque::new(),
            has_beats: false,
            batch: Vec::new(),
            out: VecDeque::new(),
            scratch: Vec::new(),
        })
    }

    /// Starts a group from what is on disk. `config` must have the machine's id and timing; `seed` is as in
    /// [`Node::new`].
    pub fn add_group(
        &mut self,
        now: Time,
        seed: u64,
        group: GroupId,
        config: Config,
        restored: Restored,
    ) -> Result<(), AddGroupError> {
        self.advance(now);
        if self.groups.contains_key(&group) {
            return Err(AddGroupError::Duplicate(group));
        }
        if config.id != self.config.id {
            return Err(AddGroupError::Differs("another id"));
        }
        if config.heartbeat_interval != self.config.heartbeat_interval
            || config.election_timeout != self.config.election_timeout
        {
            return Err(AddGroupError::Differs("another timing"));
        }
        let node = Node::new(now, seed, config, restored)?;
        self.meet(node.membership().members());
        let mut known = Group::new(node);
        self.timers.arm(group, &mut known.armed, known.node.poll_timeout());
        self.groups.insert(group, known);
        self.touch(group);
        Ok(())
    }

    /// Takes a group off this machine; whether it was here. What is under way for it is forgotten.
    pub fn remove_group(&mut self, group: GroupId) -> bool {
        let Some(mut removed) = self.groups.remove(&group) else { return false };
        self.timers.arm(group, &mut removed.armed, None);
        self.leading.remove(&group);
        for peer in removed.vouched_to {
            if let Some(machine) = self.machines.get_mut(&peer) {
                machine.due |= machine.vouching.remove(group);
            }
        }
        for machine in self.machines.values_mut() {
            let is_vouched = machine.vouched.term(group).is_some();
            machine.due |= machine.vouched.set_refused(group, is_vouched);
        }
        self.has_beats = true;
        true
    }

    /// A message of a group arrived. One for a group that is not here is ignored.
    pub fn handle_message(&mut self, now: Time, group: GroupId, envelope: Envelope) {
        self.input(now, group, |node, now| node.handle_message(now, envelope));
    }

    /// This write of the group is durable, and so is every earlier one of it.
    pub fn handle_persisted(&mut self, now: Time, group: GroupId, write: WriteId) {
        self.input(now, group, |node, now| node.handle_persisted(now, write));
    }

    /// As [`Node::handle_fetched`].
    pub fn handle_fetched(&mut self, now: Time, group: GroupId, fetch: FetchId, entries: Fetched) {
        self.input(now, group, |node, now| node.handle_fetched(now, fetch, entries));
    }

    /// As [`Node::handle_applied`].
    pub fn handle_applied(&mut self, now: Time, group: GroupId, index: Index) {
        self.input(now, group, |node, now| node.handle_applied(now, index));
    }

    /// As [`Node::handle_compacted`]. It wakes nobody: a host may compact all of its groups while they sleep.
    pub fn handle_compacted(&mut self, group: GroupId, base: LogId) {
        if let Some(known) = self.groups.get_mut(&group) {
            known.node.handle_compacted(base);
            self.look_at(group);
        }
    }

    /// As [`Node::handle_snapshot_sent`].
    pub fn handle_snapshot_sent(&mut self, now: Time, group: GroupId, to: NodeId, outcome: SnapshotOutcome) {
        self.input(now, group, |node, now| node.handle_snapshot_sent(now, to, outcome));
    }

    /// As [`Node::propose`].
    pub fn propose(
        &mut self,
        now: Time,
        group: GroupId,
        payload: Bytes,
    ) -> Result<LogId, GroupError<ProposeError>> {
        self.command(now, group, |node, now| node.propose(now, payload))
    }

    /// As [`Node::propose_in_term`].
    pub fn propose_in_term(
        &mut self,
        now: Time,
        group: GroupId,
        term: Term,
        payload: Bytes,
    ) -> Result<LogId, GroupError<ProposeError>> {
        self.command(now, group, |node, now| node.propose_in_term(now, term, payload))
    }

    /// As [`Node::change_membership`].
    pub fn change_membership(
        &mut self,
        now: Time,
        group: GroupId,
        change: &MembershipChange,
    ) -> Result<LogId, GroupError<MembershipError>> {
        self.command(now, group, |node, now| node.change_membership(now, change))
    }

    /// As [`Node::forward`].
    pub fn forward(
        &mut self,
        now: Time,
        group: GroupId,
        proposal: ProposalId,
        payload: Bytes,
    ) -> Result<(), GroupError<ProposeError>> {
        self.command(now, group, |node, now| node.forward(now, proposal, payload))
    }

    /// As [`Node::read`].
    pub fn read(
        &mut self,
        now: Time,
        group: GroupId,
        read: ReadId,
        mode: ReadMode,
    ) -> Result<(), GroupError<ReadError>> {
        self.command(now, group, |node, now| node.read(now, read, mode))
    }

    /// As [`Node::transfer_leadership`].
    pub fn transfer_leadership(
        &mut self,
        now: Time,
        group: GroupId,
        to: NodeId,
    ) -> Result<(), GroupError<TransferError>> {
        self.command(now, group, |node, now| node.transfer_leadership(now, to))
    }

    /// The next thing for the host to do; `None` when nothing is until the next input.
    pub fn poll_effect(&mut self) -> Option<MultiEffect> {
        if self.out.is_empty() && (!self.dirty.is_empty() || self.has_beats) {
            self.drain();
        }
        self.out.pop_front()
    }

    /// When to call [`MultiNode::handle_timeout`] if nothing else happens before.
    pub fn poll_timeout(&self) -> Option<Time> {
        let patience = self.config.election_timeout;
        let silent = self.machines.values().filter_map(|machine| machine.silent_at(patience)).min();
        let beats = self.machines.values().any(|machine| machine.wants_beats(self.now, patience));
        [self.timers.next(), silent, beats.then_some(self.beat_at)].into_iter().flatten().min()
    }

    /// This machine.
    pub fn id(&self) -> NodeId {
        self.config.id
    }

    /// The groups of this machine, ascending.
    pub fn groups(&self) -> impl Iterator<Item = GroupId> {
        self.groups.keys().copied()
    }

    /// The node of a group, to look at.
    pub fn group(&self, group: GroupId) -> Option<&Node> {
        self.groups.get(&group).map(|group| &group.node)
    }

    /// Whether the group sleeps: it has no timers, and sends nothing until something happens.
    pub fn is_asleep(&self, group: GroupId) -> bool {
        self.groups.get(&group).is_some_and(|group| group.asleep)
    }

    /// How many groups have a deadline, which is all that are awake.
    pub fn awake(&self) -> usize {
        self.timers.len()
    }

    /// When a machine was heard last, by any of its beats; `None` if never. This is what tells whether the members of
    /// a sleeping group live: its own node hears nothing.
    pub fn machine_seen(&self, machine: NodeId) -> Option<Time> {
        self.machines.get(&machine)?.heard
    }

    /// Time never goes back here, whatever the host's clock does.
    pub(crate) fn advance(&mut self, now: Time) {
        self.now = self.now.max(now);
    }

    /// Lets a group's node have an input. If it slept it is told of the pause first, so that its timers are right.
    pub(crate) fn input<R>(
        &mut self,
        now: Time,
        group: GroupId,
        act: impl FnOnce(&mut Node, Time) -> R,
    ) -> Option<R> {
        self.advance(now);
        self.wake(group);
        let known = self.groups.get_mut(&group)?;
        known.idle_since = None;
        let result = act(&mut known.node, self.now);
        self.look_at(group);
        Some(result)
    }

    fn command<R, E>(
        &mut self,
        now: Time,
        group: GroupId,
        act: impl FnOnce(&mut Node, Time) -> Result<R, E>,
    ) -> Result<R, GroupError<E>> {
        let outcome = self.input(now, group, act).ok_or(GroupError::UnknownGroup(group))?;
        outcome.map_err(GroupError::Refused)
    }

    /// Something happened in the group: it does not count as idle.
    pub(crate) fn touch(&mut self, group: GroupId) {
        if let Some(known) = self.groups.get_mut(&group) {
            known.idle_since = None;
            self.look_at(group);
        }
    }

    /// The next drain looks at the group.
    pub(crate) fn look_at(&mut self, group: GroupId) {
        if let Some(known) = self.groups.get_mut(&group)
            && !known.dirty
        {
            known.dirty = true;
            self.dirty.push_back(group);
        }
    }

    /// Remembers the machines of a group. One that lets groups sleep shows itself to them at once: if it was
    /// restarted, what it vouched for is over.
    fn meet(&mut self, members: BTreeSet<NodeId>) {
        let (own, sleeps) = (self.config.id, self.config.quiesce_after.is_some());
        for peer in members.into_iter().filter(|peer| *peer != own) {
            let is_new = !self.machines.contains_key(&peer);
            if let Some(machine) = self.machine(peer)
                && is_new
                && sleeps
            {
                machine.due = true;
                self.has_beats = true;
            }
        }
    }

    /// What is known of a machine; `None` if there are too many already.
    pub(crate) fn machine(&mut self, peer: NodeId) -> Option<&mut Machine> {
        let is_full = self.machines.len() >= MAX_MACHINES;
        if is_full && !self.machines.contains_key(&peer) {
            return None;
        }
        Some(self.machines.entry(peer).or_default())
    }

    /// Puts out what the inputs since the last drain amount to.
    fn drain(&mut self) {
        while let Some(group) = self.dirty.pop_front() {
            self.settle(group);
        }
        if !self.batch.is_empty() {
            self.out.push_front(MultiEffect::Persist(std::mem::take(&mut self.batch)));
        }
        if std::mem::take(&mut self.has_beats) {
            self.send_beats();
        }
    }

    fn send_beats(&mut self) {
        let (id, life) = (self.config.id, self.config.life);
        for (&to, machine) in &mut self.machines {
            let stamp = self.now.0.max(self.stamp + 1);
            if let Some(beat) = machine.take_beat(id, to, life, stamp) {
                self.stamp = stamp;
                self.out.push_back(MultiEffect::Beat(beat));
            }
        }
    }

    /// Takes out what one group asks for, and decides whether it sleeps.
    fn settle(&mut self, group: GroupId) {
        if !self.may_sleep(group) {
            self.wake(group);
        }
        let Some(known) = self.groups.get_mut(&group) else { return };
        known.dirty = false;
        let mut effects = std::mem::take(&mut self.scratch);
        while let Some(effect) = known.node.poll_effect() {
            effects.push(effect);
        }
        for effect in effects.drain(..) {
            match effect {
                Effect::Persist(write) => self.batch.push((group, write)),
                Effect::Send(envelope) => self.send(group, envelope),
                other => {
                    if let Effect::MembershipChanged(membership) = &other {
                        self.meet(membership.members());
                    }
                    self.out.push_back(MultiEffect::Group(group, other));
                }
            }
        }
        self.scratch = effects;
        self.decide(group);
    }

    /// Heartbeats and their answers wait for the end of the drain, to go together.
    fn send(&mut self, group: GroupId, envelope: Envelope) {
        let Envelope { to, term, .. } = envelope;
        match envelope.message {
            Message::Heartbeat { commit, round } => {
                if let Some(machine) = self.machine(to) {
                    machine.heartbeats.push(Heartbeat { group, term, commit, round });
                    self.has_beats = true;
                    return;
                }
            }
            Message::HeartbeatReply { round } => {
                if let Some(machine) = self.machine(to) {
                    machine.answers.push(Answer { group, term, round });
                    self.has_beats = true;
                    return;
                }
            }
            _ => {}
        }
        self.out.push_back(MultiEffect::Group(group, Effect::Send(envelope)));
    }
}
