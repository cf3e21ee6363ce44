//! Leases: granted, renewed from any member, ended by hand and by themselves.

use floe_etcd::proto::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseLeasesRequest,
    LeaseRevokeRequest, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse, PutRequest,
};
use tokio_stream::StreamExt;
use tonic::{Code, Response, Status};

use crate::harness::{Member, fails, put, single, soon, three, until};

pub(crate) async fn grant(
    member: &Member,
    id: i64,
    ttl: i64,
) -> Result<Response<LeaseGrantResponse>, Status> {
    member.lease().lease_grant(LeaseGrantRequest { id, ttl }).await
}

async fn keep_alive(member: &Member, id: i64) -> LeaseKeepAliveResponse {
    let requests = tokio_stream::once(LeaseKeepAliveRequest { id });
    let mut answers = member.lease().lease_keep_alive(requests).await.unwrap().into_inner();
    let answer = soon(answers.next()).await.unwrap().unwrap();
    assert!(soon(answers.next()).await.is_none(), "the stream ends with the client's side");
    answer
}

async fn time_to_live(member: &Member, id: i64) -> LeaseTimeToLiveResponse {
    let request = LeaseTimeToLiveRequest { id, keys: true };
    member.lease().lease_time_to_live(request).await.unwrap().into_inner()
}

async fn attach(member: &Member, key: &str, lease: i64) {
    member.kv().put(PutRequest { lease, ..put(key, "") }).await.unwrap();
}

#[tokio::test]
async fn granting() {
    let member = single().await;
    let picked = grant(&member, 0, 100).await.unwrap().into_inner();
    assert!(picked.id > 0);
    assert_eq!((picked.ttl, picked.error.as_str(), picked.header.unwrap().revision), (100, "", 1));
    // The shortest lease outlives an election.
    assert_eq!(grant(&member, 7, -5).await.unwrap().into_inner().ttl, 1);
    fails(grant(&member, 7, 10).await, Code::FailedPrecondition, "etcdserver: lease already exists");
    fails(grant(&member, 8, 9_000_000_001).await, Code::OutOfRange, "etcdserver: too large lease TTL");
    grant(&member, 9, 9_000_000_000).await.unwrap();
}

#[tokio::test]
async fn a_lease_that_is_not_there_is_no_error_unless_it_is_revoked() {
    let member = single().await;
    assert_eq!(keep_alive(&member, 7).await.ttl, 0);
    let missing = time_to_live(&member, 7).await;
    assert_eq!((missing.id, missing.ttl, missing.granted_ttl), (7, -1, 0));
    assert_eq!(missing.header.unwrap().revision, 1);
    let revoke = member.lease().lease_revoke(LeaseRevokeRequest { id: 7 }).await;
    fails(revoke, Code::NotFound, "etcdserver: requested lease not found");
}

#[tokio::test]
async fn revoking_deletes_the_keys_at_one_revision() {
    let member = single().await;
    grant(&member, 7, 100).await.unwrap();
    for key in ["b", "a", "c"] {
        attach(&member, key, 7).await;
    }
    // A put without a lease detaches the key.
    member.put("c", "mine").await;
    let lease = time_to_live(&member, 7).await;
    assert_eq!((lease.granted_ttl, lease.keys), (100, vec!["a".into(), "b".into()]));
    assert!((98..=100).contains(&lease.ttl), "{}", lease.ttl);
    let listed = member.lease().lease_leases(LeaseLeasesRequest {}).await.unwrap().into_inner();
    assert_eq!(listed.leases.iter().map(|lease| lease.id).collect::<Vec<_>>(), [7]);
    let revoked = member.lease().lease_revoke(LeaseRevokeRequest { id: 7 }).await.unwrap().into_inner();
    assert_eq!(revoked.header.unwrap().revision, 6);
    assert_eq!((member.get("a").await.count, member.get("c").await.count), (0, 1));
}

#[tokio::test]
async fn a_lease_that_nobody_renews_takes_its_keys_along() {
    let member = single().await;
    grant(&member, 7, 1).await.unwrap();
    attach(&member, "a", 7).await;
    until(async || member.get("a").await.count == 0).await;
    assert_eq!(time_to_live(&member, 7).await.ttl, -1);
}

#[tokio::test]
async fn every_member_renews_and_knows_a_lease() {
    let members = three().await;
    grant(&members[0], 7, 50).await.unwrap();
    for member in &members {
        let alive = soon(keep_alive(member, 7)).await;
        assert_eq!((alive.id, alive.ttl), (7, 50));
        assert_eq!(alive.header.unwrap().member_id, member.server.identity().member);
        let lease = soon(time_to_live(member, 7)).await;
        assert!((48..=50).contains(&lease.ttl) && lease.granted_ttl == 50, "{lease:?}");
        assert_eq!(soon(keep_alive(member, 8)).await.ttl, 0);
    }
}
