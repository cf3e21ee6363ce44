//! What a host does beside its core: disk writes, reads of older entries, applying, checkpoints, snapshots.

use floe_raft::codec::decode_membership;
use floe_raft::{Entry, EntryKind, FetchId, Fetched, Index, LogId, Membership, SnapshotOutcome};

use crate::check::{Checked, Invariant, broken};
use crate::clock::MS;
use crate::host::{Input, Job, Received};
use crate::machine::{Command, Effect, Machine};
use crate::marks::Mark;
use crate::mutant::HostMutant;
use crate::step::not_there;
use crate::storage::{Checkpoint, Injected, NotWritten};
use crate::store::Done;
use crate::trace::{EventId, Happening};
use crate::workload::Answer;
use crate::world::{At, Event, World};

/// How long a full disk is left alone.
pub(crate) const FULL_DISK_RETRY: u64 = 100 * MS;

impl World {
    /// Gives all writes that wait to the disk, if it is free: one batch at a time.
    pub(crate) fn start_writing(&mut self, host: usize) -> Checked {
        let at = self.at(host);
        let machine = &mut self.hosts[host];
        let (slow, stalled_until) = (machine.slow, machine.stalled_until);
        let Some(life) = machine.life.as_mut() else { return Ok(()) };
        if !life.writing.is_empty() {
            return Ok(());
        }
        if life.writes.is_empty() {
            return self.compact(host);
        }
        std::mem::swap(&mut life.writes, &mut life.writing);
        life.at_work_for = life.asked;
        let takes = self.plan.host.takes(&mut self.disk_rng, self.plan.host.sync_mean) * u64::from(slow);
        let begins = self.now.max(stalled_until);
        self.queue.push(begins.plus(takes), Event::Written(at));
        Ok(())
    }

    /// The disk is done with a batch.
    pub(crate) fn written(&mut self, at: At) -> Checked {
        let mutant = self.mutant;
        let machine = &mut self.hosts[at.host];
        if machine.stalled_until > self.now {
            self.queue.push(machine.stalled_until, Event::Written(at));
            return Ok(());
        }
        let id = machine.id;
        let failing = machine.failing.take();
        if failing.is_some() && machine.storage.fail_sync() == Injected::Nothing {
            return self.write_failed(at.host, failing);
        }
        let Some(life) = machine.life.as_mut() else { return Ok(()) };
        let cause = life.at_work_for;
        let batch = std::mem::take(&mut life.writing);
        let Some(write) = batch.last().map(|last| last.id) else { return Ok(()) };
        let shrinks =
            batch.iter().any(|write| write.truncate_from.is_some() || write.restart_after.is_some());
        match machine.storage.write(&batch, mutant) {
            Ok(()) => {}
            Err(_) if failing.is_some() => {
                life.writing = batch;
                return self.write_failed(at.host, failing);
            }
            Err(NotWritten::Full) if mutant == Some(HostMutant::FullDiskForgets) => {}
            Err(NotWritten::Full) => {
                life.writing = batch;
                return self.wait_for_space(at);
            }
            Err(NotWritten::Failed(reason)) => {
                return Err(broken(Invariant::LogIsWhole, format!("n{id} cannot write its log: {reason}")));
            }
        }
        let last = machine.storage.image().last();
        self.cause = cause;
        self.cause = self.note(&Happening::Written { node: id, last });
        if shrinks {
            self.check_durable()?;
        }
        self.input(at.host, Input::Persisted(write))?;
        if self.hosts[at.host].is_paused() { Ok(()) } else { self.start_writing(at.host) }
    }

    /// The disk is full. A compaction that waits comes first, because it may make room, and what is to be written is
    /// tried again later.
    fn wait_for_space(&mut self, at: At) -> Checked {
        self.marks.reach(Mark::WaitsForSpace);
        self.queue.push(self.now.plus(FULL_DISK_RETRY), Event::Written(at));
        let node = self.hosts[at.host].id;
        self.cause = EventId(0);
        self.cause = self.note(&Happening::NoSpace { node });
        self.compact(at.host)
    }

    /// A write failed, perhaps half done: the process stops, as it must.
    fn write_failed(&mut self, host: usize, down: Option<u64>) -> Checked {
        let node = self.hosts[host].id;
        self.cause = EventId(0);
        self.cause = self.note(&Happening::WriteFailed { node });
        self.crash(host, down.unwrap_or(MS))
    }

    fn compact(&mut self, host: usize) -> Checked {
        let machine = &mut self.hosts[host];
        let id = machine.id;
        let Some(life) = machine.life.as_mut() else { return Ok(()) };
        let Some(base) = life.compact_to.take() else { return Ok(()) };
        let base = match machine.storage.compact(base) {
            Ok(Some(base)) => base,
            Ok(None) => return Ok(()),
            Err(NotWritten::Full) => {
                life.compact_to = Some(base);
                self.marks.reach(Mark::CompactionWaitsForSpace);
                return Ok(());
            }
            Err(NotWritten::Failed(reason)) => {
                return Err(broken(
                    Invariant::LogIsWhole,
                    format!("n{id} cannot compact its log to {base}: {reason}"),
                ));
            }
        };
        self.note(&Happening::Compacted { node: id, base });
        self.input(host, Input::Compacted(base))
    }

