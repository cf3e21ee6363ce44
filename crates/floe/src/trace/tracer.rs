//! What the driver tells of what happens, and what becomes a line of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;

use floe_raft::{
    Envelope, Index, LogId, Membership, Message, Node, NodeId, ProposalId, ReadId, RoleKind, Status, Term,
    Time, Write, WriteId,
};
use floe_trace::{
    Fields, Line, TRACE_VERSION, describe_envelope, describe_hard_state, describe_write, role_name,
};

use super::entries::Entries;
use super::ring::Ring;
use super::sample::{Sample, Verdict};

/// `commit` is written this often at most, unless it commits what is sampled.
const COMMIT_INTERVAL: Duration = Duration::from_millis(10);

/// Names an event of the trace, from 1; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EventId(pub(super) u64);

impl EventId {
    pub(super) const NONE: Self = Self(0);

    fn or(self, other: impl FnOnce() -> Self) -> Self {
        if self == Self::NONE { other() } else { self }
    }
}

/// What the first line says of the member.
#[derive(Clone, Copy, Debug)]
pub(crate) struct World {
    pub(crate) own: NodeId,
    /// What the state machine contained at the start.
    pub(crate) applied: LogId,
    pub(crate) heartbeat: Duration,
    pub(crate) election: Duration,
    pub(crate) sample: u64,
}

/// The driver's end of the trace.
pub(crate) struct Tracer {
    world: World,
    sample: Sample,
    ring: Arc<Ring>,
    file: Option<SyncSender<String>>,
    /// The node's clock when the trace began.
    zero: Time,
    /// Somebody wants lines.
    is_on: bool,
    has_begun: bool,
    now: Time,
    last: EventId,
    dropped: u64,
    /// Lines on their way to the ring.
    fresh: Vec<(u64, String)>,
    /// What each member is called.
    numbers: BTreeMap<NodeId, u64>,
    turn: Turn,
    entries: Entries,
    writes: VecDeque<UnderWay>,
    forwards: BTreeMap<ProposalId, (u64, EventId)>,
    /// Peers that are told to be dead, and have not been heard of since: it is noticed again with every try to reach them.
    gone: BTreeSet<NodeId>,
    reads: BTreeMap<ReadId, (u64, EventId)>,
    ops: u64,
    commit: Index,
    commit_at: Time,
    applied: Index,
}

/// What happened in this turn of the driver: from it follows what goes out.
#[derive(Debug, Default)]
struct Turn {
    /// The last input that was written.
    cause: EventId,
    /// The deadline came; its event is made when something follows from it.
    is_timer_due: bool,
    timer: EventId,
    from: BTreeMap<NodeId, EventId>,
    /// A sampled command was passed on: the next message that carries commands has it.
    forwarded: EventId,
}

/// A write of the log that is not reported durable.
#[derive(Debug)]
struct UnderWay {
    id: WriteId,
    event: EventId,
    /// The first and the last of its entries that are sampled.
    sampled: Option<(Index, LogId)>,
}

impl Tracer {
    pub(crate) fn new(world: World, ring: Arc<Ring>, file: Option<SyncSender<String>>, zero: Time) -> Self {
        Self {
            world,
            sample: Sample(world.sample.max(1)),
            ring,
            file,
            zero,
            is_on: false,
            has_begun: false,
            now: zero,
            last: EventId::NONE,
            dropped: 0,
            fresh: Vec::new(),
            numbers: BTreeMap::new(),
            turn: Turn::default(),
            entries: Entries::default(),
            writes: VecDeque::new(),
            forwards: BTreeMap::new(),
            gone: BTreeSet::new(),
            reads: BTreeMap::new(),
            ops: 0,
            commit: Index::ZERO,
            commit_at: Time(0),
            applied: Index::ZERO,
        }
    }

    /// A turn of the driver begins. Without a file and a reader everything else here does nothing.
    pub(crate) fn begin_turn(&mut self, now: Time, node: &Node) {
        let was_on = self.is_on;
        self.is_on = self.file.is_some() || self.ring.is_watched(now);
        if !self.is_on {
            return;
        }
        self.now = now;
        if !was_on {
            self.introduce(&node.status());
        }
    }

    /// The turn ends: what it changed, and what was made of it goes to those who ask.
    pub(crate) fn end_turn(&mut self, node: &Node) {
        if !self.is_on {
            return;
        }
        self.committed(node.commit());
        self.turn = Turn { from: std::mem::take(&mut self.turn.from), ..Turn::default() };
        self.turn.from.clear();
        self.ring.add(&mut self.fresh, &self.numbers);
    }

