//! One store becomes what another one was.

use bytes::Bytes;
use floe_mvcc::{Applied, Command, KeyRange, MemberInfo, StorageError, Store, StoreOptions};

use crate::common::{Bed, at, key, leased, put};
use crate::sessions::{NOW_MS, named};
use crate::watch::Stream;

fn stream_of(bed: &Bed) -> Vec<u8> {
    let mut bytes = Vec::new();
    bed.store.snapshot().unwrap().write_to(&mut bytes).unwrap();
    bytes
}

/// A store with something in every table.
fn full() -> Bed {
    let mut bed = Bed::new();
    bed.done(Command::PublishMember(MemberInfo { id: 9, name: "nine".into(), client_urls: vec![] }));
    bed.done(Command::Alarm { member: 9, alarm: 1, raise: true });
    bed.done(Command::Alarm { member: 9, alarm: 1, raise: false });
    bed.done(Command::Alarm { member: 7, alarm: 9, raise: true });
    bed.done(Command::LeaseGrant { id: 5, ttl: 60 });
    bed.done(leased("leased", "v", 5));
    for sequence in 1..4 {
        bed.send(named(sequence), NOW_MS, &put("named", "once"));
    }
    for number in 0..500 {
        bed.put(&format!("key{}", number % 50), &number.to_string());
    }
    bed.delete("key7");
    bed
}

#[test]
fn everything_arrives_and_is_there_after_a_crash() {
    let mut from = full();
    let revision = from.reader().revision();
    from.compact(revision - 100);
    let mut to = Bed::new();
    to.put("leftover", "of another past");
    let applied = to.store.restore(&mut &stream_of(&from)[..]).unwrap();
    assert_eq!(applied, from.store.applied());
    assert_eq!((to.store.applied(), to.store.durable()), (applied, applied));
    let same = |one: &floe_mvcc::Reader, other: &floe_mvcc::Reader| {
        for hash_revision in [0, revision - 50] {
            assert_eq!(one.hash_kv(hash_revision).unwrap(), other.hash_kv(hash_revision).unwrap());
        }
        assert_eq!((one.members(), one.alarms()), (other.members(), other.alarms()));
        assert_eq!((one.leases(), one.lease(5)), (other.leases(), other.lease(5)));
        assert_eq!(one.compact_revision(), other.compact_revision());
        assert_eq!((one.sessions(), one.session_time_ms()), (1, NOW_MS));
        assert_eq!(one.session_hash(), other.session_hash());
        assert_eq!(one.keys(), other.keys());
        assert_eq!(one.size().in_use, other.size().in_use);
    };
    same(&to.reader(), &from.reader());
    // No checkpoint was made since: what is on the disk is what a crash would leave.
    let copy = to.dir.path().join("copy");
    std::fs::copy(to.path(), &copy).unwrap();
    same(&Store::open(&copy, StoreOptions::default()).unwrap().reader(), &from.reader());
    // Both go on alike.
    (from.index, to.index) = (applied.index, applied.index);
    for bed in [&mut from, &mut to] {
        bed.put("key8", "later");
        bed.done(Command::LeaseRevoke { id: 5 });
    }
    same(&to.reader(), &from.reader());
}

#[test]
fn a_snapshot_is_of_its_moment_however_late_it_is_written() {
    let mut from = full();
    let (before, value) = (from.store.applied(), from.value("key8"));
    let snapshot = from.store.snapshot().unwrap();
    for number in 0..100 {
        from.put("key8", &format!("later {number}"));
    }
    from.store.checkpoint().unwrap();
    let mut bytes = Vec::new();
    snapshot.write_to(&mut bytes).unwrap();
    assert_eq!(snapshot.applied(), before);
    let mut to = Bed::new();
    assert_eq!(to.store.restore(&mut &bytes[..]).unwrap(), before);
    assert_eq!(to.value("key8"), value);
}

