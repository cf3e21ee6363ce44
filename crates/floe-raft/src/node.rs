//! One member of one Raft group: its four families of methods, and how they reach the mechanisms in the other files.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::apply::Applying;
use crate::change::MembershipChange;
use crate::config::Config;
use crate::effect::{Effect, RoleKind};
use crate::election::LostLeader;
use crate::entry::{Entry, EntryKind, HardState, Restored};
use crate::error::{ConfigError, MembershipError, ProposeError, ReadError, TransferError};
use crate::fetch::Fetches;
use crate::forward::{Forwards, Taken};
use crate::id::{FetchId, Index, LogId, NodeId, ProposalId, ReadId, Round, Term, Time, WriteId};
use crate::input::{Fetched, ReadMode, SnapshotOutcome};
use crate::invariants::Invariants;
use crate::log::Log;
use crate::log::terms::Terms;
use crate::membership::{Members, Membership};
use crate::message::{Envelope, Message};
use crate::mutant::Mutant;
use crate::outbox::Outbox;
use crate::random::Random;
use crate::reads::{Asks, ReadyReads};
use crate::role::Role;
use crate::role::follower::{Follower, memberships_in};
use crate::snapshot::Installing;
use crate::status::Status;
use crate::validate::{self, LIMIT};

/// One member of one Raft group.
///
/// Methods come in four families: `handle_*` reports that something happened and never fails; commands ask for
/// something and are refused with a precise error; `poll_*` says what the host has to do; getters only look.
///
/// **The driving law**: hand over every input that waits, then drain [`Node::poll_effect`] to `None`, then set the
/// timer to [`Node::poll_timeout`]. What a drain puts out is made *in* the drain: a thousand proposals between two
/// drains become one write and one append a peer.
#[derive(Clone, Debug)]
pub struct Node {
    pub(crate) config: Config,
    /// The latest time that an input carried.
    pub(crate) now: Time,
    pub(crate) random: Random,
    /// Term and vote, durable or about to be.
    pub(crate) hard_state: HardState,
    pub(crate) role: Role,
    pub(crate) log: Log,
    pub(crate) members: Members,
    /// The last entry known to be committed. Not durable: after a restart it is what is applied.
    pub(crate) commit: Index,
    pub(crate) apply: Applying,
    /// While the host puts a snapshot in place.
    pub(crate) installing: Option<Installing>,
    pub(crate) fetches: Fetches,
    /// Dropped by the host, and not yet reported applied.
    compacted: Option<LogId>,
    pub(crate) asks: Asks,
    pub(crate) ready_reads: ReadyReads,
    /// Until then this node elects nobody: what it answered to heartbeats, in all its terms.
    pub(crate) promised_until: Time,
    /// The leader of this term whose process is known to be dead. Forgotten when it is heard of again.
    pub(crate) lost_leader: Option<LostLeader>,
    /// Until then this node asks for no leadership, whatever its priority.
    pub(crate) humble_until: Option<Time>,
    pub(crate) forwards: Forwards,
    /// The commands that others passed on to this node in this term.
    pub(crate) taken: Taken,
    pub(crate) outbox: Outbox,
    /// What the last `RoleChanged` said.
    announced: (RoleKind, Term, Option<NodeId>),
    /// An input came since the last drain.
    dirty: bool,
    invariants: Invariants,
}

