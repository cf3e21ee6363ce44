//! The driver: the one thread that owns the protocol.
//!
//! Each turn it waits for sockets, requests and timers, gives the core *everything* that waits, and only then asks
//! it what to do. So batching needs no tuning: what arrives while one turn is worked on makes the next one larger,
//! and a thousand proposals of one turn become one write of the log and one message a peer.

mod answers;
mod change;
mod compaction;
mod effects;
mod handover;
mod publish;
mod snapshots;
mod stop;
mod view;

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use floe_raft::{Envelope, Fetched, Index, LogId, Message, Node, NodeId, ReadMode, Term, Time};
use mio::{Events, Poll};

use crate::apply_thread::ApplyWork;
use crate::clock::Clock;
use crate::completion::{Completer, Wakes};
use crate::error::{AskError, Failure, ProposeError, ReadError, TransferError};
use crate::fences::{Fence, Fences};
use crate::frame::{Answer, Frame};
use crate::handle::Stopped;
use crate::inbox::{Inbox, Input};
use crate::limit::RateLimit;
use crate::queue::Queue;
use crate::trace::Tracer;
use crate::transport::Transport;
use crate::waiters::{Asks, Proposals, Proposer, ReadWaiter, Reads};
use crate::wal_thread::{Log, LogWork};

pub(crate) use answers::{Answerer, Answers};
use change::Change;
pub(crate) use change::Peers;
use compaction::Compaction;
pub(crate) use compaction::LogLimits;
use handover::{Cleared, Handover, Pause};
pub(crate) use publish::Publisher;
pub(crate) use snapshots::Sender;
use snapshots::Snapshots;
use stop::Phase;
pub(crate) use stop::Workers;
use view::{Recent, RoundTrips};

/// How long a question waits for the leader's word.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Times and limits that the driver itself needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// This member votes and holds no state.
    pub(crate) witness: bool,
    pub(crate) election_timeout: Duration,
    pub(crate) read_mode: ReadMode,
    pub(crate) command_bytes_max: u64,
    /// Applied entries that are reported while nothing waits for them do not wake the driver, unless this many
    /// bytes are out: half of what the core gives out at most.
    pub(crate) applying_bytes_max: u64,
    pub(crate) log: LogLimits,
}

/// What the driver is made of when it starts.
pub(crate) struct Parts<R> {
    pub(crate) node: Node,
    pub(crate) clock: Clock,
    pub(crate) poll: Poll,
    pub(crate) inbox: Arc<Inbox<R>>,
    pub(crate) transport: Transport,
    pub(crate) log: Log,
    pub(crate) apply: Arc<Queue<ApplyWork<R>>>,
    pub(crate) answers: Answers<R>,
    pub(crate) publisher: Publisher,
    pub(crate) peers: Peers,
    /// The last entry that the state machine contained at the start.
    pub(crate) given: LogId,
    pub(crate) workers: Workers,
    pub(crate) sender: Sender,
    pub(crate) fences: Arc<Fences>,
    pub(crate) tracer: Tracer,
    pub(crate) limits: Limits,
}

/// The driver. See the module's description.
pub(crate) struct Driver<R> {
    parts: Parts<R>,
    proposals: Proposals<R>,
    reads: Reads,
    asks: Asks,
    transfers: Vec<(Time, Completer<Result<(), TransferError>>)>,
    changes: Vec<Change>,
    handover: Option<Handover>,
    handover_token: u64,
    /// Whom the others have paused for last: to invite that one, nobody need be asked again.
    cleared: Option<Cleared>,
    paused: Option<Pause>,
    wakes: Wakes,
    /// Work of this turn, given out at its end, each with one lock and at most one wake.
    log_work: Vec<LogWork>,
    apply_work: Vec<ApplyWork<R>>,
    /// Entries given out to be applied and not reported, by their last index, with their cost.
    applying: VecDeque<(Index, u64)>,
    applying_bytes: u64,
    /// The last entry given out to be applied.
    given: LogId,
    /// This member was removed, and everybody who needs to know that it is, does.
    is_out: bool,
    /// When those are given up who wait for entries of a leader that is gone.
    orphans_at: Option<Time>,
    snapshots: Snapshots,
    compaction: Compaction,
    phase: Phase,
    complaints: RateLimit,
    round_trips: RoundTrips,
    recent: Recent,
}

