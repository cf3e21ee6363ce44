//! The one way to the driver thread: a bounded queue that is emptied in one go.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use floe_raft::{FetchId, Fetched, Index, LogId, Membership, MembershipChange, NodeId, Term, WriteId};
use mio::Waker;

use crate::completion::{Completer, lock};
use crate::error::{AskError, ChangeError, CheckpointError, Failure, ProposeError, ReadError, TransferError};
use crate::handle::Applied;
use crate::snapshot::make::Made;
use crate::snapshot::receive::Arrival;
use crate::snapshot::send::SendError;
use crate::transport::Connected;
use crate::view::NodeView;

/// What can happen to a node, besides messages on its sockets and the passing of time.
pub(crate) enum Input<R> {
    /// A command to replicate; with a term, only by this member, and only if it leads in that term.
    Propose { payload: Bytes, in_term: Option<Term>, waiter: Completer<Result<Applied<R>, ProposeError>> },
    /// A linearizable read.
    Read { waiter: Completer<Result<Index, ReadError>> },
    /// Hand leadership over.
    Transfer { to: NodeId, waiter: Completer<Result<(), TransferError>> },
    /// Change who belongs to the cluster.
    Change { change: MembershipChange, waiter: Completer<Result<Membership, ChangeError>> },
    /// Make the state machine's state durable now.
    Checkpoint { waiter: Completer<Result<LogId, CheckpointError>> },
    /// Somebody wants to see the node, and at most so many of its last entries.
    Look { entries: u64, waiter: Completer<NodeView> },
    /// A question to the leader.
    Ask { question: Bytes, waiter: Completer<Result<Bytes, AskError>> },
    /// The answer to a question that another member asked here.
    Answered { to: NodeId, id: u64, answer: Result<Bytes, AskError> },
    /// This write of the log and all before it are durable.
    Persisted(WriteId),
    /// The log dropped everything up to and including this entry.
    Compacted(LogId),
    /// Entries were read from the log.
    Fetched { id: FetchId, fetched: Fetched },
    /// The state machine contains this entry.
    Applied(Index),
    /// The state machine's state is durable.
    Checkpointed(Checkpoint),
    /// A state was frozen and written to a file, or why not.
    SnapshotMade(Result<Made, String>),
    /// A snapshot is installed at the peer, or is not.
    SnapshotSent { to: NodeId, outcome: Result<LogId, SendError> },
    /// A whole snapshot came from a leader.
    SnapshotArrived(Arrival),
    /// The state machine was replaced by a snapshot that ends with this entry.
    Installed(LogId),
    /// A connection to or from another member stands.
    Connected(Connected),
    /// The process of that member is dead: its machine refuses connections, or it was started anew.
    PeerGone(NodeId),
    /// Nobody wants a connection to that member any more.
    Unwanted(NodeId),
    /// Another member knows that this one was removed.
    Removed,
    /// A part of the node cannot go on.
    Failed(Failure),
    /// Stop. With `hand_over`, leave no leadership behind.
    Shutdown { hand_over: bool, waiter: Option<Completer<()>> },
}

/// A durable state of the state machine: where the log may be cut.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoint {
    pub(crate) id: LogId,
    /// What is in force there.
    pub(crate) membership: Arc<Membership>,
    /// Bytes of entries applied since the start of the process up to there.
    pub(crate) bytes: u64,
}

/// The queue. Callers push, the driver takes everything at once.
pub(crate) struct Inbox<R> {
    queue: Mutex<Queue<R>>,
    waker: Waker,
    waiting_max: usize,
    waiting_bytes_max: u64,
}

struct Queue<R> {
    inputs: Vec<Input<R>>,
    /// Requests of callers among the inputs; the rest is bounded by what the driver itself has given out.
    waiting: usize,
    /// Their bytes.
    waiting_bytes: u64,
    sleep: Sleep,
    closed: bool,
}

