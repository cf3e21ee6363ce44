//! What is left after a stop, orderly or not.

use std::fs;

use bytes::Bytes;
use floe_mvcc::{Applied, ApplyError, Command, MemberInfo, StorageError, Store, StoreOptions};

use crate::common::{Bed, leased, put};

#[test]
fn a_new_store_contains_nothing_and_is_at_revision_1() {
    let bed = Bed::new();
    assert_eq!(bed.store.applied(), Applied::default());
    assert_eq!(bed.store.durable(), Applied::default());
    assert_eq!((bed.reader().revision(), bed.reader().compact_revision()), (1, -1));
}

#[test]
fn the_applied_position_goes_to_the_file_with_the_data() {
    let mut bed = Bed::new();
    bed.put("a", "1");
    let durable = bed.store.checkpoint().unwrap();
    assert_eq!(durable, Applied { term: 1, index: 1 });
    bed.put("a", "2");
    assert_eq!((bed.store.applied().index, bed.store.durable().index), (2, 1));
    let copy = bed.dir.path().join("copy");
    fs::copy(bed.path(), &copy).unwrap();
    let crashed = Store::open(&copy, StoreOptions::default()).unwrap();
    assert_eq!(crashed.applied(), durable);
    assert_eq!(crashed.reader().revision(), 2);
}

#[test]
fn a_batch_without_commands_moves_the_position_and_needs_no_disk_until_the_checkpoint() {
    let mut bed = Bed::new();
    let last = Applied { term: 3, index: 7 };
    assert!(bed.store.apply(&[], last).unwrap().is_empty());
    assert_eq!((bed.store.applied(), bed.store.durable()), (last, Applied::default()));
    assert_eq!(bed.store.checkpoint().unwrap(), last);
    let path = bed.path();
    let Bed { dir, store, .. } = bed;
    drop(store);
    assert_eq!(Store::open(&path, StoreOptions::default()).unwrap().applied(), last);
    drop(dir);
}

#[test]
fn leases_members_and_alarms_are_there_again() {
    let mut bed = Bed::new();
    let member = MemberInfo {
        id: 9,
        name: "nine".into(),
        client_urls: vec!["http://a:1".into(), "http://b:2".into()],
    };
    bed.done(Command::PublishMember(member.clone()));
    bed.done(Command::PublishMember(MemberInfo { id: 8, name: "gone".into(), client_urls: Vec::new() }));
    bed.done(Command::RetractMember { id: 8 });
    bed.done(Command::RetractMember { id: 7 });
    assert_eq!(bed.store.reader().members(), std::slice::from_ref(&member));
    bed.done(Command::Alarm { member: 9, alarm: 2, raise: true });
    bed.done(Command::Alarm { member: 9, alarm: 2, raise: false });
    bed.done(Command::LeaseGrant { id: 5, ttl: 60 });
    bed.done(Command::LeaseGrant { id: 6, ttl: 60 });
    bed.done(leased("k", "v", 5));
    bed.done(leased("l", "v", 5));
    bed.done(leased("l", "v", 6));
    bed.done(Command::Alarm { member: 9, alarm: 1, raise: true });
    bed.store.checkpoint().unwrap();
    let path = bed.path();
    let Bed { dir, store, .. } = bed;
    drop(store);
    let store = Store::open(&path, StoreOptions::default()).unwrap();
    let reader = store.reader();
    assert_eq!(reader.members(), [member]);
    assert_eq!(reader.alarms(), [(9, 1)]);
    assert_eq!(reader.lease(5).unwrap().keys, [Bytes::from_static(b"k")]);
    assert_eq!(reader.lease(6).unwrap().keys, [Bytes::from_static(b"l")]);
    let mut bed = Bed { dir, index: store.applied().index, store };
    assert_eq!(bed.refused(put("k", "no space")), ApplyError::NoSpace);
}

