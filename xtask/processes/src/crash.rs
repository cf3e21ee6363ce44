//! `cargo xtask crash`: writers that never stop, members that die at any moment, and a full comparison after each round.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use floe_etcd::proto::etcdserverpb::request_op::Request as Op;
use floe_etcd::proto::etcdserverpb::{PutRequest, RequestOp, TxnRequest};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use tokio::sync::RwLock;
use tokio::time::sleep;

use crate::client::Client;
use crate::cluster::{Agreement, Cluster};
use crate::insistent::{self, Insistent};
use crate::ledger::Ledger;
use crate::network::Network;

const MEMBERS: usize = 3;
/// Of these, every second one names its requests and tries each until it is answered.
const WRITERS: u64 = 4;
const ELECTION_TIMEOUT_MS: u32 = 300;
const WRITE_LIMIT: Duration = Duration::from_secs(4);
const READ_LIMIT: Duration = Duration::from_secs(30);
/// How long a writer waits after an error: nobody wins by asking dead members ten thousand times a second.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(10);
/// Faults printed when a check fails; the rest is counted.
const FAULTS_SHOWN: usize = 10;

/// What one round kills.
#[derive(Debug, Clone, Copy)]
enum Blow {
    OneMember,
    Leader,
    AllMembers,
    /// One member, and once more while it recovers.
    OneMemberTwice,
}

/// What the writers and the checker share.
struct Shared {
    ledger: Mutex<Ledger>,
    /// Each write is made under a read lock, so that whoever holds the write lock knows that none is under way.
    gate: RwLock<()>,
    sequence: AtomicU64,
    clients: Vec<Client>,
}

/// Runs the rounds and prints one line for each.
pub(crate) async fn run(rounds: u32, seed: u64, binary: PathBuf) -> Result<()> {
    println!("crash: {rounds} rounds with seed {seed}, {WRITERS} writers, {MEMBERS} members");
    let mut cluster = Cluster::new(binary, MEMBERS, Network::Loopback, ELECTION_TIMEOUT_MS)?;
    match play(&mut cluster, rounds, StdRng::seed_from_u64(seed)).await {
        Ok((acknowledged, unknown)) => {
            println!(
                "crash: {rounds} rounds, {acknowledged} acknowledged, 0 lost ({unknown} with an unknown outcome)"
            );
            Ok(())
        }
        Err(error) => {
            if let Some(kept) = cluster.keep() {
                eprintln!("crash: data and logs are in {}; seed {seed}", kept.display());
            }
            Err(error)
        }
    }
}

async fn play(cluster: &mut Cluster, rounds: u32, mut random: StdRng) -> Result<(usize, usize)> {
    cluster.start_all()?;
    cluster.agreement().await.context("the cluster did not start")?;
    let clients = (0..MEMBERS).map(|member| cluster.client(member, WRITE_LIMIT)).collect::<Result<_>>()?;
    let shared = Arc::new(Shared {
        ledger: Mutex::new(Ledger::default()),
        gate: RwLock::new(()),
        sequence: AtomicU64::new(0),
        clients,
    });
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (seed, shared) = (random.random(), shared.clone());
            if writer % 2 == 0 {
                Ok(tokio::spawn(write_for_ever(writer, seed, shared)))
            } else {
                Ok(tokio::spawn(insist_for_ever(writer, seed, shared, Insistent::new()?)))
            }
        })
        .collect::<Result<_>>()?;

    let outcome = play_rounds(cluster, rounds, &mut random, &shared).await;
    writers.iter().for_each(tokio::task::JoinHandle::abort);
    outcome?;
    Ok(counts(&shared))
}

async fn play_rounds(cluster: &mut Cluster, rounds: u32, random: &mut StdRng, shared: &Shared) -> Result<()> {
    for round in 1..=rounds {
        let before = counts(shared).0;
        sleep(Duration::from_millis(random.random_range(300..1_200))).await;
        let blow = match random.random_range(0..8) {
            0..=2 => Blow::Leader,
            3..=4 => Blow::OneMember,
            5..=6 => Blow::AllMembers,
            _ => Blow::OneMemberTwice,
        };
        let struck =
            strike(cluster, blow, random).await.with_context(|| format!("round {round}, {blow:?}"))?;
        sleep(Duration::from_millis(random.random_range(200..800))).await;

        let waiting = shared.gate.write().await;
        let begun = Instant::now();
        let agreement =
            verify(cluster, shared).await.with_context(|| format!("round {round}, after {struck}"))?;
        let seconds = begun.elapsed().as_secs_f64();
        drop(waiting);
        let (acknowledged, unknown) = counts(shared);
        if acknowledged == before {
            bail!("round {round}: no write was acknowledged in the whole round");
        }
        println!(
            "round {round:>2}: {struck}; {acknowledged} acknowledged, {unknown} unknown; revision {} with hash {:08x} on \
             all members, checked in {seconds:.1} s",
            agreement.revision, agreement.hash.hash
        );
    }
    Ok(())
}

fn counts(shared: &Shared) -> (usize, usize) {
    shared.ledger.lock().unwrap_or_else(PoisonError::into_inner).counts()
}