    /// The member stops properly.
    pub(crate) fn stop(&mut self) {
        if self.is_on {
            let own = self.world.own;
            self.record(EventId::NONE, |out| at(out, "stopped", own));
            self.ring.add(&mut self.fresh, &self.numbers);
        }
    }

    /// Nothing is written any more, and the thread of the file may end.
    pub(crate) fn close(&mut self) {
        self.file = None;
        self.is_on = false;
    }

    /// Where the member stands when lines begin to be made. What was followed before has been missed in part.
    fn introduce(&mut self, status: &Status) {
        self.entries = Entries::default();
        self.writes.clear();
        self.forwards.clear();
        self.gone.clear();
        self.reads.clear();
        (self.commit, self.applied) = (status.commit, status.applied);
        let mut members = status.membership.members();
        members.insert(self.world.own);
        let is_first = !self.has_begun;
        self.has_begun = true;
        if is_first {
            for (number, id) in (1..).zip(&members) {
                self.numbers.insert(*id, number);
            }
            self.begin(&status.membership);
            for id in &members {
                self.tell_member(*id);
            }
            // Without a file the trace begins when somebody asks, long after the process.
            if self.file.is_some() {
                self.started(status);
            }
        } else {
            for id in members {
                self.know(id);
            }
        }
        self.role(status.role, status.hard_state.term, status.leader);
        self.membership(&status.membership);
        let (own, commit) = (self.world.own, status.commit);
        self.record(EventId::NONE, |out| {
            at(out, "commit", own);
            out.number("index", commit.0);
        });
    }

    fn begin(&mut self, membership: &Membership) {
        let (world, started_at_us) = (self.world, self.ring.started_at_us());
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.record(EventId::NONE, |out| {
            out.text("kind", "world");
            out.number("version", TRACE_VERSION);
            out.text("source", "server");
            out.node("node", world.own);
            out.number("started_at_us", started_at_us);
            out.number("sample", world.sample);
            out.number("voters", membership.voters.len() as u64);
            out.number("learners", membership.learners.len() as u64);
            out.number("heartbeat", nanos(world.heartbeat));
            out.number("election", nanos(world.election));
            out.text("features", "");
        });
    }

    fn started(&mut self, status: &Status) {
        let World { own, applied, .. } = self.world;
        // The vote may be for somebody who is no member any more.
        self.know(status.hard_state.vote.unwrap_or_default());
        self.record(EventId::NONE, |out| {
            at(out, "started", own);
            describe_hard_state(&status.hard_state, out);
            out.log_id("base", status.base);
            out.log_id("last", status.last);
            out.log_id("applied", applied);
        });
    }

    /// The node's deadline came.
    pub(crate) fn timer(&mut self) {
        self.turn.is_timer_due = true;
    }

    /// A message came.
    pub(crate) fn arrived(&mut self, envelope: &Envelope) {
        if !self.is_on {
            return;
        }
        self.gone.remove(&envelope.from);
        let takes = match self.sample.takes_message(&envelope.message) {
            Verdict::Yes => true,
            Verdict::No => {
                matches!(envelope.message, Message::ProposeReply { .. }) && !self.forwards.is_empty()
            }
            Verdict::IfAcknowledges(matched) => {
                self.entries.acknowledge(envelope.from, envelope.term, matched).is_some()
            }
        };
        if !takes {
            return;
        }
        self.know(envelope.from);
        let event = self.record(EventId::NONE, |out| {
            out.text("kind", "arrived");
            describe_envelope(envelope, out);
        });
        self.turn.cause = event;
        self.turn.from.insert(envelope.from, event);
        if let Message::Append { entries, .. } = &envelope.message {
            for entry in entries.iter().filter(|entry| self.sample.takes_entry(entry)) {
                // One that is sent again came with the first.
                if self.entries.get(entry.id).is_none() {
                    self.entries.asked(entry.id, event, None);
                }
            }
        }
    }

    /// A message goes out.
    pub(crate) fn sent(&mut self, envelope: &Envelope) {
        if !self.is_on {
            return;
        }
        let message = &envelope.message;
        let cause = match self.sample.takes_message(message) {
            Verdict::IfAcknowledges(matched) => {
                match self.entries.acknowledge(envelope.to, envelope.term, matched) {
                    Some(followed) => followed.disk,
                    None => return,
                }
            }
            _ if matches!(message, Message::Propose { .. }) && self.turn.forwarded != EventId::NONE => {
                self.turn.forwarded
            }
            Verdict::No => return,
            Verdict::Yes if matches!(message, Message::Heartbeat { .. } | Message::PreVote { .. }) => {
                self.timer_event()
            }
            Verdict::Yes => self.asked_by(message),
        };
        let from = self.turn.from.get(&envelope.to).copied().unwrap_or_default();
        let cause = cause.or(|| from).or(|| self.turn_cause());
        self.know(envelope.to);
        self.record(cause, |out| {
            out.text("kind", "sent");
            describe_envelope(envelope, out);
        });
    }

