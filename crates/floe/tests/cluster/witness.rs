//! Members that vote and hold no data.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use floe::{
    Builder, NodeConfig, NodeId, Owner, ProposeError, ReadError, RecoverError, RoleKind, StartError,
    Survivor, TransferError,
};

use crate::support::{Cluster, PATIENCE, Recorder, pause, propose};

const SECRET: &[u8] = b"a command that no witness holds";

/// Three members, the third a witness.
fn cluster(adjust: impl Fn(&mut NodeConfig)) -> Cluster {
    Cluster::configured(3, true, |config| {
        config.witnesses = [NodeId(3)].into();
        adjust(config);
    })
}

async fn write(cluster: &Cluster, via: usize, count: usize) {
    for _ in 0..count {
        propose(cluster.members[via].handle(), Bytes::from_static(SECRET)).await.expect("written");
    }
}

async fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: it does not come true");
        pause().await;
    }
}

/// Whether a file of the directory holds the bytes.
fn holds(directory: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(directory).expect("a directory").any(|entry| {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            return holds(&path, bytes);
        }
        std::fs::read(&path).expect("readable").windows(bytes.len()).any(|window| window == bytes)
    })
}

/// The one with data that is not `leader`.
fn other(leader: usize) -> usize {
    assert!(leader < 2, "a witness leads");
    1 - leader
}

#[tokio::test]
async fn two_with_data_and_a_witness_bear_the_loss_of_any_one() {
    let mut cluster = cluster(|_| {});
    let first = cluster.leader().await;
    let second = other(first);
    write(&cluster, first, 20).await;
    cluster.agreed(20).await;

    // The leader dies: the witness elects the other and makes its writes committed.
    cluster.members[first].stop_abruptly().await;
    assert_eq!(cluster.leader().await, second);
    write(&cluster, second, 20).await;
    // It comes back, gets what it lacks from the one with data, and is the last survivor.
    cluster.members[first].restart();
    wait_for("it has caught up", || {
        let last = cluster.members[second].handle().commit();
        cluster.members[first].handle().applied() == last
    })
    .await;
    cluster.members[second].stop_abruptly().await;
    assert_eq!(cluster.leader().await, first);
    write(&cluster, first, 20).await;

    // A witness that was restarted remembers what it voted and acknowledged, or the survivor could not go on.
    cluster.members[2].stop_abruptly().await;
    let alone = cluster.members[first].handle().propose(Bytes::from_static(b"alone"));
    let outcome = tokio::time::timeout(Duration::from_millis(300), alone).await;
    assert!(!matches!(outcome, Ok(Ok(_))), "one of three commits alone");
    cluster.members[2].restart();
    assert_eq!(cluster.leader().await, first);
    write(&cluster, first, 5).await;
    cluster.members[second].restart();
    cluster.leader().await;

    // The witness alone does not matter either.
    cluster.members[2].stop_abruptly().await;
    write(&cluster, second, 5).await;
    cluster.members[2].restart();
    let term = cluster.leader().await;
    assert!(term < 2, "a witness leads");
    let last = cluster.members[first].handle().commit();
    wait_for("the witness follows", || cluster.members[2].handle().applied() >= last).await;
    cluster.shutdown().await;
    for (position, member) in cluster.members.iter().enumerate() {
        assert_eq!(holds(&member.config.data_dir, SECRET), position != 2, "member {position}");
    }
}

#[tokio::test]
async fn it_answers_nobody_and_never_leads() {
    let mut cluster = cluster(|_| {});
    let leader = cluster.leader().await;
    write(&cluster, leader, 1).await;
    let witness = cluster.members[2].handle().clone();
    assert!(witness.is_witness() && !cluster.members[leader].handle().is_witness());
    assert_eq!(witness.propose(Bytes::from_static(b"x")).await.unwrap_err(), ProposeError::Witness);
    assert_eq!(witness.read().await.unwrap_err(), ReadError::Witness);
    let to = cluster.members[2].id;
    let refused = cluster.members[leader].handle().transfer_leadership(to).await;
    assert_eq!(refused, Err(TransferError::BadTarget(to)));
    // A question still reaches the leader.
    let answer = witness.ask_leader(Bytes::from_static(b"x")).await.expect("an answer");
    assert_eq!(answer, format!("{} answers x", cluster.members[leader].id));

    // A leader that stops hands over to the one with data, however short its log is beside the witness's.
    let handle = cluster.members[leader].handle.take().expect("it runs");
    handle.shutdown().await;
    drop(handle);
    assert_eq!(cluster.leader().await, other(leader));
    write(&cluster, other(leader), 1).await;
    assert_eq!(witness.status().role, RoleKind::Follower);
    drop(witness);
    cluster.shutdown().await;
}

