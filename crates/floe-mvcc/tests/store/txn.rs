//! Transactions, line by line: `etcd-v3` 1.3, 1.6 and 1.17.

use floe_mvcc::{
    ApplyError, Command, Compare, CompareOperand, CompareResult, DeleteRange, KeyRange, Put, ReadError, Txn,
    TxnOp, TxnOpReply,
};

use crate::common::{Bed, at, bytes, compare, key, keys, leased, put_op, range, text};

const EQUAL: CompareResult = CompareResult::Equal;

fn read_op(name: &str) -> TxnOp {
    TxnOp::Range(range(key(name)))
}

fn delete_op(name: &str) -> TxnOp {
    TxnOp::DeleteRange(DeleteRange { range: key(name), prev_kv: false })
}

fn holds(bed: &mut Bed, compares: &[Compare]) -> bool {
    let txn = Txn { compare: compares.to_vec(), ..Txn::default() };
    let succeeded = bed.txn(txn.clone()).succeeded;
    assert_eq!(
        bed.reader().read_txn(&txn).unwrap().succeeded,
        succeeded,
        "reader and writer differ on {compares:?}"
    );
    succeeded
}

#[test]
fn a_transaction_takes_one_revision_however_much_it_writes() {
    let mut bed = Bed::new();
    let reply = bed.txn(Txn { success: vec![put_op("a", "1"), put_op("b", "1")], ..Txn::default() });
    assert_eq!((reply.revision, bed.reader().revision()), (2, 2));
    assert!(bed.all().kvs.iter().all(|kv| kv.mod_revision == 2));
}

#[test]
fn a_transaction_that_writes_nothing_takes_no_revision() {
    let mut bed = Bed::new();
    bed.put("a", "1");
    let txn = Txn {
        success: vec![delete_op("missing"), read_op("a")],
        failure: vec![put_op("a", "2")],
        ..Txn::default()
    };
    let reply = bed.txn(txn);
    assert_eq!((reply.revision, bed.reader().revision()), (2, 2));
}

#[test]
fn all_comparisons_must_hold_and_none_means_success() {
    let mut bed = Bed::new();
    bed.put("a", "1");
    assert!(holds(&mut bed, &[]));
    let yes = compare("a", EQUAL, CompareOperand::Version(1));
    let no = compare("a", EQUAL, CompareOperand::Version(2));
    assert!(holds(&mut bed, &[yes.clone(), yes.clone()]));
    assert!(!holds(&mut bed, &[yes, no]));
}

#[test]
fn every_figure_and_every_relation() {
    let mut bed = Bed::new();
    bed.done(Command::LeaseGrant { id: 5, ttl: 9 });
    bed.put("a", "x");
    bed.done(leased("a", "m", 5));
    let operands: [fn(i64) -> CompareOperand; 5] = [
        |by| CompareOperand::Version(2 + by),
        |by| CompareOperand::Create(2 + by),
        |by| CompareOperand::Mod(3 + by),
        |by| CompareOperand::Lease(5 + by),
        |by| CompareOperand::Value(bytes(["l", "m", "n"][(by + 1) as usize])),
    ];
    for operand in operands {
        for by in -1..=1 {
            let found = |bed: &mut Bed, result| holds(bed, &[compare("a", result, operand(by))]);
            assert_eq!(found(&mut bed, CompareResult::Equal), by == 0);
            assert_eq!(found(&mut bed, CompareResult::NotEqual), by != 0);
            assert_eq!(found(&mut bed, CompareResult::Greater), by < 0);
            assert_eq!(found(&mut bed, CompareResult::Less), by > 0);
        }
    }
}

#[test]
fn a_missing_key_compares_as_zeros_but_a_value_never_holds() {
    let mut bed = Bed::new();
    bed.put("gone", "v");
    bed.delete("gone");
    for name in ["never", "gone"] {
        for operand in [
            CompareOperand::Version(0),
            CompareOperand::Create(0),
            CompareOperand::Mod(0),
            CompareOperand::Lease(0),
        ] {
            assert!(holds(&mut bed, &[compare(name, EQUAL, operand.clone())]));
            assert!(!holds(&mut bed, &[compare(name, CompareResult::NotEqual, operand)]));
        }
        for result in [EQUAL, CompareResult::NotEqual, CompareResult::Less, CompareResult::Greater] {
            for value in ["", "v"] {
                assert!(!holds(&mut bed, &[compare(name, result, CompareOperand::Value(bytes(value)))]));
            }
        }
    }
}

