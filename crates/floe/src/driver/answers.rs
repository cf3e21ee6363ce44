//! Answers to the questions of [`crate::Handle::ask_leader`], given by the application while this member leads.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use floe_raft::NodeId;
use tokio::runtime;

use crate::completion::Completer;
use crate::error::AskError;
use crate::inbox::{Inbox, Input};

/// Questions that are being answered at one time; beyond it the answer is `Busy`.
const UNDER_WAY_MAX: usize = 1024;

/// The application's function that answers.
pub(crate) trait Answerer: Send + Sync {
    /// Begins to answer.
    fn answer(&self, question: Bytes) -> Pin<Box<dyn Future<Output = Bytes> + Send>>;
}

impl<F, A> Answerer for F
where
    F: Fn(Bytes) -> A + Send + Sync,
    A: Future<Output = Bytes> + Send + 'static,
{
    fn answer(&self, question: Bytes) -> Pin<Box<dyn Future<Output = Bytes> + Send>> {
        Box::pin(self(question))
    }
}

/// Runs the application's answers on the runtime of the node's connections.
pub(crate) struct Answers<R> {
    answerer: Option<Arc<dyn Answerer>>,
    runtime: runtime::Handle,
    inbox: Arc<Inbox<R>>,
    under_way: Arc<AtomicUsize>,
}

/// Counts a question as under way while it lives.
struct UnderWay(Arc<AtomicUsize>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<R: Send + 'static> Answers<R> {
    pub(crate) fn new(
        answerer: Option<Arc<dyn Answerer>>,
        runtime: runtime::Handle,
        inbox: Arc<Inbox<R>>,
    ) -> Self {
        Self { answerer, runtime, inbox, under_way: Arc::default() }
    }

    /// Answers a question of another member.
    pub(super) fn for_peer(&self, to: NodeId, id: u64, question: Bytes) {
        let inbox = Arc::clone(&self.inbox);
        self.answer(question, move |answer| inbox.report(Input::Answered { to, id, answer }));
    }

    /// Answers a question that was asked on this member itself.
    pub(super) fn for_caller(&self, question: Bytes, waiter: Completer<Result<Bytes, AskError>>) {
        self.answer(question, move |answer| waiter.complete_now(answer));
    }

    fn answer(&self, question: Bytes, done: impl FnOnce(Result<Bytes, AskError>) + Send + 'static) {
        let Some(answerer) = &self.answerer else { return done(Err(AskError::Unanswered)) };
        let before = self.under_way.fetch_add(1, Ordering::Relaxed);
        let guard = UnderWay(Arc::clone(&self.under_way));
        if before >= UNDER_WAY_MAX {
            return done(Err(AskError::Busy));
        }
        let answer = answerer.answer(question);
        self.runtime.spawn(async move {
            done(Ok(answer.await));
            drop(guard);
        });
    }
}
