//! What the core asks for, done: the second half of a turn.

use floe_raft::{Alarm, Effect, Entry, LogId, Message, NodeId, ProposalId, RoleKind, Term, Time};

use crate::apply_thread::ApplyWork;
use crate::error::{Failure, ProposeError, ReadError, UnknownCause};
use crate::frame::Frame;
use crate::status::Leadership;
use crate::wal_thread::{FetchWork, LogWork};

use super::Driver;

impl<R: Send + 'static> Driver<R> {
    /// Takes every effect. Work for other threads is gathered and given out by [`Self::give_out`].
    pub(super) fn drain(&mut self, now: Time) -> Result<(), Failure> {
        while let Some(effect) = self.parts.node.poll_effect() {
            match effect {
                Effect::Persist(write) => {
                    if let Some(base) = write.restart_after {
                        self.note_restart(base);
                    }
                    self.parts.tracer.writing(&write);
                    self.recent.writing(&write);
                    self.log_work.push(LogWork::Write(write));
                }
                Effect::Send(envelope) if matches!(envelope.message, Message::TimeoutNow { .. }) => {
                    self.invite(now, envelope);
                }
                // Dropped when the peer is not connected: the core repeats what it must.
                Effect::Send(envelope) => {
                    self.round_trips.sent(now, &envelope);
                    self.parts.tracer.sent(&envelope);
                    self.parts.transport.send_message(envelope);
                }
                Effect::Fetch { id, first, last, max_bytes } => {
                    self.parts.log.fetches.push(FetchWork { id, first, last, max_bytes });
                }
                Effect::SendSnapshot { to, term, at_least } => self.send_snapshot(now, to, term, at_least),
                Effect::InstallSnapshot { last, membership } => self.install_snapshot(last, membership)?,
                Effect::Apply(entries) => self.apply(entries),
                Effect::ReadReady { read, index } => {
                    self.parts.tracer.read(read, Some(index));
                    self.reads.answer(read, Ok(index), &mut self.wakes);
                }
                Effect::ReadAborted { read } => {
                    self.parts.tracer.read(read, None);
                    self.reads.answer(read, Err(ReadError::LeaderChanged), &mut self.wakes);
                }
                Effect::Forwarded { proposal, outcome } => self.forwarded(now, proposal, outcome),
                Effect::RoleChanged { role, term, leader } => self.role_changed(now, role, term, leader),
                Effect::MembershipChanged(membership) => self.membership_changed(membership),
                Effect::Alarm(alarm) => self.alarm(&alarm),
            }
        }
        Ok(())
    }

    /// Gives out the work of this turn: first the log, whose disk is the slowest part of all, then the peers, then
    /// the state machine.
    pub(super) fn give_out(&mut self, now: Time) {
        if let Some((base, membership)) = self.compaction.due(&self.parts.node, self.snapshots.held()) {
            self.log_work.push(LogWork::Compact(base, membership));
        }
        self.parts.log.work.push_all(&mut self.log_work);
        if let Some(floor) = self.compaction.announcement(now, &self.parts.node) {
            for peer in self.parts.publisher.others() {
                self.parts.transport.send(peer, &Frame::Floor { index: floor });
            }
            self.tell_fences();
        }
        // Before what is sent now: a handshake must never say less than what was acknowledged. And before the entries:
        // whoever applies them may rely on how much of the log is durable.
        let are_others_leaving = self.parts.publisher.progress(now, &self.parts.node);
        for peer in self.parts.transport.flush() {
            self.asks.lost(peer, &mut self.wakes);
        }
        if are_others_leaving {
            self.refresh_peers();
        }
        self.settle_snapshots();
        self.parts.apply.push_all(&mut self.apply_work);
    }

    /// Tells the other members what each of them has acknowledged, so that all remember it.
    fn tell_fences(&mut self) {
        let frame = Frame::Fences { fences: self.parts.fences.list() };
        for peer in self.parts.publisher.others() {
            self.parts.transport.send(peer, &frame);
        }
    }

    fn apply(&mut self, entries: Vec<Entry>) {
        let Some(given) = entries.last().map(|entry| entry.id) else { return };
        self.settle_changes(&entries);
        let last = given.index;
        let cost = entries.iter().map(Entry::cost).sum();
        self.applying.push_back((last, cost));
        self.applying_bytes += cost;
        self.given = given;
        let proposers = self.proposals.take_through(last);
        self.apply_work.push(ApplyWork::Apply { entries, proposers });
    }

    fn forwarded(
        &mut self,
        now: Time,
        proposal: ProposalId,
        outcome: Result<LogId, floe_raft::ProposeError>,
    ) {
        let traced = outcome.map_err(|error| match error {
            floe_raft::ProposeError::Unknown => "unknown",
            _ => "refused",
        });
        self.parts.tracer.forwarded(proposal, traced);
        let Some((proposer, bytes)) = self.proposals.answered(proposal) else { return };
        match outcome {
            // The entry was given out before the leader's word of it came: whoever applied it had nobody to reply to.
            Ok(id) if id.index <= self.given.index => {
                proposer.refuse(ProposeError::Unknown(UnknownCause::LeaderChanged), &mut self.wakes);
            }
            Ok(id) => {
                if id.term < self.parts.node.term() {
                    self.expect_orphans(now);
                }
                self.proposals.place(id, proposer);
            }
            Err(error) => proposer.refuse(self.explain(error, bytes), &mut self.wakes),
        }
    }

    fn role_changed(&mut self, now: Time, role: RoleKind, term: Term, leader: Option<NodeId>) {
        let before = self.parts.publisher.leadership(Leadership { role, term, leader });
        self.parts.tracer.role(role, term, leader);
        self.round_trips.forget();
        if (before.term, before.leader) == (term, leader) {
            return;
        }
        match leader {
            Some(leader) if leader == self.parts.node.id() => tracing::info!(%term, "leads"),
            Some(leader) => tracing::info!(%term, %leader, "follows"),
            None if before.leader == Some(self.parts.node.id()) => {
                tracing::info!(%term, ?role, "leads no more, and knows of no other leader");
            }
            None => tracing::debug!(%term, ?role, "knows no leader"),
        }
        if !self.proposals.is_empty() {
            self.expect_orphans(now);
        }
        if role != RoleKind::Leader {
            self.expect_lost_changes(now);
            self.stop_transfers();
            for (_, waiter) in self.transfers.drain(..) {
                waiter.complete(Ok(()), &mut self.wakes);
            }
        }
    }

    /// Somebody waits for an entry of a leader that is gone. A new leader will most likely commit or overwrite it
    /// soon, which gives a definite answer; but a node that is cut off waits in vain, so there is an end.
    fn expect_orphans(&mut self, now: Time) {
        let deadline = now.plus(self.parts.limits.election_timeout * 4);
        self.orphans_at = Some(self.orphans_at.map_or(deadline, |earlier| earlier.min(deadline)));
    }

    fn alarm(&mut self, alarm: &Alarm) {
        self.parts.tracer.alarm(match alarm {
            Alarm::BadMessage { .. } => "bad message",
            Alarm::TwoLeaders { .. } => "two leaders",
            Alarm::CommittedConflict { .. } => "committed conflict",
            Alarm::BadFetch { .. } => "bad fetch",
        });
        let Some(suppressed) = self.complaints.permit() else { return };
        match alarm {
            Alarm::BadMessage { from, reason } => {
                tracing::warn!(%from, reason, suppressed, "ignored a message");
            }
            Alarm::TwoLeaders { other, term } => tracing::error!(
                %other, %term, suppressed,
                "another member leads in the term that this one leads in: one of the two has lost its disk"
            ),
            Alarm::CommittedConflict { from, index } => tracing::error!(
                %from, %index, suppressed,
                "a leader would overwrite a committed entry: one member has lost its disk"
            ),
            Alarm::BadFetch { first } => {
                tracing::error!(%first, suppressed, "the log gave entries that are not its own");
            }
        }
    }
}
