//! Members that are added, promoted, moved and removed through the API.

use floe::{Failure, Stopped};
use floe_etcd::proto::etcdserverpb::{
    DefragmentRequest, Member as Listed, MemberAddRequest, MemberAddResponse, MemberListRequest,
    MemberPromoteRequest, MemberRemoveRequest, MemberUpdateRequest, RangeRequest, StatusRequest,
};
use floe_etcd::{JoinError, Server, StartError};
use tempfile::TempDir;
use tonic::{Code, Response, Status};

use crate::harness::{Member, fails, free_port, get, joining, local, put, single, soon, three, until};

async fn add(via: &Member, port: u16, is_learner: bool) -> Result<Response<MemberAddResponse>, Status> {
    let request =
        MemberAddRequest { peer_ur_ls: vec![local(port).to_string()], is_learner, is_witness: false };
    soon(via.cluster().member_add(request)).await
}

async fn list(via: &Member) -> Vec<Listed> {
    let request = MemberListRequest { linearizable: true };
    soon(via.cluster().member_list(request)).await.unwrap().into_inner().members
}

/// Adds a member and starts it from flags, as an operator would.
async fn grow(name: &str, running: &[&Member], is_learner: bool) -> Member {
    let port = free_port();
    let added = add(running[0], port, is_learner).await.unwrap().into_inner();
    let new = added.member.unwrap();
    assert_eq!((new.name.as_str(), new.client_ur_ls.len(), new.is_learner), ("", 0, is_learner));
    assert_eq!(new.peer_ur_ls, [local(port).to_string()]);
    assert_eq!(added.members.len(), running.len() + 1);
    assert_eq!(added.header.unwrap().revision, 0);
    let member = soon(Member::start(joining(name, port, running), TempDir::new().unwrap())).await;
    assert_eq!(member.server.identity().member, new.id);
    member.ready().await;
    member
}

/// Whose names are in the store of a member. It is read as another process would, from a copy of its file.
async fn published(member: &Member) -> Vec<u64> {
    soon(member.maintenance().defragment(DefragmentRequest {})).await.unwrap();
    let copy = TempDir::new().unwrap();
    let file = copy.path().join("store.redb");
    std::fs::copy(member.data_dir().join("store.redb"), &file).unwrap();
    let store = floe_mvcc::Store::open(&file, floe_mvcc::StoreOptions::default()).unwrap();
    store.reader().members().into_iter().map(|info| info.id).collect()
}

fn voters(member: &Member) -> usize {
    member.server.handle().status().membership.voters.len()
}

#[tokio::test]
async fn one_member_becomes_three_and_three_become_two_without_their_leader() {
    let first = single().await;
    soon(first.put("a", "1")).await;
    let second = grow("n2", &[&first], false).await;
    until(async || voters(&second) == 2).await;
    let third = grow("n3", &[&second, &first], false).await;
    until(async || voters(&first) == 3).await;
    let names: Vec<_> =
        list(&third).await.into_iter().map(|member| (member.name, member.is_learner)).collect();
    let expected = ["n1", "n2", "n3"].map(|name| (name.to_owned(), false));
    assert!(expected.iter().all(|name| names.contains(name)), "{names:?}");
    assert_eq!(soon(third.get("a")).await.kvs[0].value, "1");

    // Asked of another than the leader, which is the one to go.
    let mut members = vec![first, second, third];
    let at = members.iter().position(|member| member.server.handle().is_leader()).expect("there is a leader");
    let old = members.remove(at);
    let [via, other] = [0, 1].map(|at| &members[at]);
    let id = old.server.identity().member;
    let left = soon(via.cluster().member_remove(MemberRemoveRequest { id })).await.unwrap().into_inner();
    assert_eq!(left.members.len(), 2);
    let stopped = soon(old.server.stopped()).await;
    assert!(matches!(stopped, Stopped::Failed(Failure::Removed)), "{stopped:?}");
    // Its name goes, too.
    until(async || !published(via).await.contains(&id)).await;
    assert_eq!(published(other).await.len(), 2);
    soon(via.put("a", "2")).await;
    assert_eq!(soon(other.get("a")).await.kvs[0].value, "2");

    let (config, _dir) = old.stop().await;
    let error = Server::start(config).await.unwrap_err();
    assert!(matches!(error, StartError::Node(floe::StartError::Removed { .. })), "{error}");
    fails(
        via.cluster().member_remove(MemberRemoveRequest { id }).await,
        Code::NotFound,
        "etcdserver: member not found",
    );
}

