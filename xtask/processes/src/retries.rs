//! The phases in which a client that lost its leader tries again: whatever became of the first attempt, the write is
//! there once, and the answer is the first one.
//!
//! R23 the request never reached the leader, R25 all followers have the entry and the leader does not know, R26 some of
//! them have it, R28 it is committed everywhere and the client was not told.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use floe_etcd::proto::etcdserverpb::{PutRequest, PutResponse};
use floe_session::RequestId;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tonic::Status;

use crate::client::Client;
use crate::cluster::Cluster;
use crate::insistent::{self, Insistent};
use crate::network::Network;

/// Long enough for followers to be paused and a leader to be killed before anybody campaigns.
const ELECTION_TIMEOUT_MS: u32 = 4_000;
const CALL_LIMIT: Duration = Duration::from_secs(5);
/// How long something that must come may take.
const PATIENCE: Duration = Duration::from_secs(20);
const KEY: &str = "phase";
const BEFORE: &str = "the-value-before";

/// A cluster with a leader, a key that holds [`BEFORE`], and a client that wants to overwrite it once.
struct Stage {
    cluster: Cluster,
    leader: usize,
    /// All members but the leader.
    followers: Vec<usize>,
    name: RequestId,
    request: PutRequest,
    /// The revision of the value before.
    before: i64,
}

impl Stage {
    async fn set(binary: &Path, size: usize, value: &'static str) -> Result<Self> {
        let mut cluster = Cluster::new(binary.to_path_buf(), size, Network::Loopback, ELECTION_TIMEOUT_MS)?;
        cluster.start_all()?;
        cluster.agreement().await?;
        let all: Vec<usize> = (0..size).collect();
        let leader = cluster.leader(&all).await?;
        let followers = all.into_iter().filter(|&member| member != leader).collect();
        let mut client = Insistent::new()?;
        let mut request = PutRequest { key: KEY.into(), value: BEFORE.into(), ..PutRequest::default() };
        let leading = [cluster.client(leader, CALL_LIMIT)?];
        let first = insistent::put(&leading, client.name(), &request).await.context("the value before")?;
        let before = revision(&first)?;
        cluster.agreement().await?;
        // The previous pair in the answer tells the first application from a second one.
        (request.value, request.prev_kv) = (value.into(), true);
        Ok(Self { cluster, leader, followers, name: client.name(), request, before })
    }

    fn value(&self) -> &Bytes {
        &self.request.value
    }

    /// Sends the first attempt to the leader, on a connection that stands, and does not wait for its answer.
    fn attempt(&self, leading: Client) -> JoinHandle<Result<PutResponse, Status>> {
        let (name, request) = (self.name, self.request.clone());
        tokio::spawn(async move { leading.put_named(name, request).await })
    }

    /// A client of the leader that is connected.
    async fn connected(&self) -> Result<Client> {
        let client = self.cluster.client(self.leader, CALL_LIMIT)?;
        client.status().await?;
        Ok(client)
    }

    async fn until_on_disk(&self, members: &[usize]) -> Result<()> {
        let begun = Instant::now();
        for &member in members {
            while !self.cluster.holds_on_disk(member, self.value())? {
                ensure!(begun.elapsed() < PATIENCE, "the entry does not reach {}", self.cluster.name(member));
                sleep(Duration::from_millis(5)).await;
            }
        }
        Ok(())
    }

    /// Tries again on the members that run, twice on each, and then checks every member, the old leader included.
    async fn retry_and_check(mut self) -> Result<()> {
        let survivors = self.cluster.running();
        let mut answer: Option<PutResponse> = None;
        for &member in survivors.iter().chain(&survivors) {
            let client = [self.cluster.client(member, CALL_LIMIT)?];
            let mut given = insistent::put(&client, self.name, &self.request).await.context("the retry")?;
            let header = given.header.as_mut().context("an answer without a header")?;
            (header.member_id, header.raft_term) = (0, 0);
            let first = answer.get_or_insert_with(|| given.clone());
            ensure!(given == *first, "{} answers {given:?} after {first:?}", self.cluster.name(member));
        }
        let answer = answer.context("nobody runs")?;
        let previous = answer.prev_kv.as_ref().context("an answer without the previous pair")?;
        ensure!(previous.value == BEFORE, "the write was applied before this answer: {previous:?}");

        self.cluster.start_all()?;
        self.cluster.agreement().await.context("after everybody came back")?;
        for member in 0..self.cluster.size() {
            for serializable in [false, true] {
                let client = self.cluster.client(member, CALL_LIMIT)?;
                let found = client.read(KEY.into(), serializable).await?;
                let found = found.with_context(|| format!("LOST on {}", self.cluster.name(member)))?;
                ensure!(found.value == *self.value() && found.version == 2, "applied twice: {found:?}");
                ensure!(found.mod_revision == revision(&answer)?, "{found:?} after {answer:?}");
            }
        }
        Ok(())
    }
}

fn revision(answer: &PutResponse) -> Result<i64> {
    Ok(answer.header.as_ref().context("an answer without a header")?.revision)
}

