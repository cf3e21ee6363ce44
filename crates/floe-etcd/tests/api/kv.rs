//! Ranges, puts, deletes and compactions.

use floe_etcd::proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use floe_etcd::proto::etcdserverpb::{CompactionRequest, PutRequest, RangeRequest, RangeResponse};
use prost::Message;
use tokio_stream::StreamExt;
use tonic::Code;

use crate::harness::{Member, bytes, delete, fails, get, keys, prefix, put, single, single_with};

#[tokio::test]
async fn an_empty_store_is_at_revision_one_and_headers_are_complete() {
    let member = single().await;
    let header = member.get("a").await.header.unwrap();
    assert_eq!(header.revision, 1);
    let identity = member.server.identity();
    assert_eq!((header.cluster_id, header.member_id), (identity.cluster, identity.member));
    assert!(header.raft_term > 0);
    assert_eq!(member.put("a", "1").await.header.unwrap().revision, 2);
    // A put takes a revision also when nothing changes; a delete that finds nothing does not.
    assert_eq!(member.put("a", "1").await.header.unwrap().revision, 3);
    let nothing = member.delete("b", "").await;
    assert_eq!((nothing.deleted, nothing.header.unwrap().revision), (0, 3));
    // A range at an old revision shows the present one in its header.
    let old = member.kv().range(RangeRequest { revision: 2, ..get("a") }).await.unwrap().into_inner();
    assert_eq!((old.header.unwrap().revision, old.kvs[0].version), (3, 1));
}

#[tokio::test]
async fn what_is_refused_before_it_is_done() {
    let member = single().await;
    let mut kv = member.kv();
    let no_key = "etcdserver: key is not provided";
    fails(kv.range(get("")).await, Code::InvalidArgument, no_key);
    fails(kv.put(put("", "x")).await, Code::InvalidArgument, no_key);
    fails(kv.delete_range(delete("", "")).await, Code::InvalidArgument, no_key);
    let sort = RangeRequest { sort_order: 9, ..get("a") };
    fails(kv.range(sort).await, Code::InvalidArgument, "etcdserver: invalid sort option");
    let sort = RangeRequest { sort_target: 9, ..get("a") };
    fails(kv.range(sort).await, Code::InvalidArgument, "etcdserver: invalid sort option");
    let value = PutRequest { ignore_value: true, ..put("a", "x") };
    fails(kv.put(value).await, Code::InvalidArgument, "etcdserver: value is provided");
    let lease = PutRequest { ignore_lease: true, lease: 7, ..put("a", "x") };
    fails(kv.put(lease).await, Code::InvalidArgument, "etcdserver: lease is provided");
    let missing = PutRequest { ignore_value: true, ..put("a", "") };
    fails(kv.put(missing).await, Code::InvalidArgument, "etcdserver: key not found");
    let lease = PutRequest { lease: 7, ..put("a", "x") };
    fails(kv.put(lease).await, Code::NotFound, "etcdserver: requested lease not found");
    let future = RangeRequest { revision: 100, ..get("a") };
    let text = "etcdserver: mvcc: required revision is a future revision";
    fails(kv.range(future).await, Code::OutOfRange, text);
    assert_eq!(member.get("a").await.header.unwrap().revision, 1, "nothing was written");
}

#[tokio::test]
async fn a_request_that_is_too_large_is_refused_and_the_server_goes_on() {
    let member = single().await;
    let mut kv = member.kv();
    let large =
        |bytes: usize| PutRequest { key: "a".into(), value: vec![7; bytes].into(), ..Default::default() };
    fails(kv.put(large(1_600_000)).await, Code::InvalidArgument, "etcdserver: request is too large");
    let request = large(2 << 20);
    let text = format!("grpc: received message larger than max ({} vs. 2097152)", request.encoded_len());
    fails(kv.put(request).await, Code::ResourceExhausted, &text);
    kv.put(large(1_500_000)).await.unwrap();
    assert_eq!(member.get("a").await.kvs[0].value.len(), 1_500_000);
}

#[tokio::test]
async fn previous_pairs_come_back_when_asked_for() {
    let member = single().await;
    let first = member.kv().put(PutRequest { prev_kv: true, ..put("a", "1") }).await.unwrap().into_inner();
    assert_eq!(first.prev_kv, None);
    let second = member.kv().put(PutRequest { prev_kv: true, ..put("a", "2") }).await.unwrap().into_inner();
    assert_eq!(second.prev_kv.unwrap().value, "1");
    let kept = PutRequest { ignore_value: true, ..put("a", "") };
    member.kv().put(kept).await.unwrap();
    assert_eq!(member.get("a").await.kvs[0].value, "2");
    let mut request = delete("a", "");
    request.prev_kv = true;
    let deleted = member.kv().delete_range(request).await.unwrap().into_inner();
    assert_eq!((deleted.deleted, deleted.prev_kvs[0].version), (1, 3));
}

async fn some_keys(member: &Member) {
    for key in ["k/a", "k/b", "k/c", "k/d"] {
        member.put(key, key).await;
    }
}

