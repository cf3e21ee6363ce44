//! Going on after the loss of a majority.

use bytes::Bytes;
use floe::{Failure, RecoverError, Stopped, Survivor};

use crate::support::{CLUSTER, Cluster, propose};

#[tokio::test]
async fn a_survivor_goes_on_alone_and_refuses_the_lost_ones() {
    let mut cluster = Cluster::configured(3, true, |_| {});
    let leader = cluster.leader().await;
    let mut last = floe::Index(0);
    for number in 0..30_u8 {
        let applied = propose(cluster.members[leader].handle(), Bytes::from(vec![number])).await;
        last = applied.expect("applied").id.index;
    }
    cluster.agreed(30).await;
    let (survivor, lost) = ((leader + 1) % 3, (leader + 2) % 3);
    let data_dir = cluster.members[survivor].config.data_dir.clone();
    let refused = Survivor::read(&data_dir).expect_err("it runs");
    assert!(matches!(refused, RecoverError::Start(floe::StartError::InUse { .. })), "{refused}");
    cluster.shutdown().await;

    let before = Survivor::read(&data_dir).expect("read");
    let id = cluster.members[survivor].id;
    assert_eq!((before.owner.member, before.owner.cluster), (id, CLUSTER));
    assert!(before.last.index >= last, "{before:?}");
    assert_eq!(before.others().len(), 2);
    assert_eq!(Survivor::read(&data_dir).expect("read").last, before.last, "looking changes nothing");

    let after = Survivor::recover(&data_dir).expect("recovered");
    assert_eq!(after.last.index, before.last.index.next());
    assert_eq!(after.membership.members(), [id].into());
    assert_eq!(Survivor::recover(&data_dir).expect("once more").last, after.last, "which changes nothing");

    cluster.members[survivor].restart();
    assert_eq!(cluster.leader().await, survivor);
    let applied =
        propose(cluster.members[survivor].handle(), Bytes::from_static(b"on")).await.expect("applied");
    assert!(applied.id.index > after.last.index);

    // One of the lost is found again. It knows nothing of all this, and must not.
    cluster.members[lost].restart();
    match cluster.members[lost].handle().stopped().await {
        Stopped::Failed(failure @ Failure::Fenced { .. }) => {
            assert!(failure.to_string().contains("recovered without it"), "{failure}");
        }
        other => panic!("{other:?}"),
    }
    cluster.members[lost].handle = None;
    assert_eq!(cluster.leader().await, survivor);
    propose(cluster.members[survivor].handle(), Bytes::from_static(b"and on")).await.expect("applied");
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_directory_without_a_member_or_without_a_log_is_not_recovered() {
    let dir = tempfile::tempdir().expect("a directory");
    assert!(matches!(Survivor::recover(dir.path()), Err(RecoverError::Empty(_))));
    let mut cluster = Cluster::start(1);
    cluster.leader().await;
    cluster.shutdown().await;
    let data_dir = cluster.members[0].config.data_dir.clone();
    assert_eq!(Survivor::discard_undecided(&data_dir).expect("a log that is whole").others().len(), 0);
    std::fs::remove_dir_all(data_dir.join("log")).expect("removed");
    let refused = Survivor::recover(&data_dir).expect_err("the log is gone");
    assert!(matches!(refused, RecoverError::Start(floe::StartError::LogMissing { .. })), "{refused}");
}
