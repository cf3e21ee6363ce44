//! The thread that owns the state machine.
//!
//! It takes every committed entry that waits, applies the commands as one batch, answers those who proposed them
//! here, and makes the state durable from time to time. Nothing else ever touches the state machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use floe_raft::codec::decode_membership;
use floe_raft::{Entry, EntryKind, LogId, Membership};

use crate::completion::{Completer, Wakes};
use crate::error::{CheckpointError, Failure, ProposeError, StateMachineError};
use crate::fences::Fences;
use crate::handle::Applied;
use crate::inbox::{Checkpoint, Inbox, Input};
use crate::queue::{Queue, Taken};
use crate::slow::timed;
use crate::snapshot::file::{self, Header};
use crate::snapshot::make::Frozen;
use crate::snapshot::{self, Directory};
use crate::state_machine::{Batch, Command, StateMachine};
use crate::status::Live;
use crate::waiters::Proposer;

/// One batch holds no more commands than about this, so that the first of a long queue are answered before the last
/// are applied, and what a state machine holds in one transaction is bounded.
const BATCH_COMMANDS: usize = 4096;
/// And no more bytes than about this.
const BATCH_BYTES: u64 = 4 << 20;
/// While the log is behind the state machine, how long until a checkpoint is tried again.
const RETRY: Duration = Duration::from_millis(50);

/// How long the state machine's own work waits at most while there are commands to apply.
const UPKEEP_INTERVAL: Duration = Duration::from_millis(50);

/// Something for the state machine.
pub(crate) enum ApplyWork<R> {
    /// Committed entries, and those who wait for some of them, both ascending by index.
    Apply { entries: Vec<Entry>, proposers: Vec<(LogId, Proposer<R>)> },
    /// The node stops properly: make everything durable.
    Checkpoint,
    /// Somebody wants everything durable, and to hear when it is.
    CheckpointFor(Completer<Result<LogId, CheckpointError>>),
    /// Freeze the state, for a member that is too far behind.
    Freeze,
    /// Become what this file holds, which has arrived whole.
    Install { received: PathBuf },
    /// The log of a witness begins anew after this entry, where this membership is in force.
    Place { last: LogId, membership: Arc<Membership> },
    /// The log begins durably after that snapshot.
    LogRestarted,
}

/// What the applier needs of snapshots.
pub(crate) struct SnapshotParts {
    pub(crate) directory: Directory,
    pub(crate) cluster: u64,
    /// Of the thread that writes them.
    pub(crate) frozen: Arc<Queue<Frozen>>,
    /// The membership in force at the last entry that the state machine contains.
    pub(crate) membership: Arc<Membership>,
    /// A snapshot was put in place before the start and is not durable in the state machine.
    pub(crate) installing: Option<LogId>,
    /// Saved with each checkpoint.
    pub(crate) fences: Arc<Fences>,
}

impl Drop for SnapshotParts {
    fn drop(&mut self) {
        // Also when the state machine panics: the thread that writes must end with the one that freezes.
        self.frozen.close();
    }
}

/// A snapshot in place of the state machine, whose file is still needed.
#[derive(Clone, Copy, Debug)]
struct Installing {
    last: LogId,
    log_restarted: bool,
}

/// When to make the state durable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CheckpointPolicy {
    pub(crate) interval: Duration,
    pub(crate) bytes: u64,
}

/// The thread's state.
pub(crate) struct Applier<M: StateMachine> {
    machine: M,
    queue: Arc<Queue<ApplyWork<M::Reply>>>,
    inbox: Arc<Inbox<M::Reply>>,
    live: Arc<Live>,
    policy: CheckpointPolicy,
    /// The last entry given to the state machine.
    applied: LogId,
    /// The last entry of the last checkpoint.
    checkpointed: LogId,
    /// What that made durable.
    durable: LogId,
    checkpoint_at: Instant,
    /// When the state machine last did work of its own.
    upkeep_at: Instant,
    /// Bytes of commands applied since.
    bytes: u64,
    /// Bytes of entries applied since the start.
    entry_bytes: u64,
    snapshots: SnapshotParts,
    installing: Option<Installing>,
    /// Those who wait for the next checkpoint.
    wanted: Vec<Completer<Result<LogId, CheckpointError>>>,
    wakes: Wakes,
}

