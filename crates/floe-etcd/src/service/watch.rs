//! etcd's `Watch` service: many watchers on one stream.
//!
//! One [`Watches`] is the whole of a stream: the connection polls it for the next answer, and it looks at the client's
//! requests and at the store only then. So a client that does not read holds back its own watchers and nothing else,
//! and no task or channel stands between the store and the socket.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use floe_mvcc::{KeyRange, WatchBatch, WatchRefused, WatchSpec, WatchStream};
use prost::Message;
use tokio::time::Interval;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use crate::convert;
use crate::engine::Engine;
use crate::errors::{self, EtcdError};
use crate::proto::etcdserverpb as pb;
use crate::proto::etcdserverpb::watch_create_request::FilterType;
use crate::proto::etcdserverpb::watch_request::RequestUnion;
use crate::proto::etcdserverpb::watch_server::Watch;
use crate::service::until::Until;

/// The id in answers that belong to no watcher, or to all.
const NO_WATCHER: i64 = -1;

/// How many events are taken from the store before they are handed to the connection. A revision is never split.
const EVENTS_PER_POLL: usize = 1000;

/// The service.
pub(crate) struct WatchService {
    engine: Arc<Engine>,
}

impl WatchService {
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }
}

#[tonic::async_trait]
impl Watch for WatchService {
    type WatchStream = Until<Watches>;

    async fn watch(
        &self,
        request: Request<Streaming<pb::WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (metadata, _, requests) = request.into_parts();
        let watches = Watches::new(Arc::clone(&self.engine), requests);
        Ok(Response::new(Until::new(Arc::clone(&self.engine), &metadata, watches)))
    }
}

/// All watchers of one stream, as a stream of answers.
pub(crate) struct Watches {
    engine: Arc<Engine>,
    /// None once the client has closed its side; the watchers go on.
    requests: Option<Streaming<pb::WatchRequest>>,
    store: WatchStream,
    wake: Arc<Wake>,
    watchers: BTreeMap<i64, Watcher>,
    queue: VecDeque<pb::WatchResponse>,
    /// The client asked for the revision that all watchers have reached. Answered after everything before it.
    progress_wanted: bool,
    notify: Interval,
    failed: Option<Status>,
}

/// What the store does not need to know of a watcher.
struct Watcher {
    fragment: bool,
    progress_notify: bool,
    /// Nothing was sent since the last notification.
    idle: bool,
}

