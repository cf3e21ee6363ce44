//! A client's stream of watchers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::hub::{Changed, Gap, Queued};
use super::{WatchBatch, WatchCreated, WatchEvent, WatchSpec};
use crate::error::{StorageError, WatchRefused};
use crate::key_index::Place;
use crate::kv::Event;
use crate::record::Record;
use crate::shared::Shared;

/// How many keys to look up before the writer is let in.
const EVENTS_PER_LOOK: usize = 512;

/// Watchers whose events are polled together, in order. Dropping it cancels them all.
pub struct WatchStream {
    shared: Arc<Shared>,
    wake: Arc<dyn Fn() + Send + Sync>,
    stream: u64,
    specs: BTreeMap<i64, Arc<WatchSpec>>,
    /// Taken from the hub or read back, not delivered yet. A revision's events lie side by side.
    local: VecDeque<Queued>,
    /// To be read back as soon as `local` is delivered, and before the hub's queue is taken again.
    gaps: Vec<Gap>,
}

impl WatchStream {
    pub(crate) fn new(shared: Arc<Shared>, wake: Arc<dyn Fn() + Send + Sync>) -> Self {
        let stream = shared.hub.open(Arc::clone(&wake));
        Self { shared, wake, stream, specs: BTreeMap::new(), local: VecDeque::new(), gaps: Vec::new() }
    }

    /// Adds a watcher. Its events come from [`WatchStream::poll`], none before this returns.
    pub fn create(&mut self, mut spec: WatchSpec) -> Result<WatchCreated, WatchRefused> {
        if spec.start_revision < 0 {
            return Err(WatchRefused::NegativeStart);
        }
        if spec.range.is_empty() {
            return Err(WatchRefused::EmptyRange);
        }
        let revision = self.shared.tables().published().revision;
        let (id, behind) = self.shared.hub.add(self.stream, spec.clone(), revision)?;
        spec.id = id;
        self.specs.insert(id, Arc::new(spec));
        if behind {
            (self.wake)();
        }
        Ok(WatchCreated { id, revision })
    }

    /// Removes a watcher. Nothing of it comes from [`WatchStream::poll`] any more. False if there is none with that id.
    pub fn cancel(&mut self, id: i64) -> bool {
        self.local.retain(|queued| queued.id != id);
        self.gaps.retain(|gap| gap.spec.id != id);
        self.specs.remove(&id);
        self.shared.hub.remove(self.stream, id)
    }

    /// How many watchers the stream has.
    pub fn len(&self) -> usize {
        self.specs.len()
    }

    /// Whether the stream has no watcher.
    pub fn is_empty(&self) -> bool {
        self.specs.is_empty()
    }

    /// Takes about `max_events` events: more when a revision has more, because its events stay together. When this
    /// leaves something undelivered, it calls `wake` before it returns, so one call a wake is enough.
    ///
    /// Reads the file for watchers that are behind and for previous pairs, at most a thousand revisions a call.
    pub fn poll(&mut self, max_events: usize) -> Result<Vec<WatchBatch>, StorageError> {
        let mut batches = Batches::default();
        let mut left = max_events.max(1);
        let mut behind = false;
        // Twice: what is left from the last call, with the gaps that belong after it; then what the hub has now.
        for round in 0..2 {
            self.deliver(&mut left, &mut batches)?;
            if !self.local.is_empty() {
                break;
            }
            if !self.gaps.is_empty() {
                self.fill_gaps(&mut batches)?;
                self.deliver(&mut left, &mut batches)?;
                behind = true;
                break;
            }
            if round == 0 {
                let taken = self.shared.hub.take(self.stream);
                self.local = taken.queue;
                self.gaps = taken.gaps;
                behind = taken.more;
            }
        }
        if behind || !self.local.is_empty() || !self.gaps.is_empty() {
            (self.wake)();
        }
        Ok(batches.list)
    }

    /// The revision up to which every event of every watcher has been taken from [`WatchStream::poll`]. None while one
    /// is behind, has not begun, or has events waiting, and on a stream without watchers.
    pub fn progress(&self) -> Option<i64> {
        self.is_drained().then(|| self.shared.hub.progress(self.stream, None)).flatten()
    }

    /// The same for one watcher.
    pub fn progress_of(&self, id: i64) -> Option<i64> {
        self.is_drained().then(|| self.shared.hub.progress(self.stream, Some(id))).flatten()
    }

    fn is_drained(&self) -> bool {
        self.local.is_empty() && self.gaps.is_empty()
    }

