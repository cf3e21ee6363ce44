//! What a member does by itself: it publishes its name, and while it leads it ends leases and forgets who was removed.

use std::sync::Arc;
use std::time::Duration;

use floe::{NodeId, ProposeError, ReadError, RoleKind, Term};
use floe_mvcc::{Command, MemberInfo};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::engine::Engine;

/// How often the leader looks for leases that are over.
const EXPIRY_TICK: Duration = Duration::from_millis(500);
/// How many it ends at each look: at most 1,000 a second, so that a million leases that end together leave room for
/// clients.
const EXPIRED_PER_TICK: usize = 500;
/// How many revocations are under way at once.
const REVOKES_IN_FLIGHT: usize = 64;
/// How often a revocation that finds a full queue is tried again, and how long it waits: clients who wait for room take
/// every place that becomes free, so one try every few seconds might never find one.
const BUSY_TRIES: u32 = 50;
const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// How often the leader looks for members that are gone. Nobody waits for it: lists are made of the membership.
const ROLL_TICK: Duration = Duration::from_secs(1);
/// How long to wait before a task that failed is tried again.
const PAUSE: Duration = Duration::from_millis(100);

/// Makes the name and the client URLs of this member known to the cluster, and says so when it is done. Nothing is
/// written if they are known already, so a restart costs no entry.
pub(crate) async fn publish(engine: Arc<Engine>, info: MemberInfo, ready: watch::Sender<bool>) {
    while !*engine.stopping.borrow() {
        match publish_once(&engine, &info).await {
            Ok(()) => {
                ready.send_replace(true);
                return;
            }
            Err(status) => tracing::debug!("this member is not published yet: {}", status.message()),
        }
        sleep(PAUSE).await;
    }
}

async fn publish_once(engine: &Engine, info: &MemberInfo) -> Result<(), tonic::Status> {
    engine.linearize().await?;
    if engine.reader.members().contains(info) {
        return Ok(());
    }
    engine.propose(&Command::PublishMember(info.clone())).await?;
    Ok(())
}

/// Forgets what removed members published, while this member leads. The change of the membership itself does not do it: a
/// leader may be gone between the two, and the store does not know who belongs to the cluster.
pub(crate) async fn forget_removed(engine: Arc<Engine>) {
    let mut leadership = engine.handle.leadership();
    loop {
        let term = match leadership.wait_for(|now| now.role == RoleKind::Leader).await {
            Ok(now) => now.term,
            // The node has ended.
            Err(_) => return,
        };
        for id in removed(&engine, term).await {
            match engine.propose_in_term(term, &Command::RetractMember { id }).await {
                Ok(()) => {
                    tracing::debug!(member = format_args!("{id:x}"), "forgot a member that was removed");
                }
                Err(error) => tracing::debug!(member = format_args!("{id:x}"), %error, "not forgotten yet"),
            }
        }
        sleep(ROLL_TICK).await;
    }
}

/// Those who have published something and belong to the cluster no more, for certain: a removal that is not committed
/// may be undone by the next leader, and a member publishes itself at its start alone.
async fn removed(engine: &Engine, term: Term) -> Vec<u64> {
    // First who published, then who is there: nobody publishes who was not added before.
    let published = engine.reader.members();
    let membership = engine.handle.status().membership;
    let gone = published.into_iter().map(|info| info.id).filter(|id| !membership.contains(NodeId(*id)));
    let gone: Vec<u64> = gone.collect();
    if gone.is_empty() {
        return gone;
    }
    // The membership is of an entry up to this one. As long as this member leads in this term, nobody overwrites it.
    let last = engine.handle.status().last;
    let confirmed = engine.handle.read().await.is_ok() && leads(engine, term);
    if confirmed && engine.handle.commit() >= last { gone } else { Vec::new() }
}