    /// What asked for the last sampled entry that the message carries.
    fn asked_by(&self, message: &Message) -> EventId {
        let Message::Append { entries, .. } = message else { return EventId::NONE };
        let sampled = entries.iter().rev().find(|entry| self.sample.takes_entry(entry));
        sampled.and_then(|entry| self.entries.get(entry.id)).map_or(EventId::NONE, |followed| followed.asked)
    }

    /// The log is to be written.
    pub(crate) fn writing(&mut self, write: &Write) {
        if !self.is_on {
            return;
        }
        if let Some(index) = write.truncate_from {
            for (id, op) in self.entries.truncate_from(index, &write.entries) {
                self.answered(EventId::NONE, op, "refused", id.index);
            }
        }
        let sampled: Vec<LogId> = write
            .entries
            .iter()
            .filter(|entry| self.sample.takes_entry(entry))
            .map(|entry| entry.id)
            .collect();
        let changes =
            write.hard_state.is_some() || write.restart_after.is_some() || write.truncate_from.is_some();
        if sampled.is_empty() && !changes {
            return;
        }
        let asked = sampled.last().and_then(|id| self.entries.get(*id));
        let asked = asked.map_or(EventId::NONE, |followed| followed.asked);
        let cause = asked.or(|| self.turn_cause());
        let own = self.world.own;
        if let Some(vote) = write.hard_state.and_then(|hard_state| hard_state.vote) {
            self.know(vote);
        }
        let event = self.record(cause, |out| {
            at(out, "writing", own);
            describe_write(write, out);
        });
        for &id in &sampled {
            match self.entries.get_mut(id) {
                Some(followed) => followed.disk = event,
                // A no-op or a membership of this leader's own: nobody proposed it.
                None => self.entries.asked(id, event, None),
            }
        }
        let sampled = sampled.first().zip(sampled.last()).map(|(first, last)| (first.index, *last));
        self.writes.push_back(UnderWay { id: write.id, event, sampled });
    }

    /// This write and all before it are durable.
    pub(crate) fn written(&mut self, write: WriteId, last: LogId) {
        if !self.is_on {
            return;
        }
        let (mut cause, mut first, mut end) = (EventId::NONE, None, None);
        while let Some(under_way) = self.writes.pop_front_if(|under_way| under_way.id <= write) {
            cause = under_way.event;
            first = first.or(under_way.sampled.map(|(first, _)| first));
            end = under_way.sampled.map(|(_, last)| last).or(end);
        }
        if cause == EventId::NONE {
            return;
        }
        let own = self.world.own;
        let event = self.record(cause, |out| {
            at(out, "written", own);
            out.log_id("last", end.unwrap_or(last));
        });
        self.turn.cause = event;
        let (Some(first), Some(end)) = (first, end) else { return };
        for (_, followed) in self.entries.between(first.prev(), end.index) {
            // One that was overwritten meanwhile is in a later write.
            if followed.disk <= cause {
                followed.disk = event;
            }
        }
    }

    /// A command of this member has its place.
    pub(crate) fn proposed(&mut self, id: LogId, bytes: u64) {
        if self.is_on && self.sample.takes(id.index.0) {
            let (op, event) = self.invoked("propose", Some(bytes));
            self.entries.asked(id, event, Some(op));
        }
    }

    /// A command is passed on to the leader.
    pub(crate) fn forwarding(&mut self, proposal: ProposalId, bytes: u64) {
        if self.is_on && self.sample.takes(proposal.0) {
            let (op, event) = self.invoked("forward", Some(bytes));
            self.turn.forwarded = event;
            self.forwards.insert(proposal, (op, event));
        }
    }

    /// What the leader said of it: its place, or whether it certainly did not happen.
    pub(crate) fn forwarded(&mut self, proposal: ProposalId, outcome: Result<LogId, &'static str>) {
        let Some((op, invoked)) = self.forwards.remove(&proposal).filter(|_| self.is_on) else { return };
        let cause = self.turn.cause.or(|| invoked);
        match outcome {
            // Its entry may have come before the word of it.
            Ok(id) => match self.entries.get_mut(id) {
                Some(followed) => followed.op = Some(op),
                None => self.entries.asked(id, cause, Some(op)),
            },
            Err(outcome) => self.answered(cause, op, outcome, Index::ZERO),
        }
    }

