//! A member that votes and holds no data, as its clients and those of the others see it.

use floe_etcd::proto::etcdserverpb::{
    Member as Listed, MemberAddRequest, MemberListRequest, MemberPromoteRequest, MemberRemoveRequest,
    MoveLeaderRequest, StatusRequest,
};
use floe_etcd::proto::health::HealthCheckRequest;
use floe_etcd::proto::health::health_check_response::ServingStatus;
use floe_etcd::proto::health::health_client::HealthClient;
use floe_etcd::{JoinError, Server, StartError};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::{Code, Status};

use crate::harness::{Member, fails, free_port, get, joining, local, put, single, soon, three_with, until};

async fn list(via: &Member, linearizable: bool) -> Vec<Listed> {
    let mut client = via.cluster();
    soon(client.member_list(MemberListRequest { linearizable })).await.unwrap().into_inner().members
}

async fn add(via: &Member, port: u16) -> Result<Listed, Status> {
    let request = MemberAddRequest {
        peer_ur_ls: vec![local(port).to_string()],
        is_witness: true,
        ..MemberAddRequest::default()
    };
    Ok(soon(via.cluster().member_add(request)).await?.into_inner().member.expect("the new one"))
}

/// What plain HTTP answers: the whole of it.
async fn http(member: &Member, path: &str) -> String {
    let url = &member.server.client_urls()[0];
    let mut stream = TcpStream::connect(url.authority()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

#[tokio::test]
async fn it_says_how_it_is_and_who_is_there_and_sends_everything_else_away() {
    let mut members = three_with(|config| config.initial_witnesses = vec!["n3".into()]).await;
    let witness = members.pop().expect("the third");
    soon(members[0].put("a", "1")).await;
    let leader =
        members.iter().position(|member| member.server.handle().is_leader()).expect("one of the two");
    let id = witness.server.identity().member;

    let status = witness.maintenance().status(StatusRequest {}).await.unwrap().into_inner();
    let header = status.header.unwrap();
    assert!(status.is_witness && status.errors.is_empty());
    assert_eq!((header.member_id, header.revision), (id, 0));
    assert_eq!(status.leader, members[leader].server.identity().member);
    let status = members[0].maintenance().status(StatusRequest {}).await.unwrap().into_inner();
    assert!(!status.is_witness);
    let listed = list(&members[0], true).await;
    let known = listed.iter().find(|member| member.id == id).unwrap();
    assert!(known.is_witness && !known.is_learner && known.name == "n3" && known.client_ur_ls.len() == 1);
    assert_eq!(list(&witness, true).await, listed);
    assert_eq!(list(&witness, false).await, listed);

    let refused = witness.kv().put(put("a", "2")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    let leads = format!("the leader is n{} (", leader + 1);
    let at = members[leader].server.client_urls()[0].to_string();
    assert!(refused.message().contains(&leads) && refused.message().ends_with(&at), "{}", refused.message());
    assert_eq!(witness.kv().range(get("a")).await.unwrap_err().code(), Code::Unavailable);
    let mut health = HealthClient::new(witness.channel.clone());
    let answer = health.check(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(answer.status(), ServingStatus::NotServing);
    assert!(http(&witness, "/livez").await.starts_with("HTTP/1.1 200"));
    for path in ["/readyz", "/health"] {
        let answer = http(&witness, path).await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains(&leads), "{answer}");
    }

    let to_witness = MoveLeaderRequest { target_id: id };
    let text = "etcdserver: bad leader transferee";
    fails(members[leader].maintenance().move_leader(to_witness).await, Code::FailedPrecondition, text);
    let promote = MemberPromoteRequest { id };
    let text = "etcdserver: can only promote a learner member";
    // One that did not answer for a moment, on a busy machine, is another refusal.
    until(async || {
        let refused = members[leader].cluster().member_promote(promote).await.expect_err("it has no data");
        refused.code() == Code::FailedPrecondition && refused.message() == text
    })
    .await;

    // With one of the two gone it makes the majority.
    let gone = members.remove(leader);
    let left = members.pop().expect("the other");
    let (config, dir) = gone.stop().await;
    // A busy machine may keep the two from each other for a moment, and then the leader steps down.
    until(async || left.kv().put(put("a", "3")).await.is_ok()).await;
    assert_eq!(soon(left.get("a")).await.kvs[0].value, "3");
    let back = Member::start(config, dir).await;
    back.ready().await;
    assert_eq!(soon(back.get("a")).await.kvs[0].value, "3");

    let (mut config, _dir) = witness.stop().await;
    assert!(!config.data_dir.join("store.redb").exists());
    config.initial_witnesses.clear();
    let error = Server::start(config).await.unwrap_err();
    assert!(matches!(error, StartError::Node(floe::StartError::OtherKind { witness: true, .. })), "{error}");
}

#[tokio::test]
async fn it_is_added_to_two_with_data_and_goes_again() {
    let first = single().await;
    soon(first.put("a", "1")).await;
    let alone = add(&first, free_port()).await.unwrap_err();
    assert_eq!(alone.code(), Code::FailedPrecondition);
    assert!(alone.message().starts_with("floe: a witness beside a single member"), "{}", alone.message());

    let port = free_port();
    let request = MemberAddRequest { peer_ur_ls: vec![local(port).to_string()], ..Default::default() };
    soon(first.cluster().member_add(request)).await.unwrap();
    let second = soon(Member::start(joining("n2", port, &[&first]), TempDir::new().unwrap())).await;
    second.ready().await;
    until(async || second.server.handle().status().membership.voters.len() == 2).await;

    let port = free_port();
    let added = add(&second, port).await.unwrap();
    assert!(added.is_witness && added.name.is_empty());
    let mut config = joining("w", port, &[&first, &second]);
    let refused = {
        let mut config = config.clone();
        config.data_dir = TempDir::new().unwrap().keep();
        Server::start(config).await.map(drop).unwrap_err()
    };
    assert!(matches!(refused, StartError::Join(JoinError::OtherKind { witness: true, .. })), "{refused}");
    config.witness = true;
    let witness = soon(Member::start(config, TempDir::new().unwrap())).await;
    assert_eq!(witness.server.identity().member, added.id);
    witness.ready().await;
    let witness = witness.restart().await;
    witness.ready().await;
    let listed = list(&second, true).await.into_iter().find(|member| member.id == added.id).unwrap();
    assert!(listed.is_witness && listed.name == "w");

    // Two of four may be witnesses, but not three of five.
    let fourth = add(&first, free_port()).await.unwrap();
    let refused = add(&first, free_port()).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("a majority could be witnesses"), "{}", refused.message());
    for id in [fourth.id, added.id] {
        soon(first.cluster().member_remove(MemberRemoveRequest { id })).await.unwrap();
    }
    let stopped = soon(witness.server.stopped()).await;
    assert!(matches!(stopped, floe::Stopped::Failed(floe::Failure::Removed)), "{stopped:?}");
    assert_eq!(list(&first, true).await.len(), 2);
}