impl Node {
    /// Starts from what is on disk, as a follower.
    ///
    /// `seed` is 64 random bits, new at each start. All of them spread the timeouts. The upper half also marks this
    /// life of the node in the names of its requests, so that answers to an earlier life are not taken for its own.
    pub fn new(now: Time, seed: u64, config: Config, restored: Restored) -> Result<Self, ConfigError> {
        config.validate()?;
        check_restored(&restored, config.witness).map_err(ConfigError::Restored)?;
        let Restored { hard_state, base, terms, last, tail, membership, memberships, applied } = restored;
        let terms = Terms::restore(base, terms, last).map_err(ConfigError::Restored)?;
        let mutation = config.mutation();
        let mut log = Log::restore(terms, tail).map_err(ConfigError::Restored)?;
        log.mutate(mutation);
        let mut members = Members::new(membership);
        members.mutate(mutation);
        let memberships = memberships_in(&memberships, config.witness).map_err(ConfigError::Restored)?;
        memberships.into_iter().for_each(|(index, membership)| members.push(index, membership));
        let own = members.current();
        if own.is_voter(config.id) && own.is_witness(config.id) != config.witness {
            return Err(ConfigError::Restored(
                "the membership and the configuration disagree on who is a witness",
            ));
        }
        let salt = seed & !u64::from(u32::MAX);
        // What an earlier life answered to heartbeats it may have answered a moment ago; it holds for this one. A node
        // without a term never answered any.
        let is_bound =
            config.lease.is_some() && hard_state.term > Term(0) && !config.mutated(Mutant::LeaseForgotten);
        let promised_until = if is_bound { now.plus(config.election_timeout) } else { Time(0) };
        let mut node = Self {
            config,
            now,
            random: Random::new(seed),
            hard_state,
            role: Role::Follower(Follower::new(None, None, now)),
            log,
            members,
            commit: applied,
            apply: Applying::new(applied),
            installing: None,
            fetches: Fetches::default(),
            compacted: None,
            asks: Asks::new(if mutation.is(Mutant::ReadNamesReused) { 0 } else { salt }),
            ready_reads: ReadyReads::default(),
            promised_until,
            lost_leader: None,
            humble_until: None,
            forwards: Forwards::new(if mutation.is(Mutant::ForwardNamesReused) { 0 } else { salt }),
            taken: Taken::new(hard_state),
            outbox: Outbox::default(),
            announced: (RoleKind::Follower, hard_state.term, None),
            dirty: false,
            invariants: Invariants::default(),
        };
        let deadline = node.first_deadline();
        node.role = Role::Follower(Follower::new(None, None, deadline));
        if node.config.mutated(Mutant::LeaderResumes) && hard_state.vote == Some(node.config.id) {
            node.resume_leading();
        }
        node.check();
        Ok(node)
    }

    /// A message arrived. One that no correct peer sends becomes an [`crate::Alarm`].
    ///
    /// With leases, `now` must be read from the clock after the message arrived: what a voter promises by its answer
    /// runs from there.
    pub fn handle_message(&mut self, now: Time, envelope: Envelope) {
        self.advance(now);
        if envelope.to != self.config.id || envelope.from == self.config.id {
            return;
        }
        // Its process lives, or a new one does.
        self.lost_leader.take_if(|lost| lost.leader == envelope.from);
        match validate::fault(&envelope) {
            Some(reason) => self.outbox.bad_message(envelope.from, reason),
            None => self.dispatch(envelope),
        }
        self.check();
    }

    /// The time of [`Node::poll_timeout`] came. Early or repeated calls do nothing.
    pub fn handle_timeout(&mut self, now: Time) {
        self.advance(now);
        self.fetches.resume(self.now);
        if self.deadline() <= self.now {
            match self.role {
                Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => self.election_due(),
                Role::Leader(_) => self.lead_on(),
            }
        }
        self.check();
    }

    /// This write is durable, and so is every earlier one.
    pub fn handle_persisted(&mut self, now: Time, write: WriteId) {
        self.advance(now);
        self.log.report_write(write);
        if self.log.hard_state_write().is_none() {
            self.outbox.release();
        }
        self.count_own_vote();
        self.check();
    }

    /// Entries were read for the core. Answers to what it no longer needs are ignored.
    pub fn handle_fetched(&mut self, now: Time, fetch: FetchId, entries: Fetched) {
        self.advance(now);
        self.fetched(fetch, entries);
        self.check();
    }

    /// The state machine contains this entry and all before it.
    pub fn handle_applied(&mut self, now: Time, index: Index) {
        self.advance(now);
        if !self.finish_install(index) {
            self.apply.report(index);
        }
        self.compact();
        self.check();
    }

    /// The host dropped the log's entries up to and including `base`, which its state machine contains. If that is
    /// not reported yet, it takes effect once it is.
    pub fn handle_compacted(&mut self, base: LogId) {
        self.dirty = true;
        self.compacted = self.compacted.max(Some(base));
        self.compact();
        self.check();
    }

