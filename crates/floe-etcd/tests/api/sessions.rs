//! Requests with a name: on whatever member they are sent again, they are done once and answered alike.

use std::time::{SystemTime, UNIX_EPOCH};

use floe_etcd::proto::etcdserverpb::alarm_request::AlarmAction;
use floe_etcd::proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use floe_etcd::proto::etcdserverpb::kv_client::KvClient;
use floe_etcd::proto::etcdserverpb::request_op::Request as Op;
use floe_etcd::proto::etcdserverpb::{
    AlarmRequest, AlarmType, CompactionRequest, Compare, DeleteRangeRequest, HashRequest, LeaseGrantRequest,
    LeaseRevokeRequest, MemberAddRequest, MemberListRequest, MemberPromoteRequest, MemberRemoveRequest,
    MemberUpdateRequest, MoveLeaderRequest, PutRequest, RequestOp, TxnRequest,
};
use floe_etcd::{REQUEST_ID, TIME_MS};
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use crate::harness::{Member, bytes, fails, get, prefix, put, single, single_with, soon, three, until};

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

/// A client of its own, as any language can write one: a UUID of version 7, and a count.
struct Client {
    id: String,
    sequence: u64,
}

impl Client {
    fn born(birth_ms: u64) -> Self {
        let random: u128 = rand::random();
        let number =
            u128::from(birth_ms) << 80 | 7 << 76 | (random >> 52 & 0xfff) << 64 | 2 << 62 | random >> 66;
        let hex = format!("{number:032x}");
        let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
        Self { id: parts.join("-"), sequence: 0 }
    }

    fn new() -> Self {
        Self::born(now_ms())
    }

    /// The name of the next request.
    fn next(&mut self) -> String {
        self.sequence += 1;
        format!("{}/{}", self.id, self.sequence)
    }
}

fn named<T>(name: &str, request: T) -> Request<T> {
    let mut request = Request::new(request);
    request.metadata_mut().insert(REQUEST_ID, name.parse().unwrap());
    request
}

/// What a client compares: the answer, less who gave it and in which term.
fn said<T: Clone + std::fmt::Debug>(result: Result<Response<T>, Status>) -> Result<T, (Code, String)> {
    result.map(Response::into_inner).map_err(|status| (status.code(), status.message().to_owned()))
}

macro_rules! same_everywhere {
    ($members:expr, $name:expr, $client:ident, $method:ident, $request:expr) => {{
        let name = $name;
        let mut first = None;
        for member in $members.iter().chain($members) {
            let answer =
                said(member.$client().$method(named(&name, $request.clone())).await).map(|mut answer| {
                    let header = answer.header.as_mut().unwrap();
                    (header.member_id, header.raft_term) = (0, 0);
                    answer
                });
            let expected = first.get_or_insert_with(|| answer.clone());
            assert_eq!(&answer, expected, "{}", stringify!($method));
        }
        first.unwrap()
    }};
}

#[tokio::test]
async fn a_retry_of_any_write_on_any_member_gets_the_first_answer() {
    let members = three().await;
    let mut client = Client::new();
    let request = PutRequest { prev_kv: true, ..put("a", "1") };
    let first = same_everywhere!(&members, client.next(), kv, put, request).unwrap();
    assert_eq!(first.header.unwrap().revision, 2);
    let second = same_everywhere!(&members, client.next(), kv, put, request).unwrap();
    assert_eq!((second.header.unwrap().revision, second.prev_kv.unwrap().version), (3, 1));

    let missing = PutRequest { ignore_value: true, ..put("missing", "") };
    let refused = same_everywhere!(&members, client.next(), kv, put, missing).unwrap_err();
    assert_eq!(refused.1, "etcdserver: key not found");

    let swap = TxnRequest {
        compare: vec![Compare {
            key: bytes("a"),
            result: CompareResult::Equal.into(),
            target: CompareTarget::Version.into(),
            target_union: Some(TargetUnion::Version(2)),
            ..Compare::default()
        }],
        success: vec![
            RequestOp { request: Some(Op::RequestPut(put("a", "3"))) },
            RequestOp { request: Some(Op::RequestRange(get("a"))) },
        ],
        failure: Vec::new(),
    };
    let swapped = same_everywhere!(&members, client.next(), kv, txn, swap).unwrap();
    assert!(swapped.succeeded, "without a name the second attempt would compare with the first");

    let grant = LeaseGrantRequest { ttl: 60, id: 0 };
    let lease = same_everywhere!(&members, client.next(), lease, lease_grant, grant).unwrap();
    let revoke = LeaseRevokeRequest { id: lease.id };
    same_everywhere!(&members, client.next(), lease, lease_revoke, revoke).unwrap();
    let delete = DeleteRangeRequest { key: bytes("a"), prev_kv: true, ..DeleteRangeRequest::default() };
    let deleted = same_everywhere!(&members, client.next(), kv, delete_range, delete).unwrap();
    assert_eq!((deleted.deleted, deleted.prev_kvs.len()), (1, 1));
    let compact = CompactionRequest { revision: 4, physical: true };
    same_everywhere!(&members, client.next(), kv, compact, compact).unwrap();
    let mut on = AlarmRequest { member_id: 1, ..AlarmRequest::default() };
    on.set_alarm(AlarmType::Nospace);
    on.set_action(AlarmAction::Activate);
    same_everywhere!(&members, client.next(), maintenance, alarm, on).unwrap();
    on.set_action(AlarmAction::Deactivate);
    let cleared = same_everywhere!(&members, client.next(), maintenance, alarm, on).unwrap();
    assert_eq!(cleared.alarms.len(), 1);
    agree(&members).await;
}