/// Tells a stream that the store has something for it. The store calls [`Wake::wake`] from the apply thread.
#[derive(Default)]
struct Wake {
    set: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Wake {
    fn wake(&self) {
        self.set.store(true, Ordering::Release);
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether [`Wake::wake`] was called since the last time. The waker is left first: a call in between then finds it,
    /// and the flag is seen by this look or by the next.
    fn take(&self, cx: &Context<'_>) -> bool {
        let mut waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        drop(waker);
        self.set.swap(false, Ordering::AcqRel)
    }
}

impl Watches {
    fn new(engine: Arc<Engine>, requests: Streaming<pb::WatchRequest>) -> Self {
        let wake = Arc::new(Wake::default());
        let waker = Arc::clone(&wake);
        let store = engine.reader.watch_stream(Arc::new(move || waker.wake()));
        let interval = engine.config.watch_progress_notify_interval;
        // Up to a tenth later, a different one for each stream: otherwise all clients of a member that restarted would
        // be notified in the same moment for ever.
        let interval = interval + interval.mul_f64(rand::random::<f64>() / 10.0);
        let first = tokio::time::Instant::now() + interval;
        let mut notify = tokio::time::interval_at(first, interval.max(Duration::from_millis(1)));
        notify.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        Self {
            engine,
            requests: Some(requests),
            store,
            wake,
            watchers: BTreeMap::new(),
            queue: VecDeque::new(),
            progress_wanted: false,
            notify,
            failed: None,
        }
    }

    fn handle(&mut self, request: pb::WatchRequest) {
        match request.request_union {
            Some(RequestUnion::CreateRequest(request)) => self.create(request),
            Some(RequestUnion::CancelRequest(request)) => self.cancel(request.watch_id),
            // Of no watcher there is nothing to tell, also when one is created before the answer.
            Some(RequestUnion::ProgressRequest(_)) => self.progress_wanted = !self.watchers.is_empty(),
            // A kind of request that this version does not know is no reason to end the others' watch.
            None => {}
        }
    }

    fn create(&mut self, request: pb::WatchCreateRequest) {
        let created = self.store.create(spec(&request));
        let mut response = pb::WatchResponse { created: true, ..Default::default() };
        match created {
            Ok(created) => {
                let watcher = Watcher {
                    fragment: request.fragment,
                    progress_notify: request.progress_notify,
                    idle: false,
                };
                self.watchers.insert(created.id, watcher);
                response.header = Some(self.engine.header(created.revision));
                response.watch_id = created.id;
            }
            Err(refused) => {
                response.header = Some(self.engine.header_now());
                response.watch_id = NO_WATCHER;
                response.canceled = true;
                response.cancel_reason = refusal(refused).into();
            }
        }
        self.queue.push_back(response);
    }

    fn cancel(&mut self, id: i64) {
        if !self.store.cancel(id) {
            return;
        }
        self.watchers.remove(&id);
        self.queue.push_back(pb::WatchResponse {
            header: Some(self.engine.header_now()),
            watch_id: id,
            canceled: true,
            ..Default::default()
        });
    }

    /// Takes what the store has. When that is not all, the store wakes this stream again.
    fn take_events(&mut self) {
        match self.store.poll(EVENTS_PER_POLL) {
            Ok(batches) => {
                for batch in batches {
                    self.deliver(batch);
                }
            }
            Err(error) => self.failed = Some(errors::storage(&error)),
        }
    }

    fn deliver(&mut self, batch: WatchBatch) {
        if let Some(compact_revision) = batch.compacted {
            self.watchers.remove(&batch.id);
            self.queue.push_back(pb::WatchResponse {
                header: Some(self.engine.header(0)),
                watch_id: batch.id,
                canceled: true,
                compact_revision,
                ..Default::default()
            });
            return;
        }
        let Some(watcher) = self.watchers.get_mut(&batch.id) else { return };
        watcher.idle = false;
        let fragment = watcher.fragment;
        let events =
            batch.events.into_iter().map(|event| convert::event(event.event, event.prev_kv)).collect();
        let response = pb::WatchResponse {
            header: Some(self.engine.header(batch.revision)),
            watch_id: batch.id,
            events,
            ..Default::default()
        };
        if fragment {
            fragments(response, self.engine.config.max_request_bytes, &mut self.queue);
        } else {
            self.queue.push_back(response);
        }
    }

    /// Everything before it was delivered; says so, if it is true of all watchers. Otherwise nothing is said and the
    /// client asks again, as in etcd.
    fn report_progress(&mut self) {
        self.progress_wanted = false;
        if !self.watchers.is_empty()
            && let Some(revision) = self.store.progress()
        {
            self.queue.push_back(self.progress(NO_WATCHER, revision));
        }
    }

    fn progress(&self, watch_id: i64, revision: i64) -> pb::WatchResponse {
        pb::WatchResponse { header: Some(self.engine.header(revision)), watch_id, ..Default::default() }
    }

    /// Tells the watchers that asked for it, and got nothing else for a whole interval, where they are.
    fn notify_idle(&mut self) {
        let mut idle = Vec::new();
        for (id, watcher) in self.watchers.iter_mut().filter(|(_, watcher)| watcher.progress_notify) {
            if watcher.idle
                && let Some(revision) = self.store.progress_of(*id)
            {
                idle.push((*id, revision));
            }
            watcher.idle = true;
        }
        let notices: Vec<_> = idle.into_iter().map(|(id, revision)| self.progress(id, revision)).collect();
        self.queue.extend(notices);
    }

    /// Looks at the client once. True if there was a request.
    fn poll_requests(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(requests) = &mut self.requests else { return false };
        match Pin::new(requests).poll_next(cx) {
            Poll::Ready(Some(Ok(request))) => {
                self.handle(request);
                true
            }
            Poll::Ready(Some(Err(status))) => {
                let canceled = status.code() == tonic::Code::Cancelled;
                self.failed = Some(if canceled { EtcdError::WatchCanceled.into() } else { status });
                self.requests = None;
                true
            }
            Poll::Ready(None) => {
                self.requests = None;
                false
            }
            Poll::Pending => false,
        }
    }
}

impl Stream for Watches {
    type Item = Result<pb::WatchResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(response) = this.queue.pop_front() {
                return Poll::Ready(Some(Ok(response)));
            }
            if let Some(status) = this.failed.take() {
                return Poll::Ready(Some(Err(status)));
            }
            if this.poll_requests(cx) {
                continue;
            }
            if this.wake.take(cx) {
                this.take_events();
                continue;
            }
            if this.progress_wanted {
                this.report_progress();
                continue;
            }
            if this.notify.poll_tick(cx).is_ready() {
                this.notify_idle();
                continue;
            }
            return Poll::Pending;
        }
    }
}