#[test]
fn a_comparison_over_a_range_is_about_every_key() {
    let mut bed = Bed::new();
    bed.put("a", "1");
    bed.put("b", "1");
    let over = |range, operand| Compare { range, result: EQUAL, operand };
    let ones = CompareOperand::Value(bytes("1"));
    assert!(holds(&mut bed, &[over(KeyRange::all(), ones.clone())]));
    assert!(holds(&mut bed, &[over(KeyRange::between("a", "\0"), ones.clone())]));
    bed.put("b", "2");
    assert!(!holds(&mut bed, &[over(KeyRange::between("a", "c"), ones.clone())]));
    assert!(holds(&mut bed, &[over(KeyRange::between("a", "b"), ones.clone())]));
    assert!(!holds(&mut bed, &[over(KeyRange::between("x", "y"), ones)]));
    assert!(holds(&mut bed, &[over(KeyRange::between("x", "y"), CompareOperand::Version(0))]));
}

#[test]
fn nested_comparisons_do_not_see_what_the_parent_wrote() {
    let mut bed = Bed::new();
    let nested = Txn {
        compare: vec![compare("a", EQUAL, CompareOperand::Version(0))],
        success: vec![put_op("saw", "the state before")],
        failure: vec![put_op("saw", "the parent's write")],
    };
    bed.txn(Txn { success: vec![put_op("a", "1"), TxnOp::Txn(nested)], ..Txn::default() });
    assert_eq!(bed.value("saw").unwrap(), "the state before");
}

#[test]
fn ranges_see_what_the_transaction_wrote_before_them() {
    let mut bed = Bed::new();
    bed.put("a", "old");
    let nested =
        Txn { success: vec![put_op("b", "1"), TxnOp::Range(range(KeyRange::all()))], ..Txn::default() };
    let txn = Txn {
        success: vec![
            read_op("a"),
            put_op("a", "new"),
            read_op("a"),
            delete_op("a"),
            read_op("a"),
            TxnOp::Txn(nested),
        ],
        ..Txn::default()
    };
    let reply = bed.txn(txn);
    let values: Vec<_> = reply
        .responses
        .iter()
        .filter_map(|response| match response {
            TxnOpReply::Range(reply) => Some((reply.revision, reply.kvs.first().map(|kv| text(&kv.value)))),
            _ => None,
        })
        .collect();
    assert_eq!(values, [(2, Some("old".into())), (3, Some("new".into())), (3, None)]);
    let Some(TxnOpReply::Txn(nested)) = reply.responses.last() else { panic!("{reply:?}") };
    let Some(TxnOpReply::Range(all)) = nested.responses.last() else { panic!("{nested:?}") };
    assert_eq!(keys(all), ["b"]);
}

#[test]
fn child_replies_carry_the_revision_within_the_transaction() {
    let mut bed = Bed::new();
    bed.put("a", "1");
    let txn = Txn {
        success: vec![delete_op("none"), put_op("b", "1"), delete_op("none"), delete_op("a")],
        ..Txn::default()
    };
    let reply = bed.txn(txn);
    let revisions: Vec<(i64, i64)> = reply
        .responses
        .iter()
        .map(|response| match response {
            TxnOpReply::Put { revision, .. } => (*revision, 0),
            TxnOpReply::DeleteRange { revision, deleted, .. } => (*revision, *deleted),
            TxnOpReply::Range(_) | TxnOpReply::Txn(_) => unreachable!(),
        })
        .collect();
    assert_eq!(revisions, [(2, 0), (3, 0), (3, 0), (3, 1)]);
}

