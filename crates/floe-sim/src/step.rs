//! One turn of a host's driver: hand every waiting input to the core, perform what it asks for, set the timer.

use floe_raft::{
    Effect, Envelope, Index, LogId, Message, NodeId, ProposalId, ProposeError, ReadId, ReadMode, RoleKind,
    SnapshotOutcome, Term, Time, Write,
};
use floe_session::Tag;

use crate::check::{self, Checked, Checker, Invariant, OperationKind, Violation, broken};
use crate::clock::MS;
use crate::host::{Host, Input, Job, PendingRead, Received};
use crate::machine::{Command, OpId};
use crate::marks::Mark;
use crate::mutant::HostMutant;
use crate::net::{Body, Packet};
use crate::trace::{EventId, Happening};
use crate::workload::Answer;
use crate::world::{Event, World};

impl World {
    /// A process has something to tell its core: at once, or together with what else gathers.
    pub(crate) fn input(&mut self, host: usize, input: Input) -> Checked {
        let gather = self.plan.host.gather;
        let at = self.at(host);
        let machine = &mut self.hosts[host];
        let paused = machine.is_paused();
        let Some(life) = machine.life.as_mut() else { return Ok(()) };
        life.inbox.push((self.cause, input));
        if paused || life.waking {
            return Ok(());
        }
        if gather == 0 {
            return self.step_host(host);
        }
        life.waking = true;
        self.queue.push(self.now.plus(gather), Event::Wake(at));
        Ok(())
    }

    /// Hands over what waits, and performs what comes of it.
    pub(crate) fn step_host(&mut self, host: usize) -> Checked {
        let machine = &mut self.hosts[host];
        if machine.is_paused() {
            return Ok(());
        }
        let local = machine.clock.local(self.now);
        let Some(life) = machine.life.as_mut() else { return Ok(()) };
        life.waking = false;
        let mut inbox = std::mem::take(&mut life.inbox);
        for (cause, input) in inbox.drain(..) {
            self.cause = cause;
            self.feed(host, local, input)?;
        }
        // An input that came out of feeding waits for the next turn; keep the larger buffer.
        if let Some(life) = self.hosts[host].life.as_mut()
            && life.inbox.is_empty()
        {
            life.inbox = inbox;
        }
        while let Some(effect) = self.hosts[host].life.as_mut().and_then(|life| life.node.poll_effect()) {
            self.perform(host, effect)?;
            if self.dies_at_boundary(host)? {
                return Ok(());
            }
        }
        self.observe(host, false)?;
        self.refuse_stale_snapshots(host);
        self.start_writing(host)?;
        self.arm(host);
        Ok(())
    }

    /// Sets the timer's event, unless an earlier one is on its way, which will look again.
    pub(crate) fn arm(&mut self, host: usize) {
        self.see_timer(host);
        let at = self.at(host);
        let machine = &mut self.hosts[host];
        let Some(life) = machine.life.as_mut() else { return };
        let Some(deadline) = life.node.poll_timeout() else { return };
        let due = machine.clock.moment_of(deadline).max(self.now);
        if life.armed.is_none_or(|armed| armed > due) {
            life.armed = Some(due);
            self.queue.push(due, Event::Timer(at));
        }
    }

    pub(crate) fn timer_due(&mut self, host: usize) -> Checked {
        let machine = &mut self.hosts[host];
        let paused = machine.is_paused();
        let local = machine.clock.local(self.now);
        let Some(life) = machine.life.as_mut() else { return Ok(()) };
        if life.armed != Some(self.now) {
            return Ok(());
        }
        life.armed = None;
        if paused {
            return Ok(());
        }
        if life.node.poll_timeout().is_none_or(|deadline| deadline > local) {
            self.arm(host);
            return Ok(());
        }
        self.timeout_runs_out(host);
        let id = self.hosts[host].id;
        self.cause = EventId(0);
        self.cause = self.note(&Happening::Timer { node: id });
        self.input(host, Input::Timeout)
    }