#[tokio::test]
async fn a_learner_answers_little_until_it_is_promoted() {
    let first = single().await;
    soon(first.put("a", "1")).await;
    let learner = grow("n2", &[&first], true).await;
    let local_read = RangeRequest { serializable: true, ..get("a") };
    until(async || learner.kv().range(local_read.clone()).await.unwrap().into_inner().count == 1).await;
    let status = learner.maintenance().status(StatusRequest {}).await.unwrap().into_inner();
    assert!(status.is_learner);
    let text = "etcdserver: rpc not supported for learner";
    fails(learner.kv().range(get("a")).await, Code::FailedPrecondition, text);
    fails(learner.kv().put(put("a", "2")).await, Code::FailedPrecondition, text);
    let request = MemberListRequest { linearizable: false };
    fails(learner.cluster().member_list(request).await, Code::FailedPrecondition, text);

    let text = "etcdserver: too many learner members in cluster";
    fails(add(&first, free_port(), true).await, Code::FailedPrecondition, text);
    let id = learner.server.identity().member;
    // One that was not heard of for a moment, as happens on a busy machine, is not in sync.
    let not_ready = "etcdserver: can only promote a learner member which is in sync with leader";
    until(async || match first.cluster().member_promote(MemberPromoteRequest { id }).await {
        Ok(promoted) => promoted.into_inner().members.iter().all(|member| !member.is_learner),
        refused => {
            fails(refused, Code::FailedPrecondition, not_ready);
            false
        }
    })
    .await;
    let text = "etcdserver: can only promote a learner member";
    fails(first.cluster().member_promote(MemberPromoteRequest { id }).await, Code::FailedPrecondition, text);
    until(async || !learner.server.handle().is_learner()).await;
    soon(learner.put("a", "2")).await;
}

#[tokio::test]
async fn changes_are_refused_in_etcds_words() {
    let members = three().await;
    let any = &members[0];
    for id in [1234] {
        let text = "etcdserver: member not found";
        let request = MemberPromoteRequest { id };
        fails(any.cluster().member_promote(request).await, Code::NotFound, text);
        fails(any.cluster().member_remove(MemberRemoveRequest { id }).await, Code::NotFound, text);
        let request = MemberUpdateRequest { id, peer_ur_ls: vec![local(1).to_string()] };
        fails(any.cluster().member_update(request).await, Code::NotFound, text);
    }
    let taken = members[1].config().initial_advertise_peer_urls[0].port();
    let text = "etcdserver: Peer URLs already exists";
    fails(add(any, taken, false).await, Code::FailedPrecondition, text);
    let request = MemberAddRequest { peer_ur_ls: vec!["nowhere".into()], ..Default::default() };
    let text = "etcdserver: given member URLs are invalid";
    fails(any.cluster().member_add(request).await, Code::InvalidArgument, text);

    // A learner that nobody has started.
    let port = free_port();
    let id = add(any, port, true).await.unwrap().into_inner().member.unwrap().id;
    let text = "etcdserver: can only promote a learner member which is in sync with leader";
    for via in &members {
        let request = MemberPromoteRequest { id };
        fails(via.cluster().member_promote(request).await, Code::FailedPrecondition, text);
    }
    let moved = vec![local(free_port()).to_string()];
    let request = MemberUpdateRequest { id, peer_ur_ls: moved.clone() };
    soon(any.cluster().member_update(request)).await.unwrap();
    let listed = list(any).await.into_iter().find(|member| member.id == id).unwrap();
    assert_eq!((listed.peer_ur_ls, listed.is_learner), (moved, true));
    soon(any.cluster().member_remove(MemberRemoveRequest { id })).await.unwrap();

    soon(members[2].server.shutdown()).await;
    let (down, up) = (members[2].server.identity().member, members[1].server.identity().member);
    until(async || any.server.handle().leader().is_some_and(|leader| leader.0 != down)).await;
    // As soon as the leader has noticed. The one that is down may go.
    let text = "etcdserver: unhealthy cluster";
    until(async || add(any, free_port(), true).await.is_err_and(|status| status.message() == text)).await;
    let list = list(any).await;
    for extra in list.iter().filter(|member| member.name.is_empty()) {
        soon(any.cluster().member_remove(MemberRemoveRequest { id: extra.id })).await.unwrap();
    }
    fails(any.cluster().member_remove(MemberRemoveRequest { id: up }).await, Code::Unavailable, text);
    soon(any.cluster().member_remove(MemberRemoveRequest { id: down })).await.unwrap();
}

#[tokio::test]
async fn a_member_that_does_not_belong_here_is_told_why() {
    let first = single().await;
    let port = free_port();
    let config = |peers: &[&Member]| {
        let mut config = joining("n2", port, peers);
        config.data_dir = TempDir::new().unwrap().keep();
        config
    };
    let start = async |config| Server::start(config).await.map(drop).unwrap_err();
    let error = start(config(&[&first])).await;
    assert!(matches!(error, StartError::Join(JoinError::NotAdded { .. })), "{error}");

    add(&first, port, true).await.unwrap();
    let mut wrong = config(&[&first]);
    wrong.initial_cluster.push(("n9".into(), vec![local(9)]));
    let error = start(wrong).await;
    assert!(
        matches!(&error, StartError::Join(JoinError::ListDiffers { extra, .. }) if extra.len() == 1),
        "{error}"
    );
    let error = start(config(&[])).await;
    assert!(matches!(error, StartError::Join(JoinError::Alone)), "{error}");
}