    /// A snapshot that [`Effect::SendSnapshot`] asked for is installed at the peer, or did not arrive.
    pub fn handle_snapshot_sent(&mut self, now: Time, to: NodeId, outcome: SnapshotOutcome) {
        self.advance(now);
        self.snapshot_sent(to, outcome);
        self.check();
    }

    /// The peer's process is known to be dead: its kernel refuses connections. Commands passed on to it become
    /// `Unknown`, nothing that was under way to it is waited for, and if it led, an election starts soon (without
    /// leases; with them it starts when the leader's may have ended). Only evidence counts: a connection that broke, or a
    /// peer that is silent, is not dead.
    pub fn handle_peer_gone(&mut self, now: Time, peer: NodeId) {
        self.advance(now);
        self.leader_gone(peer);
        self.peer_gone(peer);
        self.check();
    }

    /// Appends a command to the log. Only a leader does; that it is appended does not mean that it is committed.
    pub fn propose(&mut self, now: Time, payload: Bytes) -> Result<LogId, ProposeError> {
        self.advance(now);
        let outcome = self.append_command(payload);
        self.check();
        outcome
    }

    /// Appends a command if this node leads in exactly this term; refuses it as [`ProposeError::NotLeader`] otherwise.
    ///
    /// For a host that looks at the state first and decides by it: what it saw is not out of date as long as the term is
    /// the one that it looked in. A leader that was deposed, and leads again, must not append what it decided before
    /// (scylla #31559, etcd #15247).
    pub fn propose_in_term(&mut self, now: Time, term: Term, payload: Bytes) -> Result<LogId, ProposeError> {
        self.advance(now);
        let outcome = if term == self.hard_state.term {
            self.append_command(payload)
        } else {
            Err(ProposeError::NotLeader { hint: self.leader() })
        };
        self.check();
        outcome
    }

    /// Starts a change of the membership. It is in force at once, and done when [`Status::pending_change`] is empty
    /// again: a change of several voters goes by way of a joint membership, which the leader leaves by itself.
    pub fn change_membership(
        &mut self,
        now: Time,
        change: &MembershipChange,
    ) -> Result<LogId, MembershipError> {
        self.advance(now);
        let outcome = self.start_change(change);
        self.check();
        outcome
    }

    /// Passes a command on to the leader; its answer comes as [`Effect::Forwarded`], exactly once. On a leader that
    /// is the node itself.
    pub fn forward(&mut self, now: Time, proposal: ProposalId, payload: Bytes) -> Result<(), ProposeError> {
        self.advance(now);
        if self.is_leader() {
            let id = self.append_command(payload)?;
            self.outbox.push(Effect::Forwarded { proposal, outcome: Ok(id) });
        } else {
            self.start_forward(proposal, payload)?;
        }
        self.check();
        Ok(())
    }

    /// Asks for a linearizable read, on any member. The answer comes as [`Effect::ReadReady`] once the host has
    /// applied everything that was committed when this was called, or as [`Effect::ReadAborted`].
    ///
    /// For a read by lease, `now` must be read from the clock after the read was asked for: a process that is paused
    /// between the two would answer by a lease that has ended.
    pub fn read(&mut self, now: Time, read: ReadId, mode: ReadMode) -> Result<(), ReadError> {
        self.advance(now);
        let started = self.start_read(read, mode);
        self.check();
        started
    }

    /// Hands leadership over to another voter. Proposals are refused as `Busy` until it is done or given up, which
    /// is after one election timeout. Asking again for the same target changes nothing.
    pub fn transfer_leadership(&mut self, now: Time, to: NodeId) -> Result<(), TransferError> {
        self.advance(now);
        let started = self.start_transfer(to);
        self.check();
        started
    }