    fn feed(&mut self, host: usize, local: Time, input: Input) -> Checked {
        let Some(life) = self.hosts[host].life.as_mut() else { return Ok(()) };
        match input {
            Input::Packet(packet) => self.feed_packet(host, local, packet),
            Input::Timeout => life.node.handle_timeout(local),
            Input::Persisted(write) => life.node.handle_persisted(local, write),
            Input::Fetched(id, fetched) => life.node.handle_fetched(local, id, fetched),
            Input::Applied(index) => life.node.handle_applied(local, index),
            Input::Compacted(base) => {
                life.log.compact(base);
                life.node.handle_compacted(base);
            }
            Input::SnapshotSent(to, outcome) => life.node.handle_snapshot_sent(local, to, outcome),
            Input::PeerGone(peer) => {
                if life.node.leader() == Some(peer) {
                    self.hosts[host].evidence_at = Some(self.now);
                }
                let Some(life) = self.hosts[host].life.as_mut() else { return Ok(()) };
                life.node.handle_peer_gone(local, peer);
            }
            Input::Operation(op) => return self.start_operation(host, local, op),
            Input::Change(wanted) => return self.start_change(host, local, &wanted),
            // A refused handover is no fault: the target may be gone, or a learner, or lead already.
            Input::Transfer(to) => drop(life.node.transfer_leadership(local, to)),
        }
        Ok(())
    }

    fn feed_packet(&mut self, host: usize, local: Time, packet: Packet) {
        let Some(life) = self.hosts[host].life.as_mut() else { return };
        match packet.body {
            Body::Raft(envelope) => life.node.handle_message(local, envelope),
            Body::Snapshot { envelope, transfer, state } => {
                let received = Received { state, from: packet.from, transfer };
                life.received.insert(received.state.last, received);
                life.node.handle_message(local, envelope);
            }
            Body::SnapshotDone { transfer, outcome } => {
                if life.transfers.get(&packet.from) == Some(&transfer) {
                    life.transfers.remove(&packet.from);
                    life.node.handle_snapshot_sent(local, packet.from, outcome);
                }
            }
        }
    }

    fn start_operation(&mut self, host: usize, local: Time, op: OpId) -> Checked {
        let known = self.check.clients.operation(op);
        let Some((key, kind, value, request)) =
            known.map(|known| (known.key, known.kind, known.first, known.request))
        else {
            return Ok(());
        };
        let padding = self.workload.padding();
        let lease_reads = self.plan.host.lease_reads;
        let wall_ms = self.hosts[host].clock.wall_ms(self.now);
        let floor = self.check.commits.last();
        let mutant = self.mutant;
        let Some(life) = self.hosts[host].life.as_mut() else { return Ok(()) };
        let expect = match kind {
            OperationKind::Get if mutant == Some(HostMutant::ReadWithoutIndex) => {
                let (at, value) = (life.machine.applied().index, life.machine.value(key));
                return self.answer(op, Answer::Read { at, value });
            }
            OperationKind::Get if self.plan.host.stale_reads => {
                let (at, value) = (life.machine.applied().index, life.machine.value(key));
                return self.answer(op, Answer::Read { at, value });
            }
            OperationKind::Get => {
                let read = ReadId(op.0);
                let mode = if lease_reads { ReadMode::Lease } else { ReadMode::Index };
                return match life.node.read(local, read, mode) {
                    Ok(()) => {
                        life.reads.insert(read, PendingRead { op, at: self.now, floor });
                        Ok(())
                    }
                    Err(_) => self.answer(op, Answer::Refused),
                };
            }
            OperationKind::Put => None,
            OperationKind::Compare { expect } => Some(expect),
        };
        if let Some(reply) = request.and_then(|request| life.machine.known_reply(request)) {
            self.marks.reach(Mark::AnsweredFromTheTable);
            return self.answer(op, Answer::WasDone { reply });
        }
        let stamp_ms = wall_ms.max(life.machine.log_time_ms());
        let is_nameless = mutant == Some(HostMutant::RetryWithoutName) && op != value;
        let tag = request.filter(|_| !is_nameless).map(|request| Tag { request, stamp_ms });
        let payload = Command { op, value, key, expect, tag }.encode(padding);
        if life.node.is_leader() {
            return match life.node.propose(local, payload) {
                Ok(id) => self.appended(host, op, id),
                Err(_) => self.answer(op, Answer::Refused),
            };
        }
        let proposal = ProposalId(op.0);
        match life.node.forward(local, proposal, payload) {
            Ok(()) => {
                life.forwarded.insert(proposal, op);
                Ok(())
            }
            Err(_) => self.answer(op, Answer::Refused),
        }
    }

