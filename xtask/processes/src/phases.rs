//! `cargo xtask phases`: the moments at which a leader can be lost, each played on real processes.
//!
//! The numbers are those of the project's requirements: R24 the leader dies with an entry that nobody else has, R27 it
//! dies right after it answered, R29 the network splits the cluster and both sides have a leader for a while. Those in
//! which a client tries again are in `retries.rs`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;

use crate::cluster::Cluster;
use crate::network::{Namespaces, Network, Side};
use crate::retries;
use crate::stops;
use crate::witness;

/// Long enough that a leader without followers still takes a write before it steps down.
const ELECTION_TIMEOUT_MS: u32 = 1_000;
const CALL_LIMIT: Duration = Duration::from_secs(5);
/// Longer than a server waits for a commit: a write on the losing side must be refused by the server itself.
const REFUSAL_LIMIT: Duration = Duration::from_secs(20);

/// Plays every phase; those that need network namespaces are skipped, with a line, where there are none.
pub(crate) async fn run(binary: PathBuf) -> Result<()> {
    retries::unread_request(&binary).await.context("R23")?;
    println!("phases: R23 passed: the leader died with the request unread; the retry was done once");
    unreplicated_entry(&binary).await.context("R24")?;
    println!(
        "phases: R24 passed: the entry that only the dead leader had was never acknowledged; the retry succeeded"
    );
    retries::unconfirmed_entry(&binary).await.context("R25")?;
    println!(
        "phases: R25 passed: the next leader committed what the dead one had sent; the retry did nothing more"
    );
    retries::entry_on_a_minority(&binary).await.context("R26, a minority")?;
    retries::entry_on_a_majority(&binary).await.context("R26, a majority")?;
    println!(
        "phases: R26 passed: with the entry on two and on three of five the write is there once, logs converge"
    );
    acknowledged_entry(&binary).await.context("R27")?;
    println!(
        "phases: R27 passed: the value that was acknowledged just before the kill survives on every member"
    );
    retries::unanswered_client(&binary).await.context("R28")?;
    println!("phases: R28 passed: the retry on every member got the first answer");
    let written = stops::graceful(&binary).await.context("graceful stop")?;
    println!(
        "phases: graceful stop passed: every member stopped in turn, and none of {written} writes failed"
    );
    witness(&binary).await?;
    if stops::can_freeze() {
        stops::stall_apart(&binary).context("disk stall")?;
    } else {
        println!("phases: disk stall SKIPPED: it needs root, loop devices, mkfs.ext4 and fsfreeze");
    }
    if Namespaces::possible() {
        split_brain(&binary).await.context("R29")?;
        println!(
            "phases: R29 passed: the minority acknowledged nothing, the majority went on, healing converged"
        );
    } else {
        println!(
            "phases: R29 SKIPPED: network namespaces need root and `ip` (the scripts of floe-raft play it, too)"
        );
    }
    Ok(())
}

/// The phase with a witness.
pub(crate) async fn witness(binary: &Path) -> Result<()> {
    let played = witness::play(binary).await.context("witness")?;
    println!(
        "phases: witness passed: with either of two members with data dead, and then the witness, writes went on: {} \
         acknowledged, 0 lost, longest gap {} ms; the witness's disk holds none of them",
        played.acknowledged,
        played.longest_gap.as_millis()
    );
    Ok(())
}

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

/// R24. The followers are dead when the write arrives, so the entry lies on the leader alone. Then the leader dies, and
/// the followers come back: they know nothing of it.
async fn unreplicated_entry(binary: &Path) -> Result<()> {
    let mut cluster = Cluster::new(binary.to_path_buf(), 3, Network::Loopback, ELECTION_TIMEOUT_MS)?;
    cluster.start_all()?;
    cluster.agreement().await?;
    let leader = cluster.leader(&[0, 1, 2]).await?;
    let followers: Vec<usize> = (0..3).filter(|&member| member != leader).collect();
    // The connection is made before the followers die, so that the write meets a leader that still leads.
    let client = cluster.client(leader, Duration::from_millis(u64::from(ELECTION_TIMEOUT_MS) / 2))?;
    client.put(bytes("before"), bytes("1")).await?;

    let value = "only-the-leader-has-this-value";
    cluster.kill_together(&followers)?;
    let answer = client.put(bytes("phase"), bytes(value)).await;
    ensure!(answer.is_err(), "a leader without followers acknowledged a write");
    cluster.kill(leader)?;
    ensure!(cluster.holds_on_disk(leader, value.as_bytes())?, "the write never reached the leader's disk");

    for &follower in &followers {
        ensure!(!cluster.holds_on_disk(follower, value.as_bytes())?, "a dead follower has the entry");
        cluster.start(follower)?;
    }
    cluster.agreement().await.context("two of three members")?;
    let survivor = cluster.client(followers[0], CALL_LIMIT)?;
    ensure!(
        survivor.read(bytes("phase"), false).await?.is_none(),
        "an entry that was never replicated is there"
    );
    survivor.put(bytes("phase"), bytes("retry")).await.context("the retry")?;

    cluster.start(leader)?;
    cluster.agreement().await.context("after the old leader came back")?;
    let returned = cluster.client(leader, CALL_LIMIT)?.read(bytes("phase"), true).await?;
    let held = returned.context("the old leader does not have the retried write")?;
    ensure!(held.value == bytes("retry"), "the old leader holds {:?}", held.value);
    Ok(())
}