/// Whether the driver must be woken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sleep {
    /// It runs and will look.
    Awake,
    /// It sleeps; everything wakes it.
    Light,
    /// It sleeps, and nothing waits for an applied entry: reports of those alone do not wake it.
    Deep,
}

/// Why a request is not in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Full,
    Closed,
}

impl<R> Inbox<R> {
    pub(crate) fn new(waker: Waker, waiting_max: usize, waiting_bytes_max: u64) -> Self {
        let queue =
            Queue { inputs: Vec::new(), waiting: 0, waiting_bytes: 0, sleep: Sleep::Awake, closed: false };
        Self { queue: Mutex::new(queue), waker, waiting_max, waiting_bytes_max }
    }

    /// Pushes a request of a caller, which is refused when too many wait. One is always admitted.
    pub(crate) fn request(&self, input: Input<R>, bytes: usize) -> Result<(), Refused> {
        let mut queue = lock(&self.queue);
        if queue.closed {
            return Err(Refused::Closed);
        }
        let bytes = bytes as u64;
        if queue.waiting > 0
            && (queue.waiting >= self.waiting_max || queue.waiting_bytes + bytes > self.waiting_bytes_max)
        {
            return Err(Refused::Full);
        }
        queue.waiting += 1;
        queue.waiting_bytes += bytes;
        queue.inputs.push(input);
        let wake = std::mem::replace(&mut queue.sleep, Sleep::Awake) != Sleep::Awake;
        drop(queue);
        self.wake_if(wake);
        Ok(())
    }

    /// Pushes a report of work that the driver gave out.
    pub(crate) fn report(&self, input: Input<R>) {
        let mut queue = lock(&self.queue);
        if queue.closed {
            return;
        }
        queue.inputs.push(input);
        let wake = std::mem::replace(&mut queue.sleep, Sleep::Awake) != Sleep::Awake;
        drop(queue);
        self.wake_if(wake);
    }

    /// Pushes a report that entries are applied, which only wakes a driver that waits for it: while nothing but
    /// proposals is under way the driver learns of it when it next wakes anyway, and one thread switch a batch is
    /// saved.
    pub(crate) fn report_applied(&self, index: Index) {
        let mut queue = lock(&self.queue);
        if queue.closed {
            return;
        }
        match queue.inputs.last_mut() {
            Some(Input::Applied(last)) => *last = index,
            Some(_) | None => queue.inputs.push(Input::Applied(index)),
        }
        let wake = queue.sleep == Sleep::Light;
        if wake {
            queue.sleep = Sleep::Awake;
        }
        drop(queue);
        self.wake_if(wake);
    }

    /// Announces that the driver is about to sleep. Returns false if there is something to do first.
    /// `awaits_applied` says whether a report of applied entries must wake it.
    pub(crate) fn prepare_sleep(&self, awaits_applied: bool) -> bool {
        let mut queue = lock(&self.queue);
        if !queue.inputs.is_empty() {
            return false;
        }
        queue.sleep = if awaits_applied { Sleep::Light } else { Sleep::Deep };
        true
    }

    /// Takes everything; `inputs` must be empty and its allocation is used for the next ones.
    pub(crate) fn take(&self, inputs: &mut Vec<Input<R>>) {
        debug_assert!(inputs.is_empty());
        let mut queue = lock(&self.queue);
        queue.sleep = Sleep::Awake;
        queue.waiting = 0;
        queue.waiting_bytes = 0;
        std::mem::swap(&mut queue.inputs, inputs);
    }

    /// Refuses everything from now on and returns what was left. Whoever waits for one of these is answered when it
    /// is dropped.
    pub(crate) fn close(&self) -> Vec<Input<R>> {
        let mut queue = lock(&self.queue);
        queue.closed = true;
        std::mem::take(&mut queue.inputs)
    }

    fn wake_if(&self, wake: bool) {
        if wake && let Err(error) = self.waker.wake() {
            // Writing to an eventfd fails only when the descriptor is gone, and with it the driver.
            tracing::error!(%error, "the driver cannot be woken");
        }
    }
}