    /// A client's command has a place in the leader's log; the answer waits until this host has applied it.
    fn appended(&mut self, host: usize, op: OpId, id: LogId) -> Checked {
        let mutant = self.mutant;
        let Some(life) = self.hosts[host].life.as_mut() else { return Ok(()) };
        if mutant == Some(HostMutant::AckBeforeCommit) {
            let reply = crate::machine::Reply { previous: OpId(0), wrote: true };
            return self.answer(op, Answer::Wrote { id, reply });
        }
        if id.index > life.machine.applied().index {
            life.proposed.entry(id.index).or_default().push((id.term, op));
            return Ok(());
        }
        match life.reply_at(id) {
            Some((known, effect)) if known == op => self.answer(op, Answer::of(id, effect)),
            Some((known, _)) => Err(not_there(op, known, id)),
            // Applied inside a snapshot, or too long ago; or something else is applied at its place.
            None => self.answer(op, Answer::Unknown),
        }
    }

    fn perform(&mut self, host: usize, effect: Effect) -> Checked {
        let id = self.hosts[host].id;
        match effect {
            Effect::Persist(write) => self.persist(host, write),
            Effect::Send(envelope) => self.say(host, envelope),
            Effect::Fetch { id, first, last, max_bytes } => {
                let late = self.plan.host.takes(&mut self.disk_rng, self.plan.host.fetch_mean);
                let (at, cause) = (self.at(host), self.cause);
                let fetch = Event::Fetch { at, cause, id, first, last, max_bytes };
                self.queue.push(self.now.plus(late), fetch);
                Ok(())
            }
            Effect::SendSnapshot { to, term, at_least } => self.send_snapshot(host, to, term, at_least),
            Effect::InstallSnapshot { last, membership } if self.plan.witnesses.contains(&id) => {
                let Some(life) = self.hosts[host].life.as_mut() else { return Ok(()) };
                life.jobs.push_back((self.cause, Job::Place(last, membership)));
                self.start_job(host);
                Ok(())
            }
            Effect::InstallSnapshot { last, membership: _ } => self.install_snapshot(host, last),
            Effect::Apply(entries) => {
                let Some(life) = self.hosts[host].life.as_mut() else { return Ok(()) };
                life.jobs.push_back((self.cause, Job::Apply(entries)));
                self.start_job(host);
                Ok(())
            }
            Effect::ReadReady { read, index } => self.serve_read(host, read, index),
            Effect::ReadAborted { read } => {
                let pending = self.hosts[host].life.as_mut().and_then(|life| life.reads.remove(&read));
                let Some(pending) = pending else {
                    return Err(broken(
                        Invariant::Answered,
                        format!("n{id} aborts read {read}, which nobody waits for"),
                    ));
                };
                self.answer(pending.op, Answer::Refused)
            }
            Effect::Forwarded { proposal, outcome } => self.forwarded(host, proposal, outcome),
            Effect::RoleChanged { role, term, leader } => {
                self.note_role(host, role);
                self.note(&Happening::Role { node: id, role, term, leader });
                if role == RoleKind::Leader { self.check.elections.leads(id, term) } else { Ok(()) }
            }
            Effect::MembershipChanged(membership) => {
                let (voters, learners) = (membership.voters.len() as u64, membership.learners.len() as u64);
                let outgoing = membership.outgoing.len() as u64;
                if outgoing > 0 {
                    self.marks.reach(Mark::Joint);
                }
                self.note(&Happening::Membership { node: id, voters, learners, outgoing });
                Ok(())
            }
            Effect::Alarm(alarm) => {
                let what = format!("{alarm:?}");
                self.note(&Happening::Alarm { node: id, what: &what });
                Err(broken(Invariant::NoFalseAlarm, format!("n{id} raises {what}")))
            }
        }
    }