    /// Nobody waits any more for commands of a term before this one.
    pub(crate) fn given_up_before(&mut self, term: Term) {
        if self.is_on {
            for (id, op) in self.entries.given_up_before(term) {
                self.answered(EventId::NONE, op, "unknown", id.index);
            }
        }
    }

    /// Reads were asked for, which share a round.
    pub(crate) fn reading(&mut self, read: ReadId) {
        if self.is_on && self.sample.takes(read.0) {
            let (op, event) = self.invoked("read", None);
            self.turn.cause = event;
            self.reads.insert(read, (op, event));
        }
    }

    /// They may be answered from the state at this index, or not at all.
    pub(crate) fn read(&mut self, read: ReadId, index: Option<Index>) {
        let Some((op, invoked)) = self.reads.remove(&read).filter(|_| self.is_on) else { return };
        let cause = self.turn.cause.or(|| invoked);
        let outcome = if index.is_some() { "read" } else { "refused" };
        self.answered(cause, op, outcome, index.unwrap_or_default());
    }

    fn invoked(&mut self, what: &'static str, bytes: Option<u64>) -> (u64, EventId) {
        self.ops += 1;
        let (op, own) = (self.ops, self.world.own);
        let event = self.record(EventId::NONE, |out| {
            out.text("kind", "invoked");
            out.number("client", 0);
            out.number("op", op);
            out.text("what", what);
            out.node("node", own);
            if let Some(bytes) = bytes {
                out.number("bytes", bytes);
            }
        });
        (op, event)
    }

    fn answered(&mut self, cause: EventId, op: u64, outcome: &'static str, index: Index) {
        self.record(cause, |out| {
            out.text("kind", "answered");
            out.number("client", 0);
            out.number("op", op);
            out.text("outcome", outcome);
            out.number("index", index.0);
        });
    }

    fn committed(&mut self, commit: Index) {
        if commit <= self.commit {
            return;
        }
        let sampled = self.entries.between(self.commit, commit).last();
        let cause = sampled.as_ref().map(|(_, followed)| followed.disk);
        if cause.is_none() && self.now < self.commit_at {
            return;
        }
        let before = std::mem::replace(&mut self.commit, commit);
        self.commit_at = self.now.plus(COMMIT_INTERVAL);
        let cause = self.turn_cause().or(|| cause.unwrap_or_default());
        let own = self.world.own;
        let event = self.record(cause, |out| {
            at(out, "commit", own);
            out.number("index", commit.0);
        });
        for (_, followed) in self.entries.between(before, commit) {
            followed.committed = event;
        }
    }

    /// The state machine contains this entry, and who waits for one up to there has an answer.
    pub(crate) fn applied(&mut self, index: Index) {
        if !self.is_on || index <= self.applied {
            return;
        }
        let before = std::mem::replace(&mut self.applied, index);
        let Some((last, followed)) = self.entries.between(before, index).last() else { return };
        let (cause, own) = (followed.committed, self.world.own);
        let event = self.record(cause, |out| {
            at(out, "applied", own);
            out.log_id("last", last);
        });
        let answered: Vec<(LogId, u64)> = self
            .entries
            .between(before, index)
            .filter_map(|(id, followed)| Some((id, followed.op.take()?)))
            .collect();
        for (id, op) in answered {
            self.answered(event, op, "wrote", id.index);
        }
    }

    /// Role, term or leader are others.
    pub(crate) fn role(&mut self, role: RoleKind, term: Term, leader: Option<NodeId>) {
        if !self.is_on {
            return;
        }
        self.know(leader.unwrap_or_default());
        let (own, cause) = (self.world.own, self.turn_cause());
        self.record(cause, |out| {
            at(out, "role", own);
            out.text("role", role_name(role));
            out.number("term", term.0);
            out.node("leader", leader.unwrap_or_default());
        });
    }

    /// Another membership is in force.
    pub(crate) fn membership(&mut self, membership: &Membership) {
        if !self.is_on {
            return;
        }
        for member in membership.members() {
            self.know(member);
        }
        let (own, cause) = (self.world.own, self.turn_cause());
        self.record(cause, |out| {
            at(out, "membership", own);
            out.number("voters", membership.voters.len() as u64);
            out.number("learners", membership.learners.len() as u64);
            out.number("outgoing", membership.outgoing.len() as u64);
        });
    }

