//! Readers and watchers on their own threads while the writer applies, compacts, sweeps and checkpoints.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use floe_mvcc::{
    Command, Compare, CompareOperand, CompareResult, Event, KeyRange, Range, ReadError, Reader, Txn, TxnOp,
    WatchSpec,
};

use crate::common::{Bed, bytes, put_op, range, text};

const KEYS: usize = 5000;

/// Every key with the same value, in one transaction, so that a reader that sees two values saw half of it.
fn round(n: usize) -> Command {
    let ops = (0..KEYS).step_by(50).map(|key| put_op(&format!("k{key:05}"), &n.to_string())).collect();
    Command::Txn(Txn { success: ops, ..Txn::default() })
}

fn check_range(reader: &Reader, revision: i64) -> Option<i64> {
    let reply = match reader.range(&Range { revision, ..range(KeyRange::prefix("k")) }) {
        Ok(reply) => reply,
        Err(ReadError::Compacted { .. }) => return None,
        Err(error) => panic!("{error:?}"),
    };
    assert_eq!((reply.count, reply.kvs.len()), (KEYS as i64, KEYS), "a key is missing at {revision}");
    let changed: Vec<_> = reply.kvs.iter().step_by(50).map(|kv| kv.value.clone()).collect();
    assert!(changed.iter().all(|value| value == &changed[0]), "half a transaction was seen at {revision}");
    Some(reply.revision)
}

#[test]
fn readers_see_whole_revisions_whatever_the_writer_does() {
    let mut bed = Bed::new();
    let first: Vec<Command> = (0..KEYS).map(|key| crate::common::put(&format!("k{key:05}"), "0")).collect();
    bed.batch(&first);
    let whole_from = bed.done(round(0)).revision;
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|nth| {
            let (reader, done) = (bed.reader(), Arc::clone(&done));
            thread::spawn(move || {
                let (mut whole, mut last) = (0_usize, 0);
                while !done.load(Ordering::Acquire) {
                    let revision =
                        if nth == 0 { 0 } else { reader.compact_revision().max(last - 3).max(whole_from) };
                    if let Some(revision) = check_range(&reader, revision) {
                        assert!(revision >= last, "the revision went back");
                        last = revision;
                        whole += 1;
                    }
                }
                whole
            })
        })
        .collect();
    let watcher = {
        let (reader, done) = (bed.reader(), Arc::clone(&done));
        let mut stream = reader.watch_stream(Arc::new(|| {}));
        let first =
            stream.create(WatchSpec { range: KeyRange::prefix("k"), prev_kv: true, ..WatchSpec::default() });
        let first = first.unwrap().revision + 1;
        thread::spawn(move || {
            let mut next = first;
            loop {
                let last_look = done.load(Ordering::Acquire);
                let batches = stream.poll(1000).unwrap();
                let idle = batches.is_empty();
                for batch in batches {
                    assert_eq!(batch.compacted, None);
                    for events in batch.events.chunk_by(|a, b| revision(&a.event) == revision(&b.event)) {
                        assert_eq!((revision(&events[0].event), events.len()), (next, KEYS / 50));
                        next += 1;
                    }
                }
                if last_look && idle && stream.progress().is_some() {
                    return next;
                }
            }
        })
    };
    write_rounds(&mut bed);
    done.store(true, Ordering::Release);
    for reader in readers {
        assert!(reader.join().unwrap() > 0);
    }
    assert_eq!(watcher.join().unwrap(), bed.reader().revision() + 1);
}

/// Changes keys in 119 rounds, with compactions, checkpoints and upkeep in between.
fn write_rounds(bed: &mut Bed) {
    for n in 1..120 {
        bed.done(round(n));
        if n % 10 == 0 {
            let revision = bed.reader().revision() - 5;
            bed.compact(revision);
        }
        match n % 7 {
            0 => {
                bed.store.checkpoint().unwrap();
            }
            1 => {
                bed.store.maintain(2000).unwrap();
            }
            _ => {}
        }
    }
}

fn revision(event: &Event) -> i64 {
    event.kv().mod_revision
}

#[test]
fn read_only_transactions_are_at_one_revision() {
    let mut bed = Bed::new();
    let both = |n: usize| {
        Command::Txn(Txn {
            success: vec![put_op("x", &n.to_string()), put_op("y", &n.to_string())],
            ..Txn::default()
        })
    };
    bed.done(both(0));
    let done = Arc::new(AtomicBool::new(false));
    let (reader, stop) = (bed.reader(), Arc::clone(&done));
    let checker = thread::spawn(move || {
        let mut checked = 0;
        while !stop.load(Ordering::Acquire) || checked == 0 {
            let read = |key: &str| TxnOp::Range(range(KeyRange::key(bytes(key))));
            let exists = Compare {
                range: KeyRange::key(bytes("x")),
                result: CompareResult::Greater,
                operand: CompareOperand::Version(0),
            };
            let txn = Txn { compare: vec![exists], success: vec![read("x"), read("y")], failure: Vec::new() };
            let reply = reader.read_txn(&txn).unwrap();
            let values: Vec<String> = reply
                .responses
                .iter()
                .map(|response| match response {
                    floe_mvcc::TxnOpReply::Range(reply) => text(&reply.kvs[0].value),
                    other => panic!("{other:?}"),
                })
                .collect();
            assert!(reply.succeeded && values[0] == values[1], "{values:?}");
            checked += 1;
        }
    });
    for n in 1..2000 {
        bed.done(both(n));
        if n % 100 == 0 {
            bed.compact(bed.reader().revision());
        }
    }
    done.store(true, Ordering::Release);
    checker.join().unwrap();
}
