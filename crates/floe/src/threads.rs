//! The threads of a node: named, watched, and joined when it stops.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crate::error::Failure;
use crate::inbox::{Inbox, Input};

/// The threads that the driver joins at its end.
#[derive(Debug, Default)]
pub(crate) struct Threads {
    running: Vec<(&'static str, JoinHandle<()>)>,
}

impl Threads {
    /// Starts a thread. If it panics the node stops: a node that lost a part of itself must not look alive.
    pub(crate) fn spawn<R: Send + 'static>(
        &mut self,
        name: &'static str,
        inbox: &Arc<Inbox<R>>,
        body: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let inbox = Arc::clone(inbox);
        let span = tracing::Span::current();
        let thread = thread::Builder::new().name(format!("floe-{name}")).spawn(move || {
            let watch = Watch { name, inbox };
            span.in_scope(body);
            drop(watch);
        })?;
        self.running.push((name, thread));
        Ok(())
    }

    /// Waits for the end of the threads of that name.
    pub(crate) fn join(&mut self, name: &str) {
        for (_, thread) in self.running.extract_if(.., |(running, _)| *running == name) {
            // A panic was reported by the watch.
            let _ = thread.join();
        }
    }

    /// Waits for the end of all.
    pub(crate) fn join_all(&mut self) {
        for (_, thread) in self.running.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Reports a panic of the thread that holds it.
struct Watch<R> {
    name: &'static str,
    inbox: Arc<Inbox<R>>,
}

impl<R> Drop for Watch<R> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.inbox.report(Input::Failed(Failure::Panic(self.name)));
        }
    }
}
