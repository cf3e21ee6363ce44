//! Watches, line by line: `etcd-v3` 1.8.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use floe_mvcc::{
    Event, KeyRange, Reader, StoreOptions, Txn, WatchBatch, WatchCreated, WatchRefused, WatchSpec,
    WatchStream,
};

use crate::common::{Bed, bytes, delete, key, put, put_op, text};

/// A stream that knows whether it was woken.
pub(crate) struct Stream {
    pub(crate) stream: WatchStream,
    woken: Arc<AtomicUsize>,
}

impl Stream {
    pub(crate) fn new(reader: &Reader) -> Self {
        let woken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&woken);
        let stream = reader.watch_stream(Arc::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
        }));
        Self { stream, woken }
    }

    /// Polls as a host does: once for each time it was woken, and never otherwise.
    pub(crate) fn drain(&mut self, max_events: usize) -> Vec<WatchBatch> {
        let mut batches = Vec::new();
        while self.woken.swap(0, Ordering::SeqCst) > 0 {
            batches.extend(self.stream.poll(max_events).unwrap());
        }
        assert!(self.stream.poll(max_events).unwrap().is_empty(), "something waited without a wake");
        batches
    }

    pub(crate) fn watch(&mut self, range: KeyRange) -> i64 {
        self.stream.create(WatchSpec { range, ..WatchSpec::default() }).unwrap().id
    }

    pub(crate) fn watch_from(&mut self, range: KeyRange, start_revision: i64) -> i64 {
        self.stream.create(WatchSpec { range, start_revision, ..WatchSpec::default() }).unwrap().id
    }

    /// The events of one watcher, in short.
    pub(crate) fn events(&mut self, id: i64) -> Vec<String> {
        let batches = self.drain(100);
        batches
            .into_iter()
            .filter(|batch| batch.id == id)
            .flat_map(|batch| batch.events)
            .map(|e| short(&e.event))
            .collect()
    }
}

/// `+a=1@2` for a put, `-a@3` for a deletion.
fn short(event: &Event) -> String {
    match event {
        Event::Put(kv) => format!("+{}={}@{}", text(&kv.key), text(&kv.value), kv.mod_revision),
        Event::Delete(kv) => format!("-{}@{}", text(&kv.key), kv.mod_revision),
    }
}

#[test]
fn a_watch_from_now_sees_what_comes_and_nothing_before() {
    let mut bed = Bed::new();
    bed.put("a", "old");
    let mut stream = Stream::new(&bed.reader());
    let created = stream.stream.create(WatchSpec { range: key("a"), ..WatchSpec::default() }).unwrap();
    assert_eq!(created, WatchCreated { id: 0, revision: 2 });
    bed.batch(&[put("a", "1"), put("b", "1"), delete(key("a"))]);
    assert_eq!(stream.events(0), ["+a=1@3", "-a@5"]);
}

#[test]
fn a_watch_from_the_past_is_brought_up_and_goes_on() {
    let mut bed = Bed::new();
    for n in 0..4 {
        bed.put("a", &n.to_string());
    }
    let mut stream = Stream::new(&bed.reader());
    let id = stream.watch_from(key("a"), 3);
    bed.put("a", "4");
    assert_eq!(stream.events(id), ["+a=1@3", "+a=2@4", "+a=3@5", "+a=4@6"]);
    bed.put("a", "5");
    assert_eq!(stream.events(id), ["+a=5@7"]);
}

#[test]
fn a_watch_from_the_future_sees_nothing_before_its_start() {
    let mut bed = Bed::new();
    let mut stream = Stream::new(&bed.reader());
    let id = stream.watch_from(key("a"), 4);
    bed.put("a", "2");
    bed.put("a", "3");
    assert_eq!(stream.events(id), [""; 0]);
    assert_eq!(stream.stream.progress(), None, "progress below the start");
    bed.put("a", "4");
    assert_eq!(stream.events(id), ["+a=4@4"]);
    assert_eq!(stream.stream.progress(), Some(4));
}

