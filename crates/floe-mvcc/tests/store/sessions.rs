//! Named requests: applied once, answered alike, through restarts, and no dearer for those without a name.

use floe_mvcc::{
    Applied, ApplyError, ClientId, Command, KeyRange, Outcome, Put, Refusal, Reply, RequestId, Sequence,
    Store, StoreOptions, Tag, Txn, TxnOp,
};

use crate::common::{Bed, bytes, delete, put, put_op, range};

pub(crate) const NOW_MS: u64 = 1_700_000_000_000;

pub(crate) fn named(sequence: u64) -> RequestId {
    RequestId { client: ClientId::new(NOW_MS, 7), sequence: Sequence::new(sequence).unwrap() }
}

impl Bed {
    pub(crate) fn send(&mut self, request: RequestId, stamp_ms: u64, command: &Command) -> Reply {
        self.index += 1;
        let payload = command.encode_tagged(&Tag { request, stamp_ms });
        self.store.apply(&[payload], Applied { term: 1, index: self.index }).unwrap().remove(0)
    }

    fn reopened(self) -> Self {
        let path = self.path();
        let Self { dir, store, .. } = self;
        drop(store);
        let store = Store::open(&path, StoreOptions::default()).unwrap();
        Self { dir, index: store.applied().index, store }
    }
}

/// A transaction whose reply holds everything that a reply can.
fn busy_txn() -> Command {
    let inner = Txn {
        success: vec![
            TxnOp::Range(range(KeyRange::all())),
            TxnOp::Put(Put { prev_kv: true, key: bytes("a"), value: bytes("inner"), ..Put::default() }),
        ],
        ..Txn::default()
    };
    let Command::DeleteRange(mut all) = delete(KeyRange::all()) else { unreachable!() };
    all.prev_kv = true;
    let success = vec![put_op("n", "1"), TxnOp::Txn(inner), TxnOp::DeleteRange(all)];
    Command::Txn(Txn { success, ..Txn::default() })
}

#[test]
fn every_kind_of_reply_comes_back_bit_for_bit_also_after_a_restart() {
    let mut bed = Bed::new();
    let put_prev = Command::Put(Put { key: bytes("a"), value: bytes("2"), prev_kv: true, ..Put::default() });
    let missing = Command::Put(Put { key: bytes("missing"), ignore_value: true, ..Put::default() });
    let Command::DeleteRange(mut some) = delete(KeyRange::key(bytes("a"))) else { unreachable!() };
    some.prev_kv = true;
    let commands = [
        put("a", "1"),
        put_prev,
        Command::LeaseGrant { id: 77, ttl: 60 },
        Command::LeaseGrant { id: 77, ttl: 60 },
        missing,
        busy_txn(),
        put("a", "3"),
        Command::DeleteRange(some),
        Command::Compact { revision: 3 },
        Command::Compact { revision: 3 },
        Command::Compact { revision: 1_000 },
        Command::LeaseRevoke { id: 77 },
        Command::LeaseRevoke { id: 77 },
        Command::Alarm { member: 1, alarm: 1, raise: true },
        put("a", "4"),
        Command::Alarm { member: 1, alarm: 1, raise: false },
        Command::Alarm { member: 1, alarm: 2, raise: true },
        put("a", "5"),
    ];
    let first: Vec<Reply> =
        (1..).zip(&commands).map(|(n, command)| bed.send(named(n), NOW_MS, command)).collect();
    assert!(matches!(first[1].outcome, Ok(Outcome::Put { prev_kv: Some(_) })));
    assert_eq!(first[2].outcome, Ok(Outcome::LeaseGranted { id: 77, ttl: 60 }));
    let refused: Vec<ApplyError> =
        first.iter().filter_map(|reply| reply.outcome.as_ref().err()).copied().collect();
    let expected = [
        ApplyError::LeaseExists,
        ApplyError::KeyNotFound,
        ApplyError::Compacted { compact_revision: 3 },
        ApplyError::FutureRevision,
        ApplyError::LeaseNotFound,
        ApplyError::NoSpace,
        ApplyError::Corrupt,
    ];
    assert_eq!(refused, expected);
    bed.done(Command::Alarm { member: 1, alarm: 2, raise: false });
    let after = (bed.reader().revision(), bed.all(), bed.reader().session_hash());
    bed.store.checkpoint().unwrap();
    for round in 0..2 {
        for (n, first) in (1..).zip(&first) {
            assert_eq!(bed.reader().replay(named(n)).unwrap().as_ref(), Some(first), "{round}");
            assert_eq!(&bed.send(named(n), NOW_MS, &put("a", "a retry applied")), first, "{round}");
        }
        bed = bed.reopened();
        assert_eq!((bed.reader().revision(), bed.all(), bed.reader().session_hash()), after);
    }
}