    /// The leader has said what became of a proposal that was passed on to it, or nobody can.
    fn forwarded(
        &mut self,
        host: usize,
        proposal: ProposalId,
        outcome: Result<LogId, ProposeError>,
    ) -> Checked {
        let id = self.hosts[host].id;
        let op = self.hosts[host].life.as_mut().and_then(|life| life.forwarded.remove(&proposal));
        let Some(op) = op else {
            return Err(broken(
                Invariant::Answered,
                format!("n{id} answers proposal {proposal}, which nobody waits for"),
            ));
        };
        match outcome {
            Ok(id) => self.appended(host, op, id),
            Err(ProposeError::Unknown) => self.answer(op, Answer::Unknown),
            Err(ProposeError::NotLeader { .. } | ProposeError::Busy | ProposeError::TooLarge) => {
                self.answer(op, Answer::Refused)
            }
        }
    }

    /// Whether a change of role shows one of the mechanisms that make failovers quick.
    fn note_role(&mut self, host: usize, role: RoleKind) {
        let heartbeat = self.plan.config.heartbeat_interval.as_nanos() as u64;
        let machine = &mut self.hosts[host];
        let campaigns = role == RoleKind::PreCandidate || role == RoleKind::Candidate;
        if campaigns && machine.evidence_at.take().is_some_and(|at| self.now.since(at) <= heartbeat) {
            self.marks.reach(Mark::CampaignOnEvidence);
        }
        let led = machine.life.as_ref().is_some_and(|life| life.seen.leads);
        if led && role == RoleKind::Follower && machine.stalled_until > self.now {
            self.marks.reach(Mark::HandedOverWhileStalled);
        }
    }

    fn persist(&mut self, host: usize, write: Write) -> Checked {
        let mutant = self.mutant;
        let Self { hosts, check, trace, .. } = self;
        let id = hosts[host].id;
        let asked = trace.record(self.now, self.cause, &Happening::Writing { node: id, write: &write });
        let Some(life) = hosts[host].life.as_mut() else { return Ok(()) };
        life.asked = asked;
        if let Some(hard_state) = write.hard_state {
            let before = life.log.hard_state;
            check.elections.in_term(id, hard_state.term)?;
            if before.term == hard_state.term && before.vote.is_some() && before.vote != hard_state.vote {
                return Err(broken(
                    Invariant::OneVote,
                    format!(
                        "n{id} changes its vote of term {} from {:?} to {:?}",
                        before.term, before.vote, hard_state.vote
                    ),
                ));
            }
        }
        if let Some(from) = write.truncate_from {
            check.commits.truncates(id, from, &life.log)?;
        }
        let mut follows = write.restart_after.unwrap_or(life.log.last());
        if let Some(from) = write.truncate_from {
            follows = life.log.id_at(from.prev()).unwrap_or(follows);
        }
        for entry in &write.entries {
            check.written(id, entry, follows)?;
            follows = entry.id;
        }
        if let Err(reason) = life.log.write(&write) {
            return Err(broken(
                Invariant::LogIsWhole,
                format!("n{id} writes what does not fit its log: {reason}"),
            ));
        }
        let reported = write.id;
        life.writes.push(write);
        if mutant == Some(HostMutant::AckBeforeSync) {
            let local = hosts[host].clock.local(self.now);
            if let Some(life) = hosts[host].life.as_mut() {
                life.node.handle_persisted(local, reported);
            }
        }
        Ok(())
    }