/// Ends leases while this member leads.
pub(crate) async fn expire_leases(engine: Arc<Engine>) {
    let mut leadership = engine.handle.leadership();
    loop {
        let term = match leadership.wait_for(|now| now.role == RoleKind::Leader).await {
            Ok(now) => now.term,
            // The node has ended.
            Err(_) => return,
        };
        // The leases of former terms must all be in the store before their time begins to run.
        if engine.handle.read().await.is_err() || !leads(&engine, term) {
            sleep(PAUSE).await;
            continue;
        }
        let lessor = engine.reader.lessor();
        lessor.promote(engine.clock.now_ms(), engine.config.election_timeout_ms);
        tokio::select! {
            lost = leadership.wait_for(|now| now.role != RoleKind::Leader || now.term != term) => {
                if lost.is_err() {
                    return;
                }
            }
            () = expire_in_term(&engine, term) => {}
        }
        lessor.demote();
    }
}

fn leads(engine: &Engine, term: Term) -> bool {
    engine.handle.is_leader() && engine.handle.term() == term
}

/// Returns when this member does not lead in `term` any more.
async fn expire_in_term(engine: &Arc<Engine>, term: Term) {
    let mut tick = interval(EXPIRY_TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let expired = engine.reader.lessor().expired(engine.clock.now_ms(), EXPIRED_PER_TICK);
        if expired.is_empty() {
            continue;
        }
        // A leader that was paused or cut off while others renewed these leases at its successor must not end them:
        // they would be gone although their owners did everything right (etcd-io/etcd#15247).
        let confirmed = engine.handle.read().await;
        match after_reading(confirmed.err(), leads(engine, term)) {
            Next::Revoke => revoke(engine, term, expired).await,
            Next::LookAgain => {}
            Next::Stop => return,
        }
    }
}

/// What to do about leases that seem to be over.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Revoke,
    /// They are named again.
    LookAgain,
    /// The counts are void.
    Stop,
}

/// `refused` is why this member could not confirm that it leads, if it could not. That much waits is no sign that
/// another leads. Giving up the counts for it would give every lease its whole time again, and under a load that does not
/// end none would ever end.
fn after_reading(refused: Option<ReadError>, leads: bool) -> Next {
    match refused {
        None if leads => Next::Revoke,
        Some(ReadError::Busy) if leads => Next::LookAgain,
        None | Some(_) => Next::Stop,
    }
}

/// Revokes leases, by entries of this term alone: that they are over was found out by the lessor of this term. An entry
/// that is passed on, or appended after another member led, could end a lease that was renewed there.
async fn revoke(engine: &Arc<Engine>, term: Term, leases: Vec<i64>) {
    let mut under_way = JoinSet::new();
    for id in leases {
        if under_way.len() >= REVOKES_IN_FLIGHT {
            under_way.join_next().await;
        }
        let engine = Arc::clone(engine);
        under_way.spawn(async move {
            let mut outcome = engine.propose_in_term(term, &Command::LeaseRevoke { id }).await;
            for _ in 0..BUSY_TRIES {
                if !matches!(outcome, Err(ProposeError::Busy)) {
                    break;
                }
                sleep(BUSY_PAUSE).await;
                outcome = engine.propose_in_term(term, &Command::LeaseRevoke { id }).await;
            }
            match outcome {
                Ok(()) => tracing::debug!(lease = format_args!("{id:x}"), "a lease is over"),
                // If this member still leads, the lessor names it again.
                Err(error) => tracing::debug!(lease = format_args!("{id:x}"), %error, "not revoked"),
            }
        });
    }
    while under_way.join_next().await.is_some() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_leader_goes_on_counting_and_a_doubtful_one_stops() {
        assert_eq!(after_reading(None, true), Next::Revoke);
        assert_eq!(after_reading(Some(ReadError::Busy), true), Next::LookAgain);
        assert_eq!(after_reading(Some(ReadError::LeaderChanged), true), Next::Stop);
        assert_eq!(after_reading(Some(ReadError::NoLeader), true), Next::Stop);
        for refused in [None, Some(ReadError::Busy)] {
            assert_eq!(after_reading(refused, false), Next::Stop);
        }
    }
}
