//! The thread that owns the state machine.
//!
//! It takes every committed entry that waits, applies the commands as one batch, answers those who proposed them
//! here, and makes the state durable from time to time. Nothing else ever touches the state machine.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use floe_raft::{Entry, EntryKind, LogId};

use crate::completion::Wakes;
use crate::error::{Failure, ProposeError, StateMachineError};
use crate::handle::Applied;
use crate::inbox::{Inbox, Input};
use crate::queue::{Queue, Taken};
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

/// Something for the state machine.
pub(crate) enum ApplyWork<R> {
    /// Committed entries, and those who wait for some of them, both ascending by index.
    Apply { entries: Vec<Entry>, proposers: Vec<(LogId, Proposer<R>)> },
    /// The node stops properly: make everything durable.
    Checkpoint,
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
    checkpoint_at: Instant,
    /// Bytes of commands applied since.
    bytes: u64,
    wakes: Wakes,
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
            checkpoint_at,
            bytes: 0,
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
                (self.applied != self.checkpointed)
                    .then(|| self.checkpoint_at.saturating_duration_since(Instant::now()))
            };
            let taken = self.queue.take(&mut work, wait);
            if let Err(error) = self.turn(&mut work, taken) {
                self.inbox.report(Input::Failed(Failure::StateMachine(Arc::new(error))));
                return;
            }
            if taken == Taken::Closed {
                return;
            }
        }
    }

    fn turn(&mut self, work: &mut Vec<ApplyWork<M::Reply>>, taken: Taken) -> Result<(), StateMachineError> {
        let mut stopping = false;
        let mut pending = self.begin();
        for work in work.drain(..) {
            match work {
                ApplyWork::Apply { entries, proposers } => self.add(&mut pending, entries, proposers)?,
                ApplyWork::Checkpoint => stopping = true,
            }
        }
        self.apply(&mut pending)?;
        if taken == Taken::Nothing && self.machine.has_upkeep() {
            self.machine.upkeep()?;
        }
        let due = self.bytes >= self.policy.bytes
            || (taken != Taken::Closed && Instant::now() >= self.checkpoint_at);
        if self.applied != self.checkpointed && (stopping || due) {
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
    ) -> Result<(), StateMachineError> {
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
            match entry.kind {
                EntryKind::Command => {
                    pending.bytes += entry.payload.len() as u64;
                    pending.batch.commands.push(Command { id: entry.id, payload: entry.payload });
                }
                EntryKind::Noop | EntryKind::Membership | EntryKind::Witnessed => {}
            }
            if pending.batch.commands.len() >= BATCH_COMMANDS || pending.bytes >= BATCH_BYTES {
                self.apply(pending)?;
            }
        }
        Ok(())
    }

    /// Applies the batch, answers the proposers, and tells the driver; leaves an empty one.
    fn apply(&mut self, pending: &mut Pending<M::Reply>) -> Result<(), StateMachineError> {
        let Pending { batch, bytes, proposers } = std::mem::replace(pending, self.begin());
        if batch.last != self.applied {
            let replies = self.machine.apply(&batch)?;
            if replies.len() != batch.commands.len() {
                return Err(StateMachineError::new(format!(
                    "it gave {} replies to {} commands",
                    replies.len(),
                    batch.commands.len()
                )));
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
    fn checkpoint(&mut self) -> Result<(), StateMachineError> {
        if self.live.durable.load(Ordering::Acquire) < self.applied.index.0 {
            self.checkpoint_at = Instant::now() + RETRY;
            return Ok(());
        }
        let durable = self.machine.checkpoint()?;
        self.checkpointed = self.applied;
        self.checkpoint_at = Instant::now() + self.policy.interval;
        self.bytes = 0;
        self.inbox.report(Input::Checkpointed(durable));
        Ok(())
    }
}