    /// The next thing for the host to do; `None` when nothing is until the next input.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        if self.dirty {
            self.dirty = false;
            self.drain();
            self.check();
        }
        self.outbox.pop()
    }

    /// When to call [`Node::handle_timeout`] if nothing else happens before.
    pub fn poll_timeout(&self) -> Option<Time> {
        let own = self.deadline();
        Some(self.fetches.deadline().map_or(own, |fetch| fetch.min(own)))
    }

    /// This node.
    pub fn id(&self) -> NodeId {
        self.config.id
    }

    /// The latest term seen.
    pub fn term(&self) -> Term {
        self.hard_state.term
    }

    /// The leader of the term, if known.
    pub fn leader(&self) -> Option<NodeId> {
        self.role.leader(self.config.id)
    }

    /// Whether this node leads, as far as it knows.
    pub fn is_leader(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }

    /// On a leader, until when it may answer reads by its lease, if it has one. It may have passed.
    pub fn lease_until(&self) -> Option<Time> {
        self.lease_end()
    }

    /// The last entry known to be committed.
    pub fn commit(&self) -> Index {
        self.commit
    }

    /// The last entry in the log, durable or about to be.
    pub fn last(&self) -> LogId {
        self.log.last()
    }

    /// The last entry that is on this node's own disk with all before it.
    pub fn durable(&self) -> Index {
        self.log.durable()
    }

    /// The last entry reported applied.
    pub fn applied(&self) -> Index {
        self.apply.applied()
    }

    /// The membership in force.
    pub fn membership(&self) -> &Membership {
        self.members.current()
    }

    /// A copy of everything that others may see.
    pub fn status(&self) -> Status {
        let (progress, transfer_to) = match &self.role {
            Role::Leader(leader) => {
                let progress =
                    leader.progress.iter().map(|(id, progress)| (*id, progress.status())).collect();
                (progress, leader.transfer.as_ref().map(|transfer| transfer.to))
            }
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => (BTreeMap::new(), None),
        };
        Status {
            id: self.config.id,
            role: self.role.kind(),
            leader: self.leader(),
            hard_state: self.hard_state,
            base: self.log.base(),
            last: self.log.last(),
            durable: self.log.durable(),
            commit: self.commit,
            applied: self.apply.applied(),
            membership: self.members.current().clone(),
            membership_at: self.members.current_at(),
            pending_change: self.pending_change(),
            progress,
            transfer_to,
            lease_until: self.lease_end(),
            reads_waiting: self.reads_waiting(),
        }
    }

    /// When the role, or the disk under it, needs something to be done.
    fn deadline(&self) -> Time {
        let role = self.role.deadline();
        self.stall_deadline().map_or(role, |stall| stall.min(role))
    }

    /// Forgets what the host has dropped, as far as it is applied. A base that is not of this log is ignored.
    fn compact(&mut self) {
        let Some(base) = self.compacted.take_if(|base| base.index <= self.apply.applied()) else { return };
        if base.index > self.log.base().index && self.log.matches(base) {
            self.log.compact(base);
            self.members.compact(base.index);
        }
    }

    /// Time never goes back here, whatever the host's clock does.
    pub(crate) fn advance(&mut self, now: Time) {
        self.now = self.now.max(now);
        self.dirty = true;
    }

    fn dispatch(&mut self, envelope: Envelope) {
        let Envelope { from, to: _, term, message } = envelope;
        let own = self.hard_state.term;
        match message {
            // They speak of a term that nobody has entered, and are answered without entering it.
            Message::PreVote { last } => return self.handle_pre_vote(from, term, last),
            Message::PreVoteReply { granted: true } => return self.handle_pre_vote_granted(from, term),
            Message::Pull { after, last } => return self.handle_pull(from, after, last),
            // A refuser may have the newer log and the older term: this node campaigned in terms that it never heard of.
            Message::PreVoteReply { granted: false } if term < own => return self.pull(from),
            Message::PullReply { prev, entries, last } => {
                if term > own {
                    if self.end_farewell(from) {
                        return;
                    }
                    self.become_follower(term, None);
                }
                return self.handle_pull_reply(from, prev, entries, last);
            }
            // Decides for itself whether to enter the candidate's term.
            Message::Vote { last, transfer } => return self.handle_vote(from, term, last, transfer),
            // What became of a command is true in any term, and better known than given up for lost.
            Message::ProposeReply { outcomes } => {
                self.handle_propose_reply(from, outcomes);
                if term > own && !self.end_farewell(from) {
                    self.become_follower(term, None);
                }
                return;
            }
            Message::AppendOk { .. } if term < own && self.config.mutated(Mutant::OldAck) => {}
            Message::HeartbeatReply { .. } if term < own && self.config.mutated(Mutant::OldRound) => {}
            Message::VoteReply { .. } if term < own && self.config.mutated(Mutant::OldVote) => {}
            _ if term < own => return self.answer_old(from, &message),
            _ => {}
        }
        if term > own {
            if self.end_farewell(from) {
                return;
            }
            let is_refusal = matches!(message, Message::PreVoteReply { .. } | Message::VoteReply { .. });
            if is_refusal && self.config.mutated(Mutant::RefusedTermUnheard) {
                return;
            }
            self.become_follower(term, None);
        }
        self.dispatch_current(from, message);
    }

    /// A message of the current term.
    fn dispatch_current(&mut self, from: NodeId, message: Message) {
        match message {
            Message::PreVoteReply { granted: _ } => self.handle_pre_vote_refused(from),
            Message::VoteReply { granted } => self.handle_vote_reply(from, granted),
            Message::Append { prev, entries, commit } => self.handle_append(from, prev, entries, commit),
            Message::AppendOk { matched } => self.handle_append_ok(from, matched),
            Message::AppendReject { prev, hint } => self.handle_append_reject(from, prev, hint),
            Message::Heartbeat { commit, round } => self.handle_heartbeat(from, commit, round),
            Message::HeartbeatReply { round } => self.handle_heartbeat_reply(from, round),
            Message::Snapshot { last, membership } => self.handle_snapshot(from, last, membership),
            Message::ReadIndex { round, mode } => self.handle_read_index(from, round, mode),
            Message::ReadIndexReply { round, index } => self.handle_read_index_reply(from, round, index),
            Message::Propose { proposals } => self.handle_propose(from, proposals),
            Message::TimeoutNow { last } => self.handle_timeout_now(from, last),
            Message::Priority { priority } => self.handle_priority(from, priority),
            // Handled whatever their term.
            Message::PreVote { .. }
            | Message::Vote { .. }
            | Message::ProposeReply { .. }
            | Message::Pull { .. }
            | Message::PullReply { .. } => {}
        }
    }

    /// A message of a term that is over. Its sender learns of the present one: a node that got ahead in terms could
    /// otherwise neither win an election nor follow anybody (etcd #5468, #8243).
    ///
    /// The answer carries the present term, and so must mean nothing in it. An answer to the round of an old
    /// heartbeat would confirm the round of the same number of a leader that leads again since, and a stale read
    /// with it; a refusal of an old append or vote would count against a present one. Round zero was never sent: all
    /// that this says is the term.
    fn answer_old(&mut self, from: NodeId, message: &Message) {
        match message {
            Message::Append { .. }
            | Message::Heartbeat { .. }
            | Message::Snapshot { .. }
            | Message::ReadIndex { .. }
            | Message::Propose { .. } => {
                if !self.config.mutated(Mutant::OldLeaderUnanswered) {
                    self.send(from, Message::HeartbeatReply { round: Round(0) });
                }
            }
            Message::PreVote { .. }
            | Message::PreVoteReply { .. }
            | Message::Vote { .. }
            | Message::VoteReply { .. }
            | Message::AppendOk { .. }
            | Message::AppendReject { .. }
            | Message::HeartbeatReply { .. }
            | Message::ReadIndexReply { .. }
            | Message::ProposeReply { .. }
            | Message::Pull { .. }
            | Message::PullReply { .. }
            | Message::TimeoutNow { .. }
            | Message::Priority { .. } => {}
        }
    }

    /// Says something under the current term, once that is durable. Unsaid, a vote could be cast twice, and an
    /// acknowledgement given to a leader whose predecessor is still listened to after a crash.
    pub(crate) fn send(&mut self, to: NodeId, message: Message) {
        let envelope = Envelope { from: self.config.id, to, term: self.hard_state.term, message };
        match self.log.hard_state_write() {
            Some(write) if !self.config.mutated(Mutant::VoteBeforeDisk) => {
                self.outbox.send_after(write, envelope);
            }
            Some(_) | None => self.outbox.send(envelope),
        }
    }

    /// Appends a command if this node leads and has room.
    pub(crate) fn append_command(&mut self, payload: Bytes) -> Result<LogId, ProposeError> {
        let Role::Leader(leader) = &mut self.role else {
            return Err(ProposeError::NotLeader { hint: self.leader() });
        };
        if payload.len() as u64 > self.config.command_bytes {
            return Err(ProposeError::TooLarge);
        }
        let id = LogId::new(self.hard_state.term, self.log.last().index.next());
        let entry = Entry { id, kind: EntryKind::Command, payload };
        if leader.transfer.is_some()
            || !leader.uncommitted.admits(entry.cost(), self.config.uncommitted_bytes)
        {
            return Err(ProposeError::Busy);
        }
        leader.uncommitted.push(entry.cost());
        self.log.append(entry);
        Ok(id)
    }

    /// Ends what waited for the present leader, before the role changes. Returns the members whose reads this node
    /// was to confirm: they are answered under the new role.
    pub(crate) fn leave_role(&mut self, next_leader: Option<NodeId>) -> BTreeMap<NodeId, Round> {
        self.drop_forwards(next_leader);
        self.fetches.forget_peers();
        self.drop_reads()
    }

    /// Puts out what the inputs since the last drain amount to.
    fn drain(&mut self) {
        self.advance_commit();
        self.advance_membership();
        let announced = (self.role.kind(), self.hard_state.term, self.leader());
        if announced != self.announced {
            self.announced = announced;
            let (role, term, leader) = announced;
            self.outbox.push(Effect::RoleChanged { role, term, leader });
        }
        if let Some(write) = self.log.take_write(self.now) {
            self.outbox.push(Effect::Persist(write));
        }
        match self.role {
            Role::Leader(_) => {
                self.confirm_reads();
                self.beat();
                // A leader that is alone has the answer of its quorum at once.
                self.confirm_reads();
                self.replicate();
                self.hand_over();
            }
            Role::Follower(_) => {
                self.acknowledge();
                self.pass_on();
                self.ask_read_index();
            }
            Role::PreCandidate(_) | Role::Candidate(_) => {}
        }
        self.apply();
        self.finish_reads();
        self.log.trim(self.config.tail_bytes);
    }

    /// In debug builds, stops at the first input that breaks a rule.
    pub(crate) fn check(&mut self) {
        if cfg!(debug_assertions) {
            let mut invariants = std::mem::take(&mut self.invariants);
            let checked = invariants.check(self);
            assert!(checked.is_ok(), "{checked:?}: {:?}", self.status());
            self.invariants = invariants;
        }
    }
}