    /// Reads entries for the core.
    pub(crate) fn fetch(
        &mut self,
        host: usize,
        cause: EventId,
        id: FetchId,
        first: Index,
        last: Index,
        max_bytes: u64,
    ) -> Checked {
        let fails = self.disk_rng.chance(self.plan.host.fetch_failure) && self.core.is_none();
        let machine = &self.hosts[host];
        let fetched = if fails { Fetched::Failed } else { machine.storage.fetch(first, last, max_bytes) };
        let (count, outcome) = match &fetched {
            Fetched::Entries(entries) => (entries.len() as u64, "entries"),
            Fetched::Compacted => (0, "compacted"),
            Fetched::Failed => (0, "failed"),
        };
        if matches!(fetched, Fetched::Compacted) {
            self.marks.reach(Mark::FetchOvertaken);
        }
        let node = machine.id;
        self.cause = cause;
        self.cause = self.note(&Happening::Fetched { node, first, count, outcome });
        self.input(host, Input::Fetched(id, fetched))
    }

    /// Begins the next job of the state machine, if none is under way.
    pub(crate) fn start_job(&mut self, host: usize) {
        let at = self.at(host);
        let Some(life) = self.hosts[host].life.as_mut() else { return };
        if life.applying || life.jobs.is_empty() {
            return;
        }
        life.applying = true;
        let takes = self.plan.host.takes(&mut self.host_rng, self.plan.host.apply_mean);
        self.queue.push(self.now.plus(takes), Event::Applied(at));
    }

    /// The state machine is done with its job.
    pub(crate) fn job_done(&mut self, at: At) -> Checked {
        let machine = &mut self.hosts[at.host];
        let paused = machine.is_paused();
        let Some(life) = machine.life.as_mut() else { return Ok(()) };
        life.applying = false;
        // It begins again when the process goes on.
        if paused {
            return Ok(());
        }
        let Some((cause, job)) = life.jobs.pop_front() else { return Ok(()) };
        self.cause = cause;
        match job {
            Job::Apply(entries) => self.apply(at.host, entries)?,
            Job::Install(received) => self.install(at.host, &received)?,
            Job::Place(last, membership) => self.place(at.host, last, membership)?,
        }
        self.start_job(at.host);
        Ok(())
    }

    fn apply(&mut self, host: usize, mut entries: Vec<Entry>) -> Checked {
        let mutant = self.mutant;
        if mutant == Some(HostMutant::ApplyOutOfOrder) && entries.len() > 1 {
            let last = entries.len() - 1;
            entries.swap(last, last - 1);
        }
        if mutant == Some(HostMutant::ApplyNotAll) && entries.len() > 2 {
            entries.remove(1);
        }
        for entry in &entries {
            self.apply_entry(host, entry)?;
        }
        let Some(life) = self.hosts[host].life.as_mut() else { return Ok(()) };
        let (id, last, hash) = (life.node.id(), life.machine.applied(), life.machine.hash());
        // What a witness applies has no content, and makes no state.
        let is_witness = self.plan.witnesses.contains(&id);
        if is_witness {
            self.check.commits.applied(id, last)?;
        } else {
            self.check.commits.state(id, last, hash)?;
        }
        if let Some(stores) = &mut self.stores {
            stores.apply(host, last)?;
        }
        self.cause = self.note(&Happening::Applied { node: id, last, hash });
        self.input(host, Input::Applied(last.index))?;
        self.save_in_time(host)
    }