/// R27. The leader is killed the moment the acknowledgement arrives: the followers may not know yet that the entry is
/// committed, but a majority has it.
async fn acknowledged_entry(binary: &Path) -> Result<()> {
    let mut cluster = Cluster::new(binary.to_path_buf(), 3, Network::Loopback, ELECTION_TIMEOUT_MS)?;
    cluster.start_all()?;
    cluster.agreement().await?;
    let leader = cluster.leader(&[0, 1, 2]).await?;
    let client = cluster.client(leader, CALL_LIMIT)?;
    client.put(bytes("before"), bytes("1")).await?;
    let revision = client.put(bytes("phase"), bytes("acknowledged")).await?;
    cluster.kill(leader)?;

    let followers: Vec<usize> = (0..3).filter(|&member| member != leader).collect();
    cluster.agreement().await.context("two of three members")?;
    for serializable in [false, true] {
        for &member in &followers {
            let found = cluster.client(member, CALL_LIMIT)?.read(bytes("phase"), serializable).await?;
            let found = found.with_context(|| format!("LOST on {}", cluster.name(member)))?;
            ensure!(found.mod_revision == revision && found.value == bytes("acknowledged"), "{found:?}");
        }
    }
    cluster.start(leader)?;
    cluster.agreement().await.context("after the old leader came back")?;
    Ok(())
}

/// R29. Five members; the leader and one follower are cut off from the other three.
async fn split_brain(binary: &Path) -> Result<()> {
    const SIZE: usize = 5;
    let network = Cluster::namespaces(SIZE)?;
    let mut cluster = Cluster::new(binary.to_path_buf(), SIZE, network, ELECTION_TIMEOUT_MS)?;
    let all: Vec<usize> = (0..SIZE).collect();
    cluster.start_all()?;
    cluster.agreement().await?;
    let old = cluster.leader(&all).await?;
    let before = cluster.client(old, CALL_LIMIT)?;
    before.put(bytes("x"), bytes("5")).await?;
    let old_term = before.status().await?.raft_term;

    let minority = [old, (old + 1) % SIZE];
    let sides: Vec<Side> =
        all.iter().map(|member| if minority.contains(member) { Side::A } else { Side::B }).collect();
    partition(&cluster, &sides)?;
    let majority: Vec<usize> = all.iter().copied().filter(|member| !minority.contains(member)).collect();

    let stuck = cluster.client(old, REFUSAL_LIMIT)?;
    let losing = tokio::spawn(async move { stuck.put(bytes("x"), bytes("3")).await });
    let new = leader_above(&mut cluster, &majority, old_term).await?;
    let winner = cluster.client(new, CALL_LIMIT)?;
    winner.put(bytes("x"), bytes("8")).await.context("a write on the majority's side")?;

    for &member in &minority {
        // A leader that was deposed must not answer from its own state: that would be the value before the split.
        let stale = cluster.client(member, Duration::from_secs(2))?.read(bytes("x"), false).await;
        ensure!(
            stale.is_err(),
            "{} answers a linearizable read on the losing side: {stale:?}",
            cluster.name(member)
        );
    }
    let refused = losing.await.context("the writer on the losing side")?;
    ensure!(refused.is_err(), "the minority acknowledged a write at revision {refused:?}");

    partition(&cluster, &[Side::A; SIZE])?;
    cluster.agreement().await.context("after healing")?;
    for member in all {
        let found = cluster.client(member, CALL_LIMIT)?.read(bytes("x"), true).await?;
        let value = found.context("x is gone")?.value;
        ensure!(value == bytes("8"), "{} holds {value:?} after healing", cluster.name(member));
    }
    Ok(())
}

fn partition(cluster: &Cluster, sides: &[Side]) -> Result<()> {
    match &cluster.network {
        Network::Namespaces(namespaces) => namespaces.partition(sides),
        Network::Loopback => bail!("loopback cannot be cut"),
    }
}

/// Waits for a leader among `members` whose term is above `term`.
async fn leader_above(cluster: &mut Cluster, members: &[usize], term: u64) -> Result<usize> {
    let begun = Instant::now();
    loop {
        let leader = cluster.leader(members).await?;
        let status = cluster.client(leader, CALL_LIMIT)?.status().await?;
        if status.raft_term > term {
            return Ok(leader);
        }
        ensure!(begun.elapsed() < Duration::from_secs(30), "the majority elected no leader");
    }
}
