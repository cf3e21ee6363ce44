//! Ranges, line by line: `etcd-v3` 1.3 and 1.4.

use bytes::Bytes;
use floe_mvcc::{Command, KeyRange, Range, ReadError, SortOrder, SortTarget};

use crate::common::{Bed, at, bytes, key, keys, leased, range};

fn abc() -> Bed {
    let mut bed = Bed::new();
    for (key, value) in [("a", "3"), ("b", "2"), ("c", "1"), ("b", "2"), ("c", "1"), ("c", "1")] {
        bed.put(key, value);
    }
    bed
}

#[test]
fn a_range_at_an_old_revision_carries_the_present_one() {
    let bed = abc();
    let reply = bed.reader().range(&at("a", 2)).unwrap();
    assert_eq!(reply.revision, 7);
}

#[test]
fn one_key_a_half_open_interval_everything_from_a_key_and_a_prefix() {
    let mut bed = abc();
    bed.put("bb", "");
    let reader = bed.reader();
    let found = |range_| keys(&reader.range(&range(range_)).unwrap());
    assert_eq!(found(key("b")), ["b"]);
    assert_eq!(found(KeyRange::between("a", "c")), ["a", "b", "bb"]);
    assert_eq!(found(KeyRange::between("b", "\0")), ["b", "bb", "c"]);
    assert_eq!(found(KeyRange::prefix("b")), ["b", "bb"]);
    assert_eq!(found(KeyRange::all()), ["a", "b", "bb", "c"]);
    assert!(found(KeyRange::between("c", "a")).is_empty());
    assert!(found(KeyRange::between("b", "b")).is_empty());
}

#[test]
fn zero_and_negative_revisions_mean_the_latest() {
    let bed = abc();
    for revision in [0, -1, i64::MIN] {
        assert_eq!(bed.reader().range(&at("c", revision)).unwrap().kvs[0].version, 3);
    }
}

#[test]
fn a_future_revision_is_refused_before_a_compacted_one() {
    let mut bed = abc();
    bed.compact(5);
    assert!(matches!(bed.reader().range(&at("a", 8)), Err(ReadError::FutureRevision)));
    assert!(matches!(bed.reader().range(&at("a", 4)), Err(ReadError::Compacted { compact_revision: 5 })));
}

#[test]
fn reading_exactly_at_the_compaction_is_allowed() {
    let mut bed = abc();
    bed.compact(5);
    while bed.store.maintain(100).unwrap() {}
    let reply = bed.reader().range(&Range { revision: 5, ..range(KeyRange::all()) }).unwrap();
    let versions: Vec<i64> = reply.kvs.iter().map(|kv| kv.version).collect();
    assert_eq!(versions, [1, 2, 1]);
}

#[test]
fn versions_and_creation_revisions_start_again_after_a_deletion() {
    let mut bed = abc();
    bed.delete("c");
    assert!(bed.reader().range(&range(key("c"))).unwrap().kvs.is_empty());
    bed.put("c", "new");
    let kv = bed.reader().range(&range(key("c"))).unwrap().kvs.remove(0);
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (9, 9, 1));
    let old = bed.reader().range(&at("c", 7)).unwrap().kvs.remove(0);
    assert_eq!((old.create_revision, old.mod_revision, old.version), (4, 7, 3));
}

#[test]
fn the_limit_says_more_and_leaves_the_count_alone() {
    let bed = abc();
    let reply = bed.reader().range(&Range { limit: 2, ..range(KeyRange::all()) }).unwrap();
    assert_eq!((keys(&reply), reply.more, reply.count), (vec!["a".into(), "b".into()], true, 3));
    let reply = bed.reader().range(&Range { limit: 3, ..range(KeyRange::all()) }).unwrap();
    assert_eq!((reply.kvs.len(), reply.more, reply.count), (3, false, 3));
}

#[test]
fn count_only_has_neither_pairs_nor_more() {
    let bed = abc();
    let reply = bed.reader().range(&Range { count_only: true, limit: 1, ..range(KeyRange::all()) }).unwrap();
    assert_eq!((reply.kvs.len(), reply.more, reply.count), (0, false, 3));
}