#[test]
fn keys_prefixes_open_ends_and_odd_ranges() {
    let mut bed = Bed::new();
    let mut stream = Stream::new(&bed.reader());
    let ranges = [
        key("ab"),
        KeyRange::prefix("a"),
        KeyRange::prefix("ab"),
        KeyRange::between("aa", "ac"),
        KeyRange::between("b", "\0"),
        KeyRange::all(),
    ];
    for range in ranges {
        stream.watch(range);
    }
    bed.batch(&[put("ab", ""), put("a", ""), put("abc", ""), put("b", ""), put("ac", "")]);
    let mut seen = vec![Vec::new(); 6];
    for batch in stream.drain(100) {
        seen[batch.id as usize].extend(batch.events.iter().map(|event| text(&event.event.kv().key)));
    }
    let expected: [&[&str]; 6] = [
        &["ab"],
        &["ab", "a", "abc", "ac"],
        &["ab", "abc"],
        &["ab", "abc"],
        &["b"],
        &["ab", "a", "abc", "b", "ac"],
    ];
    assert_eq!(seen, expected);
}

#[test]
fn ids_are_given_from_zero_upward_past_those_in_use() {
    let bed = Bed::new();
    let mut stream = Stream::new(&bed.reader());
    let with_id = |id| WatchSpec { id, range: key("a"), ..WatchSpec::default() };
    assert_eq!(stream.watch(key("a")), 0);
    assert_eq!(stream.stream.create(with_id(1)).unwrap().id, 1);
    assert_eq!(stream.stream.create(with_id(1)), Err(WatchRefused::DuplicateId));
    assert_eq!(stream.watch(key("a")), 2);
    assert!(stream.stream.cancel(0));
    assert_eq!(stream.watch(key("a")), 3);
    assert_eq!(stream.stream.len(), 3);
}

#[test]
fn empty_ranges_and_negative_starts_are_refused() {
    let bed = Bed::new();
    let mut stream = Stream::new(&bed.reader());
    for (start, end) in [("b", "a"), ("b", "b")] {
        let spec = WatchSpec { range: KeyRange::between(start, end), ..WatchSpec::default() };
        assert_eq!(stream.stream.create(spec), Err(WatchRefused::EmptyRange));
    }
    let spec = WatchSpec { range: key("a"), start_revision: -1, ..WatchSpec::default() };
    assert_eq!(stream.stream.create(spec), Err(WatchRefused::NegativeStart));
    assert!(stream.stream.is_empty());
}

#[test]
fn a_start_below_the_compaction_is_told_and_ends_and_at_it_is_served() {
    let mut bed = Bed::new();
    for n in 0..5 {
        bed.put("a", &n.to_string());
    }
    bed.delete("a");
    bed.compact(7);
    while bed.store.maintain(100).unwrap() {}
    let mut stream = Stream::new(&bed.reader());
    let late = stream.watch_from(key("a"), 6);
    let batches = stream.drain(100);
    assert_eq!(batches, [WatchBatch { id: late, revision: 7, events: Vec::new(), compacted: Some(7) }]);
    assert!(stream.stream.is_empty() && !stream.stream.cancel(late));
    let id = stream.watch_from(key("a"), 7);
    assert_eq!(stream.events(id), ["-a@7"], "the deletion exactly at the compaction");
}

#[test]
fn a_watcher_that_falls_behind_the_compaction_is_told() {
    let mut bed = Bed::with(StoreOptions { watch_queue_events: 2, ..StoreOptions::default() });
    let mut stream = Stream::new(&bed.reader());
    let id = stream.watch(key("a"));
    for n in 0..6 {
        bed.put("a", &n.to_string());
    }
    bed.compact(6);
    let batches = stream.drain(100);
    let events: Vec<String> = batches[0].events.iter().map(|event| short(&event.event)).collect();
    assert_eq!(events, ["+a=0@2", "+a=1@3"], "what was queued in time");
    assert_eq!((batches.len(), batches[1].id, batches[1].compacted), (2, id, Some(6)));
}