    fn say(&mut self, host: usize, envelope: Envelope) -> Checked {
        let Envelope { from, to, term, message } = &envelope;
        let disk = self.hosts[host].storage.image();
        match message {
            Message::VoteReply { granted: true } => {
                self.check.elections.votes(*from, *term, *to)?;
                check::speaks_of_vote(*from, *term, *to, disk.hard_state)?;
            }
            Message::Vote { .. } => {
                self.check.elections.votes(*from, *term, *from)?;
                check::requests_vote(*from, *term, disk.hard_state)?;
            }
            Message::Append { .. } | Message::Heartbeat { .. } | Message::TimeoutNow { .. } => {
                self.check.elections.leads(*from, *term)?;
            }
            Message::AppendOk { matched } => {
                let leader = self.position(*to).and_then(|leader| self.hosts[leader].log_as_leader(*term));
                check::acknowledges(*from, *term, *matched, disk, leader)?;
            }
            Message::PreVote { .. }
            | Message::Priority { .. }
            | Message::PreVoteReply { .. }
            | Message::VoteReply { granted: false }
            | Message::AppendReject { .. }
            | Message::HeartbeatReply { .. }
            | Message::Snapshot { .. }
            | Message::ReadIndex { .. }
            | Message::ReadIndexReply { .. }
            | Message::Pull { .. }
            | Message::PullReply { .. }
            | Message::Propose { .. }
            | Message::ProposeReply { .. } => {}
        }
        let (from, to) = (*from, *to);
        let cause = self.note(&Happening::Sent { envelope: &envelope });
        self.send(Packet { from, to, cause, body: Body::Raft(envelope) }, 0);
        Ok(())
    }

    fn send_snapshot(&mut self, host: usize, to: NodeId, term: Term, at_least: Index) -> Checked {
        let id = self.hosts[host].id;
        self.check.elections.leads(id, term)?;
        let mutant = self.mutant;
        let Some(life) = self.hosts[host].life.as_mut() else { return Ok(()) };
        let mut machine = life.machine.clone();
        if mutant == Some(HostMutant::SnapshotWithoutSessions) {
            machine.forget_sessions(self.plan.host.sessions);
        }
        let last = machine.applied();
        let membership = match mutant {
            Some(HostMutant::SnapshotMembership) => life.node.membership().clone(),
            _ => life.applied_membership.clone(),
        };
        // One that joined and leads already may not have applied yet who the members are.
        if last.index < at_least || membership.voters.is_empty() {
            return self.input(host, Input::SnapshotSent(to, SnapshotOutcome::Failed));
        }
        self.transfers.0 += 1;
        let transfer = self.transfers;
        life.transfers.insert(to, transfer);
        let message = Message::Snapshot { last, membership: membership.clone() };
        let envelope = Envelope { from: id, to, term, message };
        let state = std::rc::Rc::new(crate::net::SnapshotState { last, membership, machine });
        if let Some(stores) = &mut self.stores {
            stores.sent(host, last)?;
        }
        let cause = self.note(&Happening::SnapshotSent { from: id, to, last });
        let mean = self.plan.host.snapshot_mean;
        let takes = self.plan.host.takes(&mut self.disk_rng, mean);
        self.send(Packet { from: id, to, cause, body: Body::Snapshot { envelope, transfer, state } }, takes);
        let at = self.at(host);
        let patience = mean * 10 + self.plan.election_timeout_max();
        self.queue.push(self.now.plus(patience), Event::TransferTimeout { at, to, transfer });
        Ok(())
    }

    pub(crate) fn transfer_timed_out(
        &mut self,
        host: usize,
        to: NodeId,
        transfer: crate::net::TransferId,
    ) -> Checked {
        let Some(life) = self.hosts[host].life.as_mut() else { return Ok(()) };
        if life.transfers.get(&to) != Some(&transfer) {
            return Ok(());
        }
        life.transfers.remove(&to);
        let node = life.node.id();
        self.marks.reach(Mark::SnapshotLost);
        self.cause = EventId(0);
        self.cause = self.note(&Happening::SnapshotDone { node, to, installed: false });
        self.input(host, Input::SnapshotSent(to, SnapshotOutcome::Failed))
    }