    /// The process of a peer is dead.
    pub(crate) fn peer_gone(&mut self, peer: NodeId) {
        if self.is_on && self.gone.insert(peer) {
            self.note("peer-gone", Some(peer), None);
        }
    }

    /// Something of this member that names at most another member and an entry: `compacted`, `peer-gone` and their like.
    pub(crate) fn note(
        &mut self,
        kind: &'static str,
        peer: Option<NodeId>,
        entry: Option<(&'static str, LogId)>,
    ) {
        if !self.is_on {
            return;
        }
        self.know(peer.unwrap_or_default());
        let (own, cause) = (self.world.own, self.turn_cause());
        self.record(cause, |out| {
            match (kind, peer) {
                ("snapshot-sent", Some(to)) => {
                    out.text("kind", kind);
                    out.node("from", own);
                    out.node("to", to);
                }
                ("snapshot-done", Some(to)) => {
                    at(out, kind, own);
                    out.node("to", to);
                    out.number("installed", u64::from(entry.is_some()));
                }
                (_, Some(peer)) => {
                    at(out, kind, own);
                    out.node("peer", peer);
                }
                (_, None) => at(out, kind, own),
            }
            if let Some((name, id)) = entry {
                out.log_id(name, id);
            }
        });
    }

    /// The core noticed what it cannot mend.
    pub(crate) fn alarm(&mut self, what: &str) {
        if !self.is_on {
            return;
        }
        let (own, cause) = (self.world.own, self.turn_cause());
        self.record(cause, |out| {
            at(out, "alarm", own);
            out.text("what", what);
        });
    }

    /// What this turn is about.
    fn turn_cause(&mut self) -> EventId {
        self.turn.cause.or(|| self.timer_event())
    }

    /// The deadline, if it came in this turn.
    fn timer_event(&mut self) -> EventId {
        if std::mem::take(&mut self.turn.is_timer_due) {
            let own = self.world.own;
            self.turn.timer = self.record(EventId::NONE, |out| at(out, "timer", own));
        }
        self.turn.timer
    }

    /// Gives the member a number, if it has none.
    fn know(&mut self, id: NodeId) {
        if id != NodeId(0) && !self.numbers.contains_key(&id) {
            self.numbers.insert(id, self.numbers.len() as u64 + 1);
            self.tell_member(id);
        }
    }

    fn tell_member(&mut self, id: NodeId) {
        self.record(EventId::NONE, |out| {
            at(out, "member", id);
            out.text("member", &format!("{:016x}", id.0));
        });
    }

    /// Makes a line. If there is no room for it, its cause stands for it in what follows.
    fn record(&mut self, cause: EventId, describe: impl FnOnce(&mut Numbered<'_>)) -> EventId {
        if self.dropped > 0 {
            let events = self.dropped;
            let told = self.push(EventId::NONE, |out| {
                out.text("kind", "dropped");
                out.number("events", events);
            });
            if told.is_none() {
                self.dropped += 1;
                return cause;
            }
            self.dropped = 0;
        }
        match self.push(cause, describe) {
            Some(event) => event,
            None => {
                self.dropped += 1;
                cause
            }
        }
    }

    fn push(&mut self, cause: EventId, describe: impl FnOnce(&mut Numbered<'_>)) -> Option<EventId> {
        let id = self.last.0 + 1;
        let nanos = self.now.0.saturating_sub(self.zero.0);
        let mut out = Numbered { line: Line::new(id, nanos, cause.0), numbers: &self.numbers };
        describe(&mut out);
        let line = out.line.finish();
        if let Some(file) = &self.file {
            match file.try_send(line.clone()) {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => return None,
                // The thread has said why it ended.
                Err(TrySendError::Disconnected(_)) => self.file = None,
            }
        }
        self.fresh.push((id, line));
        self.last = EventId(id);
        Some(self.last)
    }
}

/// A line in which members are called by their numbers.
struct Numbered<'a> {
    line: Line,
    numbers: &'a BTreeMap<NodeId, u64>,
}

impl Fields for Numbered<'_> {
    fn number(&mut self, name: &'static str, value: u64) {
        self.line.number(name, value);
    }

    fn text(&mut self, name: &'static str, value: &str) {
        self.line.text(name, value);
    }

    fn log_id(&mut self, name: &'static str, value: LogId) {
        self.line.log_id(name, value);
    }

    fn node(&mut self, name: &'static str, value: NodeId) {
        self.line.number(name, self.numbers.get(&value).copied().unwrap_or_default());
    }
}

fn at(out: &mut impl Fields, kind: &str, node: NodeId) {
    out.text("kind", kind);
    out.node("node", node);
}