#[test]
fn nothing_comes_after_a_cancellation_and_an_id_may_be_used_again() {
    let mut bed = Bed::new();
    let mut stream = Stream::new(&bed.reader());
    let spec = WatchSpec { id: 7, range: key("a"), ..WatchSpec::default() };
    stream.stream.create(spec.clone()).unwrap();
    bed.batch(&[put("a", "1"), put("a", "2"), put("a", "3")]);
    assert_eq!(stream.stream.poll(1).unwrap()[0].events.len(), 1);
    assert!(stream.stream.cancel(7));
    assert!(!stream.stream.cancel(7));
    stream.stream.create(spec).unwrap();
    assert_eq!(stream.events(7), [""; 0]);
    bed.put("a", "4");
    assert_eq!(stream.events(7), ["+a=4@5"]);
}

#[test]
fn filters_leave_events_out_and_empty_batches_are_not_sent() {
    let mut bed = Bed::new();
    let mut stream = Stream::new(&bed.reader());
    let spec = WatchSpec { range: key("a"), ..WatchSpec::default() };
    let no_put = stream.stream.create(WatchSpec { no_put: true, ..spec.clone() }).unwrap().id;
    let no_delete = stream.stream.create(WatchSpec { no_delete: true, ..spec.clone() }).unwrap().id;
    bed.put("a", "1");
    let batches = stream.drain(100);
    assert_eq!(batches.iter().map(|batch| batch.id).collect::<Vec<_>>(), [no_delete]);
    bed.delete("a");
    let batches = stream.drain(100);
    assert_eq!(batches.iter().map(|batch| batch.id).collect::<Vec<_>>(), [no_put]);
    // The same for a watcher that is brought up.
    let id = stream.stream.create(WatchSpec { no_put: true, start_revision: 1, ..spec }).unwrap().id;
    assert_eq!(stream.events(id), ["-a@3"]);
}

#[test]
fn the_pair_before_is_delivered_on_request() {
    let mut bed = Bed::new();
    let mut stream = Stream::new(&bed.reader());
    let spec = WatchSpec { range: key("a"), prev_kv: true, ..WatchSpec::default() };
    stream.stream.create(spec.clone()).unwrap();
    stream.watch(key("a"));
    bed.batch(&[put("a", "1"), put("a", "2"), delete(key("a")), put("a", "3")]);
    let previous = |batch: &WatchBatch| -> Vec<Option<String>> {
        batch.events.iter().map(|event| event.prev_kv.as_ref().map(|kv| text(&kv.value))).collect()
    };
    let expected = [None, Some("1".into()), Some("2".into()), None];
    let batches = stream.drain(100);
    assert_eq!(previous(&batches[0]), expected);
    assert_eq!(previous(&batches[1]), [None, None, None, None]);
    let id = stream.stream.create(WatchSpec { start_revision: 2, ..spec.clone() }).unwrap().id;
    let batches = stream.drain(100);
    assert_eq!((batches[0].id, previous(&batches[0])), (id, expected.to_vec()));
    // What is compacted is not there any more; what is newest at the compaction is.
    bed.compact(3);
    while bed.store.maintain(100).unwrap() {}
    let id = stream.stream.create(WatchSpec { start_revision: 3, ..spec }).unwrap().id;
    let batches = stream.drain(100);
    assert_eq!((batches[0].id, previous(&batches[0])), (id, vec![None, Some("2".into()), None]));
}

