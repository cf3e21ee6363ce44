//! HashKV: `etcd-v3` 1.10.

use floe_mvcc::{Command, ReadError};

use crate::common::{Bed, leased, put};

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
        bed.done(crate::common::delete(floe_mvcc::KeyRange::all()));
        bed.compact(12);
    }
    while swept.store.maintain(5).unwrap() {}
    assert_eq!(swept.reader().hash_kv(0).unwrap(), lazy.reader().hash_kv(0).unwrap());
}
