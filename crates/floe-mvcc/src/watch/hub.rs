//! The place where the writer leaves changes for the streams.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::WatchSpec;
use super::registry::{Registry, WatcherId};
use crate::error::WatchRefused;
use crate::key_index::Place;
use crate::kv::Event;
use crate::shared::lock;

/// How many revisions one round of catching up covers: etcd's number.
const REVISIONS_PER_ROUND: i64 = 1000;
/// How many watchers it brings up at once.
const WATCHERS_PER_ROUND: usize = 256;

/// A change as the writer made it.
pub(crate) struct Changed {
    pub(crate) event: Event,
    /// Where the pair before it lies, if there was one.
    pub(crate) previous: Option<Place>,
}

/// A change that waits for a watcher.
#[derive(Clone)]
pub(super) struct Queued {
    pub(super) id: i64,
    pub(super) change: Arc<Changed>,
}

impl Queued {
    pub(super) fn revision(&self) -> i64 {
        self.change.event.kv().mod_revision
    }

    fn bytes(&self) -> usize {
        let kv = self.change.event.kv();
        kv.key.len() + kv.value.len()
    }
}

/// Revisions that a watcher has to be brought up through, both ends included.
#[derive(Clone, Debug)]
pub(super) struct Gap {
    pub(super) spec: Arc<WatchSpec>,
    pub(super) from: i64,
    pub(super) to: i64,
}

/// What a stream takes from the hub: first the queue is to be delivered, then the gaps are to be filled.
pub(super) struct Taken {
    pub(super) queue: VecDeque<Queued>,
    pub(super) gaps: Vec<Gap>,
    /// Whether some watcher is still behind after these gaps.
    pub(super) more: bool,
}

/// How much waits for one stream before its watchers fall behind. One revision may exceed either: it stays together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueLimits {
    pub(crate) events: usize,
    /// Of keys and values.
    pub(crate) bytes: usize,
}

/// The hub of a store.
pub(crate) struct Hub {
    watchers: AtomicUsize,
    limits: QueueLimits,
    streams: Mutex<Streams>,
}

struct Streams {
    /// All changes up to this revision have been handed out.
    revision: i64,
    next_stream: u64,
    by_id: BTreeMap<u64, Stream>,
    registry: Registry,
}

struct Stream {
    wake: Arc<dyn Fn() + Send + Sync>,
    watchers: BTreeMap<i64, Watcher>,
    next_id: i64,
    queue: VecDeque<Queued>,
    queued_bytes: usize,
}

struct Watcher {
    spec: Arc<WatchSpec>,
    /// The first revision that is neither delivered nor queued nor in a gap that the stream fills.
    next_revision: i64,
    behind: bool,
    /// The revision of its last event in the queue, which the rest of that revision joins whatever the queue's length.
    queued_revision: i64,
}

impl Hub {
    pub(crate) fn new(revision: i64, limits: QueueLimits) -> Self {
        let streams =
            Streams { revision, next_stream: 0, by_id: BTreeMap::new(), registry: Registry::default() };
        Self { watchers: AtomicUsize::new(0), limits, streams: Mutex::new(streams) }
    }

    /// Whether anybody watches, so that a batch should keep its changes.
    pub(crate) fn is_watched(&self) -> bool {
        self.watchers.load(Ordering::Acquire) > 0
    }

    /// Hands out the changes of the revisions after `before` up to `revision`. They must be published already. Without
    /// them, because nobody watched as the batch began, whoever has come since falls behind and reads them back.
    pub(crate) fn dispatch(&self, before: i64, revision: i64, changes: Option<Vec<Changed>>) {
        if revision == before {
            return;
        }
        let mut woken = BTreeMap::new();
        {
            let mut streams = lock(&self.streams);
            streams.revision = revision;
            match changes {
                Some(changes) => {
                    for change in changes {
                        streams.hand_out(&Arc::new(change), self.limits, &mut woken);
                    }
                }
                None => streams.leave_behind(before + 1, revision, &mut woken),
            }
        }
        for wake in woken.into_values() {
            wake();
        }
    }