/// What the parts that are restored do not check themselves.
fn check_restored(restored: &Restored, witness: bool) -> Result<(), &'static str> {
    let Restored { hard_state, base, last, tail, membership, applied, memberships, .. } = restored;
    let in_log = |entry: &Entry| base.index < entry.id.index && entry.id.index <= last.index;
    let is_membership = |entry: &Entry| entry.kind == EntryKind::Membership && in_log(entry);
    let foreign = if witness { EntryKind::Command } else { EntryKind::Witnessed };
    let rules = [
        (hard_state.term.0 < LIMIT && last.index.0 < LIMIT, "a term or a position is out of range"),
        (last.term <= hard_state.term, "the log holds a term that was never entered"),
        (base.index <= *applied, "the log is compacted beyond what the state machine contains"),
        (*applied <= last.index, "the state machine contains more than the log"),
        (!tail.iter().any(|entry| entry.kind == foreign), "the log is a witness's, or this witness's is not"),
        (membership.voters.is_empty() || membership.fault().is_none(), "no group may have this membership"),
        (memberships.iter().all(is_membership), "an entry that is no membership of this log"),
        (memberships.is_sorted_by(|a, b| a.id.index < b.id.index), "the memberships are not in order"),
    ];
    rules.iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, reason)| Err(*reason))
}