#[test]
fn filters_come_before_the_limit_and_leave_the_count_alone() {
    let bed = abc();
    let request = Range { limit: 1, min_mod_revision: 5, ..range(KeyRange::all()) };
    let reply = bed.reader().range(&request).unwrap();
    assert_eq!((keys(&reply), reply.more, reply.count), (vec!["b".into()], true, 3));
    let request = Range { max_mod_revision: 5, min_create_revision: 3, ..range(KeyRange::all()) };
    assert_eq!(keys(&bed.reader().range(&request).unwrap()), ["b"]);
    let request = Range { max_create_revision: 2, ..range(KeyRange::all()) };
    assert_eq!(keys(&bed.reader().range(&request).unwrap()), ["a"]);
}

#[test]
fn a_sort_comes_before_the_limit() {
    let bed = abc();
    let request = Range { limit: 1, order: SortOrder::Descend, ..range(KeyRange::all()) };
    let reply = bed.reader().range(&request).unwrap();
    assert_eq!((keys(&reply), reply.more), (vec!["c".into()], true));
    let request =
        Range { limit: 1, order: SortOrder::Ascend, target: SortTarget::Value, ..range(KeyRange::all()) };
    assert_eq!(keys(&bed.reader().range(&request).unwrap()), ["c"]);
}

#[test]
fn a_target_without_an_order_takes_the_first_keys_and_sorts_those() {
    let bed = abc();
    let request = Range { limit: 1, target: SortTarget::Value, ..range(KeyRange::all()) };
    let reply = bed.reader().range(&request).unwrap();
    // Of all keys "c" has the lowest value; of the first two, which are all that etcd looks at, "b" has.
    assert_eq!((keys(&reply), reply.more), (vec!["b".into()], true));
}

#[test]
fn ties_stay_in_key_order_whichever_way_the_sort_goes() {
    let mut bed = Bed::new();
    for key in ["d", "a", "c", "b"] {
        bed.put(key, "same");
    }
    for order in [SortOrder::Ascend, SortOrder::Descend] {
        for target in [SortTarget::Version, SortTarget::Value] {
            let request = Range { order, target, ..range(KeyRange::all()) };
            assert_eq!(keys(&bed.reader().range(&request).unwrap()), ["a", "b", "c", "d"]);
        }
    }
}

#[test]
fn keys_only_drops_values_and_leases_unless_values_order_the_answer() {
    let mut bed = Bed::new();
    bed.done(Command::LeaseGrant { id: 7, ttl: 10 });
    bed.done(leased("a", "2", 7));
    bed.done(leased("b", "1", 7));
    let plain = bed.reader().range(&Range { keys_only: true, ..range(KeyRange::all()) }).unwrap();
    assert!(plain.kvs.iter().all(|kv| kv.value.is_empty() && kv.lease == 0 && kv.version == 1));
    let request = Range { keys_only: true, target: SortTarget::Value, ..range(KeyRange::all()) };
    let sorted = bed.reader().range(&request).unwrap();
    assert_eq!(keys(&sorted), ["b", "a"]);
    assert!(sorted.kvs.iter().all(|kv| kv.value.is_empty() && kv.lease == 7));
}

#[test]
fn keys_only_at_an_old_revision_knows_the_versions_of_then() {
    let bed = abc();
    let request = Range { keys_only: true, ..at("c", 6) };
    let kv = bed.reader().range(&request).unwrap().kvs.remove(0);
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version, kv.value), (4, 6, 2, Bytes::new()));
}

#[test]
fn a_range_over_many_looks_is_whole() {
    let mut bed = Bed::new();
    let names: Vec<String> = (0..10_000).map(|n| format!("k{n:05}")).collect();
    let puts: Vec<Command> = names.iter().map(|name| crate::common::put(name, name)).collect();
    bed.batch(&puts);
    let reply = bed.all();
    assert_eq!((keys(&reply), reply.count), (names, 10_000));
    let request = Range { limit: 5000, ..range(KeyRange::between("k00500", "k09500")) };
    let reply = bed.reader().range(&request).unwrap();
    assert_eq!((reply.kvs.len(), reply.count, reply.more), (5000, 9000, true));
    assert_eq!(reply.kvs[4999].key, bytes("k05499"));
}
