//! Members stop, die and come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use floe::{Builder, CheckpointError, Index, NodeConfig, NodeId, ProposeError, StartError, Stopped};

use crate::support::{CLUSTER, Cluster, Recorder, pause, propose};

#[tokio::test]
async fn without_its_leader_the_cluster_goes_on_and_all_data_is_there_after_a_restart_of_all() {
    let mut cluster = Cluster::start(3);
    let leader = cluster.leader().await;
    for number in 0..50_u8 {
        propose(cluster.members[leader].handle(), Bytes::from(vec![number])).await.expect("applied");
    }
    cluster.members[leader].stop_abruptly().await;
    let survivor = cluster.leader().await;
    assert_ne!(survivor, leader);
    for number in 50..100_u8 {
        propose(cluster.members[(leader + 1) % 3].handle(), Bytes::from(vec![number]))
            .await
            .expect("applied");
    }
    let before = cluster.agreed(100).await;
    cluster.members[leader].restart();
    assert_eq!(cluster.agreed(100).await, before, "the one that came back catches up");
    for member in &mut cluster.members {
        member.stop_abruptly().await;
    }
    for member in &mut cluster.members {
        member.restart();
    }
    cluster.leader().await;
    let applied = propose(cluster.members[0].handle(), Bytes::from_static(b"last")).await.expect("applied");
    assert_eq!(applied.reply, 100);
    let after = cluster.agreed(101).await;
    assert_eq!(after[..100], before);
    cluster.shutdown().await;
}

#[tokio::test]
async fn two_of_three_commit_and_one_alone_does_not() {
    let mut cluster = Cluster::configured(3, false, |config| {
        config.heartbeat_interval = std::time::Duration::from_millis(30);
        config.election_timeout = std::time::Duration::from_millis(500);
    });
    let leader = cluster.leader().await;
    propose(cluster.members[leader].handle(), Bytes::from_static(b"all")).await.expect("applied");
    cluster.members[(leader + 1) % 3].stop_abruptly().await;
    propose(cluster.members[leader].handle(), Bytes::from_static(b"two")).await.expect("applied");
    cluster.members[(leader + 2) % 3].stop_abruptly().await;
    // Alone it either still believes that it leads, and then cannot say what becomes of the command, or knows that
    // nobody does.
    let alone = cluster.members[leader].handle().propose(Bytes::from_static(b"one")).await;
    assert!(matches!(alone, Err(ProposeError::Unknown(_) | ProposeError::NotLeader { .. })), "{alone:?}");
    assert!(cluster.members[leader].handle().read().await.is_err(), "nor does it confirm a read");
    assert_eq!(cluster.members[leader].book.lock().expect("not poisoned").len(), 2);
    for offset in [1, 2] {
        cluster.members[(leader + offset) % 3].restart();
    }
    cluster.leader().await;
    let applied =
        propose(cluster.members[leader].handle(), Bytes::from_static(b"again")).await.expect("applied");
    cluster.agreed(applied.reply + 1).await;
    cluster.shutdown().await;
}

/// Clients on every member write while each member in turn is stopped properly and started again. Every outcome is
/// definite, and nothing is lost or done twice.
#[tokio::test]
async fn a_graceful_stop_fails_no_proposal() {
    let mut cluster = Cluster::start(3);
    cluster.leader().await;
    let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    for round in 0..3 {
        let leader = cluster.leader().await;
        stop.store(false, Ordering::Release);
        let clients: Vec<_> = (0..12)
            .map(|client| {
                let handles: Vec<_> = cluster.members.iter().map(|member| member.handle().clone()).collect();
                let (stop, written) = (Arc::clone(&stop), Arc::clone(&written));
                tokio::spawn(async move {
                    let mut at = client % 3;
                    let mut number = 0;
                    while !stop.load(Ordering::Acquire) {
                        match handles[at].propose(Bytes::from(format!("{round}/{client}/{number}"))).await {
                            Ok(_) => {
                                written.fetch_add(1, Ordering::Relaxed);
                                number += 1;
                            }
                            Err(error) if error.nothing_happened() => {
                                at = (at + 1) % 3;
                                pause().await;
                            }
                            Err(error) => panic!("client {client} on member {at}: {error}"),
                        }
                    }
                })
            })
            .collect();
        wait_for(|| written.load(Ordering::Relaxed) > (2 * round + 1) * 200).await;
        let handle = cluster.members[leader].handle.take().expect("it runs");
        handle.shutdown().await;
        drop(handle);
        let before = written.load(Ordering::Relaxed);
        wait_for(|| written.load(Ordering::Relaxed) > before + 200).await;
        stop.store(true, Ordering::Release);
        for client in clients {
            client.await.expect("every outcome was definite");
        }
        cluster.members[leader].restart();
    }
    let book = cluster.agreed(written.load(Ordering::Relaxed)).await;
    let mut different: Vec<_> = book.iter().map(|(_, payload)| payload.clone()).collect();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), book.len(), "nothing was done twice");
    cluster.shutdown().await;
}

async fn wait_for(condition: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + crate::support::PATIENCE;
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "it does not come true");
        pause().await;
    }
}

