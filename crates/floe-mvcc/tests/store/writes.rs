//! Puts, deletions, compactions and alarms, line by line: `etcd-v3` 1.3, 1.5, 1.7 and 1.10.

use floe_mvcc::{ApplyError, Command, DeleteRange, KeyRange, Outcome, Put, Range, Txn, TxnOp};

use crate::common::{Bed, at, bytes, delete, key, leased, put, put_op, range, text};

#[test]
fn the_first_write_is_revision_2() {
    let mut bed = Bed::new();
    assert_eq!(bed.put("a", "1"), 2);
}

#[test]
fn a_put_takes_a_revision_even_if_the_value_stays() {
    let mut bed = Bed::new();
    bed.put("a", "1");
    assert_eq!(bed.put("a", "1"), 3);
}

#[test]
fn a_deletion_of_nothing_takes_no_revision() {
    let mut bed = Bed::new();
    bed.put("a", "1");
    assert_eq!(bed.delete("b"), 2);
    assert_eq!(bed.delete("a"), 3);
    assert_eq!(bed.delete("a"), 3);
}

#[test]
fn a_range_is_deleted_at_one_revision() {
    let mut bed = Bed::new();
    for key in ["a", "b", "c"] {
        bed.put(key, key);
    }
    let reply =
        bed.done(Command::DeleteRange(DeleteRange { range: KeyRange::between("a", "c"), prev_kv: true }));
    let Ok(Outcome::DeleteRange { deleted, prev_kvs }) = reply.outcome else { panic!("{reply:?}") };
    assert_eq!((reply.revision, deleted), (5, 2));
    assert_eq!(prev_kvs.iter().map(|kv| text(&kv.value)).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn a_put_answers_with_the_pair_before_if_asked() {
    let mut bed = Bed::new();
    let prev = |bed: &mut Bed| {
        let put = Put { key: bytes("a"), value: bytes("new"), prev_kv: true, ..Put::default() };
        match bed.done(Command::Put(put)).outcome {
            Ok(Outcome::Put { prev_kv }) => prev_kv,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(prev(&mut bed), None);
    let kv = prev(&mut bed).unwrap();
    assert_eq!((text(&kv.value).as_str(), kv.version, kv.mod_revision), ("new", 1, 2));
    bed.delete("a");
    assert_eq!(prev(&mut bed), None);
}

#[test]
fn ignore_value_and_ignore_lease_keep_what_is_there_and_need_a_key() {
    let mut bed = Bed::new();
    bed.done(Command::LeaseGrant { id: 4, ttl: 10 });
    let keep = Put { key: bytes("a"), ignore_value: true, ignore_lease: true, ..Put::default() };
    assert_eq!(bed.refused(Command::Put(keep.clone())), ApplyError::KeyNotFound);
    bed.done(leased("a", "v", 4));
    bed.done(Command::Put(keep));
    let kv = bed.all().kvs.remove(0);
    assert_eq!((text(&kv.value).as_str(), kv.lease, kv.version), ("v", 4, 2));
    bed.done(Command::Put(Put { key: bytes("a"), ignore_value: true, ..Put::default() }));
    assert_eq!(bed.all().kvs[0].lease, 0);
    assert!(bed.reader().lease(4).unwrap().keys.is_empty());
}

#[test]
fn an_unknown_lease_is_found_before_a_missing_key() {
    let mut bed = Bed::new();
    let both = Put { key: bytes("a"), lease: 99, ignore_value: true, ..Put::default() };
    assert_eq!(bed.refused(Command::Put(both)), ApplyError::LeaseNotFound);
}

#[test]
fn commands_of_one_batch_see_each_other() {
    let mut bed = Bed::new();
    let replies = bed.batch(&[put("a", "1"), put("a", "2"), delete(key("a")), put("a", "3")]);
    assert_eq!(replies.iter().map(|reply| reply.revision).collect::<Vec<_>>(), [2, 3, 4, 5]);
    let kv = bed.all().kvs.remove(0);
    assert_eq!((kv.version, kv.create_revision), (1, 5));
    let values = |revision| {
        let reply = bed.reader().range(&at("a", revision)).unwrap();
        reply.kvs.first().map(|kv| text(&kv.value))
    };
    assert_eq!([values(2), values(3), values(4)], [Some("1".into()), Some("2".into()), None]);
}

#[test]
fn a_compaction_is_refused_at_or_below_the_last_and_above_the_present() {
    let mut bed = Bed::new();
    for n in 0..5 {
        bed.put("a", &n.to_string());
    }
    let reply = bed.done(Command::Compact { revision: 4 });
    assert_eq!(reply.revision, 6);
    for revision in [-1, 0, 3, 4] {
        let refused = bed.refused(Command::Compact { revision });
        assert_eq!(refused, ApplyError::Compacted { compact_revision: 4 });
    }
    assert_eq!(bed.refused(Command::Compact { revision: 7 }), ApplyError::FutureRevision);
    bed.compact(6);
}

#[test]
fn the_sweep_leaves_what_can_be_read_and_frees_the_rest() {
    let mut bed = Bed::new();
    for n in 0..300 {
        bed.put(&format!("k{}", n % 3), &"x".repeat(100));
    }
    bed.delete("k0");
    let full = bed.reader().size().in_use;
    bed.compact(bed.reader().revision());
    assert!(bed.reader().is_sweeping());
    while bed.store.maintain(7).unwrap() {}
    assert!(!bed.reader().is_sweeping());
    assert!(bed.reader().size().in_use < full / 50, "{:?}", bed.reader().size());
    assert_eq!(bed.all().count, 2);
    assert_eq!(bed.reader().keys(), 3, "the deletion exactly at the compaction stays");
    bed.put("other", "");
    bed.compact(bed.reader().revision());
    while bed.store.maintain(7).unwrap() {}
    assert_eq!(bed.reader().keys(), 3, "and goes with the next");
}

#[test]
fn batches_alone_finish_a_sweep() {
    let mut bed = Bed::new();
    for n in 0..300 {
        bed.put("a", &n.to_string());
    }
    bed.compact(200);
    let batches = (0..100).take_while(|_| {
        bed.put("b", "");
        bed.reader().is_sweeping()
    });
    assert!(batches.count() < 20);
}

#[test]
fn a_compaction_during_a_sweep_takes_over() {
    let mut bed = Bed::new();
    for n in 0..40 {
        bed.put(["a", "b"][n % 2], &n.to_string());
    }
    bed.delete("a");
    bed.compact(20);
    bed.store.maintain(3).unwrap();
    bed.compact(42);
    while bed.store.maintain(3).unwrap() {}
    let reply = bed.reader().range(&Range { revision: 42, ..range(KeyRange::all()) }).unwrap();
    assert_eq!(reply.kvs.iter().map(|kv| text(&kv.value)).collect::<Vec<_>>(), ["39"]);
    assert_eq!(bed.reader().keys(), 2);
}

#[test]
fn no_space_refuses_what_grows_and_lets_through_what_helps() {
    let mut bed = Bed::new();
    bed.done(Command::LeaseGrant { id: 1, ttl: 10 });
    bed.put("a", "1");
    bed.put("b", "1");
    bed.done(Command::Alarm { member: 2, alarm: 1, raise: true });
    let nested = Txn { failure: vec![put_op("a", "2")], ..Txn::default() };
    let growing = Txn { success: vec![TxnOp::Txn(nested)], ..Txn::default() };
    for command in [put("a", "2"), Command::LeaseGrant { id: 2, ttl: 10 }, Command::Txn(growing)] {
        assert_eq!(bed.refused(command), ApplyError::NoSpace);
    }
    bed.delete("b");
    bed.txn(Txn {
        success: vec![TxnOp::DeleteRange(DeleteRange { range: key("a"), prev_kv: false })],
        ..Txn::default()
    });
    bed.compact(3);
    bed.done(Command::LeaseRevoke { id: 1 });
    assert_eq!(bed.reader().alarms(), [(2, 1)]);
    bed.done(Command::Alarm { member: 2, alarm: 1, raise: false });
    bed.put("a", "2");
}

#[test]
fn corrupt_refuses_every_write_and_no_read() {
    let mut bed = Bed::new();
    bed.put("a", "1");
    bed.done(Command::Alarm { member: 1, alarm: 2, raise: true });
    let commands = [
        put("a", "2"),
        delete(key("a")),
        Command::Txn(Txn::default()),
        Command::Compact { revision: 2 },
        Command::LeaseGrant { id: 1, ttl: 1 },
        Command::LeaseRevoke { id: 1 },
    ];
    for command in commands {
        assert_eq!(bed.refused(command), ApplyError::Corrupt);
    }
    assert_eq!(bed.value("a").unwrap(), "1");
    bed.done(Command::Alarm { member: 1, alarm: 2, raise: false });
    bed.put("a", "2");
}

#[test]
fn sizes_follow_what_is_stored() {
    let mut bed = Bed::new();
    let before = bed.reader().size();
    bed.put("a", &"x".repeat(1 << 20));
    let after = bed.reader().size();
    assert!(after.in_use > before.in_use + (1 << 20) && after.in_use < before.in_use + (1 << 20) + 100);
    bed.store.checkpoint().unwrap();
    assert!(bed.reader().size().total > 1 << 20);
    let Bed { dir, store, .. } = bed;
    drop(store);
    let store = floe_mvcc::Store::open(&dir.path().join("kv"), floe_mvcc::StoreOptions::default()).unwrap();
    assert_eq!(store.reader().size().in_use, after.in_use);
}