#[test]
fn a_session_that_is_over_refuses_and_its_rows_are_gone() {
    let mut bed = Bed::new();
    let first = bed.send(named(1), NOW_MS, &put("a", "1"));
    assert_eq!(first.revision, 2);
    let later_ms = NOW_MS + 600_000;
    let other = RequestId { client: ClientId::new(later_ms, 8), sequence: Sequence::FIRST };
    bed.send(other, later_ms, &put("b", "1"));
    let expired = Err(ApplyError::Session(Refusal::Expired { now_ms: later_ms }));
    for stamp_ms in [later_ms, NOW_MS] {
        assert_eq!(bed.send(named(1), stamp_ms, &put("a", "2")).outcome, expired);
        assert_eq!(bed.value("a").unwrap(), "1");
        bed.store.checkpoint().unwrap();
        bed = bed.reopened();
    }
    assert_eq!((bed.reader().sessions(), bed.reader().session_time_ms()), (1, later_ms));
    assert_eq!(bed.reader().replay(named(1)).unwrap(), None);
}

#[test]
fn a_reply_that_is_too_large_says_that_it_was_given() {
    let mut bed = Bed::new();
    bed.put("a", &"x".repeat(300 << 10));
    let Command::DeleteRange(mut all) = delete(KeyRange::all()) else { unreachable!() };
    all.prev_kv = true;
    let first = bed.send(named(1), NOW_MS, &Command::DeleteRange(all));
    assert!(matches!(first.outcome, Ok(Outcome::DeleteRange { deleted: 1, .. })));
    bed.put("a", "again");
    bed.store.checkpoint().unwrap();
    bed = bed.reopened();
    for _ in 0..2 {
        let again = bed.send(named(1), NOW_MS, &delete(KeyRange::all()));
        assert_eq!(again.outcome, Err(ApplyError::ReplyNotKept));
    }
    assert_eq!(bed.value("a").unwrap(), "again");
}

#[test]
fn a_command_that_is_not_understood_does_not_use_its_name_up() {
    let mut bed = Bed::new();
    let mut payload = vec![2];
    payload.extend(Tag { request: named(1), stamp_ms: NOW_MS }.to_bytes());
    payload.push(99);
    let reply = bed.store.apply(&[payload.into()], Applied { term: 1, index: 1 }).unwrap().remove(0);
    assert_eq!(reply.outcome, Err(ApplyError::Malformed));
    bed.index = 1;
    assert!(bed.send(named(1), NOW_MS, &put("a", "1")).outcome.is_ok());
}

#[test]
fn a_write_without_a_name_is_encoded_as_ever_and_leaves_no_session() {
    let mut bed = Bed::new();
    let payload = put("k", "v").encode();
    assert_eq!(payload, &b"\x01\x01\x00\x00\x01k\x01v"[..]);
    bed.put("k", "v");
    bed.store.checkpoint().unwrap();
    assert_eq!((bed.reader().sessions(), bed.reader().session_time_ms()), (0, 0));
    let path = bed.path();
    let Bed { dir, store, .. } = bed;
    drop(store);
    let db = redb::Database::create(&path).unwrap();
    let txn = redb::ReadableDatabase::begin_read(&db).unwrap();
    let tables: Vec<String> =
        txn.list_tables().unwrap().map(|table| redb::TableHandle::name(&table).to_owned()).collect();
    assert!(tables.iter().all(|name| !name.starts_with("session")), "{tables:?}");
    drop(dir);
}