    /// The store was replaced by a later one. What lies between the two is not at hand, so everybody falls behind and reads
    /// it back, or hears that it is compacted.
    pub(crate) fn replaced(&self, before: i64, revision: i64) {
        self.dispatch(before, revision, None);
    }

    pub(super) fn open(&self, wake: Arc<dyn Fn() + Send + Sync>) -> u64 {
        let mut streams = lock(&self.streams);
        let id = streams.next_stream;
        streams.next_stream += 1;
        let stream =
            Stream { wake, watchers: BTreeMap::new(), next_id: 0, queue: VecDeque::new(), queued_bytes: 0 };
        streams.by_id.insert(id, stream);
        id
    }

    pub(super) fn close(&self, stream: u64) {
        let mut streams = lock(&self.streams);
        if let Some(closed) = streams.by_id.remove(&stream) {
            for (&id, watcher) in &closed.watchers {
                streams.registry.remove(&watcher.spec.range, WatcherId { stream, id });
            }
            self.watchers.fetch_sub(closed.watchers.len(), Ordering::AcqRel);
        }
    }

    /// Adds a watcher to a stream; `present` is the published revision. Gives the watcher's id and whether it begins
    /// behind.
    pub(super) fn add(
        &self,
        stream: u64,
        spec: WatchSpec,
        present: i64,
    ) -> Result<(i64, bool), WatchRefused> {
        // Before the batch that may change the first key of interest asks whether anybody watches.
        self.watchers.fetch_add(1, Ordering::AcqRel);
        let added = lock(&self.streams).add(stream, spec, present);
        if added.is_err() {
            self.watchers.fetch_sub(1, Ordering::AcqRel);
        }
        added
    }

    /// Removes a watcher and what waits for it. False if there is none.
    pub(super) fn remove(&self, stream: u64, id: i64) -> bool {
        let removed = lock(&self.streams).remove(stream, id);
        if removed {
            self.watchers.fetch_sub(1, Ordering::AcqRel);
        }
        removed
    }

    /// Takes what waits for a stream, and the next gaps of its watchers that are behind.
    pub(super) fn take(&self, stream: u64) -> Taken {
        lock(&self.streams).take(stream)
    }

    /// The revision up to which a stream has been given everything, if all its watchers (or the one named) are in sync
    /// and have begun, and nothing waits.
    pub(super) fn progress(&self, stream: u64, only: Option<i64>) -> Option<i64> {
        let streams = lock(&self.streams);
        let revision = streams.revision;
        let stream = streams.by_id.get(&stream)?;
        let in_sync = |watcher: &Watcher| !watcher.behind && watcher.spec.start_revision <= revision;
        let all_in_sync = match only {
            Some(id) => in_sync(stream.watchers.get(&id)?),
            None => !stream.watchers.is_empty() && stream.watchers.values().all(in_sync),
        };
        (all_in_sync && stream.queue.is_empty()).then_some(revision)
    }
}

impl Streams {
    fn add(&mut self, stream: u64, mut spec: WatchSpec, present: i64) -> Result<(i64, bool), WatchRefused> {
        let (revision, stream_id) = (self.revision, stream);
        let Some(stream) = self.by_id.get_mut(&stream) else {
            return Err(WatchRefused::DuplicateId);
        };
        if spec.id == 0 {
            while stream.watchers.contains_key(&stream.next_id) {
                stream.next_id += 1;
            }
            spec.id = stream.next_id;
            stream.next_id += 1;
        } else if stream.watchers.contains_key(&spec.id) {
            return Err(WatchRefused::DuplicateId);
        }
        let id = spec.id;
        let next_revision = if spec.start_revision == 0 { present + 1 } else { spec.start_revision };
        let behind = next_revision <= revision;
        self.registry.insert(&spec.range, WatcherId { stream: stream_id, id });
        let watcher = Watcher { spec: Arc::new(spec), next_revision, behind, queued_revision: 0 };
        stream.watchers.insert(id, watcher);
        Ok((id, behind))
    }

