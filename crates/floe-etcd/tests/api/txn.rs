//! Transactions: branches, comparisons, nesting, headers and what is refused.

use floe_etcd::proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use floe_etcd::proto::etcdserverpb::request_op::Request;
use floe_etcd::proto::etcdserverpb::response_op::Response;
use floe_etcd::proto::etcdserverpb::{Compare, RangeRequest, RequestOp, TxnRequest, TxnResponse};
use tonic::Code;

use crate::harness::{Member, bytes, delete, fails, get, put, single};

fn put_op(key: &str, value: &str) -> RequestOp {
    RequestOp { request: Some(Request::RequestPut(put(key, value))) }
}

fn get_op(key: &str) -> RequestOp {
    RequestOp { request: Some(Request::RequestRange(get(key))) }
}

fn delete_op(key: &str, end: &str) -> RequestOp {
    RequestOp { request: Some(Request::RequestDeleteRange(delete(key, end))) }
}

fn txn_op(txn: TxnRequest) -> RequestOp {
    RequestOp { request: Some(Request::RequestTxn(txn)) }
}

fn value_is(key: &str, value: &str) -> Compare {
    Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Value.into(),
        key: bytes(key),
        target_union: Some(TargetUnion::Value(bytes(value))),
        ..Default::default()
    }
}

fn version_is(key: &str, version: i64) -> Compare {
    Compare {
        target: CompareTarget::Version.into(),
        target_union: Some(TargetUnion::Version(version)),
        ..value_is(key, "")
    }
}

fn then(success: Vec<RequestOp>) -> TxnRequest {
    TxnRequest { success, ..Default::default() }
}

async fn run(member: &Member, txn: TxnRequest) -> TxnResponse {
    member.kv().txn(txn).await.unwrap().into_inner()
}

#[tokio::test]
async fn one_branch_is_done_as_one_revision() {
    let member = single().await;
    let txn = TxnRequest {
        compare: vec![version_is("a", 0)],
        success: vec![put_op("a", "1"), put_op("b", "1")],
        failure: vec![get_op("a")],
    };
    let first = run(&member, txn.clone()).await;
    assert!(first.succeeded);
    assert_eq!(first.header.unwrap().revision, 2);
    let revisions: Vec<_> = member.get("a").await.kvs.iter().map(|kv| kv.mod_revision).collect();
    assert_eq!(revisions, [2]);
    let second = run(&member, txn).await;
    assert!(!second.succeeded);
    assert_eq!(second.header.unwrap().revision, 2, "a branch that writes nothing takes no revision");
    let Some(Response::ResponseRange(range)) = &second.responses[0].response else { panic!("{second:?}") };
    assert_eq!((range.kvs[0].value.as_ref(), range.count), (b"1".as_ref(), 1));
}

#[tokio::test]
async fn headers_inside_an_answer_carry_the_revision_alone() {
    let member = single().await;
    let nested = then(vec![put_op("b", "1")]);
    let answer =
        run(&member, then(vec![put_op("a", "1"), get_op("a"), txn_op(nested), delete_op("c", "")])).await;
    let header = |op: usize| match answer.responses[op].response.as_ref().unwrap() {
        Response::ResponsePut(put) => put.header.unwrap(),
        Response::ResponseRange(range) => range.header.unwrap(),
        Response::ResponseDeleteRange(delete) => delete.header.unwrap(),
        Response::ResponseTxn(txn) => txn.header.unwrap(),
    };
    for op in [0, 1, 3] {
        assert_eq!(
            (header(op).revision, header(op).member_id, header(op).raft_term),
            (2, 0, 0),
            "operation {op}"
        );
    }
    assert_eq!(header(2), Default::default(), "that of a nested txn is empty");
}

#[tokio::test]
async fn comparisons_see_the_state_before_and_reads_see_the_writes() {
    let member = single().await;
    member.put("a", "old").await;
    let nested =
        TxnRequest { compare: vec![value_is("a", "new")], success: vec![], failure: vec![get_op("a")] };
    let answer = run(&member, then(vec![put_op("a", "new"), get_op("a"), txn_op(nested)])).await;
    let Some(Response::ResponseRange(range)) = &answer.responses[1].response else { panic!("{answer:?}") };
    assert_eq!(range.kvs[0].value, "new");
    let Some(Response::ResponseTxn(nested)) = &answer.responses[2].response else { panic!("{answer:?}") };
    assert!(!nested.succeeded, "a nested comparison does not see what the outer txn wrote");
}

#[tokio::test]
async fn a_missing_key_compares_as_zero_but_never_by_value() {
    let member = single().await;
    let of = |compare| TxnRequest { compare: vec![compare], ..Default::default() };
    assert!(run(&member, of(version_is("none", 0))).await.succeeded);
    assert!(!run(&member, of(value_is("none", ""))).await.succeeded);
    let mut not_equal = value_is("none", "x");
    not_equal.set_result(CompareResult::NotEqual);
    assert!(!run(&member, of(not_equal)).await.succeeded);
}

#[tokio::test]
async fn what_is_refused_writes_nothing() {
    let member = single().await;
    let mut kv = member.kv();
    let many = |n: usize| (0..n).map(|n| put_op(&format!("k{n}"), "")).collect::<Vec<_>>();
    let text = "etcdserver: too many operations in txn request";
    fails(kv.txn(then(many(129))).await, Code::InvalidArgument, text);
    let compares = TxnRequest { compare: vec![version_is("a", 0); 129], ..Default::default() };
    fails(kv.txn(compares).await, Code::InvalidArgument, text);
    fails(kv.txn(then(vec![txn_op(then(many(128)))])).await, Code::InvalidArgument, text);
    let text = "etcdserver: duplicate key given in txn request";
    fails(kv.txn(then(vec![put_op("a", "1"), put_op("a", "2")])).await, Code::InvalidArgument, text);
    fails(kv.txn(then(vec![put_op("b", "1"), delete_op("a", "c")])).await, Code::InvalidArgument, text);
    let text = "etcdserver: key is not provided";
    fails(kv.txn(then(vec![put_op("", "1")])).await, Code::InvalidArgument, text);
    let no_key = TxnRequest { compare: vec![version_is("", 0)], ..Default::default() };
    fails(kv.txn(no_key).await, Code::InvalidArgument, text);
    let empty = then(vec![RequestOp { request: None }]);
    fails(kv.txn(empty).await, Code::InvalidArgument, "etcdserver: key not found");
    let future =
        RequestOp { request: Some(Request::RequestRange(RangeRequest { revision: 99, ..get("a") })) };
    let text = "etcdserver: mvcc: required revision is a future revision";
    fails(kv.txn(then(vec![put_op("a", "1"), future.clone()])).await, Code::OutOfRange, text);
    fails(kv.txn(then(vec![future])).await, Code::OutOfRange, text);
    assert_eq!(member.get("a").await.header.unwrap().revision, 1);
    kv.txn(then(many(128))).await.unwrap();
}

#[tokio::test]
async fn a_txn_that_only_reads_writes_no_entry() {
    let member = single().await;
    member.put("a", "1").await;
    let before = member.server.handle().commit();
    let answer = run(&member, then(vec![get_op("a"), get_op("b")])).await;
    assert_eq!((answer.responses.len(), answer.header.unwrap().revision), (2, 2));
    assert!(answer.succeeded);
    assert_eq!(member.server.handle().commit(), before);
}
