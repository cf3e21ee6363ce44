//! Random histories and random watchers: each sees exactly its events, in order, once, and whole revisions only.

use std::collections::BTreeMap;

use floe_mvcc::{Command, Event, KeyRange, KeyValue, StoreOptions, WatchSpec};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::common::Bed;
use crate::model::{Model, contains};
use crate::properties::{any_command, any_range};
use crate::watch::Stream;

#[derive(Clone, Debug)]
enum Step {
    Batch(Vec<Command>),
    Create {
        stream: usize,
        range: KeyRange,
        start_back: Option<i64>,
        prev_kv: bool,
        no_put: bool,
        no_delete: bool,
    },
    Cancel {
        stream: usize,
        nth: usize,
    },
    Poll {
        stream: usize,
        max_events: usize,
    },
    Sweep,
}

fn any_step() -> impl Strategy<Value = Step> {
    let start_back = proptest::option::of(-3..12_i64);
    prop_oneof![
        6 => vec(any_command(), 1..6).prop_map(Step::Batch),
        3 => (0..2_usize, any_range(), start_back, any::<bool>(), proptest::bool::weighted(0.2),
            proptest::bool::weighted(0.2))
            .prop_map(|(stream, range, start_back, prev_kv, no_put, no_delete)| Step::Create {
                stream, range, start_back, prev_kv, no_put, no_delete
            }),
        1 => (0..2_usize, 0..4_usize).prop_map(|(stream, nth)| Step::Cancel { stream, nth }),
        3 => (0..2_usize, 1..5_usize).prop_map(|(stream, max_events)| Step::Poll { stream, max_events }),
        1 => Just(Step::Sweep),
    ]
}

/// A watcher and what it has received.
struct Watcher {
    spec: WatchSpec,
    first: i64,
    events: Vec<Event>,
    compacted: Option<i64>,
}

struct Run {
    bed: Bed,
    model: Model,
    streams: Vec<(Stream, BTreeMap<i64, Watcher>)>,
}

impl Run {
    fn new() -> Self {
        let bed = Bed::with(StoreOptions { watch_queue_events: 4, ..StoreOptions::default() });
        let streams = (0..2).map(|_| (Stream::new(&bed.reader()), BTreeMap::new())).collect();
        Self { bed, model: Model::new(), streams }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Batch(commands) => {
                for command in commands {
                    self.model.apply(command);
                }
                self.bed.batch(commands);
            }
            Step::Create { stream, range, start_back, prev_kv, no_put, no_delete } => {
                let start_revision = start_back.map_or(0, |back| (self.model.revision - back).max(1));
                let spec = WatchSpec {
                    id: 0,
                    range: range.clone(),
                    start_revision,
                    prev_kv: *prev_kv,
                    no_put: *no_put,
                    no_delete: *no_delete,
                };
                let (stream, watchers) = &mut self.streams[*stream];
                if let Ok(created) = stream.stream.create(spec.clone()) {
                    assert_eq!(created.revision, self.model.revision);
                    let first = if start_revision == 0 { self.model.revision + 1 } else { start_revision };
                    watchers.insert(created.id, Watcher { spec, first, events: Vec::new(), compacted: None });
                } else {
                    assert!(range.is_empty());
                }
            }
            Step::Cancel { stream, nth } => {
                let (stream, watchers) = &mut self.streams[*stream];
                if let Some(&id) = watchers.keys().nth(*nth) {
                    let alive = watchers[&id].compacted.is_none();
                    // A watcher that ended of itself may be told of it only later.
                    assert!(stream.stream.cancel(id) || !alive);
                    watchers.remove(&id);
                }
            }
            Step::Poll { stream, max_events } => {
                let (stream, watchers) = &mut self.streams[*stream];
                let batches = stream.stream.poll(*max_events).unwrap();
                receive(&self.model, watchers, batches);
                check_progress(&self.model, stream, watchers);
            }
            Step::Sweep => {
                self.bed.store.maintain(1000).unwrap();
            }
        }
    }

    fn finish(&mut self) {
        for (stream, watchers) in &mut self.streams {
            receive(&self.model, watchers, stream.drain(3));
            check_progress(&self.model, stream, watchers);
            for (id, watcher) in watchers {
                let upto = if watcher.compacted.is_some() { watcher.events.len() } else { usize::MAX };
                let expected: Vec<&Event> = expected(&self.model, watcher).take(upto).collect();
                assert_eq!(
                    watcher.events.iter().collect::<Vec<_>>(),
                    expected,
                    "watcher {id}: {:?}",
                    watcher.spec
                );
                if let Some(compact_revision) = watcher.compacted {
                    let last = watcher.events.last().map_or(0, |event| event.kv().mod_revision);
                    assert!(last < compact_revision, "a watcher ended that had passed the compaction");
                }
            }
        }
    }
}