#[test]
fn a_range_at_a_future_or_compacted_revision_refuses_the_whole_transaction_before_it_writes() {
    let mut bed = Bed::new();
    for n in 0..4 {
        bed.put("a", &n.to_string());
    }
    bed.compact(3);
    let with = |revision| {
        let nested = Txn { success: vec![TxnOp::Range(at("a", revision))], ..Txn::default() };
        Command::Txn(Txn { success: vec![put_op("b", "1"), TxnOp::Txn(nested)], ..Txn::default() })
    };
    // The revision that the transaction itself would make is a future one.
    assert_eq!(bed.refused(with(6)), ApplyError::FutureRevision);
    assert_eq!(bed.refused(with(2)), ApplyError::Compacted { compact_revision: 3 });
    assert_eq!(bed.refused(with(-1)), ApplyError::Compacted { compact_revision: 3 });
    bed.done(with(5));
    let only_reads = |revision| Txn { success: vec![TxnOp::Range(at("a", revision))], ..Txn::default() };
    assert!(matches!(bed.reader().read_txn(&only_reads(7)), Err(ReadError::FutureRevision)));
    assert!(matches!(
        bed.reader().read_txn(&only_reads(2)),
        Err(ReadError::Compacted { compact_revision: 3 })
    ));
    assert!(bed.reader().read_txn(&only_reads(3)).is_ok());
}

#[test]
fn the_branch_not_taken_is_not_checked() {
    let mut bed = Bed::new();
    bed.txn(Txn {
        success: vec![put_op("a", "1")],
        failure: vec![TxnOp::Range(at("a", 99))],
        ..Txn::default()
    });
    assert_eq!(bed.value("a").unwrap(), "1");
}

#[test]
fn a_put_that_cannot_be_done_refuses_the_whole_transaction() {
    let mut bed = Bed::new();
    let unknown_lease = TxnOp::Put(Put { key: bytes("b"), lease: 9, ..Put::default() });
    let missing = TxnOp::Put(Put { key: bytes("b"), ignore_value: true, ..Put::default() });
    let with =
        |op: &TxnOp| Command::Txn(Txn { success: vec![put_op("a", "1"), op.clone()], ..Txn::default() });
    assert_eq!(bed.refused(with(&unknown_lease)), ApplyError::LeaseNotFound);
    assert_eq!(bed.refused(with(&missing)), ApplyError::KeyNotFound);
}

#[test]
fn both_branches_of_a_nested_transaction_may_put_the_same_key() {
    let mut bed = Bed::new();
    let nested =
        Txn { success: vec![put_op("a", "yes")], failure: vec![put_op("a", "no")], compare: Vec::new() };
    bed.txn(Txn { success: vec![TxnOp::Txn(nested)], ..Txn::default() });
    assert_eq!(bed.value("a").unwrap(), "yes");
}

#[test]
fn deletions_may_overlap_and_count_what_is_left() {
    let mut bed = Bed::new();
    bed.put("a", "1");
    bed.put("b", "1");
    let all = TxnOp::DeleteRange(DeleteRange { range: KeyRange::all(), prev_kv: true });
    let reply = bed.txn(Txn { success: vec![delete_op("a"), all], ..Txn::default() });
    let Some(TxnOpReply::DeleteRange { deleted, prev_kvs, .. }) = reply.responses.last() else {
        panic!("{reply:?}")
    };
    assert_eq!((*deleted, text(&prev_kvs[0].key).as_str()), (1, "b"));
}

#[test]
fn a_reader_evaluates_what_only_reads_and_nothing_else() {
    let mut bed = Bed::new();
    bed.put("a", "1");
    let compare = vec![compare("a", EQUAL, CompareOperand::Value(bytes("1")))];
    let txn = Txn { compare, success: vec![read_op("a")], failure: vec![read_op("b")] };
    let reply = bed.reader().read_txn(&txn).unwrap();
    assert!(reply.succeeded);
    assert_eq!(reply, bed.txn(txn));
    for op in [put_op("a", "2"), delete_op("a"), TxnOp::Txn(Txn::default())] {
        let writes = Txn { failure: vec![op], ..Txn::default() };
        assert!(matches!(bed.reader().read_txn(&writes), Err(ReadError::NotReadOnly)));
    }
}