#[tokio::test]
async fn one_that_was_away_too_long_begins_anew_where_the_leader_says() {
    let mut cluster = cluster(|config| {
        config.checkpoint_interval = Duration::from_millis(20);
        config.checkpoint_bytes = 512 << 10;
        config.snapshot_log_bytes = 4 << 20;
        config.snapshot_trailing_bytes = 1 << 20;
    });
    let leader = cluster.leader().await;
    let second = other(leader);
    write(&cluster, leader, 3).await;
    cluster.members[2].stop_abruptly().await;
    let large = Bytes::from(vec![7; 64 << 10]);
    for _ in 0..128 {
        propose(cluster.members[leader].handle(), large.clone()).await.expect("written");
    }
    cluster.agreed(131).await;
    let log = cluster.members[leader].config.data_dir.join("log");
    wait_for("the log is cut", || {
        let files = std::fs::read_dir(&log).expect("a directory");
        let is_segment = |name: &str| name.strip_suffix(".log").is_some();
        files.filter(|file| is_segment(&file.as_ref().expect("a file").file_name().to_string_lossy())).count()
            < 7
    })
    .await;

    // It gets no snapshot, only a place.
    cluster.members[2].restart();
    let witness = cluster.members[2].handle().clone();
    wait_for("it has a place", || witness.status().counters.snapshots_installed == 1).await;
    let counters = cluster.members[leader].handle().status().counters;
    assert_eq!((counters.snapshots_sent, counters.snapshot_bytes_sent), (0, 0));
    assert_eq!(witness.status().counters.snapshot_bytes_received, 0);
    drop(witness);
    write(&cluster, leader, 3).await;
    let last = cluster.members[leader].handle().commit();
    wait_for("it follows from there", || cluster.members[2].handle().applied() >= last).await;

    // The place outlives the process, and with it the membership: it votes and counts.
    cluster.members[2].stop_abruptly().await;
    let read = Survivor::read(&cluster.members[2].config.data_dir).expect("readable");
    assert!(read.base.index.0 > 60, "its log begins at {}", read.base);
    assert!(read.membership.is_witness(NodeId(3)) && read.membership.voters.len() == 3);
    cluster.members[2].restart();
    cluster.leader().await;
    cluster.members[leader].stop_abruptly().await;
    assert_eq!(cluster.leader().await, second);
    write(&cluster, second, 3).await;
    cluster.members[leader].restart();
    wait_for("both have all", || {
        let last = cluster.members[second].handle().commit();
        cluster.members[leader].handle().applied() == last
    })
    .await;
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_directory_is_of_one_kind_for_ever() {
    let mut cluster = cluster(|_| {});
    let leader = cluster.leader().await;
    write(&cluster, leader, 3).await;
    let configs: Vec<_> = cluster.members.iter().map(|member| member.config.clone()).collect();
    cluster.shutdown().await;

    let mut as_full = configs[2].clone();
    as_full.witnesses.clear();
    let error = Builder::new(as_full).start_blocking(Recorder::in_memory().0).expect_err("refused");
    assert!(matches!(error, StartError::OtherKind { witness: true, member: 3, .. }), "{error}");
    let mut as_witness = configs[0].clone();
    as_witness.witnesses = [as_witness.id].into();
    let error = Builder::new(as_witness).start_witness_blocking::<usize>().expect_err("refused");
    assert!(matches!(error, StartError::OtherKind { witness: false, member: 1, .. }), "{error}");

    let error =
        Builder::new(configs[2].clone()).start_blocking(Recorder::in_memory().0).expect_err("refused");
    assert!(matches!(error, StartError::Config(_)), "{error}");
    let error = Builder::new(configs[0].clone()).start_witness_blocking::<usize>().expect_err("refused");
    assert!(matches!(error, StartError::Config(_)), "{error}");
    let owner = Owner::of(&configs[2].data_dir).expect("readable").expect("a member");
    assert!(owner.witness && owner.member == NodeId(3));
    let error = Survivor::recover(&configs[2].data_dir).expect_err("refused");
    assert!(matches!(error, RecoverError::Witness(NodeId(3))), "{error}");
}

#[tokio::test]
async fn one_that_joins_makes_two_with_data_safe() {
    let mut cluster = Cluster::configured(1, true, |_| {});
    write(&cluster, 0, 10).await;
    let second = cluster.join().await;
    cluster.voters(&[0, 1]).await;
    let witness = cluster.join_as_witness().await;
    cluster.voters(&[0, 1, 2]).await;
    let last = cluster.members[0].handle().commit();
    wait_for("the witness follows", || cluster.members[witness].handle().applied() >= last).await;
    cluster.members[0].stop_abruptly().await;
    assert_eq!(cluster.leader().await, second);
    write(&cluster, second, 10).await;
    cluster.members[0].restart();
    cluster.leader().await;
    // A restart needs nothing but its directory: who belongs to the cluster is in its log.
    cluster.members[witness].stop_abruptly().await;
    cluster.members[witness].restart();
    let id = cluster.members[witness].id;
    wait_for("it knows itself", || {
        cluster.running().all(|member| member.handle().status().membership.is_witness(id))
    })
    .await;
    cluster.change(&[floe::MembershipOperation::Remove { node: id }]).await;
    let stopped = tokio::time::timeout(PATIENCE, cluster.members[witness].handle().stopped()).await;
    assert!(matches!(stopped, Ok(floe::Stopped::Failed(floe::Failure::Removed))), "{stopped:?}");
    cluster.members[witness].handle = None;
    cluster.voters(&[0, 1]).await;
    cluster.shutdown().await;
}