fn expected<'a>(model: &'a Model, watcher: &Watcher) -> impl Iterator<Item = &'a Event> {
    let (spec, first) = (watcher.spec.clone(), watcher.first);
    model.log.iter().filter(move |event| {
        let wanted = match event {
            Event::Put(_) => !spec.no_put,
            Event::Delete(_) => !spec.no_delete,
        };
        wanted && event.kv().mod_revision >= first && contains(&spec.range, &event.kv().key)
    })
}

fn receive(model: &Model, watchers: &mut BTreeMap<i64, Watcher>, batches: Vec<floe_mvcc::WatchBatch>) {
    for batch in batches {
        let watcher = watchers.get_mut(&batch.id).expect("a batch of a watcher that is gone");
        assert_eq!(watcher.compacted, None, "a batch after the end");
        if batch.compacted.is_some() {
            assert!(batch.events.is_empty());
            watcher.compacted = batch.compacted;
            continue;
        }
        for event in &batch.events {
            let kv = event.event.kv();
            let before = previous(model, &event.event);
            if event.prev_kv.is_some() {
                assert!(watcher.spec.prev_kv);
                assert!(
                    before.contains(&event.prev_kv),
                    "{:?} came before none of {before:?}",
                    event.prev_kv
                );
            } else {
                let may_lack = !watcher.spec.prev_kv || kv.mod_revision <= model.compact_revision;
                assert!(may_lack || before.contains(&None), "the pair before {kv:?} is missing");
            }
        }
        watcher.events.extend(batch.events.into_iter().map(|event| event.event));
        // Whole revisions: after each batch, the watcher has all of its last revision.
        let last = watcher.events.last().unwrap().kv().mod_revision;
        assert_eq!(batch.revision, last);
        let whole = expected(model, watcher).take_while(|event| event.kv().mod_revision <= last).count();
        assert_eq!(watcher.events.len(), whole, "a part of a revision, or a gap");
    }
}

/// The pair that an event replaced, within its own revision included. A transaction that deletes a key, writes it and
/// deletes it again makes two events that look the same, each with a pair of its own before it.
fn previous(model: &Model, event: &Event) -> Vec<Option<KeyValue>> {
    let alike = model.log.iter().enumerate().filter(|(_, other)| *other == event);
    alike
        .map(|(at, _)| {
            let mut earlier = model.log[..at].iter().rev();
            match earlier.find(|other| other.kv().key == event.kv().key)? {
                Event::Put(kv) => Some(kv.clone()),
                Event::Delete(_) => None,
            }
        })
        .collect()
}

fn check_progress(model: &Model, stream: &Stream, watchers: &BTreeMap<i64, Watcher>) {
    if let Some(revision) = stream.stream.progress() {
        assert_eq!(revision, model.revision);
        for watcher in watchers.values().filter(|watcher| watcher.compacted.is_none()) {
            assert!(watcher.spec.start_revision <= revision, "progress below a start");
            assert_eq!(watcher.events.len(), expected(model, watcher).count(), "progress past an event");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, max_shrink_iters: 4000, ..ProptestConfig::default() })]

    #[test]
    fn every_watcher_sees_exactly_its_events(steps in vec(any_step(), 1..40)) {
        let mut run = Run::new();
        for step in &steps {
            run.step(step);
        }
        run.finish();
    }
}
