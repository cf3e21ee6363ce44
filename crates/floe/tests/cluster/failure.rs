//! What a node does when a part of it fails: it says so, answers everybody, and stops.

use bytes::Bytes;
use floe::{Failure, ProposeError, Stopped};

use crate::support::{Cluster, propose};

#[tokio::test]
async fn a_state_machine_that_fails_stops_its_node_and_says_why() {
    let mut cluster = Cluster::start(1);
    cluster.leader().await;
    let handle = cluster.members[0].handle().clone();
    let outcome = handle.propose(Bytes::from_static(b"break")).await;
    assert!(matches!(outcome, Err(ProposeError::Unknown(_))), "{outcome:?}");
    let Stopped::Failed(Failure::StateMachine(error)) = handle.stopped().await else { panic!("another end") };
    assert_eq!(error.to_string(), "asked to break");
    assert_eq!(handle.propose(Bytes::from_static(b"late")).await, Err(ProposeError::Shutdown));
    cluster.members[0].handle = None;
}

#[tokio::test]
async fn a_state_machine_that_panics_stops_its_node() {
    let mut cluster = Cluster::start(1);
    cluster.leader().await;
    let handle = cluster.members[0].handle().clone();
    let outcome = handle.propose(Bytes::from_static(b"panic")).await;
    assert!(matches!(outcome, Err(ProposeError::Unknown(_))), "{outcome:?}");
    assert!(matches!(handle.stopped().await, Stopped::Failed(Failure::Panic("apply"))));
    cluster.members[0].handle = None;
}

#[tokio::test]
async fn the_future_of_a_proposal_may_be_dropped() {
    let mut cluster = Cluster::start(1);
    cluster.leader().await;
    let handle = cluster.members[0].handle().clone();
    for number in 0..100_u8 {
        let proposal = handle.propose(Bytes::from(vec![number]));
        // Polled once, so that it is under way, and dropped.
        tokio::select! {
            biased;
            outcome = proposal => assert!(outcome.is_ok()),
            () = std::future::ready(()) => {}
        }
    }
    let last = propose(&handle, Bytes::from_static(b"last")).await.expect("applied");
    assert_eq!(last.reply, 100, "all of them happened");
    cluster.shutdown().await;
}
