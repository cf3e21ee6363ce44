//! What users of a running node hold.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use floe_raft::{Index, LogId, Membership, MembershipChange, NodeId, Term};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::completion::{Completion, completion};
use crate::error::{
    AskError, ChangeError, CheckpointError, Failure, ProposeError, ReadError, TransferError, UnknownCause,
};
use crate::inbox::{Inbox, Input, Refused};
use crate::status::{Leadership, Live, NodeStatus};
use crate::trace::{Ring, TracePage};
use crate::view::NodeView;

/// A command that is committed and applied on this member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied<R> {
    /// Its place in the log.
    pub id: LogId,
    /// What the state machine of this member replied.
    pub reply: R,
}

/// A running node. Clones share it. When the last one is dropped the node stops, without handing leadership over;
/// [`Handle::shutdown`] stops it properly.
///
/// The futures may be dropped at any time; what they asked for may happen all the same.
pub struct Handle<R> {
    shared: Arc<Shared<R>>,
}

pub(crate) struct Shared<R> {
    pub(crate) inbox: Arc<Inbox<R>>,
    pub(crate) live: Arc<Live>,
    pub(crate) leadership: watch::Receiver<Leadership>,
    pub(crate) stopped: watch::Receiver<Option<Stopped>>,
    pub(crate) command_bytes_max: u64,
    pub(crate) question_bytes_max: u64,
    pub(crate) trace: Arc<Ring>,
    pub(crate) clock: Clock,
    pub(crate) witness: bool,
}

/// How a node came to its end.
#[derive(Clone, Debug)]
pub enum Stopped {
    /// It was asked to.
    Requested,
    /// It could not go on. The process should exit with an error.
    Failed(Failure),
}

impl<R> Clone for Handle<R> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<R> std::fmt::Debug for Handle<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("id", &self.shared.live.id()).finish_non_exhaustive()
    }
}

impl<R> Drop for Shared<R> {
    fn drop(&mut self) {
        self.inbox.report(Input::Shutdown { hand_over: false, waiter: None });
    }
}