/// R23. The leader is paused as the request arrives, and is killed before it goes on: it never reads the request.
pub(crate) async fn unread_request(binary: &Path) -> Result<()> {
    let mut stage = Stage::set(binary, 3, "never-read-by-the-leader").await?;
    let leading = stage.connected().await?;
    stage.cluster.pause(stage.leader).await?;
    let attempt = stage.attempt(leading);
    sleep(Duration::from_millis(100)).await;
    stage.cluster.kill(stage.leader)?;
    ensure!(attempt.await?.is_err(), "a leader that was paused and killed has answered");
    ensure!(!stage.cluster.holds_on_disk(stage.leader, stage.value())?, "the leader has the entry");
    stage.retry_and_check().await
}

/// R25. Both followers are paused, so what the leader sends them waits in their sockets when it is killed. They go on, and
/// write it to their disks; the leader never heard of it.
pub(crate) async fn unconfirmed_entry(binary: &Path) -> Result<()> {
    let mut stage = Stage::set(binary, 3, "on-all-followers-unconfirmed").await?;
    let holders = stage.followers.clone();
    lose_leader(&mut stage, &holders).await?;
    survives_without_retry(&mut stage).await?;
    stage.retry_and_check().await
}

/// R26, first half. Of five members the leader and one follower have the entry when the leader is killed, and three come
/// back that know nothing of it. It may be committed or overwritten.
pub(crate) async fn entry_on_a_minority(binary: &Path) -> Result<()> {
    let mut stage = Stage::set(binary, 5, "on-a-minority-of-five").await?;
    let (holders, others) = (vec![stage.followers[0]], stage.followers[1..].to_vec());
    stage.cluster.kill_together(&others)?;
    lose_leader(&mut stage, &holders).await?;
    for &other in &others {
        ensure!(!stage.cluster.holds_on_disk(other, stage.value())?, "a dead follower has the entry");
        stage.cluster.start(other)?;
    }
    stage.retry_and_check().await
}

/// R26, second half. The leader and two followers of five have the entry: a majority, though nobody knows. It must
/// survive, because it might have been acknowledged.
pub(crate) async fn entry_on_a_majority(binary: &Path) -> Result<()> {
    let mut stage = Stage::set(binary, 5, "on-a-majority-of-five").await?;
    let (holders, others) = (stage.followers[..2].to_vec(), stage.followers[2..].to_vec());
    stage.cluster.kill_together(&others)?;
    lose_leader(&mut stage, &holders).await?;
    for &other in &others {
        stage.cluster.start(other)?;
    }
    survives_without_retry(&mut stage).await?;
    stage.retry_and_check().await
}

/// Pauses the followers that shall hold the entry, lets the leader send it, kills the leader, and lets them go on.
async fn lose_leader(stage: &mut Stage, holders: &[usize]) -> Result<()> {
    let leading = stage.connected().await?;
    let begun = Instant::now();
    for &holder in holders {
        stage.cluster.pause(holder).await?;
    }
    let attempt = stage.attempt(leading);
    stage.until_on_disk(&[stage.leader]).await?;
    // It is sent as the leader's own write begins, so it has been sent.
    stage.cluster.kill(stage.leader)?;
    for &holder in holders {
        stage.cluster.resume(holder)?;
    }
    let paused = begun.elapsed();
    if paused > Duration::from_millis(u64::from(ELECTION_TIMEOUT_MS)) {
        bail!(
            "the followers were paused for {paused:?}, longer than an election timeout: the machine is too busy"
        );
    }
    ensure!(attempt.await?.is_err(), "the leader acknowledged what no majority had confirmed");
    stage.until_on_disk(holders).await.context("what the dead leader had sent")
}

/// The next leader commits the entry by itself.
async fn survives_without_retry(stage: &mut Stage) -> Result<()> {
    stage.cluster.agreement().await.context("without the leader")?;
    for member in stage.cluster.running() {
        let found = stage.cluster.client(member, CALL_LIMIT)?.read(KEY.into(), false).await?;
        let found = found.with_context(|| format!("LOST on {}", stage.cluster.name(member)))?;
        ensure!(found.value == *stage.value() && found.mod_revision > stage.before, "{found:?}");
    }
    Ok(())
}

/// R28. Every member has applied the write, and the client hangs up without having read the answer. Then the leader dies.
pub(crate) async fn unanswered_client(binary: &Path) -> Result<()> {
    let mut stage = Stage::set(binary, 3, "committed-and-not-answered").await?;
    let attempt = stage.attempt(stage.connected().await?);
    let begun = Instant::now();
    for member in 0..3 {
        let client = stage.cluster.client(member, CALL_LIMIT)?;
        while client.read(KEY.into(), true).await?.is_none_or(|found| found.value != *stage.value()) {
            ensure!(begun.elapsed() < PATIENCE, "{} never applies it", stage.cluster.name(member));
            sleep(Duration::from_millis(1)).await;
        }
    }
    attempt.abort();
    stage.cluster.kill(stage.leader)?;
    stage.retry_and_check().await
}