#[test]
fn watchers_miss_nothing_when_their_store_is_replaced() {
    let mut from = Bed::new();
    from.put("a", "1");
    let mut to = Bed::new();
    to.put("a", "1");
    let mut stream = Stream::new(&to.reader());
    let (now, past, future) =
        (stream.watch(key("a")), stream.watch_from(KeyRange::all(), 1), stream.watch_from(key("a"), 5));
    assert_eq!(stream.events(past), ["+a=1@2"]);
    from.put("b", "2");
    from.put("a", "3");
    from.put("a", "4");
    to.store.restore(&mut &stream_of(&from)[..]).unwrap();
    to.index = from.index;
    let batches = stream.drain(100);
    let revisions = |id: i64| -> Vec<i64> {
        let own = batches.iter().filter(|batch| batch.id == id);
        own.flat_map(|batch| &batch.events).map(|event| event.event.kv().mod_revision).collect()
    };
    assert_eq!((revisions(now), revisions(past), revisions(future)), (vec![4, 5], vec![3, 4, 5], vec![5]));
    to.put("a", "5");
    assert_eq!(stream.events(now), ["+a=5@6"], "and they go on");
}

#[test]
fn a_watcher_of_what_the_snapshot_has_compacted_is_told_so() {
    let mut from = Bed::new();
    let mut to = Bed::new();
    let mut stream = Stream::new(&to.reader());
    let (late, future) = (stream.watch(key("a")), stream.watch_from(key("a"), 5));
    for value in ["1", "2", "3"] {
        from.put("a", value);
    }
    from.compact(4);
    from.put("a", "4");
    to.store.restore(&mut &stream_of(&from)[..]).unwrap();
    let batches = stream.drain(100);
    let of = |id: i64| batches.iter().find(|batch| batch.id == id).unwrap();
    assert_eq!(of(late).compacted, Some(4));
    assert_eq!((of(future).compacted, of(future).events.len()), (None, 1));
    assert!(to.reader().range(&at("a", 3)).is_err());
}

#[test]
fn whoever_reads_while_the_store_is_replaced_gets_one_state_or_the_other() {
    let mut from = Bed::new();
    let batch: Vec<Command> = (0..5000).map(|number| put(&format!("{number:05}"), "new")).collect();
    from.batch(&batch[..2500]);
    from.batch(&batch[2500..]);
    from.compact(from.reader().revision());
    let bytes = stream_of(&from);
    let mut to = Bed::new();
    let batch: Vec<Command> = (0..4000).map(|number| put(&format!("{number:05}"), "old")).collect();
    to.batch(&batch);
    let reader = to.reader();
    let (started, seen) = std::sync::mpsc::channel();
    let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stop = std::sync::Arc::clone(&done);
    let walker = std::thread::spawn(move || {
        let mut rounds = [0, 0];
        while !stop.load(std::sync::atomic::Ordering::Acquire) || rounds[1] == 0 {
            let reply = reader.range(&crate::common::range(KeyRange::all())).unwrap();
            let new = reply.kvs.iter().filter(|kv| kv.value == "new").count();
            assert!([(4000, 0), (5000, 5000)].contains(&(reply.kvs.len(), new)), "{} {new}", reply.kvs.len());
            rounds[usize::from(new > 0)] += 1;
            started.send(()).unwrap();
        }
        rounds
    });
    seen.recv().unwrap();
    to.store.restore(&mut &bytes[..]).unwrap();
    done.store(true, std::sync::atomic::Ordering::Release);
    let rounds = walker.join().unwrap();
    assert!(rounds.iter().all(|count| *count > 0), "{rounds:?}");
}

#[test]
fn bytes_that_are_cut_or_changed_are_refused_and_the_old_store_is_what_a_crash_leaves() {
    let from = full();
    let bytes = stream_of(&from);
    let mut wrong: Vec<Vec<u8>> = (0..bytes.len()).step_by(997).map(|end| bytes[..end].to_vec()).collect();
    wrong.push([&bytes[..], b"more"].concat());
    wrong.push([b"FLOEKV\0\x02", &bytes[8..]].concat());
    let mut huge = bytes;
    huge[9..13].copy_from_slice(&u32::MAX.to_le_bytes());
    wrong.push(huge);
    for wrong in wrong {
        let mut to = Bed::new();
        to.put("kept", "yes");
        to.store.checkpoint().unwrap();
        assert!(to.store.restore(&mut &wrong[..]).is_err(), "{} bytes", wrong.len());
        let refused = to.store.apply(&[Bytes::new()], Applied { term: 1, index: 99 });
        assert!(matches!(refused, Err(StorageError::Failed)), "memory may be ahead of the file");
        let path = to.path();
        let Bed { dir, store, .. } = to;
        drop(store);
        let store = Store::open(&path, StoreOptions::default()).unwrap();
        let index = store.applied().index;
        assert_eq!(Bed { dir, store, index }.value("kept").unwrap(), "yes");
    }
}
