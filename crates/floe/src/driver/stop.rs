//! How a node ends: leadership handed over, waiters answered, everything durable, every thread joined.

use floe_raft::{NodeId, Time};
use tokio::sync::{oneshot, watch};

use crate::apply_thread::ApplyWork;
use crate::completion::Completer;
use crate::error::{AskError, ChangeError, CheckpointError, Failure, ProposeError, ReadError, TransferError};
use crate::handle::Stopped;
use crate::inbox::Input;
use crate::threads::Threads;

use super::Driver;

/// Where a node is on its way to its end.
pub(super) enum Phase {
    /// It is not.
    Running,
    /// It leads and waits for another voter to take over.
    HandingOver { deadline: Time, waiters: Vec<Completer<()>> },
    /// It lets what is under way finish.
    Settling { deadline: Time, waiters: Vec<Completer<()>> },
    /// There is nothing more to do.
    Over { waiters: Vec<Completer<()>> },
}

/// What must be ended and joined.
pub(crate) struct Workers {
    pub(crate) threads: Threads,
    /// Ends the runtime of the connections.
    pub(crate) stop_net: Option<oneshot::Sender<()>>,
    /// Ends the receiving of snapshots.
    pub(crate) stop_receiver: Option<Box<dyn FnOnce() + Send>>,
    pub(crate) stopped: watch::Sender<Option<Stopped>>,
    /// Writes on the data directory that its member was removed.
    pub(crate) seal: Box<dyn FnOnce() + Send>,
}

impl Phase {
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Over { .. })
    }

    /// Whether new proposals are taken.
    pub(super) fn admits(&self) -> bool {
        matches!(self, Self::Running)
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        match self {
            Self::HandingOver { deadline, .. } | Self::Settling { deadline, .. } => Some(*deadline),
            Self::Running | Self::Over { .. } => None,
        }
    }

    fn waiters(&mut self) -> Vec<Completer<()>> {
        match self {
            Self::Running => Vec::new(),
            Self::HandingOver { waiters, .. } | Self::Settling { waiters, .. } | Self::Over { waiters } => {
                std::mem::take(waiters)
            }
        }
    }
}