fn spec(request: &pb::WatchCreateRequest) -> WatchSpec {
    // An empty key stands for the smallest one.
    let start = if request.key.is_empty() { Bytes::from_static(b"\0") } else { request.key.clone() };
    WatchSpec {
        id: request.watch_id,
        range: KeyRange { start, end: request.range_end.clone() },
        start_revision: request.start_revision,
        prev_kv: request.prev_kv,
        no_put: request.filters().any(|filter| filter == FilterType::Noput),
        no_delete: request.filters().any(|filter| filter == FilterType::Nodelete),
    }
}

fn refusal(refused: WatchRefused) -> &'static str {
    match refused {
        WatchRefused::EmptyRange => "mvcc: watcher range is empty",
        WatchRefused::DuplicateId => "mvcc: duplicate watch ID provided on the WatchStream",
        WatchRefused::NegativeStart => EtcdError::Compacted.message(),
    }
}

/// Splits an answer that is larger than a request may be. All parts but the last say that there is more.
fn fragments(response: pb::WatchResponse, max_bytes: usize, queue: &mut VecDeque<pb::WatchResponse>) {
    if response.events.len() < 2 || response.encoded_len() < max_bytes {
        queue.push_back(response);
        return;
    }
    let pb::WatchResponse { header, watch_id, events, .. } = response;
    let part = || pb::WatchResponse { header, watch_id, fragment: true, ..Default::default() };
    let empty_bytes = part().encoded_len();
    let (mut current, mut bytes) = (part(), empty_bytes);
    for event in events {
        // The field's tag and length come on top of the event itself.
        let event_bytes = event.encoded_len();
        let event_bytes = event_bytes + 1 + prost::length_delimiter_len(event_bytes);
        if !current.events.is_empty() && bytes + event_bytes >= max_bytes {
            queue.push_back(std::mem::replace(&mut current, part()));
            bytes = empty_bytes;
        }
        bytes += event_bytes;
        current.events.push(event);
    }
    current.fragment = false;
    queue.push_back(current);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::mvccpb;

    #[test]
    fn a_large_answer_is_split_below_the_limit_and_loses_nothing() {
        let event = |n: usize| mvccpb::Event {
            kv: Some(mvccpb::KeyValue { key: vec![7; n].into(), ..Default::default() }),
            ..Default::default()
        };
        let events: Vec<_> = [10, 400, 400, 3000, 1, 1, 900].map(event).into();
        let whole = pb::WatchResponse { watch_id: 3, events: events.clone(), ..Default::default() };
        let mut parts = VecDeque::new();
        fragments(whole, 1000, &mut parts);
        assert!(parts.iter().all(|part| part.encoded_len() < 1000 || part.events.len() == 1));
        let flags: Vec<_> = parts.iter().map(|part| part.fragment).collect();
        assert_eq!(flags.iter().filter(|more| !**more).count(), 1);
        assert!(!flags[flags.len() - 1]);
        assert!(parts.iter().all(|part| part.watch_id == 3));
        assert_eq!(parts.into_iter().flat_map(|part| part.events).collect::<Vec<_>>(), events);
    }
}