#[test]
fn a_file_that_is_no_store_is_refused() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("kv");
    fs::write(&path, b"certainly not a database of anything at all").unwrap();
    assert!(matches!(Store::open(&path, StoreOptions::default()), Err(StorageError::Database(_))));
}

#[test]
fn a_file_of_another_layout_is_refused_by_name() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("kv");
    let table = redb::TableDefinition::<&str, &[u8]>::new("meta");
    let db = redb::Database::create(&path).unwrap();
    let txn = db.begin_write().unwrap();
    txn.open_table(table).unwrap().insert("state", &[77, 0, 0, 0, 1, 2, 3][..]).unwrap();
    txn.commit().unwrap();
    drop(db);
    let refused = Store::open(&path, StoreOptions::default());
    assert!(matches!(refused, Err(StorageError::Layout { found: 77, supported: 1 })));
}

#[test]
fn a_store_that_is_open_elsewhere_is_refused() {
    let bed = Bed::new();
    assert!(matches!(Store::open(&bed.path(), StoreOptions::default()), Err(StorageError::Database(_))));
}

#[test]
fn a_reader_that_is_left_over_does_not_keep_the_file_from_being_opened_again() {
    let mut bed = Bed::new();
    bed.put("a", "1");
    let path = bed.path();
    let reader = bed.reader();
    let Bed { dir, store, .. } = bed;
    drop(store);
    let store = Store::open(&path, StoreOptions::default()).unwrap();
    assert_eq!((store.reader().revision(), reader.revision()), (2, 2));
    drop(dir);
}

#[test]
fn bytes_that_are_no_command_change_nothing_and_the_store_goes_on() {
    let mut bed = Bed::new();
    let payloads = [&b""[..], b"\x01", b"\x02\x01", b"\x01\x01\x00\x00\xff\xff\xff\xff\x7f", b"\x01\x63"];
    let mut batch: Vec<Bytes> = payloads.iter().map(|payload| Bytes::from_static(payload)).collect();
    batch.push(put("a", "1").encode());
    let replies = bed.store.apply(&batch, Applied { term: 1, index: batch.len() as u64 }).unwrap();
    for reply in &replies[..payloads.len()] {
        assert_eq!((reply.revision, &reply.outcome), (1, &Err(ApplyError::Malformed)));
    }
    assert_eq!(replies[payloads.len()].revision, 2);
    assert_eq!(bed.value("a").unwrap(), "1");
}

#[test]
fn transactions_nested_without_end_are_refused() {
    let mut payload = vec![1, 3];
    for _ in 0..100_000 {
        // No comparison, one operation on success: a transaction.
        payload.extend([0, 1, 3]);
    }
    assert!(Command::decode(&Bytes::from(payload)).is_err());
}

#[test]
fn a_checkpoint_with_nothing_new_leaves_the_file_alone() {
    let mut bed = Bed::new();
    bed.put("a", "1");
    bed.store.checkpoint().unwrap();
    let before = fs::read(bed.path()).unwrap();
    bed.store.checkpoint().unwrap();
    assert!(before == fs::read(bed.path()).unwrap());
}

/// A process that dies at its first start leaves no file, or a whole one. (One that was half made was neither opened nor
/// made again, so the member never started.)
#[test]
fn a_new_file_is_whole_from_the_moment_that_it_has_its_name() {
    for _ in 0..8 {
        let dir = tempfile::tempdir().unwrap();
        let (path, copy) = (dir.path().join("kv"), dir.path().join("copy"));
        fs::write(dir.path().join("kv.beginning"), b"what an earlier start left").unwrap();
        let (seen, found) = (path.clone(), copy.clone());
        let watcher = std::thread::spawn(move || {
            while fs::copy(&seen, &found).is_err() {
                std::hint::spin_loop();
            }
        });
        let store = Store::open(&path, StoreOptions::default()).unwrap();
        watcher.join().unwrap();
        assert_eq!(Store::open(&copy, StoreOptions::default()).unwrap().applied(), store.applied());
    }
}
