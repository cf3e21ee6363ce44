//! Puts a node together and starts it.

use std::net::TcpListener;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

use crate::config::NodeConfig;
use crate::error::StartError;
use crate::handle::Handle;
use crate::state_machine::StateMachine;

/// What answers the questions of [`Handle::ask_leader`].
pub(crate) type Answerer = Arc<dyn Fn(Bytes) -> Pin<Box<dyn Future<Output = Bytes> + Send>> + Send + Sync>;

/// A node before it starts.
pub struct Builder {
    config: NodeConfig,
    listeners: Vec<TcpListener>,
    answerer: Option<Answerer>,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Builder {
    /// A node with this configuration.
    pub fn new(config: NodeConfig) -> Self {
        Self { config, listeners: Vec::new(), answerer: None }
    }

    /// Accepts other members on this listener, too: for sockets that were opened by somebody else.
    #[must_use]
    pub fn listener(mut self, listener: TcpListener) -> Self {
        self.listeners.push(listener);
        self
    }

    /// Answers the questions that other members ask by [`Handle::ask_leader`] while this one leads.
    ///
    /// The future runs on the runtime of the node's connections: it must not block.
    #[must_use]
    pub fn answer<F, A>(mut self, answer: F) -> Self
    where
        F: Fn(Bytes) -> A + Send + Sync + 'static,
        A: Future<Output = Bytes> + Send + 'static,
    {
        self.answerer = Some(Arc::new(move |question| Box::pin(answer(question))));
        self
    }

    /// Opens the log and starts the node. Fails if anything in the data directory does not belong here.
    pub async fn start<M: StateMachine>(self, state_machine: M) -> Result<Handle<M::Reply>, StartError> {
        self.start_blocking(state_machine)
    }

    /// The same for callers without a runtime. Blocks while the log is read.
    pub fn start_blocking<M: StateMachine>(self, state_machine: M) -> Result<Handle<M::Reply>, StartError> {
        drop(state_machine);
        Err(StartError::Config("this build has no driver".into()))
    }
}