/// Waits until all members hold the same keys and sessions.
async fn agree(members: &[Member]) {
    until(|| async {
        let mut hashes = Vec::new();
        for member in members {
            let answer = member.maintenance().hash(HashRequest {}).await.unwrap().into_inner();
            hashes.push((answer.hash, answer.header.unwrap().revision));
        }
        hashes.iter().all(|hash| *hash == hashes[0])
    })
    .await;
}

#[tokio::test]
async fn names_that_cannot_be_are_refused_before_anything_is_done() {
    let member = single().await;
    let id = Client::new().id;
    for (name, reason) in [
        ("me", "a request id is CLIENT/SEQUENCE, as 0192f0c1-7b3a-7c41-9d52-6f0e4a1b2c3d/1"),
        ("me/1", "the client of a request id is a UUID, as 0192f0c1-7b3a-7c41-9d52-6f0e4a1b2c3d"),
        (
            "0192f0c1-7b3a-4c41-9d52-6f0e4a1b2c3d/1",
            "the client of a request id is a UUID of version 7: it must tell when it was made",
        ),
        (
            &format!("{id}/0"),
            "the sequence of a request id is a decimal number from 1 to 18446744073709551615",
        ),
    ] {
        let text = format!("floe: floe-request-id: {reason}");
        fails(member.kv().put(named(name, put("a", "1"))).await, Code::InvalidArgument, &text);
    }
    assert_eq!(member.get("a").await.header.unwrap().revision, 1);
}

/// They would not be known for retries, and a client that believes they are would change the cluster twice.
#[tokio::test]
async fn changes_of_the_cluster_are_refused_with_a_name() {
    let member = single().await;
    let (mut cluster, mut maintenance) = (member.cluster(), member.maintenance());
    let (name, id) = (Client::new().next(), member.server.identity().member);
    let peer_ur_ls = vec!["http://127.0.0.1:1".to_owned()];
    let add = MemberAddRequest { peer_ur_ls: peer_ur_ls.clone(), is_learner: true, is_witness: false };
    let update = MemberUpdateRequest { id, peer_ur_ls };
    let text = "floe: floe-request-id: this call has no name and is not done; ";
    let list = format!("{text}the list of members tells whether a change was made");
    let refused = Code::InvalidArgument;
    fails(cluster.member_add(named(&name, add)).await, refused, &list);
    fails(cluster.member_update(named(&name, update)).await, refused, &list);
    fails(cluster.member_promote(named(&name, MemberPromoteRequest { id })).await, refused, &list);
    fails(cluster.member_remove(named(&name, MemberRemoveRequest { id })).await, refused, &list);
    let status = format!("{text}the status of a member tells who leads");
    let request = named(&name, MoveLeaderRequest { target_id: id });
    fails(maintenance.move_leader(request).await, refused, &status);
    let members = cluster.member_list(MemberListRequest { linearizable: true }).await.unwrap().into_inner();
    assert_eq!(members.members.len(), 1);
    assert_ne!(members.members[0].peer_ur_ls, ["http://127.0.0.1:1"]);
}