    fn apply_entry(&mut self, host: usize, entry: &Entry) -> Checked {
        let overwritten_acks = self.mutant == Some(HostMutant::AckOverwritten);
        let does_again = self.mutant == Some(HostMutant::ApplyRetry);
        let faulty = self.mutant.is_some();
        let Some(life) = self.hosts[host].life.as_mut() else { return Ok(()) };
        let node = life.node.id();
        let expected = life.machine.applied().index.next();
        if entry.id.index != expected && !faulty {
            return Err(broken(
                Invariant::StateMachineSafety,
                format!("n{node} is given {} to apply, after {}", entry.id, life.machine.applied()),
            ));
        }
        life.unsaved_bytes += entry.cost();
        let mut applied = None;
        match entry.kind {
            EntryKind::Noop | EntryKind::Witnessed => life.machine.skip(entry.id),
            EntryKind::Membership => {
                life.machine.skip(entry.id);
                let next = decode_membership(entry.payload.clone()).map_err(|error| {
                    broken(
                        Invariant::StateMachineSafety,
                        format!("n{node} cannot read {}: {error}", entry.id),
                    )
                })?;
                let before = std::mem::replace(&mut life.applied_membership, next);
                if before.contains(node) && !life.applied_membership.contains(node) {
                    self.left(host);
                    return Ok(());
                }
            }
            EntryKind::Command => {
                let Some(command) = Command::decode(&entry.payload) else {
                    return Err(broken(
                        Invariant::StateMachineSafety,
                        format!("n{node} is given {} with bytes that no client proposed", entry.id),
                    ));
                };
                let effect = life.machine.apply(entry.id, &command);
                if does_again && matches!(effect, Effect::Replayed(_)) {
                    life.machine.do_again(&command);
                }
                life.keep_reply(entry.id, command.op, effect);
                if let (Some(stores), Effect::Done(reply)) = (&mut self.stores, effect) {
                    stores.done(host, Done { id: entry.id, command, reply });
                }
                applied = Some((command.op, effect));
            }
        }
        for (term, op) in life.proposed.remove(&entry.id.index).unwrap_or_default() {
            match applied {
                Some((known, effect)) if term == entry.id.term && known == op => {
                    self.answer(op, Answer::of(entry.id, effect))?;
                }
                Some((_, effect)) if overwritten_acks => {
                    self.answer(op, Answer::of(entry.id, effect))?;
                }
                Some((known, _)) if term == entry.id.term => return Err(not_there(op, known, entry.id)),
                // Another leader's entry stands at its place: the command is in no log that can be committed.
                Some(_) | None => self.answer(op, Answer::Refused)?,
            }
        }
        Ok(())
    }

    /// A witness has no state: it keeps the place and the membership, durably.
    fn place(&mut self, host: usize, last: LogId, membership: Membership) -> Checked {
        self.marks.reach(Mark::WitnessPlaced);
        let machine = &mut self.hosts[host];
        let Some(life) = machine.life.as_mut() else { return Ok(()) };
        life.machine = Machine::placed(last);
        life.applied_membership = membership.clone();
        life.unsaved_bytes = 0;
        machine.storage.install(Checkpoint { machine: life.machine.clone(), membership });
        let node = machine.id;
        self.check.memberships.installed(node);
        self.check.commits.applied(node, last)?;
        self.cause = self.note(&Happening::SnapshotInstalled { node, last });
        self.input(host, Input::Applied(last.index))
    }

    /// Puts a snapshot in the place of the state machine, durably.
    fn install(&mut self, host: usize, received: &Received) -> Checked {
        let machine = &mut self.hosts[host];
        let Some(life) = machine.life.as_mut() else { return Ok(()) };
        let state = &received.state;
        let (id, last) = (machine.id, state.last);
        life.machine = state.machine.clone();
        life.applied_membership = state.membership.clone();
        life.unsaved_bytes = 0;
        // Commands at or below it have lost their answers; their clients give up waiting.
        life.proposed = life.proposed.split_off(&last.index.next());
        life.replies.clear();
        let checkpoint =
            Checkpoint { machine: life.machine.clone(), membership: life.applied_membership.clone() };
        machine.storage.install(checkpoint);
        self.check.memberships.installed(id);
        let hash = state.machine.hash();
        self.check.commits.state(id, last, hash)?;
        if let Some(stores) = &mut self.stores {
            stores.installed(host, last)?;
        }
        self.cause = self.note(&Happening::SnapshotInstalled { node: id, last });
        self.report_snapshot(host, received, SnapshotOutcome::Installed(last));
        self.input(host, Input::Applied(last.index))
    }

    /// Makes the state durable when enough was applied.
    fn save_in_time(&mut self, host: usize) -> Checked {
        let plan = &self.plan.host;
        let machine = &self.hosts[host];
        let Some(life) = machine.life.as_ref() else { return Ok(()) };
        let saved = machine.storage.checkpoint().machine.applied().index;
        let unsaved_entries = life.machine.applied().index.0.saturating_sub(saved.0);
        let is_enough = plan.checkpoint_entries > 0 && unsaved_entries >= plan.checkpoint_entries;
        if is_enough || life.unsaved_bytes >= plan.checkpoint_bytes { self.save(host) } else { Ok(()) }
    }

    /// Makes the state durable, and lets go of the log below it.
    pub(crate) fn save(&mut self, host: usize) -> Checked {
        let (trailing, mutant) = (self.plan.host.trailing, self.mutant);
        let machine = &mut self.hosts[host];
        let Some(life) = machine.life.as_mut() else { return Ok(()) };
        life.unsaved_bytes = 0;
        let last = life.machine.applied();
        let saves = mutant != Some(HostMutant::CompactAhead) || self.host_rng.coin();
        if saves {
            let checkpoint =
                Checkpoint { machine: life.machine.clone(), membership: life.applied_membership.clone() };
            machine.storage.set_checkpoint(checkpoint);
        }
        let base = last.index.0.saturating_sub(trailing);
        life.compact_to = machine.storage.image().id_at(Index(base)).filter(|id| *id != LogId::ZERO);
        let node = machine.id;
        self.note(&Happening::Checkpoint { node, last });
        self.stores.as_mut().map_or(Ok(()), |stores| stores.saved(host, last))
    }
}