/// Kills what the blow says while the writers write, waits a little, and starts it again. Returns it in words.
async fn strike(cluster: &mut Cluster, blow: Blow, random: &mut StdRng) -> Result<String> {
    let all: Vec<usize> = (0..cluster.size()).collect();
    let member = random.random_range(0..cluster.size());
    let (victims, words) = match blow {
        Blow::OneMember | Blow::OneMemberTwice => (vec![member], format!("killed {}", cluster.name(member))),
        Blow::Leader => {
            let leader = cluster.leader(&all).await?;
            (vec![leader], format!("killed the leader {}", cluster.name(leader)))
        }
        Blow::AllMembers => (all, "killed all members".to_owned()),
    };
    cluster.kill_together(&victims)?;
    sleep(Duration::from_millis(random.random_range(0..900))).await;
    let mut order = victims.clone();
    order.shuffle(random);
    for &victim in &order {
        cluster.start(victim)?;
    }
    if let Blow::OneMemberTwice = blow {
        sleep(Duration::from_millis(random.random_range(1..150))).await;
        cluster.kill(member)?;
        cluster.start(member)?;
        return Ok(format!("{words}, and again while it recovered"));
    }
    Ok(words)
}

/// Compares every member's content, read in both ways, with the ledger. The caller holds the writers back.
async fn verify(cluster: &mut Cluster, shared: &Shared) -> Result<Agreement> {
    let agreement = cluster.agreement().await?;
    for member in 0..cluster.size() {
        let client = cluster.client(member, READ_LIMIT)?;
        for serializable in [true, false] {
            let content = client.content(serializable).await.context("reading everything")?;
            let way = if serializable { "serializable" } else { "linearizable" };
            if content.revision != agreement.revision {
                bail!("{} answers a {way} read at revision {}", cluster.name(member), content.revision);
            }
            let faults = shared.ledger.lock().unwrap_or_else(PoisonError::into_inner).check(&content.keys);
            if !faults.is_empty() {
                let shown: Vec<String> = faults.iter().take(FAULTS_SHOWN).map(ToString::to_string).collect();
                bail!(
                    "{} faults on {} ({way}):\n  {}",
                    faults.len(),
                    cluster.name(member),
                    shown.join("\n  ")
                );
            }
        }
    }
    Ok(agreement)
}

/// Writes one new key after another. After an error it goes on with another member, as a client would.
async fn write_for_ever(writer: u64, seed: u64, shared: Arc<Shared>) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut member = random.random_range(0..shared.clients.len());
    loop {
        let writing = shared.gate.read().await;
        let sequence = shared.sequence.fetch_add(1, Ordering::Relaxed);
        let key = Bytes::from(format!("writer-{writer}/{sequence:010}"));
        let value = Bytes::from(format!(
            "{sequence}:{:0width$x}",
            random.random::<u64>(),
            width = random.random_range(16..200)
        ));
        shared.ledger.lock().unwrap_or_else(PoisonError::into_inner).sent(key.clone(), value.clone());
        match shared.clients[member].put(key.clone(), value).await {
            Ok(revision) => {
                shared.ledger.lock().unwrap_or_else(PoisonError::into_inner).acknowledged(&key, revision);
            }
            // Whatever the error says, the ledger keeps the write as one that may have happened.
            Err(_) => {
                member = (member + 1) % shared.clients.len();
                sleep(PAUSE_AFTER_ERROR).await;
            }
        }
        drop(writing);
        tokio::task::yield_now().await;
    }
}

/// Writes one new key after another, each together with a counter, under a name, and tries every one until it is
/// answered. So all of them happen, once, and the counter's version is their number.
async fn insist_for_ever(writer: u64, seed: u64, shared: Arc<Shared>, mut client: Insistent) {
    let mut random = StdRng::seed_from_u64(seed);
    let counter = Bytes::from(format!("counter-{writer}"));
    loop {
        let writing = shared.gate.read().await;
        let sequence = shared.sequence.fetch_add(1, Ordering::Relaxed);
        let key = Bytes::from(format!("writer-{writer}/{sequence:010}"));
        let value = Bytes::from(format!("{sequence}:{:016x}", random.random::<u64>()));
        let put = |key: &Bytes| {
            let put = PutRequest { key: key.clone(), value: value.clone(), ..PutRequest::default() };
            RequestOp { request: Some(Op::RequestPut(put)) }
        };
        let request = TxnRequest { success: vec![put(&key), put(&counter)], ..TxnRequest::default() };
        shared.ledger.lock().unwrap_or_else(PoisonError::into_inner).sent(key.clone(), value.clone());
        // Now and then the members are asked in another order, so that retries meet all of them.
        let mut members = shared.clients.clone();
        members.rotate_left(random.random_range(0..shared.clients.len()));
        let answer = insistent::txn(&members, client.name(), &request).await;
        {
            let mut ledger = shared.ledger.lock().unwrap_or_else(PoisonError::into_inner);
            match answer {
                Ok(answer) => {
                    ledger.acknowledged(&key, answer.header.map_or(0, |header| header.revision));
                    ledger.counted(&counter);
                }
                Err(error) => {
                    ledger.unanswered(format!("{error:#}"));
                    return;
                }
            }
        }
        drop(writing);
        tokio::task::yield_now().await;
    }
}
