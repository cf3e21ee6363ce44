//! Status, hashes, alarms, members, and the services that answer for themselves.

use floe_etcd::proto::etcdserverpb::alarm_request::AlarmAction;
use floe_etcd::proto::etcdserverpb::auth_client::AuthClient;
use floe_etcd::proto::etcdserverpb::{
    AlarmRequest, AlarmType, AuthStatusRequest, AuthenticateRequest, DefragmentRequest, HashKvRequest,
    MemberListRequest, MoveLeaderRequest, SnapshotRequest, StatusRequest,
};
use floe_etcd::proto::health::HealthCheckRequest;
use floe_etcd::proto::health::health_check_response::ServingStatus;
use floe_etcd::proto::health::health_client::HealthClient;
use floe_etcd::proto::v3lockpb::LockRequest;
use floe_etcd::proto::v3lockpb::lock_client::LockClient;
use tokio_stream::StreamExt;
use tonic::{Code, Response};

use crate::harness::{fails, single, soon};

#[tokio::test]
async fn status_says_what_kubernetes_looks_at() {
    let member = single().await;
    member.put("a", "1").await;
    let status = member.maintenance().status(StatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.version.as_str(), status.storage_version.as_str()), ("3.7.0", "3.7.0"));
    assert_eq!(status.header.unwrap().revision, 2);
    assert_eq!(status.leader, member.server.identity().member);
    assert!(status.raft_index > 0 && status.raft_applied_index > 0 && status.raft_term > 0);
    assert!(status.db_size > 0 && status.db_size_in_use > 0 && status.db_size_in_use <= status.db_size);
    assert_eq!((status.errors.len(), status.is_learner, status.db_size_quota), (0, false, 2 << 30));
    assert_eq!(status.downgrade_info, Some(Default::default()));
}

#[tokio::test]
async fn hashes_are_of_a_revision() {
    let member = single().await;
    let hash = async |revision| member.maintenance().hash_kv(HashKvRequest { revision }).await;
    member.put("a", "1").await;
    let first = hash(0).await.unwrap().into_inner();
    assert_eq!((first.hash_revision, first.compact_revision, first.header.unwrap().revision), (2, -1, 2));
    member.put("a", "2").await;
    assert_ne!(hash(0).await.unwrap().into_inner().hash, first.hash);
    assert_eq!(hash(2).await.unwrap().into_inner().hash, first.hash);
    let future = "etcdserver: mvcc: required revision is a future revision";
    fails(hash(9).await, Code::OutOfRange, future);
}

#[tokio::test]
async fn alarms_are_raised_listed_and_cleared() {
    let member = single().await;
    let alarm = async |action: AlarmAction, kind: AlarmType| {
        let mut request = AlarmRequest { member_id: 5, ..Default::default() };
        request.set_action(action);
        request.set_alarm(kind);
        let answer = member.maintenance().alarm(request).await.unwrap().into_inner();
        answer.alarms.iter().map(|alarm| (alarm.member_id, alarm.alarm())).collect::<Vec<_>>()
    };
    assert_eq!(alarm(AlarmAction::Get, AlarmType::None).await, []);
    assert_eq!(alarm(AlarmAction::Deactivate, AlarmType::Corrupt).await, []);
    assert_eq!(alarm(AlarmAction::Activate, AlarmType::Corrupt).await, [(5, AlarmType::Corrupt)]);
    assert_eq!(alarm(AlarmAction::Get, AlarmType::None).await, [(5, AlarmType::Corrupt)]);
    assert_eq!(alarm(AlarmAction::Get, AlarmType::Nospace).await, []);
    let write = member.kv().put(crate::harness::put("a", "1")).await;
    fails(write, Code::DataLoss, "etcdserver: corrupt cluster");
    assert_eq!(member.get("a").await.count, 0, "reads go on");
    assert_eq!(alarm(AlarmAction::Deactivate, AlarmType::Corrupt).await, [(5, AlarmType::Corrupt)]);
    member.put("a", "1").await;
}

#[tokio::test]
async fn the_member_list_has_urls_and_no_revision() {
    let member = single().await;
    let list =
        member.cluster().member_list(MemberListRequest { linearizable: true }).await.unwrap().into_inner();
    let header = list.header.unwrap();
    assert_eq!((header.revision, header.member_id), (0, member.server.identity().member));
    assert_eq!(list.members.len(), 1);
    let listed = &list.members[0];
    assert_eq!((listed.id, listed.name.as_str(), listed.is_learner), (header.member_id, "n1", false));
    assert_eq!(listed.client_ur_ls, [member.server.client_urls()[0].to_string()]);
    assert_eq!(listed.peer_ur_ls, [member.config().initial_advertise_peer_urls[0].to_string()]);
}

#[tokio::test]
async fn what_is_not_served_yet_is_refused_plainly() {
    let member = single().await;
    let snapshot = member.maintenance().snapshot(SnapshotRequest {}).await.map(|_| Response::new(()));
    fails(snapshot, Code::Unimplemented, "floe does not serve Snapshot yet");
    let lock = LockClient::new(member.channel.clone()).lock(LockRequest::default()).await;
    fails(lock, Code::Unimplemented, "floe does not serve Lock yet");
    let unknown = MoveLeaderRequest { target_id: 99 };
    let text = "etcdserver: bad leader transferee";
    fails(member.maintenance().move_leader(unknown).await, Code::FailedPrecondition, text);
    let done = member.maintenance().defragment(DefragmentRequest {}).await.unwrap().into_inner();
    assert_eq!(done.header, None);
}

#[tokio::test]
async fn defragmenting_makes_durable_what_is_there() {
    let member = single().await;
    let revision = soon(member.put("a", "1")).await.header.unwrap().revision;
    soon(member.maintenance().defragment(DefragmentRequest {})).await.unwrap();
    // What another process would find after a crash now.
    let copy = tempfile::tempdir().unwrap();
    let file = copy.path().join("store.redb");
    std::fs::copy(member.data_dir().join("store.redb"), &file).unwrap();
    let store = floe_mvcc::Store::open(&file, floe_mvcc::StoreOptions::default()).unwrap();
    assert!(store.reader().revision() >= revision);
}

#[tokio::test]
async fn authentication_is_off() {
    let member = single().await;
    let mut auth = AuthClient::new(member.channel.clone());
    let status = auth.auth_status(AuthStatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.enabled, status.auth_revision), (false, 1));
    let text = "etcdserver: authentication is not enabled";
    fails(auth.authenticate(AuthenticateRequest::default()).await, Code::FailedPrecondition, text);
}

#[tokio::test]
async fn the_health_service_knows_the_empty_name_only() {
    let member = single().await;
    let mut health = HealthClient::new(member.channel.clone());
    let check = |service: &str| HealthCheckRequest { service: service.into() };
    let serving = health.check(check("")).await.unwrap().into_inner();
    assert_eq!(serving.status(), ServingStatus::Serving);
    fails(health.check(check("etcdserverpb.KV")).await, Code::NotFound, "unknown service");
    let mut watch = health.watch(check("")).await.unwrap().into_inner();
    assert_eq!(soon(watch.next()).await.unwrap().unwrap().status(), ServingStatus::Serving);
}