    /// Moves events from `local` to the batches, whole revisions only.
    fn deliver(&mut self, left: &mut usize, batches: &mut Batches) -> Result<(), StorageError> {
        if self.local.is_empty() || *left == 0 {
            return Ok(());
        }
        let rows = Arc::clone(&self.shared.tables().published().rows);
        let mut last_revision = 0;
        while let Some(next) = self.local.front() {
            let revision = next.revision();
            if *left == 0 && revision != last_revision {
                break;
            }
            let Some(Queued { id, change }) = self.local.pop_front() else {
                break;
            };
            last_revision = revision;
            *left = left.saturating_sub(1);
            let Some(spec) = self.specs.get(&id) else {
                continue;
            };
            let prev_kv = match change.previous {
                Some(place) if spec.prev_kv => rows.key_value(place)?,
                _ => None,
            };
            batches.push(id, WatchEvent { event: change.event.clone(), prev_kv });
        }
        Ok(())
    }

    /// Reads back what the gaps' watchers have missed. Ends the watchers that want what was compacted.
    fn fill_gaps(&mut self, batches: &mut Batches) -> Result<(), StorageError> {
        let mut gaps = std::mem::take(&mut self.gaps);
        let tables = self.shared.tables();
        let (rows, revision, compact_revision) = {
            let published = tables.published();
            (Arc::clone(&published.rows), published.revision, published.compact_revision)
        };
        gaps.retain(|gap| {
            let readable = gap.from >= compact_revision;
            if !readable {
                batches.list.push(WatchBatch {
                    id: gap.spec.id,
                    revision,
                    events: Vec::new(),
                    compacted: Some(compact_revision),
                });
            }
            readable
        });
        for id in batches.list.iter().filter(|batch| batch.compacted.is_some()).map(|batch| batch.id) {
            self.cancel(id);
        }
        let from = gaps.iter().map(|gap| gap.from).min();
        let to = gaps.iter().map(|gap| gap.to).max();
        let mut found = Vec::new();
        if let (Some(from), Some(to)) = (from, to) {
            rows.scan(from..=to, |record| {
                found.extend(Missed::new(&gaps, record));
                Ok(())
            })?;
        }
        for missed in found.chunks_mut(EVENTS_PER_LOOK) {
            let published = tables.published();
            for missed in missed.iter_mut().filter(|missed| missed.with_previous) {
                let history = published.index.history(&missed.event.kv().key);
                let previous = history.and_then(|history| history.before(missed.place));
                missed.previous = previous.filter(|change| !change.tombstone).map(|change| change.place);
            }
        }
        for missed in found {
            let change = Arc::new(Changed { event: missed.event, previous: missed.previous });
            let watchers = missed.watchers.into_iter();
            self.local.extend(watchers.map(|id| Queued { id, change: Arc::clone(&change) }));
        }
        Ok(())
    }
}

impl Drop for WatchStream {
    fn drop(&mut self) {
        self.shared.hub.close(self.stream);
    }
}

/// A change that some watchers have missed.
struct Missed {
    event: Event,
    place: Place,
    watchers: Vec<i64>,
    /// Whether any of them wants the pair before it.
    with_previous: bool,
    previous: Option<Place>,
}

impl Missed {
    /// The row as an event, if it concerns any of the gaps.
    fn new(gaps: &[Gap], record: &Record<'_>) -> Option<Self> {
        let revision = record.place.revision;
        let concerned = |gap: &&Gap| {
            let wanted = if record.put.is_some() { !gap.spec.no_put } else { !gap.spec.no_delete };
            gap.from <= revision && revision <= gap.to && wanted && gap.spec.range.contains(record.key)
        };
        let mut missed: Option<Self> = None;
        for gap in gaps.iter().filter(concerned) {
            let missed = missed.get_or_insert_with(|| Self {
                event: record.event(),
                place: record.place,
                watchers: Vec::new(),
                with_previous: false,
                previous: None,
            });
            missed.watchers.push(gap.spec.id);
            missed.with_previous |= gap.spec.prev_kv;
        }
        missed
    }
}

/// What a call of [`WatchStream::poll`] gives: one batch a watcher, in the order of their first events.
#[derive(Default)]
struct Batches {
    list: Vec<WatchBatch>,
    open: BTreeMap<i64, usize>,
}

impl Batches {
    fn push(&mut self, id: i64, event: WatchEvent) {
        let at = *self.open.entry(id).or_insert(self.list.len());
        if at == self.list.len() {
            self.list.push(WatchBatch { id, revision: 0, events: Vec::new(), compacted: None });
        }
        let batch = &mut self.list[at];
        batch.revision = event.event.kv().mod_revision;
        batch.events.push(event);
    }
}
