//! What is proposed on any member is applied on all, in one order, once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use floe::{AskError, ProposeError, RoleKind, TransferError};

use crate::support::{Cluster, pause, propose};

#[tokio::test]
async fn a_command_proposed_on_any_member_is_applied_on_all() {
    let mut cluster = Cluster::start(3);
    cluster.leader().await;
    for member in &cluster.members {
        let payload = Bytes::from(format!("from {}", member.id));
        let applied = propose(member.handle(), payload).await.expect("applied");
        assert_eq!(applied.reply as u64, member.id.0 - 1, "the reply is that of this very command");
    }
    let book = cluster.agreed(3).await;
    assert!(book.iter().map(|(_, payload)| payload.as_ref()).eq([b"from 1", b"from 2", b"from 3"]));
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_member_alone_is_a_cluster_too() {
    let mut cluster = Cluster::start(1);
    cluster.leader().await;
    for number in 0..100 {
        let applied = propose(cluster.members[0].handle(), Bytes::from(vec![number])).await.expect("applied");
        assert_eq!(applied.reply, usize::from(number));
    }
    cluster.members[0].handle().read().await.expect("confirmed");
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_read_on_any_member_sees_everything_acknowledged_before() {
    let mut cluster = Cluster::start(3);
    cluster.leader().await;
    for round in 0..60 {
        let (writer, reader) = (&cluster.members[round % 3], &cluster.members[(round / 3) % 3]);
        let applied = propose(writer.handle(), Bytes::from(format!("{round}"))).await.expect("applied");
        let index = reader.handle().read().await.expect("confirmed");
        assert!(index >= applied.id.index, "round {round}");
        let book = reader.book.lock().expect("not poisoned");
        assert!(book.iter().any(|(id, _)| *id == applied.id), "round {round}: {} does not see it", reader.id);
    }
    cluster.shutdown().await;
}

#[tokio::test]
async fn ten_thousand_proposals_of_64_tasks_are_applied_once_each_and_in_one_order() {
    const TASKS: usize = 64;
    const EACH: usize = 157;
    let mut cluster = Cluster::start(3);
    cluster.leader().await;
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let handle = cluster.members[task % 3].handle().clone();
            tokio::spawn(async move {
                let mut last = None;
                for number in 0..EACH {
                    let payload = Bytes::from(format!("{task}:{number}"));
                    let applied = propose(&handle, payload).await.expect("applied");
                    assert!(last < Some(applied.id), "a later proposal of one task stands later");
                    last = Some(applied.id);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    let book = cluster.agreed(TASKS * EACH).await;
    assert!(book.is_sorted_by(|(one, _), (other, _)| one < other));
    let different: BTreeSet<_> = book.iter().map(|(_, payload)| payload).collect();
    assert_eq!(different.len(), TASKS * EACH);
    for task in 0..TASKS {
        let prefix = format!("{task}:");
        let numbers = book.iter().filter_map(|(_, payload)| payload.strip_prefix(prefix.as_bytes()));
        assert!(numbers.eq((0..EACH).map(|number| number.to_string().into_bytes())), "task {task}");
    }
    let status = cluster.members[0].handle().status();
    assert_eq!(status.counters.applied_commands as usize, TASKS * EACH);
    assert!(status.counters.log_sync.count() > 0);
    cluster.shutdown().await;
}

#[tokio::test]
async fn large_commands_pass_too_and_too_large_ones_are_refused() {
    let mut cluster = Cluster::configured(3, false, |config| config.command_bytes_max = 3 << 20);
    cluster.leader().await;
    for member in &cluster.members {
        let large = Bytes::from(vec![member.id.0 as u8; 3 << 20]);
        propose(member.handle(), large).await.expect("applied");
        let refused = member.handle().propose(Bytes::from(vec![0; (3 << 20) + 1])).await;
        assert_eq!(refused, Err(ProposeError::TooLarge { bytes: (3 << 20) + 1, limit: 3 << 20 }));
    }
    cluster.agreed(3).await;
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_full_queue_says_busy_and_nothing_happens() {
    let mut cluster = Cluster::configured(1, false, |config| config.queued_max = 4);
    cluster.leader().await;
    let handle = cluster.members[0].handle().clone();
    // All are polled before the first can be answered, so most of them find the queue full.
    let tasks: Vec<_> = (0..2000_u32)
        .map(|number| {
            let handle = handle.clone();
            tokio::spawn(async move { handle.propose(Bytes::from(number.to_le_bytes().to_vec())).await })
        })
        .collect();
    let (mut applied, mut busy) = (0, 0);
    for task in tasks {
        match task.await.expect("no panic") {
            Ok(_) => applied += 1,
            Err(ProposeError::Busy) => busy += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(busy > 0 && applied > 0, "{applied} applied, {busy} busy");
    cluster.agreed(applied).await;
    cluster.shutdown().await;
}

#[tokio::test]
async fn leadership_moves_when_asked_to() {
    let mut cluster = Cluster::start(3);
    let old = cluster.leader().await;
    let (from, to) = (&cluster.members[old], &cluster.members[(old + 1) % 3]);
    let mut seen = from.handle().leadership();
    assert_eq!(seen.borrow_and_update().role, RoleKind::Leader);
    // The target must be up to date first, and have been heard of.
    propose(from.handle(), Bytes::from_static(b"before")).await.expect("applied");
    from.handle().transfer_leadership(to.id).await.expect("handed over");
    let now = *seen.wait_for(|leadership| leadership.leader == Some(to.id)).await.expect("it runs");
    assert_eq!(now.role, RoleKind::Follower);
    assert_eq!(
        from.handle().transfer_leadership(from.id).await,
        Err(TransferError::NotLeader { hint: Some(to.id) })
    );
    assert_eq!(to.handle().transfer_leadership(to.id).await, Err(TransferError::BadTarget(to.id)));
    propose(from.handle(), Bytes::from_static(b"after")).await.expect("applied");
    cluster.agreed(2).await;
    cluster.shutdown().await;
}

/// The core hands over by itself here; commands that are passed on at that moment are refused or applied, as they are when
/// somebody asks for a handover.
#[tokio::test]
async fn a_preferred_member_takes_over_and_every_outcome_is_known() {
    const WRITERS: usize = 32;
    let mut cluster = Cluster::configured(3, false, |config| {
        config.priority = if config.id.0 == 1 { u8::MAX } else { 100 };
    });
    cluster.leader().await;
    cluster.members[0].stop_abruptly().await;
    let old = cluster.leader().await;
    let passing_on = cluster.members[3 - old].handle().clone();
    let ended = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let (handle, ended) = (passing_on.clone(), Arc::clone(&ended));
            tokio::spawn(async move {
                let mut written = 0;
                while !ended.load(Ordering::Relaxed) {
                    // At once again, so that something is on its way to the leader at any time.
                    match handle.propose(Bytes::from_static(b"w")).await {
                        Ok(_) => written += 1,
                        Err(error) => assert!(error.nothing_happened(), "{error}"),
                    }
                }
                written
            })
        })
        .collect();
    cluster.members[0].restart();
    while passing_on.leader() != Some(cluster.members[0].id)
        && !writers.iter().all(|writer| writer.is_finished())
    {
        pause().await;
    }
    // Those that were refused meanwhile are taken by the new leader.
    propose(&passing_on, Bytes::from_static(b"w")).await.expect("no outcome is unknown");
    ended.store(true, Ordering::Relaxed);
    let mut written = 1;
    for writer in writers {
        written += writer.await.expect("no outcome is unknown");
    }
    drop(passing_on);
    assert_eq!(cluster.leader().await, 0);
    cluster.agreed(written).await;
    cluster.shutdown().await;
}

#[tokio::test]
async fn what_was_decided_in_a_term_is_not_done_in_another() {
    let mut cluster = Cluster::start(3);
    let old = cluster.leader().await;
    let (from, to) = (&cluster.members[old], &cluster.members[(old + 1) % 3]);
    let payload = || Bytes::from_static(b"decided");
    let term = from.handle().term();
    from.handle().propose_in_term(term, payload()).await.expect("applied");
    // A follower passes nothing on.
    let refused = to.handle().propose_in_term(term, payload()).await;
    assert_eq!(refused, Err(ProposeError::NotLeader { hint: Some(from.id) }));
    // It leads again, and what it decided before is void.
    for (leader, next) in [(from, to), (to, from)] {
        propose(leader.handle(), payload()).await.expect("applied");
        leader.handle().transfer_leadership(next.id).await.expect("handed over");
        let mut seen = next.handle().leadership();
        seen.wait_for(|now| now.role == RoleKind::Leader).await.expect("it runs");
    }
    let refused = from.handle().propose_in_term(term, payload()).await;
    assert_eq!(refused, Err(ProposeError::NotLeader { hint: Some(from.id) }));
    cluster.agreed(3).await;
    cluster.shutdown().await;
}

#[tokio::test]
async fn the_leader_answers_questions_of_every_member() {
    let mut cluster = Cluster::start(3);
    let leader = cluster.leader().await;
    let expected = format!("{} answers who leads?", cluster.members[leader].id);
    for member in &cluster.members {
        let answer = loop {
            match member.handle().ask_leader(Bytes::from_static(b"who leads?")).await {
                Ok(answer) => break answer,
                // The connection may not stand yet.
                Err(AskError::NoLeader) => pause().await,
                Err(error) => panic!("{error}"),
            }
        };
        assert_eq!(answer, expected.as_bytes());
    }
    cluster.shutdown().await;
    let alone = cluster.members[0].handle.is_none();
    assert!(alone, "stopped members answer nothing");
}