/// Whether the state machine gets its turn for work that can wait: when there is nothing else to do, and otherwise now and
/// then. Under a load that never pauses it would never come, and what it has to free would pile up.
fn upkeep_is_due(taken: Taken, since_last: Duration) -> bool {
    match taken {
        Taken::Nothing => true,
        Taken::Closed => false,
        Taken::Some => since_last >= UPKEEP_INTERVAL,
    }
}

/// A member that cannot apply what the others applied must stop.
fn broken(error: StateMachineError) -> Failure {
    Failure::StateMachine(Arc::new(error))
}

/// A batch in the making.
struct Pending<R> {
    batch: Batch,
    bytes: u64,
    /// Each with the position of its command in the batch.
    proposers: Vec<(usize, LogId, Proposer<R>)>,
}

impl<M: StateMachine> Applier<M> {
    pub(crate) fn new(
        machine: M,
        queue: Arc<Queue<ApplyWork<M::Reply>>>,
        inbox: Arc<Inbox<M::Reply>>,
        live: Arc<Live>,
        policy: CheckpointPolicy,
        snapshots: SnapshotParts,
    ) -> Self {
        let applied = machine.applied();
        let checkpoint_at = Instant::now() + policy.interval;
        Self {
            machine,
            queue,
            inbox,
            live,
            policy,
            applied,
            checkpointed: applied,
            durable: LogId::ZERO,
            checkpoint_at,
            upkeep_at: Instant::now(),
            bytes: 0,
            entry_bytes: 0,
            installing: snapshots.installing.map(|last| Installing { last, log_restarted: true }),
            snapshots,
            wanted: Vec::new(),
            wakes: Wakes::default(),
        }
    }

    /// Works until the queue is closed or the state machine fails.
    pub(crate) fn run(mut self) {
        let mut work = Vec::new();
        loop {
            let wait = if self.machine.has_upkeep() {
                Some(Duration::ZERO)
            } else {
                (self.applied != self.checkpointed || !self.wanted.is_empty())
                    .then(|| self.checkpoint_at.saturating_duration_since(Instant::now()))
            };
            let taken = self.queue.take(&mut work, wait);
            if let Err(failure) = self.turn(&mut work, taken) {
                self.inbox.report(Input::Failed(failure));
                return;
            }
            if taken == Taken::Closed {
                return;
            }
        }
    }

    fn turn(&mut self, work: &mut Vec<ApplyWork<M::Reply>>, taken: Taken) -> Result<(), Failure> {
        let mut stopping = false;
        let mut pending = self.begin();
        for work in work.drain(..) {
            match work {
                ApplyWork::Apply { entries, proposers } => self.add(&mut pending, entries, proposers)?,
                ApplyWork::Checkpoint => stopping = true,
                ApplyWork::CheckpointFor(waiter) => {
                    self.wanted.push(waiter);
                    self.checkpoint_at = Instant::now();
                }
                ApplyWork::Freeze => {
                    self.apply(&mut pending)?;
                    self.freeze()?;
                }
                ApplyWork::Install { received } => {
                    self.apply(&mut pending)?;
                    self.install(&received)?;
                    pending.batch.last = self.applied;
                }
                ApplyWork::Place { last, membership } => {
                    self.apply(&mut pending)?;
                    self.place(last, membership)?;
                    pending.batch.last = self.applied;
                }
                ApplyWork::LogRestarted => {
                    if let Some(installing) = &mut self.installing {
                        installing.log_restarted = true;
                    }
                    self.finish_install(self.durable)?;
                }
            }
        }
        self.apply(&mut pending)?;
        if self.machine.has_upkeep() && upkeep_is_due(taken, self.upkeep_at.elapsed()) {
            self.machine.upkeep().map_err(broken)?;
            self.upkeep_at = Instant::now();
        }
        let due = self.bytes >= self.policy.bytes
            || (taken != Taken::Closed && Instant::now() >= self.checkpoint_at);
        let is_asked = !self.wanted.is_empty() && due;
        if is_asked || (self.applied != self.checkpointed && (stopping || due)) {
            self.checkpoint()?;
        }
        Ok(())
    }