#[tokio::test]
async fn a_session_that_may_be_over_is_refused_and_the_time_is_told() {
    let member = single().await;
    let hour_ms = 3_600_000;
    for (birth_ms, text) in [
        (
            now_ms() - hour_ms,
            "floe: the session has expired, so whether the request was applied before can no longer be known",
        ),
        (
            now_ms() + hour_ms,
            "floe: the client's id was made in the future: its clock, or that of the cluster, is wrong",
        ),
    ] {
        let mut client = Client::born(birth_ms);
        let refused = member.kv().put(named(&client.next(), put("a", "1"))).await.unwrap_err();
        assert_eq!((refused.code(), refused.message()), (Code::FailedPrecondition, text));
        let told: u64 = refused.metadata().get(TIME_MS).unwrap().to_str().unwrap().parse().unwrap();
        let mut again = Client::born(told);
        member.kv().put(named(&again.next(), put("a", "1"))).await.unwrap();
    }
    let mut client = Client::new();
    let first = client.next();
    member.kv().put(named(&first, put("a", "1"))).await.unwrap();
    client.sequence = 60;
    member.kv().put(named(&client.next(), put("a", "2"))).await.unwrap();
    member.kv().put(named(&first, put("a", "1"))).await.expect("it is remembered while it is in the window");
    client.sequence = 200;
    member.kv().put(named(&client.next(), put("a", "3"))).await.unwrap();
    let too_old = member.kv().put(named(&first, put("a", "1"))).await.unwrap_err();
    assert_eq!(too_old.code(), Code::FailedPrecondition);
    assert!(too_old.message().contains("highest, 201"), "{}", too_old.message());
    assert_eq!(member.get("a").await.kvs[0].value, "3");
}

#[tokio::test]
async fn a_retry_finds_its_answer_although_the_store_is_full_by_now() {
    let member = single_with(|config| config.quota_backend_bytes = 64 << 10).await;
    let mut client = Client::new();
    let value = "x".repeat(16 << 10);
    let mut names = Vec::new();
    let text = "etcdserver: mvcc: database space exceeded";
    loop {
        names.push(client.next());
        let name = names.last().unwrap();
        if let Err(status) = member.kv().put(named(name, put(name, &value))).await {
            assert_eq!(status.message(), text);
            break;
        }
    }
    assert!(names.len() > 2);
    for (n, name) in (1..).zip(&names) {
        let again = member.kv().put(named(name, put(name, &value))).await;
        if n < names.len() {
            assert_eq!(again.unwrap().into_inner().header.unwrap().revision, n as i64 + 1);
        } else {
            fails(again, Code::ResourceExhausted, text);
        }
    }
}

#[tokio::test]
async fn sessions_outlive_a_restart() {
    let mut members = three().await;
    let mut client = Client::new();
    let name = client.next();
    let first = members[0].kv().put(named(&name, put("a", "1"))).await.unwrap().into_inner();
    agree(&members).await;
    let last = members.pop().unwrap().restart().await;
    last.ready().await;
    let again = last.kv().put(named(&name, put("a", "2"))).await.unwrap().into_inner();
    assert_eq!(again.header.unwrap().revision, first.header.unwrap().revision);
    assert_eq!(last.get("a").await.kvs[0].value, "1");
}

/// Sends a put to one member after another until somebody answers.
async fn insist(mut members: Vec<KvClient<Channel>>, turn: usize, name: String, request: PutRequest) {
    for at in turn.. {
        let at = at % members.len();
        match members[at].put(named(&name, request.clone())).await {
            Ok(_) => return,
            Err(status) => {
                let passes = matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled);
                assert!(passes, "{name}: {status:?}");
            }
        }
    }
}

#[tokio::test]
async fn pipelined_clients_write_once_while_the_leader_goes() {
    let members = three().await;
    let leader = members.iter().position(|member| member.server.handle().is_leader()).unwrap();
    let clients: Vec<KvClient<Channel>> = members.iter().map(Member::kv).collect();
    let mut writing = JoinSet::new();
    for writer in 0..4 {
        let mut client = Client::new();
        // As many at once as a session remembers, each to two members at the same time.
        for n in 0..60 {
            let (name, request) = (client.next(), put(&format!("w{writer}/{n}"), "x"));
            for turn in [n, n + 1] {
                writing.spawn(insist(clients.clone(), turn, name.clone(), request.clone()));
            }
        }
    }
    let halfway = writing.len() / 2;
    let mut done = 0;
    soon(async {
        while let Some(finished) = writing.join_next().await {
            finished.unwrap();
            done += 1;
            if done == halfway {
                members[leader].server.shutdown().await;
            }
        }
    })
    .await;
    let survivor = &members[(leader + 1) % 3];
    let written = survivor.kv().range(prefix("w")).await.unwrap().into_inner();
    assert_eq!(written.count, 240);
    assert!(written.kvs.iter().all(|kv| kv.version == 1), "a write was done twice");
    assert_eq!(written.header.unwrap().revision, 241);
}