    fn install_snapshot(&mut self, host: usize, last: LogId) -> Checked {
        let old = self.mutant == Some(HostMutant::OldSnapshot);
        let Host { storage, life, .. } = &mut self.hosts[host];
        let Some(life) = life else { return Ok(()) };
        let Some(mut received) = life.received.remove(&last) else {
            return Err(broken(
                Invariant::Answered,
                format!("n{} wants to install a snapshot of {last}, which did not arrive", life.node.id()),
            ));
        };
        if old {
            let membership = received.state.membership.clone();
            let mut machine = storage.checkpoint().machine.clone();
            machine.forge_applied(last);
            received.state = std::rc::Rc::new(crate::net::SnapshotState { last, membership, machine });
        }
        life.jobs.push_back((self.cause, Job::Install(received)));
        self.start_job(host);
        Ok(())
    }

    /// Snapshots that the core was told of and does not want are given back. The newest one waits for its turn while
    /// an older one is being installed.
    fn refuse_stale_snapshots(&mut self, host: usize) {
        let Some(life) = self.hosts[host].life.as_mut() else { return };
        let Some((newest, _)) = life.received.last_key_value() else { return };
        let newest = *newest;
        let waits = newest.index > life.node.commit();
        let kept = if waits { life.received.split_off(&newest) } else { std::collections::BTreeMap::new() };
        for (_, received) in std::mem::replace(&mut life.received, kept) {
            self.marks.reach(Mark::SnapshotUnwanted);
            self.report_snapshot(host, &received, SnapshotOutcome::Failed);
        }
    }

    /// Tells the sender of a snapshot what became of it.
    pub(crate) fn report_snapshot(&mut self, host: usize, received: &Received, outcome: SnapshotOutcome) {
        let body = Body::SnapshotDone { transfer: received.transfer, outcome };
        let packet = Packet { from: self.hosts[host].id, to: received.from, cause: self.cause, body };
        self.send(packet, 0);
    }

    fn serve_read(&mut self, host: usize, read: ReadId, index: Index) -> Checked {
        let mutant = self.mutant;
        let machine = &mut self.hosts[host];
        let id = machine.id;
        let Some(life) = machine.life.as_mut() else { return Ok(()) };
        let Some(pending) = life.reads.remove(&read) else {
            return Err(broken(
                Invariant::Answered,
                format!("n{id} answers read {read}, which nobody waits for"),
            ));
        };
        Checker::confirmed(id, pending.floor, index)?;
        if self.plan.host.lease_reads && pending.at == self.now && life.node.membership().voters.len() > 1 {
            self.marks.reach(Mark::ReadByLease);
        }
        let applied = life.machine.applied().index;
        if applied < index {
            return Err(broken(
                Invariant::ReadIsFresh,
                format!("n{id} may read at {index}, but has applied only {applied}"),
            ));
        }
        let source = match mutant {
            Some(HostMutant::ReadCheckpoint) => &machine.storage.checkpoint().machine,
            _ => &life.machine,
        };
        let key = self.check.clients.operation(pending.op).map(|known| known.key).unwrap_or_default();
        let (applied, value) = (source.applied(), source.value(key));
        if let Some(stores) = &self.stores {
            stores.read(host, applied, key, value)?;
        }
        self.answer(pending.op, Answer::Read { at: applied.index, value })
    }

    /// Whether the process dies here, between two effects.
    fn dies_at_boundary(&mut self, host: usize) -> Result<bool, Box<Violation>> {
        let machine = &mut self.hosts[host];
        let Some((left, down)) = machine.crash_after else { return Ok(false) };
        if left > 1 {
            machine.crash_after = Some((left - 1, down));
            return Ok(false);
        }
        machine.crash_after = None;
        self.marks.reach(Mark::DiesBetweenEffects);
        let machine = &self.hosts[host];
        // What a leader has counted its followers may hear of, even if it dies before it is done with this turn.
        if machine.leads() {
            self.observe(host, true)?;
        }
        self.crash(host, down.max(MS))?;
        Ok(true)
    }
}

/// A command is where the core says that it is: term and index name one entry, whoever asks.
pub(crate) fn not_there(op: OpId, known: OpId, id: LogId) -> Box<Violation> {
    broken(
        Invariant::Answered,
        format!("operation {} is said to be at {id}, where operation {} is", op.0, known.0),
    )
}