#[test]
fn a_revision_is_never_split() {
    let mut bed = Bed::with(StoreOptions { watch_queue_events: 3, ..StoreOptions::default() });
    let names: Vec<String> = (0..10).map(|n| format!("k{n}")).collect();
    let ten = || Txn { success: names.iter().map(|name| put_op(name, "")).collect(), ..Txn::default() };
    bed.txn(ten());
    let mut stream = Stream::new(&bed.reader());
    stream.watch(KeyRange::prefix("k"));
    stream.watch_from(KeyRange::prefix("k"), 1);
    for _ in 0..3 {
        bed.txn(ten());
    }
    let mut seen = [Vec::new(), Vec::new()];
    for batch in stream.drain(1) {
        let revisions: Vec<i64> = batch.events.iter().map(|event| event.event.kv().mod_revision).collect();
        assert_eq!(batch.revision, *revisions.last().unwrap());
        for revision in revisions.chunk_by(|a, b| a == b) {
            assert_eq!(revision.len(), 10, "watcher {} got a part of revision {}", batch.id, revision[0]);
            seen[batch.id as usize].push(revision[0]);
        }
    }
    assert_eq!(seen, [vec![3, 4, 5], vec![2, 3, 4, 5]]);
}

#[test]
fn progress_is_told_only_when_every_watcher_has_everything() {
    let mut bed = Bed::new();
    bed.put("a", "1");
    let mut stream = Stream::new(&bed.reader());
    assert_eq!(stream.stream.progress(), None, "a stream without watchers");
    let first = stream.watch(key("a"));
    assert_eq!(stream.stream.progress(), Some(2));
    bed.put("other", "1");
    assert_eq!(stream.stream.progress(), Some(3));
    bed.put("a", "2");
    assert_eq!(stream.stream.progress(), None, "an event is waiting");
    let behind = stream.watch_from(key("a"), 1);
    assert_eq!(stream.stream.progress_of(behind), None);
    stream.drain(100);
    assert_eq!((stream.stream.progress(), stream.stream.progress_of(first)), (Some(4), Some(4)));
    let future = stream.watch_from(key("a"), 9);
    assert_eq!((stream.stream.progress(), stream.stream.progress_of(first)), (None, Some(4)));
    assert_eq!((stream.stream.progress_of(future), stream.stream.progress_of(99)), (None, None));
}

#[test]
fn a_watcher_that_comes_while_nobody_watched_misses_nothing() {
    let mut bed = Bed::new();
    let reader = bed.reader();
    // The batch begins before anybody watches, so it keeps no changes; the watcher comes before the next one does.
    bed.put("a", "1");
    let mut stream = Stream::new(&reader);
    let id = stream.watch(key("a"));
    bed.put("a", "2");
    assert_eq!(stream.events(id), ["+a=2@3"]);
    drop(stream);
    bed.put("a", "3");
    let mut stream = Stream::new(&reader);
    let id = stream.watch_from(key("a"), 4);
    bed.put("a", "4");
    assert_eq!(stream.events(id), ["+a=3@4", "+a=4@5"]);
}

#[test]
fn many_revisions_and_many_watchers_are_brought_up_in_rounds() {
    let mut bed = Bed::new();
    let puts: Vec<_> = (0..2500).map(|n| put(["a", "b"][n % 2], &n.to_string())).collect();
    bed.batch(&puts);
    let mut stream = Stream::new(&bed.reader());
    for _ in 0..300 {
        stream.watch_from(key("a"), 1);
    }
    let mut counts = [0; 300];
    for batch in stream.drain(10_000) {
        counts[batch.id as usize] += batch.events.len();
    }
    assert_eq!(counts, [1250; 300]);
    assert_eq!(stream.stream.progress(), Some(2501));
}

#[test]
fn queued_bytes_are_bounded() {
    let mut bed = Bed::with(StoreOptions { watch_queue_bytes: 1000, ..StoreOptions::default() });
    let mut stream = Stream::new(&bed.reader());
    let id = stream.watch(key("a"));
    for _ in 0..20 {
        bed.put("a", &"x".repeat(300));
    }
    let queued = stream.stream.poll(usize::MAX).unwrap();
    assert_eq!(
        queued.iter().map(|batch| batch.events.len()).sum::<usize>(),
        20,
        "the rest is read back at once"
    );
    assert_eq!(queued[0].id, id);
    assert!(queued.iter().flat_map(|batch| &batch.events).all(|event| event.event.kv().key == bytes("a")));
}