#[tokio::test]
async fn a_durable_state_is_not_replayed_and_the_log_is_cut_behind_it() {
    let mut cluster = Cluster::configured(3, true, |config| {
        config.checkpoint_interval = std::time::Duration::from_millis(50);
        config.segment_bytes = 1 << 20;
    });
    cluster.leader().await;
    let payload = Bytes::from(vec![7; 64 << 10]);
    let segments = |cluster: &Cluster, id: u64| {
        let entries = std::fs::read_dir(cluster.dir.path().join(id.to_string()).join("log"));
        entries.expect("a directory").count()
    };
    // Eight segments' worth, twice: without compaction all of them would stay.
    for _ in 0..256 {
        propose(cluster.members[0].handle(), payload.clone()).await.expect("applied");
    }
    wait_for(|| (1..=3).all(|id| segments(&cluster, id) < 8)).await;
    let applied = propose(cluster.members[0].handle(), payload.clone()).await.expect("applied").id.index;
    // A member that is stopped before it hears of the last commit rightly applies it after its restart.
    cluster.agreed(257).await;
    cluster.shutdown().await;
    for member in &mut cluster.members {
        member.restart();
    }
    cluster.leader().await;
    for member in &cluster.members {
        assert!(member.handle().applied() >= applied, "the state contained it at the start");
        assert!(member.book.lock().expect("not poisoned").is_empty(), "nothing is applied twice");
    }
    let next = propose(cluster.members[1].handle(), Bytes::from_static(b"next")).await.expect("applied");
    assert!(next.id.index > applied);
    cluster.agreed(1).await;
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_checkpoint_is_made_when_it_is_asked_for() {
    let far = std::time::Duration::from_secs(3600);
    let mut cluster = Cluster::configured(3, true, |config| config.checkpoint_interval = far);
    let leader = cluster.leader().await;
    for number in 0..20_u8 {
        propose(cluster.members[leader].handle(), Bytes::from(vec![number])).await.expect("applied");
    }
    cluster.agreed(20).await;
    for member in &cluster.members {
        let file = member.config.data_dir.with_extension("state");
        assert!(!file.exists(), "its time has not come");
        let applied = member.handle().applied();
        let durable = member.handle().checkpoint().await.expect("made");
        assert!(durable.index >= applied && file.exists(), "{durable} of {applied}");
        assert_eq!(member.handle().checkpoint().await, Ok(durable), "nothing is new");
    }
    let handle = cluster.members[leader].handle().clone();
    cluster.shutdown().await;
    assert_eq!(handle.checkpoint().await, Err(CheckpointError::Shutdown));
}

#[tokio::test]
async fn a_data_directory_of_another_member_or_cluster_is_refused_and_left_alone() {
    let mut cluster = Cluster::start(1);
    cluster.leader().await;
    propose(cluster.members[0].handle(), Bytes::from_static(b"kept")).await.expect("applied");
    cluster.shutdown().await;
    let dir = cluster.members[0].config.data_dir.clone();
    for (id, number) in [(2, CLUSTER), (1, CLUSTER + 1)] {
        let mut config = NodeConfig::new(NodeId(id), number, &dir);
        config.members = [(NodeId(id), "127.0.0.1:1".to_owned())].into();
        let refused = Builder::new(config).start(Recorder::in_memory().0).await.expect_err("refused");
        let StartError::WrongOwner { found_member, found_cluster, member, cluster, .. } = refused else {
            panic!("{refused}")
        };
        assert_eq!((found_member, found_cluster, member, cluster), (1, CLUSTER, id, number));
    }
    cluster.members[0].restart();
    cluster.leader().await;
    cluster.agreed(1).await;
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_member_that_lost_its_log_does_not_start() {
    let mut cluster = Cluster::start(1);
    cluster.leader().await;
    cluster.shutdown().await;
    let config = cluster.members[0].config.clone();
    std::fs::remove_dir_all(config.data_dir.join("log")).expect("removed");
    // Nothing was ever applied, so that the state machine has nothing to say of the loss. But a vote was cast.
    let refused = Builder::new(config).start(Recorder::in_memory().0).await.expect_err("refused");
    assert!(matches!(refused, StartError::LogMissing { member: 1, .. }), "{refused}");
}

#[tokio::test]
async fn a_state_machine_that_does_not_fit_the_log_is_refused() {
    let mut cluster = Cluster::start(1);
    cluster.leader().await;
    propose(cluster.members[0].handle(), Bytes::from_static(b"kept")).await.expect("applied");
    cluster.shutdown().await;
    let state = cluster.dir.path().join("foreign");
    let mut bytes = 1_u64.to_le_bytes().to_vec();
    bytes.extend(1000_u64.to_le_bytes());
    std::fs::write(&state, bytes).expect("written");
    let config = cluster.members[0].config.clone();
    let refused = Builder::new(config).start(Recorder::durable(state).0).await.expect_err("refused");
    let StartError::StateMachineAhead { applied, last } = refused else { panic!("{refused}") };
    assert_eq!(applied.index, Index(1000));
    assert!(last.index < Index(1000));
}

#[tokio::test]
async fn stopping_twice_is_stopping_once_and_afterwards_everything_is_refused() {
    let cluster = Cluster::start(1);
    cluster.leader().await;
    let handle = cluster.members[0].handle().clone();
    tokio::join!(handle.shutdown(), handle.shutdown());
    handle.shutdown().await;
    assert!(matches!(handle.stopped().await, Stopped::Requested));
    assert_eq!(handle.propose(Bytes::from_static(b"late")).await, Err(ProposeError::Shutdown));
    assert_eq!(handle.read().await, Err(floe::ReadError::Shutdown));
}
