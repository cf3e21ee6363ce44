//! Members that come and go while the cluster works.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use floe::{
    Builder, ChangeError, Failure, MembershipChange, MembershipOperation, NodeId, StartError, Stopped,
};
use tokio::time::timeout;

use crate::support::{Cluster, Member, PATIENCE, Recorder, pause, propose};

/// Waits until the member has stopped because it is out, and frees its port and files.
async fn stops_as_removed(member: &mut Member) {
    let stopped = timeout(PATIENCE, member.handle().stopped()).await.expect("it stops");
    assert!(matches!(stopped, Stopped::Failed(Failure::Removed)), "{stopped:?}");
    member.handle = None;
}

fn remove(id: NodeId) -> [MembershipOperation; 1] {
    [MembershipOperation::Remove { node: id }]
}

#[tokio::test]
async fn a_cluster_grows_replaces_all_its_members_and_shrinks_under_writes() {
    let mut cluster = Cluster::start(1);
    cluster.leader().await;
    let ended = Arc::new(AtomicBool::new(false));
    let (handle, end) = (cluster.members[0].handle().clone(), Arc::clone(&ended));
    // One writer stays with the first member; its commands must all be applied everywhere until that one goes.
    let writer = tokio::spawn(async move {
        let mut written = 0_usize;
        while !end.load(Ordering::Relaxed) {
            let payload = Bytes::from(format!("w{written}"));
            propose(&handle, payload).await.expect("nothing is lost while its member is there");
            written += 1;
            pause().await;
        }
        written
    });
    cluster.join().await;
    cluster.voters(&[0, 1]).await;
    cluster.join().await;
    cluster.voters(&[0, 1, 2]).await;
    ended.store(true, Ordering::Relaxed);
    let mut written = writer.await.expect("no panic");
    cluster.agreed(written).await;

    // Each of the first three is replaced, the leader too.
    for old in 0..3 {
        let new = cluster.join().await;
        cluster.change(&remove(cluster.members[old].id)).await;
        stops_as_removed(&mut cluster.members[old]).await;
        let kept: Vec<_> = (old + 1..=new).collect();
        cluster.voters(&kept).await;
        propose(cluster.members[new].handle(), Bytes::from_static(b"more")).await.expect("written");
        written += 1;
        cluster.agreed(written).await;
    }
    let leader = cluster.leader().await;
    let id = cluster.members[leader].id;
    cluster.change(&remove(id)).await;
    stops_as_removed(&mut cluster.members[leader]).await;
    propose(cluster.members[(3..6).find(|at| *at != leader).expect("two are left")].handle(), Bytes::new())
        .await
        .expect("written");
    cluster.agreed(written + 1).await;

    // It says why it does not come back.
    let config = cluster.members[leader].config.clone();
    let error = Builder::new(config).start_blocking(Recorder::in_memory().0).expect_err("refused");
    assert!(matches!(error, StartError::Removed { member, .. } if member == id.0), "{error}");
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_member_that_was_removed_while_it_was_down_finds_out() {
    let mut cluster = Cluster::start(3);
    let away = (cluster.leader().await + 1) % 3;
    propose(cluster.members[0].handle(), Bytes::from_static(b"a")).await.expect("written");
    cluster.members[away].stop_abruptly().await;
    cluster.leader().await;
    cluster.change(&remove(cluster.members[away].id)).await;
    cluster.members[away].restart();
    stops_as_removed(&mut cluster.members[away]).await;
    propose(cluster.members[(away + 1) % 3].handle(), Bytes::from_static(b"b")).await.expect("written");
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_member_that_was_away_while_all_others_were_replaced_catches_up() {
    let mut cluster = Cluster::configured(3, true, |_| {});
    let away = (cluster.leader().await + 1) % 3;
    propose(cluster.members[0].handle(), Bytes::from_static(b"a")).await.expect("written");
    cluster.members[away].stop_abruptly().await;
    for old in (0..3).filter(|&old| old != away) {
        let new = cluster.join().await;
        cluster.change(&remove(cluster.members[old].id)).await;
        stops_as_removed(&mut cluster.members[old]).await;
        propose(cluster.members[new].handle(), Bytes::from_static(b"b")).await.expect("written");
    }
    // It knows no address of those that are there now: they tell it.
    cluster.members[away].restart();
    cluster.voters(&[away, 3, 4]).await;
    propose(cluster.members[away].handle(), Bytes::from_static(b"c")).await.expect("written");
    cluster.shutdown().await;
}

#[tokio::test]
async fn refusals_say_what_is_wrong() {
    let mut cluster = Cluster::start(3);
    let leader = cluster.leader().await;
    propose(cluster.members[leader].handle(), Bytes::from_static(b"a")).await.expect("written");
    let ask = async |at: usize, operations: &[MembershipOperation]| {
        let change = MembershipChange::new(operations.iter().cloned());
        cluster.members[at].handle().change_membership(change).await.expect_err("refused")
    };
    let elsewhere = ask((leader + 1) % 3, &remove(cluster.members[leader].id)).await;
    assert_eq!(elsewhere, ChangeError::NotLeader { hint: Some(cluster.members[leader].id) });
    assert!(matches!(ask(leader, &remove(NodeId(77))).await, ChangeError::Invalid(_)));
    let add = MembershipOperation::AddLearner {
        node: NodeId(8),
        address: Bytes::from_static(b"127.0.0.1:1"),
        auto_promote: false,
    };
    cluster.change(&[add]).await;
    let promote = [MembershipOperation::Promote { node: NodeId(8) }];
    assert_eq!(ask(leader, &promote).await, ChangeError::Silent { node: NodeId(8) });
    cluster.change(&remove(NodeId(8))).await;
    cluster.shutdown().await;
}