    fn remove(&mut self, stream: u64, id: i64) -> bool {
        let stream_id = stream;
        let Some(stream) = self.by_id.get_mut(&stream) else {
            return false;
        };
        let Some(watcher) = stream.watchers.remove(&id) else {
            return false;
        };
        stream.queue.retain(|queued| queued.id != id);
        stream.queued_bytes = stream.queue.iter().map(Queued::bytes).sum();
        self.registry.remove(&watcher.spec.range, WatcherId { stream: stream_id, id });
        true
    }

    fn hand_out(
        &mut self,
        change: &Arc<Changed>,
        limits: QueueLimits,
        woken: &mut BTreeMap<u64, Arc<dyn Fn() + Send + Sync>>,
    ) {
        let Self { by_id, registry, .. } = self;
        registry.for_each(&change.event.kv().key, |watcher| {
            if let Some(stream) = by_id.get_mut(&watcher.stream)
                && stream.offer(watcher.id, change, limits)
            {
                woken.entry(watcher.stream).or_insert_with(|| Arc::clone(&stream.wake));
            }
        });
    }

    fn leave_behind(&mut self, from: i64, to: i64, woken: &mut BTreeMap<u64, Arc<dyn Fn() + Send + Sync>>) {
        for (&id, stream) in &mut self.by_id {
            for watcher in stream.watchers.values_mut() {
                if !watcher.behind && watcher.next_revision <= to {
                    watcher.behind = true;
                    watcher.next_revision = watcher.next_revision.max(from);
                    woken.entry(id).or_insert_with(|| Arc::clone(&stream.wake));
                }
            }
        }
    }

    fn take(&mut self, stream: u64) -> Taken {
        let revision = self.revision;
        let Some(stream) = self.by_id.get_mut(&stream) else {
            return Taken { queue: VecDeque::new(), gaps: Vec::new(), more: false };
        };
        stream.queued_bytes = 0;
        let queue = std::mem::take(&mut stream.queue);
        let mut behind: Vec<&mut Watcher> =
            stream.watchers.values_mut().filter(|watcher| watcher.behind).collect();
        behind.sort_by_key(|watcher| watcher.next_revision);
        let mut gaps = Vec::new();
        let mut more = behind.len() > WATCHERS_PER_ROUND;
        let first = behind.first().map_or(0, |watcher| watcher.next_revision);
        let to = revision.min(first.saturating_add(REVISIONS_PER_ROUND - 1));
        for watcher in behind.into_iter().take(WATCHERS_PER_ROUND) {
            if watcher.next_revision > to {
                more = true;
                break;
            }
            gaps.push(Gap { spec: Arc::clone(&watcher.spec), from: watcher.next_revision, to });
            // From here on the stream owes the watcher what is in the gap. One whose gap ends at the present is in sync
            // at once, so that it cannot run after the writer for ever; what the writer queues from now on is delivered
            // after the gap, because the stream takes the queue again only then.
            watcher.next_revision = to + 1;
            watcher.behind = to < revision;
            more |= watcher.behind;
        }
        Taken { queue, gaps, more }
    }
}

impl Stream {
    /// Queues a change for a watcher that wants it, or leaves the watcher behind. Says whether the stream has news.
    fn offer(&mut self, id: i64, change: &Arc<Changed>, limits: QueueLimits) -> bool {
        let Some(watcher) = self.watchers.get_mut(&id) else {
            return false;
        };
        let revision = change.event.kv().mod_revision;
        if watcher.behind || revision < watcher.next_revision || !wants(&watcher.spec, &change.event) {
            return false;
        }
        let full = self.queue.len() >= limits.events || self.queued_bytes >= limits.bytes;
        if full && watcher.queued_revision != revision {
            watcher.behind = true;
            watcher.next_revision = revision;
            return true;
        }
        watcher.queued_revision = revision;
        let queued = Queued { id, change: Arc::clone(change) };
        self.queued_bytes += queued.bytes();
        self.queue.push_back(queued);
        true
    }
}

/// Whether a watcher's filters let an event through.
fn wants(spec: &WatchSpec, event: &Event) -> bool {
    match event {
        Event::Put(_) => !spec.no_put,
        Event::Delete(_) => !spec.no_delete,
    }
}