impl<R: Send + 'static> Driver<R> {
    pub(crate) fn new(parts: Parts<R>) -> Self {
        let given = parts.given;
        let recent = Recent::of(&parts.node);
        let compaction = Compaction::new(parts.limits.log);
        let snapshots = Snapshots::new(parts.sender);
        Self {
            parts,
            proposals: Proposals::default(),
            reads: Reads::default(),
            asks: Asks::default(),
            transfers: Vec::new(),
            changes: Vec::new(),
            handover: None,
            handover_token: 0,
            cleared: None,
            paused: None,
            wakes: Wakes::default(),
            log_work: Vec::new(),
            apply_work: Vec::new(),
            applying: VecDeque::new(),
            applying_bytes: 0,
            given,
            is_out: false,
            orphans_at: None,
            snapshots,
            compaction,
            phase: Phase::Running,
            complaints: RateLimit::default(),
            round_trips: RoundTrips::default(),
            recent,
        }
    }

    /// Runs until the node stops, then takes it apart.
    pub(crate) fn run(mut self) {
        // What a panic leaves behind is not used any more: everybody who waits is answered, every thread ended.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.turns()));
        let stopped = match outcome.unwrap_or(Err(Failure::Panic("driver"))) {
            Ok(()) => Stopped::Requested,
            Err(failure) => {
                tracing::error!(%failure, "the node stops");
                Stopped::Failed(failure)
            }
        };
        self.finish(stopped);
    }

    /// Turn after turn, until the node is to stop.
    fn turns(&mut self) -> Result<(), Failure> {
        let mut events = Events::with_capacity(256);
        let (mut inputs, mut frames) = (Vec::new(), Vec::new());
        self.refresh_peers();
        while !self.phase.is_over() {
            self.wait(&mut events)
                .map_err(|error| Failure::Io { doing: "cannot wait for events", error: Arc::new(error) })?;
            let broken =
                self.parts.transport.handle_events(&events, |from, frame| frames.push((from, frame)));
            self.parts.inbox.take(&mut inputs);
            // Only now, when all that this turn handles is here. With an earlier time a process that was paused in
            // between would answer a read by a lease that has ended, and promise less for a heartbeat than it says.
            let now = self.parts.clock.now();
            self.parts.tracer.begin_turn(now, &self.parts.node);
            for (from, frame) in frames.drain(..) {
                self.handle_frame(now, from, frame);
            }
            self.handle_inputs(now, &mut inputs)?;
            for peer in broken {
                self.asks.lost(peer, &mut self.wakes);
            }
            self.handle_timers(now);
            self.advance_handover(now);
            self.drain(now)?;
            self.settle_membership();
            self.give_out(now);
            self.parts.tracer.end_turn(&self.parts.node);
            self.advance_stop(now);
            self.wakes.flush();
            // A leader that was removed leads on until it has handed over; a follower's last word is out by now.
            if self.is_out && !self.parts.node.is_leader() {
                return Err(Failure::Removed);
            }
        }
        Ok(())
    }

    /// Sleeps until a socket, a request or a timer needs the driver.
    fn wait(&mut self, events: &mut Events) -> io::Result<()> {
        // While only proposals are under way a report of applied entries need not wake the driver.
        let awaits_applied = !self.reads.is_empty()
            || self.applying_bytes > self.parts.limits.applying_bytes_max
            || !matches!(self.phase, Phase::Running);
        let may_sleep = !self.parts.transport.has_unread() && self.parts.inbox.prepare_sleep(awaits_applied);
        let timeout = if may_sleep {
            self.next_deadline().map(|deadline| deadline.since(self.parts.clock.now()))
        } else {
            Some(Duration::ZERO)
        };
        match self.parts.poll.poll(events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            outcome => outcome,
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        let deadlines = [
            self.parts.node.poll_timeout(),
            self.asks.deadline(),
            self.orphans_at,
            self.transfers.iter().map(|(deadline, _)| *deadline).min(),
            self.changes.iter().filter_map(|change| change.deadline).min(),
            self.snapshots.deadline(),
            self.handover.as_ref().map(|handover| handover.deadline),
            self.phase.deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    fn handle_timers(&mut self, now: Time) {
        if self.parts.node.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.parts.tracer.timer();
            self.parts.node.handle_timeout(now);
        }
        if self.orphans_at.is_some_and(|deadline| deadline <= now) {
            self.orphans_at = None;
            let node = &self.parts.node;
            let before = if node.leader().is_some() { node.term() } else { node.term().next() };
            self.proposals.give_up_before(before, &mut self.wakes);
            self.parts.tracer.given_up_before(before);
        }
        self.asks.expire(now, &mut self.wakes);
        self.expire_changes(now);
        self.expire_snapshots(now);
    }

    fn handle_inputs(&mut self, now: Time, inputs: &mut Vec<Input<R>>) -> Result<(), Failure> {
        let mut reads = Vec::new();
        for input in inputs.drain(..) {
            match input {
                Input::Propose { payload, in_term, waiter } => {
                    self.propose(now, payload, in_term, Proposer(waiter));
                }
                Input::Read { waiter } => reads.push(ReadWaiter(waiter)),
                Input::Transfer { to, waiter } => self.transfer(now, to, waiter),
                Input::Change { change, waiter } => self.change_membership(now, &change, waiter),
                Input::Look { entries, waiter } => {
                    waiter.complete(self.view(now, entries), &mut self.wakes);
                }
                Input::Ask { question, waiter } => self.ask(now, question, waiter),
                Input::Checkpoint { waiter } => self.apply_work.push(ApplyWork::CheckpointFor(waiter)),
                Input::Answered { to, id, answer } => {
                    let answer = match answer {
                        Ok(answer) => Answer::Answered(answer),
                        Err(AskError::Busy) => Answer::Busy,
                        Err(_) => Answer::Unanswered,
                    };
                    self.parts.transport.send(to, &Frame::Answer { id, answer });
                }
                Input::Persisted(write) => {
                    self.parts.node.handle_persisted(now, write);
                    self.parts.tracer.written(write, self.parts.node.last());
                }
                Input::Compacted(base) => {
                    self.parts.tracer.note("compacted", None, Some(("base", base)));
                    self.parts.node.handle_compacted(base);
                }
                Input::Fetched { id, fetched } => self.fetched(now, id, fetched),
                Input::Applied(index) => self.applied(now, index),
                Input::Checkpointed(checkpoint) => {
                    self.parts.tracer.note("checkpoint", None, Some(("last", checkpoint.id)));
                    self.compaction.checkpointed(checkpoint);
                }
                Input::SnapshotMade(made) => self.snapshot_made(now, made),
                Input::SnapshotSent { to, outcome } => self.snapshot_sent(now, to, outcome),
                Input::SnapshotArrived(arrival) => self.snapshot_arrived(now, arrival),
                Input::Installed(last) => self.snapshot_installed(now, last),
                Input::Connected(connected) => {
                    if let Err(error) = self.parts.transport.connected(connected) {
                        tracing::warn!(%error, "cannot watch a connection");
                    }
                }
                Input::PeerGone(peer) => {
                    self.parts.tracer.peer_gone(peer);
                    self.parts.node.handle_peer_gone(now, peer);
                }
                Input::Unwanted(peer) => {
                    self.parts.transport.disconnect(peer);
                    self.asks.lost(peer, &mut self.wakes);
                }
                Input::Removed => return Err(Failure::Removed),
                Input::Failed(failure) => return Err(failure),
                Input::Shutdown { hand_over, waiter } => self.begin_stop(now, hand_over, waiter),
            }
        }
        if !reads.is_empty() {
            self.read(now, reads);
        }
        Ok(())
    }

    fn handle_frame(&mut self, now: Time, from: NodeId, frame: Frame) {
        match frame {
            // It comes on a connection of its own, with its data; to a witness, which needs none, as it is.
            Frame::Raft(envelope)
                if matches!(envelope.message, Message::Snapshot { .. }) && !self.parts.limits.witness =>
            {
                if let Some(suppressed) = self.complaints.permit() {
                    tracing::warn!(%from, suppressed, "ignored a snapshot that came without its data");
                }
            }
            Frame::Raft(envelope) => {
                self.parts.publisher.received();
                self.note_acknowledged(&envelope);
                self.round_trips.arrived(now, &envelope);
                self.parts.tracer.arrived(&envelope);
                self.parts.node.handle_message(now, envelope);
            }
            Frame::Ask { id, question } if self.parts.node.is_leader() => {
                self.parts.answers.for_peer(from, id, question);
            }
            Frame::Ask { id, .. } => {
                self.parts.transport.send(from, &Frame::Answer { id, answer: Answer::NotLeader });
            }
            Frame::Answer { id, answer } => {
                let answer = match answer {
                    Answer::Answered(answer) => Ok(answer),
                    Answer::NotLeader => Err(AskError::NotLeader),
                    Answer::Busy => Err(AskError::Busy),
                    Answer::Unanswered => Err(AskError::Unanswered),
                };
                self.asks.answered(from, id, answer, &mut self.wakes);
            }
            Frame::Floor { index } => self.compaction.raise_floor(index),
            Frame::Fences { fences } => self.merge_fences(&fences),
            Frame::Pause { token } => self.pause(now, from, token),
            Frame::Paused { token } => self.peer_paused(from, token),
        }
    }

    /// Remembers what a member has said that its disk holds.
    fn note_acknowledged(&self, envelope: &Envelope) {
        let Message::AppendOk { matched } = envelope.message else { return };
        let node = &self.parts.node;
        let leads = node.is_leader() && node.term() == envelope.term;
        let committed = if leads { node.commit() } else { Index::ZERO };
        self.parts.fences.acknowledged(envelope.from, envelope.term, matched, committed);
    }

    /// Another member says what it remembers of everybody's disk.
    fn merge_fences(&self, fences: &[(NodeId, Fence)]) {
        let (own, live) = (self.parts.node.id(), self.parts.publisher.live());
        let disk = live.disk_state(self.parts.fences.own());
        if let Some(refusal) = self.parts.fences.merge(own, &disk, fences) {
            let reason = refusal.to_string();
            self.parts.inbox.report(Input::Failed(Failure::Fenced { reason }));
        }
    }

    fn propose(&mut self, now: Time, payload: Bytes, in_term: Option<Term>, proposer: Proposer<R>) {
        if !self.phase.admits() {
            return proposer.refuse(ProposeError::Shutdown, &mut self.wakes);
        }
        if self.parts.limits.witness {
            return proposer.refuse(ProposeError::Witness, &mut self.wakes);
        }
        if self.is_paused(now) {
            return proposer.refuse(ProposeError::NotLeader { hint: None }, &mut self.wakes);
        }
        let bytes = payload.len() as u64;
        let node = &mut self.parts.node;
        let refused = if node.is_leader() || in_term.is_some() {
            let outcome = match in_term {
                Some(term) => node.propose_in_term(now, term, payload),
                None => node.propose(now, payload),
            };
            match outcome {
                Ok(id) => {
                    self.parts.tracer.proposed(id, bytes);
                    return self.proposals.place(id, proposer);
                }
                Err(error) => error,
            }
        } else if let Some(hint) = node.leader()
            && !self.parts.transport.reaches(hint)
        {
            // Handed to the core it would be sent into the void, and its outcome would be unknown.
            floe_raft::ProposeError::NotLeader { hint: Some(hint) }
        } else {
            let proposal = self.proposals.next_id();
            match node.forward(now, proposal, payload) {
                Ok(()) => {
                    self.parts.tracer.forwarding(proposal, bytes);
                    return self.proposals.forward(proposal, bytes, proposer);
                }
                Err(error) => error,
            }
        };
        proposer.refuse(self.explain(refused, bytes), &mut self.wakes);
    }

    /// The core's refusal in the words of this library.
    fn explain(&self, error: floe_raft::ProposeError, bytes: u64) -> ProposeError {
        match error {
            floe_raft::ProposeError::NotLeader { hint } => ProposeError::NotLeader { hint },
            floe_raft::ProposeError::Busy => ProposeError::Busy,
            floe_raft::ProposeError::TooLarge => {
                ProposeError::TooLarge { bytes, limit: self.parts.limits.command_bytes_max }
            }
            floe_raft::ProposeError::Unknown => {
                ProposeError::Unknown(crate::error::UnknownCause::LeaderChanged)
            }
        }
    }

    /// One round of the protocol for all reads of this turn.
    fn read(&mut self, now: Time, waiters: Vec<ReadWaiter>) {
        let read = self.reads.next_id();
        self.reads.wait(read, waiters);
        let refused = match self.parts.node.read(now, read, self.parts.limits.read_mode) {
            Ok(()) => return self.parts.tracer.reading(read),
            Err(floe_raft::ReadError::NoLeader) => ReadError::NoLeader,
            Err(floe_raft::ReadError::Busy) => ReadError::Busy,
            Err(floe_raft::ReadError::Witness) => ReadError::Witness,
        };
        self.reads.answer(read, Err(refused), &mut self.wakes);
    }

    fn ask(&mut self, now: Time, question: Bytes, waiter: Completer<Result<Bytes, AskError>>) {
        let node = &self.parts.node;
        let refused = match node.leader() {
            Some(leader) if leader == node.id() => return self.parts.answers.for_caller(question, waiter),
            Some(_) if self.asks.is_full() => AskError::Busy,
            Some(leader) if self.parts.transport.reaches(leader) => {
                let id = self.asks.next_id();
                if self.parts.transport.send(leader, &Frame::Ask { id, question }) {
                    return self.asks.wait(id, leader, now.plus(ANSWER_TIMEOUT), waiter);
                }
                AskError::Busy
            }
            Some(_) | None => AskError::NoLeader,
        };
        waiter.complete(Err(refused), &mut self.wakes);
    }

    fn fetched(&mut self, now: Time, id: floe_raft::FetchId, fetched: Fetched) {
        self.parts.node.handle_fetched(now, id, fetched);
    }

    fn applied(&mut self, now: Time, index: Index) {
        while let Some(&(last, cost)) = self.applying.front()
            && last <= index
        {
            self.applying.pop_front();
            self.applying_bytes -= cost;
        }
        self.parts.node.handle_applied(now, index);
        self.parts.tracer.applied(index);
    }
}
