//! Three members.

use std::cell::Cell;

use floe_etcd::Config;
use floe_etcd::proto::etcdserverpb::{
    HashKvRequest, LeaseGrantRequest, MemberListRequest, MoveLeaderRequest, RangeRequest, StatusRequest,
};
use tonic::{Code, Request};

use crate::harness::{Member, fails, get, local, put, single, soon, three, three_with, until};

/// The position of the leader, as soon as there is one.
async fn leader(members: &[Member]) -> usize {
    let found = Cell::new(None);
    until(async || {
        found.set(members.iter().position(|member| member.server.handle().is_leader()));
        found.get().is_some()
    })
    .await;
    found.get().expect("somebody was found")
}

#[tokio::test]
async fn every_member_reads_what_any_member_wrote() {
    let members = three().await;
    for (n, member) in members.iter().enumerate() {
        let revision = soon(member.put("a", &n.to_string())).await.header.unwrap().revision;
        assert_eq!(revision, 2 + n as i64);
        for reader in &members {
            let read = soon(reader.get("a")).await;
            assert_eq!(read.kvs[0].value, n.to_string());
            assert_eq!(read.header.unwrap().member_id, reader.server.identity().member);
        }
    }
    let mut hashes = Vec::new();
    for member in &members {
        let request = HashKvRequest { revision: 4 };
        hashes.push(member.maintenance().hash_kv(request).await.unwrap().into_inner().hash);
    }
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
}

#[tokio::test]
async fn all_members_are_listed_alike() {
    let members = three().await;
    let mut lists = Vec::new();
    for member in &members {
        let request = MemberListRequest { linearizable: true };
        lists.push(member.cluster().member_list(request).await.unwrap().into_inner().members);
    }
    assert!(lists.iter().all(|list| *list == lists[0]));
    let mut names: Vec<_> = lists[0].iter().map(|member| member.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["n1", "n2", "n3"]);
    assert!(lists[0].iter().all(|member| member.client_ur_ls.len() == 1 && member.peer_ur_ls.len() == 1));
}

#[tokio::test]
async fn leadership_moves_on_request_and_only_from_the_leader() {
    let members = three().await;
    let from = leader(&members).await;
    let to = (from + 1) % 3;
    let request = MoveLeaderRequest { target_id: members[to].server.identity().member };
    let elsewhere = members[to].maintenance().move_leader(request).await;
    fails(elsewhere, Code::FailedPrecondition, "etcdserver: not leader");
    soon(members[from].maintenance().move_leader(request)).await.unwrap();
    until(async || members[to].server.handle().is_leader()).await;
    soon(members[from].put("a", "1")).await;
    assert_eq!(soon(members[to].get("a")).await.count, 1);
}

#[tokio::test]
async fn data_survives_a_restart_and_clients_wait_for_the_leader() {
    let mut members = three().await;
    soon(members[0].put("a", "1")).await;
    soon(members[0].lease().lease_grant(LeaseGrantRequest { id: 7, ttl: 100 })).await.unwrap();
    let mut restarted = Vec::new();
    for member in members.drain(..) {
        restarted.push(soon(member.restart()).await);
    }
    // Nothing waits for a leader here but the requests themselves.
    for member in &restarted {
        let read = soon(member.get("a")).await;
        assert_eq!((read.kvs[0].value.as_ref(), read.kvs[0].mod_revision), (b"1".as_ref(), 2));
        assert_eq!(member.server.handle().status().membership.voters.len(), 3);
    }
    soon(restarted[2].put("a", "2")).await;
}

#[tokio::test]
async fn without_a_quorum_nothing_is_written_and_only_what_is_here_is_read() {
    let mut members = three().await;
    soon(members[0].put("a", "1")).await;
    let left = members.remove(leader(&members).await);
    for member in &members {
        soon(member.server.shutdown()).await;
    }
    until(async || left.server.handle().leader().is_none()).await;
    let local = RangeRequest { serializable: true, ..get("a") };
    assert_eq!(soon(left.kv().range(local)).await.unwrap().into_inner().count, 1);
    let status = left.maintenance().status(StatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.leader, status.errors), (0, vec!["etcdserver: no leader".to_owned()]));
    // A client that says so hears at once that there is no leader; others after the request's time.
    let mut request = Request::new(get("a"));
    request.metadata_mut().insert("hasleader", "true".parse().unwrap());
    fails(left.kv().range(request).await, Code::Unavailable, "etcdserver: no leader");
    let (mut writer, mut reader) = (left.kv(), left.kv());
    let (write, read) = soon(async { tokio::join!(writer.put(put("a", "2")), reader.range(get("a"))) }).await;
    fails(write, Code::Unavailable, "etcdserver: request timed out");
    fails(read, Code::Unavailable, "etcdserver: request timed out");
}

/// The members of the first start may have changed since, and a later start need not name them. But whoever describes how
/// another cluster began has taken the wrong directory.
#[tokio::test]
async fn who_a_member_is_stands_in_its_data_directory() {
    let member = single().await;
    let identity = member.server.identity().clone();
    soon(member.put("a", "1")).await;
    let (config, _dir) = member.stop().await;

    let mut longer = config.clone();
    longer.initial_cluster.push(("n2".into(), vec![local(1)]));
    let mut existing = config.clone();
    existing.initial_cluster_state = floe_etcd::ClusterState::Existing;
    existing.initial_cluster_token = "another".into();
    for later in [longer, existing] {
        let server = floe_etcd::Server::start(later).await.unwrap();
        let found = server.identity();
        assert_eq!((found.member, found.cluster), (identity.member, identity.cluster));
        soon(server.wait_ready()).await;
        soon(server.shutdown()).await;
    }

    let other_cluster = Config { initial_cluster_token: "another".into(), ..config.clone() };
    let other_member = Config { name: "n2".into(), initial_cluster: Vec::new(), ..config };
    for wrong in [other_cluster, other_member] {
        let refused = floe_etcd::Server::start(wrong).await.unwrap_err().to_string();
        assert!(refused.contains("belongs to member"), "{refused}");
    }
}

#[tokio::test]
async fn a_read_by_lease_costs_no_message_and_sees_everything() {
    let members = three_with(|config| config.lease_drift_ms = Some(30)).await;
    for n in 0..200 {
        let text = n.to_string();
        soon(members[n % 3].put("a", &text)).await;
        // On whatever member it is asked.
        let read = soon(members[(n + 1) % 3].get("a")).await;
        assert_eq!(read.kvs[0].value, text);
    }
    // Rounds of heartbeats for reads would be two messages each, and passing reads on to a leader one. On a busy machine a
    // lease runs out now and then, and leaders change: some fifty reads in a row find a lease that lasts.
    let by_lease = async {
        loop {
            let leader = &members[leader(&members).await];
            let sent = || leader.server.handle().status().counters.messages_sent;
            let (before, start) = (sent(), std::time::Instant::now());
            for _ in 0..50 {
                leader.get("a").await;
            }
            let elapsed_ms = start.elapsed().as_millis() as u64;
            let heartbeats = 2 * (elapsed_ms / leader.config().heartbeat_interval_ms + 2);
            if sent() - before <= heartbeats + 10 {
                break;
            }
        }
    };
    soon(by_lease).await;
}