#[tokio::test]
async fn limits_sorts_and_counts() {
    let member = single().await;
    some_keys(&member).await;
    let range = async |change: fn(&mut RangeRequest)| {
        let mut request = prefix("k/");
        change(&mut request);
        member.kv().range(request).await.unwrap().into_inner()
    };
    let all = range(|_| {}).await;
    assert_eq!(keys(&all), ["k/a", "k/b", "k/c", "k/d"]);
    assert_eq!((all.more, all.count), (false, 4));
    let two = range(|r| r.limit = 2).await;
    assert_eq!((two.kvs.len(), two.more, two.count), (2, true, 4));
    let last = range(|r| {
        r.set_sort_order(SortOrder::Descend);
        r.set_sort_target(SortTarget::Create);
        r.limit = 1;
    })
    .await;
    assert_eq!((keys(&last), last.more), (vec!["k/d".to_owned()], true));
    let count = range(|r| r.count_only = true).await;
    assert_eq!((count.kvs.len(), count.more, count.count), (0, false, 4));
    let bare = range(|r| r.keys_only = true).await;
    assert!(bare.kvs.iter().all(|kv| kv.value.is_empty() && kv.version == 1));
    let newest = range(|r| r.min_mod_revision = 5).await;
    assert_eq!((keys(&newest), newest.count), (vec!["k/d".to_owned()], 4));
    let from = member.kv().range(RangeRequest { range_end: bytes("\0"), ..get("k/c") }).await.unwrap();
    assert_eq!(from.into_inner().count, 2);
}

#[tokio::test]
async fn a_range_in_pieces_is_the_range() {
    let member = single_with(|config| config.max_request_bytes = 4096).await;
    for n in 0..57 {
        member.put(&format!("k/{n:03}"), &"x".repeat(n * 10)).await;
    }
    let expect = async |request: RangeRequest| {
        let whole = member.kv().range(request.clone()).await.unwrap().into_inner();
        let mut stream = member.kv().range_stream(request).await.unwrap().into_inner();
        let mut merged = RangeResponse::default();
        let mut pieces = 0;
        while let Some(piece) = stream.next().await {
            let piece = piece.unwrap().range_response.unwrap();
            assert_eq!(merged.header, None, "only the last piece has a header");
            pieces += 1;
            merged.merge(piece.encode_to_vec().as_slice()).unwrap();
        }
        assert_eq!(merged, whole);
        pieces
    };
    assert!(expect(prefix("k/")).await > 3);
    assert!(expect(RangeRequest { limit: 25, ..prefix("k/") }).await > 1);
    assert_eq!(expect(RangeRequest { limit: 3, ..prefix("k/") }).await, 1);
    assert_eq!(expect(RangeRequest { count_only: true, ..prefix("k/") }).await, 1);
    assert_eq!(expect(prefix("nothing/")).await, 1);
    let mut sorted = prefix("k/");
    sorted.set_sort_order(SortOrder::Descend);
    let text = "RangeStream does not support custom sort orders";
    fails(
        member.kv().range_stream(sorted).await.map(|_| tonic::Response::new(())),
        Code::Unimplemented,
        text,
    );
}

#[tokio::test]
async fn compaction_forgets_what_is_older_and_only_that() {
    let member = single().await;
    for value in ["1", "2", "3"] {
        member.put("a", value).await;
    }
    let compact = |revision| CompactionRequest { revision, physical: true };
    let done = member.kv().compact(compact(3)).await.unwrap().into_inner();
    assert_eq!(done.header.unwrap().revision, 4);
    let compacted = "etcdserver: mvcc: required revision has been compacted";
    fails(member.kv().range(RangeRequest { revision: 2, ..get("a") }).await, Code::OutOfRange, compacted);
    let at = member.kv().range(RangeRequest { revision: 3, ..get("a") }).await.unwrap().into_inner();
    assert_eq!(at.kvs[0].value, "2");
    fails(member.kv().compact(compact(3)).await, Code::OutOfRange, compacted);
    let future = "etcdserver: mvcc: required revision is a future revision";
    fails(member.kv().compact(compact(100)).await, Code::OutOfRange, future);
}

#[tokio::test]
async fn a_full_store_refuses_to_grow_and_says_so_until_the_alarm_is_cleared() {
    use floe_etcd::proto::etcdserverpb::alarm_request::AlarmAction;
    use floe_etcd::proto::etcdserverpb::{AlarmRequest, AlarmType};
    let member = single_with(|config| config.quota_backend_bytes = 64 << 10).await;
    let value = "x".repeat(16 << 10);
    let mut refused = None;
    for n in 0..10 {
        if let Err(status) = member.kv().put(put(&format!("k{n}"), &value)).await {
            refused = Some(status);
            break;
        }
    }
    let refused = refused.expect("ten of sixteen are too much for sixty-four");
    let text = "etcdserver: mvcc: database space exceeded";
    assert_eq!((refused.code(), refused.message()), (Code::ResourceExhausted, text));
    fails(member.kv().put(put("small", "")).await, Code::ResourceExhausted, text);
    let status = member.maintenance().status(floe_etcd::proto::etcdserverpb::StatusRequest {}).await.unwrap();
    let id = member.server.identity().member;
    assert_eq!(status.into_inner().errors, [format!("memberID:{id} alarm:NOSPACE")]);
    // What makes room still works, and when there is room and the alarm is off, so do puts.
    member.delete("k", "l").await;
    let revision = member.get("a").await.header.unwrap().revision;
    member.kv().compact(CompactionRequest { revision, physical: true }).await.unwrap();
    let mut off = AlarmRequest { member_id: id, ..Default::default() };
    off.set_action(AlarmAction::Deactivate);
    off.set_alarm(AlarmType::Nospace);
    let cleared = member.maintenance().alarm(off).await.unwrap().into_inner();
    assert_eq!(cleared.alarms.len(), 1);
    member.put("small", "").await;
}