    fn begin(&self) -> Pending<M::Reply> {
        Pending { batch: Batch { commands: Vec::new(), last: self.applied }, bytes: 0, proposers: Vec::new() }
    }

    /// Adds entries to the batch, applying it whenever it is large enough.
    fn add(
        &mut self,
        pending: &mut Pending<M::Reply>,
        entries: Vec<Entry>,
        proposers: Vec<(LogId, Proposer<M::Reply>)>,
    ) -> Result<(), Failure> {
        let mut proposers = proposers.into_iter().peekable();
        for entry in entries {
            // All who wait for this index: at most one of them for this very entry, the others for one that a new
            // leader has overwritten.
            while let Some((id, proposer)) = proposers.next_if(|(id, _)| id.index <= entry.id.index) {
                if id == entry.id && entry.kind == EntryKind::Command {
                    pending.proposers.push((pending.batch.commands.len(), id, proposer));
                } else {
                    proposer.refuse(ProposeError::Lost, &mut self.wakes);
                }
            }
            pending.batch.last = entry.id;
            self.entry_bytes += entry.cost();
            match entry.kind {
                EntryKind::Command => {
                    pending.bytes += entry.payload.len() as u64;
                    pending.batch.commands.push(Command { id: entry.id, payload: entry.payload });
                }
                EntryKind::Membership => {
                    let membership = decode_membership(entry.payload).map_err(|_| {
                        broken(StateMachineError::new("a membership in the log cannot be read"))
                    })?;
                    self.snapshots.membership = Arc::new(membership);
                }
                EntryKind::Noop | EntryKind::Witnessed => {}
            }
            if pending.batch.commands.len() >= BATCH_COMMANDS || pending.bytes >= BATCH_BYTES {
                self.apply(pending)?;
            }
        }
        Ok(())
    }

    /// Applies the batch, answers the proposers, and tells the driver; leaves an empty one.
    fn apply(&mut self, pending: &mut Pending<M::Reply>) -> Result<(), Failure> {
        let Pending { batch, bytes, proposers } = std::mem::replace(pending, self.begin());
        if batch.last != self.applied {
            let replies = self.machine.apply(&batch).map_err(broken)?;
            if replies.len() != batch.commands.len() {
                let (replies, commands) = (replies.len(), batch.commands.len());
                let reason = format!("it gave {replies} replies to {commands} commands");
                return Err(broken(StateMachineError::new(reason)));
            }
            self.applied = batch.last;
            pending.batch.last = batch.last;
            self.bytes += bytes;
            self.live.applied.store(batch.last.index.0, Ordering::Release);
            self.live.applied_commands.fetch_add(batch.commands.len() as u64, Ordering::Relaxed);
            self.live.applied_batches.fetch_add(1, Ordering::Relaxed);
            self.answer(replies, proposers);
            self.inbox.report_applied(batch.last.index);
        }
        self.wakes.flush();
        Ok(())
    }

    fn answer(&mut self, replies: Vec<M::Reply>, proposers: Vec<(usize, LogId, Proposer<M::Reply>)>) {
        let mut replies = replies.into_iter().enumerate();
        for (position, id, proposer) in proposers {
            // Positions rise, so this skips the replies that nobody here waits for.
            if let Some((_, reply)) = replies.find(|(at, _)| *at == position) {
                proposer.0.complete(Ok(Applied { id, reply }), &mut self.wakes);
            }
        }
    }

