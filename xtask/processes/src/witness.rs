//! Two members with data and a witness, each of which is lost in turn while writers write. Part of `cargo xtask phases`.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use tokio::time::sleep;

use crate::client::Client;
use crate::cluster::Cluster;
use crate::ledger::Ledger;
use crate::network::Network;

const ELECTION_TIMEOUT_MS: u32 = 1_000;
/// No write may wait longer for the next that succeeds, whoever dies.
const GAP_LIMIT: Duration = Duration::from_millis(2 * ELECTION_TIMEOUT_MS as u64);
const WRITERS: usize = 4;
/// A writer gives up here and goes to the other member: a gap is one of the cluster, not of a writer that waits.
const WRITE_LIMIT: Duration = Duration::from_millis(400);
const CALL_LIMIT: Duration = Duration::from_secs(8);
/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(40);
/// So many writes are acknowledged before the next death.
const WRITES: usize = 200;
/// The member that is the witness; the others have data.
const WITNESS: usize = 2;
/// In every value that is written.
const MARK: &str = "this is data and no witness holds it";

/// What was seen.
pub(crate) struct Played {
    pub(crate) acknowledged: usize,
    pub(crate) longest_gap: Duration,
}

struct Shared {
    ended: AtomicBool,
    ledger: Mutex<Ledger>,
    /// When a write was acknowledged last, and the longest time between two.
    gaps: Mutex<(Instant, Duration)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kills the leader, then the other with data, then the witness, and then a member with data once more: whoever is dead,
/// the other two go on, and what was acknowledged is on both with data in the end.
pub(crate) async fn play(binary: &Path) -> Result<Played> {
    let mut cluster = Cluster::new(binary.to_path_buf(), 3, Network::Loopback, ELECTION_TIMEOUT_MS)?;
    cluster.let_witness(WITNESS);
    let outcome = play_on(&mut cluster).await;
    if outcome.is_err()
        && let Some(kept) = cluster.keep()
    {
        eprintln!("phases: data and logs are in {}", kept.display());
    }
    outcome
}

async fn play_on(cluster: &mut Cluster) -> Result<Played> {
    cluster.start_all()?;
    cluster.agreement().await?;
    let clients: Vec<Client> =
        (0..WITNESS).map(|member| cluster.client(member, WRITE_LIMIT)).collect::<Result<_>>()?;
    let shared = Arc::new(Shared {
        ended: AtomicBool::new(false),
        ledger: Mutex::default(),
        gaps: Mutex::new((Instant::now(), Duration::ZERO)),
    });
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(write(writer, clients.clone(), Arc::clone(&shared))))
        .collect();
    more_writes(cluster, &shared).await.context("nobody is dead")?;

    let first = cluster.leader(&[0, 1]).await?;
    let second = 1 - first;
    for (victim, what) in
        [(first, "the leader is dead"), (second, "the other is dead"), (WITNESS, "the witness is dead")]
    {
        lose(cluster, &shared, victim).await.context(what)?;
    }
    // The witness has come back from a death of its own: it counts as before.
    let leader = cluster.leader(&[0, 1]).await?;
    lose(cluster, &shared, leader).await.context("the leader is dead again")?;

    shared.ended.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.context("a writer panicked")?;
    }
    cluster.agreement().await?;
    for member in [0, 1] {
        let content = cluster.client(member, CALL_LIMIT)?.content(true).await?;
        let faults = lock(&shared.ledger).check(&content.keys);
        ensure!(
            faults.is_empty(),
            "{} faults on {}: {}",
            faults.len(),
            cluster.name(member),
            faults.first().map(ToString::to_string).unwrap_or_default()
        );
    }
    let status = cluster.client(WITNESS, CALL_LIMIT)?.status().await?;
    ensure!(status.is_witness && status.leader != 0, "the witness says of itself: {status:?}");
    let refused = cluster.client(WITNESS, CALL_LIMIT)?.put(Bytes::new(), Bytes::new()).await;
    ensure!(refused.is_err_and(|status| status.message().contains("witness")), "the witness took a write");
    ensure!(cluster.holds_on_disk(first, MARK.as_bytes())?, "a member with data holds none");
    ensure!(!cluster.holds_on_disk(WITNESS, MARK.as_bytes())?, "the witness holds data");
    let (acknowledged, longest_gap) = (lock(&shared.ledger).counts().0, lock(&shared.gaps).1);
    ensure!(longest_gap <= GAP_LIMIT, "no write succeeded for {} ms", longest_gap.as_millis());
    Ok(Played { acknowledged, longest_gap })
}

/// Kills a member, has the others take writes, and brings it back to where they are.
async fn lose(cluster: &mut Cluster, shared: &Shared, victim: usize) -> Result<()> {
    cluster.kill(victim)?;
    more_writes(cluster, shared).await?;
    cluster.start(victim)?;
    caught_up(cluster, victim).await.context("it was started again")?;
    more_writes(cluster, shared).await.context("it was started again")
}

/// Waits until more writes were acknowledged.
async fn more_writes(cluster: &mut Cluster, shared: &Shared) -> Result<()> {
    let (begun, before) = (Instant::now(), lock(&shared.ledger).counts().0);
    while lock(&shared.ledger).counts().0 < before + WRITES {
        cluster.all_run()?;
        ensure!(begun.elapsed() < LIMIT, "writes do not go on");
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// Waits until a member has what the others had when it was asked: then it gets all that follows as they do.
async fn caught_up(cluster: &mut Cluster, member: usize) -> Result<()> {
    let (begun, others) = (Instant::now(), if member == 0 { 1 } else { 0 });
    let wanted = cluster.client(others, CALL_LIMIT)?.status().await?.raft_index;
    let client = cluster.client(member, CALL_LIMIT)?;
    loop {
        cluster.all_run()?;
        if client.status().await.is_ok_and(|status| status.raft_applied_index >= wanted) {
            return Ok(());
        }
        ensure!(begun.elapsed() < LIMIT, "{} does not catch up", cluster.name(member));
        sleep(Duration::from_millis(20)).await;
    }
}

/// Writes one new key after another. After an error it goes on with the other member, as a client would.
async fn write(writer: usize, clients: Vec<Client>, shared: Arc<Shared>) {
    let mut at = writer;
    for sequence in 0_u64.. {
        if shared.ended.load(Ordering::Relaxed) {
            return;
        }
        let key = Bytes::from(format!("w{writer}/{sequence:08}"));
        let value = Bytes::from(format!("{MARK}: {sequence}"));
        lock(&shared.ledger).sent(key.clone(), value.clone());
        match clients[at % clients.len()].put(key.clone(), value).await {
            Ok(revision) => {
                lock(&shared.ledger).acknowledged(&key, revision);
                let mut gaps = lock(&shared.gaps);
                gaps.1 = gaps.1.max(gaps.0.elapsed());
                gaps.0 = Instant::now();
            }
            // Whatever the error says, the ledger keeps the write as one that may have happened.
            Err(_) => {
                at += 1;
                sleep(Duration::from_millis(10)).await;
            }
        }
        sleep(Duration::from_millis(2)).await;
    }
}
