//! HashKV: `etcd-v3` 1.10.

use floe_mvcc::{Command, KeyRange, ReadError, Txn};

use crate::common::{Bed, delete, leased, put, put_op};

/// The same commands on two stores, one swept, one not.
fn twins() -> [Bed; 2] {
    let mut beds = [Bed::new(), Bed::new()];
    for bed in &mut beds {
        bed.done(Command::LeaseGrant { id: 11, ttl: 60 });
        for n in 0..30 {
            bed.put(&format!("k{}", n % 4), &n.to_string());
        }
        bed.done(leased("leased", "v", 11));
        bed.delete("k1");
        bed.put("k2", "last");
    }
    beds
}

#[test]
fn a_sweep_does_not_change_the_hash() {
    let [mut swept, mut lazy] = twins();
    assert_eq!(swept.reader().hash_kv(0).unwrap(), lazy.reader().hash_kv(0).unwrap());
    for revision in [10, 20, 33] {
        swept.compact(revision);
        lazy.compact(revision);
        while swept.store.maintain(5).unwrap() {}
        for at in [0, revision, revision + 1, swept.reader().revision()] {
            let hash = swept.reader().hash_kv(at).unwrap();
            assert_eq!(hash, lazy.reader().hash_kv(at).unwrap(), "at {at} after a compaction at {revision}");
            assert_eq!(hash.compact_revision, revision);
        }
    }
}

#[test]
fn any_difference_changes_the_hash() {
    let mut base = Bed::new();
    base.put("a", "1");
    let hash = base.reader().hash_kv(0).unwrap().hash;
    let others = [put("a", "2"), put("b", "1"), leased("a", "1", 3)];
    for other in others {
        let mut bed = Bed::new();
        bed.done(Command::LeaseGrant { id: 3, ttl: 9 });
        bed.done(other);
        assert_ne!(bed.reader().hash_kv(0).unwrap().hash, hash);
    }
}

#[test]
fn the_hash_of_an_old_revision_stays() {
    let mut bed = Bed::new();
    bed.put("a", "1");
    let hash = bed.reader().hash_kv(0).unwrap();
    bed.put("a", "2");
    bed.delete("a");
    assert_eq!(bed.reader().hash_kv(2).unwrap(), hash);
    assert_eq!(bed.reader().hash_kv(0).unwrap().hash_revision, 4);
}

#[test]
fn compacted_and_future_revisions_are_refused() {
    let mut bed = Bed::new();
    for n in 0..4 {
        bed.put("a", &n.to_string());
    }
    bed.compact(3);
    assert!(matches!(bed.reader().hash_kv(2), Err(ReadError::Compacted { compact_revision: 3 })));
    assert!(matches!(bed.reader().hash_kv(6), Err(ReadError::FutureRevision)));
    assert!(bed.reader().hash_kv(3).is_ok());
}

#[test]
fn a_store_whose_keys_are_all_gone_still_hashes_alike() {
    let [mut swept, mut lazy] = twins();
    for bed in [&mut swept, &mut lazy] {
        bed.done(delete(KeyRange::all()));
        bed.compact(12);
    }
    while swept.store.maintain(5).unwrap() {}
    assert_eq!(swept.reader().hash_kv(0).unwrap(), lazy.reader().hash_kv(0).unwrap());
}

/// The same commands were given to an etcd 3.7.3, whose `etcdctl endpoint hashkv` printed these numbers.
#[test]
fn the_hash_is_etcds() {
    let mut bed = Bed::new();
    let hash = |bed: &Bed, revision| {
        let hash = bed.reader().hash_kv(revision).unwrap();
        (hash.hash, hash.compact_revision, hash.hash_revision)
    };
    assert_eq!(hash(&bed, 0), (1_084_519_789, -1, 1));
    bed.put("a", "1");
    bed.put("b", "2");
    bed.put("a", "3");
    assert_eq!(hash(&bed, 0), (2_069_675_932, -1, 4));
    assert_eq!(hash(&bed, 3), (1_827_592_406, -1, 3));
    let id = 4_223_428_658_458_867_974;
    bed.done(Command::LeaseGrant { id, ttl: 600 });
    bed.done(leased("c", "leased", id));
    bed.put("empty", "");
    bed.delete("b");
    bed.txn(Txn { success: vec![put_op("t1", "x"), put_op("t2", "y")], ..Txn::default() });
    assert_eq!(hash(&bed, 0), (4_287_760_352, -1, 8));
    assert_eq!(hash(&bed, 7), (2_332_991_361, -1, 7));
    bed.compact(7);
    assert_eq!(hash(&bed, 0), (1_279_190_691, 7, 8));
    bed.put("a", "9");
    assert_eq!(hash(&bed, 0), (283_957_734, 7, 9));
    bed.done(delete(KeyRange::all()));
    assert_eq!(hash(&bed, 0), (1_016_323_911, 7, 10));
    bed.compact(9);
    assert_eq!(hash(&bed, 0), (2_729_096_875, 9, 10));
    while bed.store.maintain(10).unwrap() {}
    assert_eq!(hash(&bed, 0), (2_729_096_875, 9, 10));
}