    /// Makes the state durable, unless that would make it newer than this member's own log.
    ///
    /// A leader may apply what two followers hold before its own disk does. If such an entry were durable in the
    /// state but not in the log, and power failed now, the node would come back with a state that its log cannot
    /// explain.
    fn checkpoint(&mut self) -> Result<(), Failure> {
        if self.live.durable.load(Ordering::Acquire) < self.applied.index.0 {
            self.checkpoint_at = Instant::now() + RETRY;
            return Ok(());
        }
        let durable = timed("a checkpoint of the state", || self.machine.checkpoint()).map_err(broken)?;
        self.checkpointed = self.applied;
        self.checkpoint_at = Instant::now() + self.policy.interval;
        self.bytes = 0;
        self.durable = durable;
        let saved = timed("saving the fences", || self.snapshots.fences.save());
        saved.map_err(|error| Failure::Io { doing: "cannot save the fences", error: Arc::new(error) })?;
        for waiter in self.wanted.drain(..) {
            waiter.complete(Ok(durable), &mut self.wakes);
        }
        self.wakes.flush();
        // A membership of a later entry than the last durable one would be too new for it.
        if durable == self.applied {
            let membership = Arc::clone(&self.snapshots.membership);
            self.inbox.report(Input::Checkpointed(Checkpoint {
                id: durable,
                membership,
                bytes: self.entry_bytes,
            }));
        }
        self.finish_install(durable)
    }

    /// Freezes the state for the thread that writes it to a file.
    fn freeze(&mut self) -> Result<(), Failure> {
        let membership = Membership::clone(&self.snapshots.membership);
        let header = Header { cluster: self.snapshots.cluster, last: self.applied, membership };
        let state = self.machine.snapshot().map_err(broken)?;
        self.snapshots.frozen.push(Frozen { header, state });
        Ok(())
    }

    /// Becomes what the file holds. From the first step on, the next start would finish all of them.
    fn install(&mut self, received: &Path) -> Result<(), Failure> {
        let failed = |reason: String| Failure::Snapshot { reason };
        let directory = &self.snapshots.directory;
        directory.begin_install(received).map_err(|error| failed(error.to_string()))?;
        let sealed = file::verify(&directory.installing(), self.snapshots.cluster)
            .map_err(|error| failed(error.to_string()))?;
        let last = sealed.header.last;
        let mut body = sealed.body().map_err(|error| failed(error.to_string()))?;
        self.machine.restore(last, &mut body).map_err(broken)?;
        if self.machine.applied() != last {
            return Err(failed(format!("the state machine is at {}, not at {last}", self.machine.applied())));
        }
        self.durable = self.machine.checkpoint().map_err(broken)?;
        self.applied = last;
        self.checkpointed = last;
        self.bytes = 0;
        self.snapshots.membership = Arc::new(sealed.header.membership);
        self.installing = Some(Installing { last, log_restarted: false });
        self.live.applied.store(last.index.0, Ordering::Release);
        self.live.snapshots_installed.fetch_add(1, Ordering::Relaxed);
        tracing::info!(%last, bytes = sealed.size, "a snapshot took the place of the state");
        self.inbox.report(Input::Installed(last));
        Ok(())
    }

    /// Follows the log of a witness from a later place. Durable is that once the log begins there.
    fn place(&mut self, last: LogId, membership: Arc<Membership>) -> Result<(), Failure> {
        self.machine.restore(last, &mut std::io::empty()).map_err(broken)?;
        (self.applied, self.checkpointed, self.durable) = (last, last, last);
        self.snapshots.membership = membership;
        self.live.applied.store(last.index.0, Ordering::Release);
        self.live.snapshots_installed.fetch_add(1, Ordering::Relaxed);
        tracing::info!(%last, "the log of this witness begins anew, since the leader has dropped what it lacks");
        self.inbox.report(Input::Installed(last));
        Ok(())
    }

    /// Removes the file of a snapshot once nothing would need it after a crash.
    fn finish_install(&mut self, durable: LogId) -> Result<(), Failure> {
        let Some(Installing { last, log_restarted: true }) = self.installing else { return Ok(()) };
        if durable.index < last.index {
            return Ok(());
        }
        self.installing = None;
        let directory = &self.snapshots.directory;
        snapshot::remove(directory, &directory.installing())
            .map_err(|error| Failure::Io { doing: "cannot remove a snapshot", error: Arc::new(error) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_can_wait_gets_its_turn_under_a_load_that_never_pauses() {
        assert!(upkeep_is_due(Taken::Nothing, Duration::ZERO));
        assert!(!upkeep_is_due(Taken::Some, UPKEEP_INTERVAL / 2));
        assert!(upkeep_is_due(Taken::Some, UPKEEP_INTERVAL));
        assert!(!upkeep_is_due(Taken::Closed, UPKEEP_INTERVAL));
    }
}
