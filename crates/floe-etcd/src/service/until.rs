//! Streams that would run for ever, ended by something outside of them: the server stops, or there is no leader and the
//! client asked to be told.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio_stream::Stream;
use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::engine::Engine;
use crate::errors::EtcdError;

/// A stream of answers, and what may end it early.
pub(crate) struct Until<S> {
    stream: Pin<Box<S>>,
    end: Pin<Box<dyn Future<Output = EtcdError> + Send>>,
    ended: bool,
}

impl<S> Until<S> {
    /// Ends `stream` when the server stops; and when this member has no leader, if the client's metadata says that it
    /// wants that.
    pub(crate) fn new(engine: Arc<Engine>, metadata: &MetadataMap, stream: S) -> Self {
        let wants_leader = wants_leader(metadata);
        let end = async move {
            let leaderless = Arc::clone(&engine).leaderless();
            tokio::select! {
                () = engine.stopped() => EtcdError::Stopped,
                () = leaderless, if wants_leader => EtcdError::NoLeader,
            }
        };
        Self { stream: Box::pin(stream), end: Box::pin(end), ended: false }
    }
}

/// Whether the client said that it would rather have an error than a member that is cut off.
fn wants_leader(metadata: &MetadataMap) -> bool {
    metadata.get("hasleader").is_some_and(|value| value.as_bytes() == b"true")
}

impl<T, S: Stream<Item = Result<T, Status>>> Stream for Until<S> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if let Poll::Ready(item) = self.stream.as_mut().poll_next(cx) {
            self.ended = item.is_none();
            return Poll::Ready(item);
        }
        match self.end.as_mut().poll(cx) {
            Poll::Ready(error) => {
                self.ended = true;
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}