impl<R: Send + 'static> Driver<R> {
    /// The node is asked to stop.
    pub(super) fn begin_stop(&mut self, now: Time, hand_over: bool, waiter: Option<Completer<()>>) {
        let mut waiters = self.phase.waiters();
        waiters.extend(waiter);
        if !hand_over {
            // Nobody holds a handle any more, so nobody waits.
            self.phase = Phase::Over { waiters };
            return;
        }
        let patience = self.parts.limits.election_timeout + self.parts.limits.election_timeout / 4;
        let deadline = self.phase.deadline().unwrap_or(now.plus(patience));
        let handing_over = match self.phase {
            Phase::Running => self.hand_over_before_stop(now),
            Phase::HandingOver { .. } => true,
            Phase::Settling { .. } | Phase::Over { .. } => false,
        };
        self.phase = if handing_over {
            Phase::HandingOver { deadline, waiters }
        } else {
            Phase::Settling { deadline, waiters }
        };
    }

    fn hand_over_before_stop(&mut self, now: Time) -> bool {
        let Some(to) = self.successor() else { return false };
        tracing::info!(%to, "hands leadership over before it stops");
        // A handover to somebody else that is under way is as good.
        matches!(self.begin_handover(now, to), Ok(()) | Err(TransferError::Busy))
    }

    /// On a leader, the voter with data that has the longest log among those that answer.
    fn successor(&self) -> Option<NodeId> {
        if !self.parts.node.is_leader() {
            return None;
        }
        let status = self.parts.node.status();
        let healthy =
            status.progress.iter().filter(|(id, peer)| peer.recent && status.membership.may_lead(**id));
        healthy.max_by_key(|(_, peer)| peer.matched).map(|(id, _)| *id)
    }

    /// Moves on towards the end, once a turn; and lets nobody wait for a handover that failed.
    pub(super) fn advance_stop(&mut self, now: Time) {
        for (_, late) in self.transfers.extract_if(.., |(deadline, _)| *deadline <= now) {
            late.complete(Err(TransferError::TimedOut), &mut self.wakes);
        }
        if let Phase::HandingOver { deadline, .. } = self.phase
            && (!self.parts.node.is_leader() || deadline <= now)
        {
            let deadline = now.plus(self.parts.limits.election_timeout);
            self.phase = Phase::Settling { deadline, waiters: self.phase.waiters() };
        }
        if let Phase::Settling { deadline, .. } = self.phase
            && (self.is_settled() || deadline <= now)
        {
            self.phase = Phase::Over { waiters: self.phase.waiters() };
        }
    }

    fn is_settled(&self) -> bool {
        self.proposals.is_empty() && self.reads.is_empty() && self.applying.is_empty()
    }

    /// Ends everything. After a failure nothing more is written: the state on disk is that of a crash, which
    /// recovery is made for.
    pub(super) fn finish(mut self, stopped: Stopped) {
        self.proposals.give_up(&mut self.wakes);
        self.reads.give_up(&mut self.wakes);
        self.asks.give_up(&mut self.wakes);
        for (_, waiter) in self.transfers.drain(..) {
            waiter.complete(Err(TransferError::Shutdown), &mut self.wakes);
        }
        self.give_up_changes();
        self.wakes.flush();
        let waiters = self.phase.waiters();
        let parts = &mut self.parts;
        // First the network: the others notice at once, and nothing new comes in.
        if let Some(stop) = parts.workers.stop_net.take() {
            // An error means that the runtime is gone already.
            let _ = stop.send(());
        }
        parts.workers.threads.join("net");
        self.snapshots.stop();
        let parts = &mut self.parts;
        if let Some(stop) = parts.workers.stop_receiver.take() {
            stop();
        }
        parts.log.work.close();
        parts.log.fetches.close();
        parts.workers.threads.join("wal");
        let graceful = matches!(stopped, Stopped::Requested);
        if graceful {
            self.last_reports();
            self.parts.tracer.stop();
        }
        self.parts.tracer.close();
        let parts = &mut self.parts;
        if graceful {
            parts.apply.push(ApplyWork::Checkpoint);
        }
        parts.apply.close();
        parts.workers.threads.join_all();
        let stopped = self.refuse_leftovers(stopped);
        if matches!(stopped, Stopped::Failed(Failure::Removed)) {
            let seal = std::mem::replace(&mut self.parts.workers.seal, Box::new(|| {}));
            seal();
        }
        self.parts.workers.stopped.send_replace(Some(stopped));
        waiters.into_iter().for_each(|waiter| waiter.complete_now(()));
    }

    /// Learns what the log made durable last, so that the final checkpoint may contain it.
    fn last_reports(&mut self) {
        let now = self.parts.clock.now();
        let mut inputs = Vec::new();
        self.parts.inbox.take(&mut inputs);
        for input in inputs {
            match input {
                Input::Persisted(write) => self.parts.node.handle_persisted(now, write),
                other => self.refuse(other),
            }
        }
        self.parts.publisher.progress(now, &self.parts.node);
    }

    /// Closes the inbox and answers who is still in it. A failure of the last moment is the outcome.
    fn refuse_leftovers(&mut self, stopped: Stopped) -> Stopped {
        let mut outcome = stopped;
        for input in self.parts.inbox.close() {
            match (input, &outcome) {
                (Input::Failed(failure), Stopped::Requested) => outcome = Stopped::Failed(failure),
                (input, _) => self.refuse(input),
            }
        }
        self.wakes.flush();
        outcome
    }

    fn refuse(&mut self, input: Input<R>) {
        match input {
            Input::Propose { waiter, .. } => waiter.complete(Err(ProposeError::Shutdown), &mut self.wakes),
            Input::Read { waiter } => waiter.complete(Err(ReadError::Shutdown), &mut self.wakes),
            Input::Transfer { waiter, .. } => {
                waiter.complete(Err(TransferError::Shutdown), &mut self.wakes);
            }
            Input::Change { waiter, .. } => waiter.complete(Err(ChangeError::Shutdown), &mut self.wakes),
            Input::Ask { waiter, .. } => waiter.complete(Err(AskError::Shutdown), &mut self.wakes),
            Input::Checkpoint { waiter } => waiter.complete(Err(CheckpointError::Shutdown), &mut self.wakes),
            // Whoever looks sees by the silence that there is nothing to be seen.
            Input::Look { waiter, .. } => drop(waiter),
            Input::Shutdown { waiter: Some(waiter), .. } => waiter.complete((), &mut self.wakes),
            Input::Failed(failure) => log_late(&failure),
            Input::Answered { .. }
            | Input::Persisted(_)
            | Input::Compacted(_)
            | Input::Fetched { .. }
            | Input::Applied(_)
            | Input::Checkpointed(_)
            | Input::SnapshotMade(_)
            | Input::SnapshotSent { .. }
            | Input::SnapshotArrived(_)
            | Input::Installed(_)
            | Input::Connected(_)
            | Input::PeerGone(_)
            | Input::Unwanted(_)
            | Input::Removed
            | Input::Shutdown { waiter: None, .. } => {}
        }
    }
}

fn log_late(failure: &Failure) {
    tracing::error!(%failure, "while the node stopped");
}