impl<R: Send + 'static> Handle<R> {
    pub(crate) fn new(shared: Shared<R>) -> Self {
        Self { shared: Arc::new(shared) }
    }

    /// Replicates a command, from any member: it goes to the leader, and the answer comes after it is committed and
    /// applied on this member.
    ///
    /// Nothing is retried here. An error for which [`ProposeError::nothing_happened`] holds may be answered by
    /// trying again, best after a leader is known (see [`Handle::leadership`]).
    pub async fn propose(&self, payload: Bytes) -> Result<Applied<R>, ProposeError> {
        self.propose_if(payload, None).await
    }

    /// Replicates a command if this member leads in exactly this term; otherwise it is refused as
    /// [`ProposeError::NotLeader`], and in no log. It is never passed on.
    ///
    /// For those who look at the state machine first and decide by it, while this member leads: a leader that was
    /// deposed meanwhile, even one that leads again, does not carry out what was decided before.
    pub async fn propose_in_term(&self, term: Term, payload: Bytes) -> Result<Applied<R>, ProposeError> {
        self.propose_if(payload, Some(term)).await
    }

    async fn propose_if(&self, payload: Bytes, in_term: Option<Term>) -> Result<Applied<R>, ProposeError> {
        let (bytes, limit) = (payload.len() as u64, self.shared.command_bytes_max);
        if bytes > limit {
            return Err(ProposeError::TooLarge { bytes, limit });
        }
        self.shared.live.proposals.fetch_add(1, Ordering::Relaxed);
        let (waiter, answer) = completion();
        let input = Input::Propose { payload, in_term, waiter };
        self.shared.inbox.request(input, bytes as usize).map_err(|refused| match refused {
            Refused::Full => ProposeError::Busy,
            Refused::Closed => ProposeError::Shutdown,
        })?;
        answer.await.unwrap_or(Err(ProposeError::Unknown(UnknownCause::Shutdown)))
    }

    /// Confirms with the leader, from any member, and resolves when the state machine of this member contains
    /// everything that was committed when the read was asked for. What is read from it afterwards is linearizable.
    pub async fn read(&self) -> Result<Index, ReadError> {
        self.shared.live.reads.fetch_add(1, Ordering::Relaxed);
        let (waiter, answer) = completion();
        self.request(Input::Read { waiter }, 0, answer, ReadError::Busy, ReadError::Shutdown).await
    }

    /// Hands leadership to another voter that has data, and resolves when this member does not lead any more. No proposal fails by
    /// it with an unknown outcome: those that cannot be taken meanwhile are refused.
    pub async fn transfer_leadership(&self, to: NodeId) -> Result<(), TransferError> {
        let (waiter, answer) = completion();
        let input = Input::Transfer { to, waiter };
        self.request(input, 0, answer, TransferError::Busy, TransferError::Shutdown).await
    }

    /// Changes who belongs to the cluster, if this member leads; resolves with the membership in force when the change is
    /// committed and applied here. Nothing is retried: [`ChangeError::nothing_happened`] says whether it may be.
    ///
    /// A new member is started with [`crate::NodeConfig::joined`] after it was added. A removed one stops by itself,
    /// with [`Failure::Removed`].
    pub async fn change_membership(&self, change: MembershipChange) -> Result<Membership, ChangeError> {
        let (waiter, answer) = completion();
        let input = Input::Change { change, waiter };
        // Once the driver has it, an answer that never comes says nothing about the outcome.
        match self.shared.inbox.request(input, 0) {
            Ok(()) => answer.await.unwrap_or(Err(ChangeError::Unknown(UnknownCause::Shutdown))),
            Err(Refused::Full) => Err(ChangeError::Busy),
            Err(Refused::Closed) => Err(ChangeError::Shutdown),
        }
    }

    /// Makes what this member's state machine contains durable now, not only when its time has come, and gives the last
    /// entry that is: [`LogId::ZERO`] from a state machine that lives in memory. The log may be cut behind it. Waits until
    /// the own log holds as much, since the state must never be ahead of it.
    pub async fn checkpoint(&self) -> Result<LogId, CheckpointError> {
        let (waiter, answer) = completion();
        let input = Input::Checkpoint { waiter };
        self.request(input, 0, answer, CheckpointError::Busy, CheckpointError::Shutdown).await
    }

    /// Asks the leader a question of the application's own, over the connections between the members; on the leader
    /// itself it is answered at once. [`crate::Builder::answer`] names what answers.
    pub async fn ask_leader(&self, question: Bytes) -> Result<Bytes, AskError> {
        if question.len() as u64 > self.shared.question_bytes_max {
            return Err(AskError::TooLarge);
        }
        let bytes = question.len();
        let (waiter, answer) = completion();
        self.request(Input::Ask { question, waiter }, bytes, answer, AskError::Busy, AskError::Shutdown).await
    }

    async fn request<T, E>(
        &self,
        input: Input<R>,
        bytes: usize,
        answer: Completion<Result<T, E>>,
        busy: E,
        shutdown: E,
    ) -> Result<T, E> {
        match self.shared.inbox.request(input, bytes) {
            Ok(()) => answer.await.unwrap_or(Err(shutdown)),
            Err(Refused::Full) => Err(busy),
            Err(Refused::Closed) => Err(shutdown),
        }
    }

    /// This member.
    pub fn id(&self) -> NodeId {
        self.shared.live.id()
    }

    /// The latest term that this member has seen.
    pub fn term(&self) -> Term {
        self.shared.live.term()
    }

    /// The leader of that term, if known.
    pub fn leader(&self) -> Option<NodeId> {
        self.shared.live.leader()
    }

    /// Whether this member leads, as far as it knows.
    pub fn is_leader(&self) -> bool {
        self.leader() == Some(self.id())
    }

    /// Whether this member is a learner that stays one until somebody promotes it. Cheap enough for every request.
    pub fn is_learner(&self) -> bool {
        let membership = self.shared.live.membership.load();
        membership.learners.contains(&self.id()) && !membership.auto_promote.contains(&self.id())
    }

    /// Whether this member is a witness: it votes and holds no state.
    pub fn is_witness(&self) -> bool {
        self.shared.witness
    }

    /// The last entry known to be committed.
    pub fn commit(&self) -> Index {
        Index(self.shared.live.commit.load(Ordering::Relaxed))
    }

    /// The last entry that the state machine of this member contains.
    pub fn applied(&self) -> Index {
        Index(self.shared.live.applied.load(Ordering::Relaxed))
    }

    /// The node's state. Cheap: no thread of the node is asked.
    pub fn status(&self) -> NodeStatus {
        self.shared.live.status()
    }

    /// The node as its driver sees it, with at most so many of the last 64 entries that came into its log; none while it stops. Waits for
    /// the driver's next turn: for people who look, not for every request.
    pub async fn look(&self, entries: u64) -> Option<NodeView> {
        let (waiter, view) = completion();
        self.shared.inbox.request(Input::Look { entries, waiter }, 0).ok()?;
        view.await
    }

    /// At most `limit` events of the node's sampled trace after that one, as far as they are still in memory
    /// (`docs/design/trace.md`). The first question may find nothing: without [`crate::TraceConfig::file`] events are
    /// only noted while somebody asks.
    pub fn trace(&self, after: u64, limit: usize) -> TracePage {
        self.shared.trace.page(self.shared.clock.now(), after, limit)
    }

    /// Role, term and leader, and every change of them.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.shared.leadership.clone()
    }

    /// Resolves when the node has stopped, and says why. The future does not keep the node running.
    pub fn stopped(&self) -> impl Future<Output = Stopped> + Send + use<R> {
        let mut stopped = self.shared.stopped.clone();
        async move {
            match stopped.wait_for(Option::is_some).await {
                Ok(stopped) => stopped.clone().unwrap_or(Stopped::Requested),
                // The sender lives in the driver, which sends before it ends, unless it panics.
                Err(_) => Stopped::Failed(Failure::Panic("driver")),
            }
        }
    }

    /// Stops the node: refuses new proposals, hands leadership to the voter with the longest log, lets what is under
    /// way finish (both within an election timeout), makes the state machine durable, and ends every thread.
    pub async fn shutdown(&self) {
        let (waiter, answer) = completion();
        self.shared.inbox.report(Input::Shutdown { hand_over: true, waiter: Some(waiter) });
        answer.await;
        self.stopped().await;
    }
}
