//! `cargo xtask recover`: two of three members are lost for good, the third goes on, and the lost ones are refused.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use tokio::time::sleep;

use crate::cluster::Cluster;
use crate::network::Network;

const MEMBERS: usize = 3;
const ELECTION_TIMEOUT_MS: u32 = 300;
const CALL_LIMIT: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(60);
const WRITES: u64 = 500;

/// Plays it and prints what happened.
pub(crate) async fn run(binary: PathBuf) -> Result<()> {
    let mut cluster = Cluster::new(binary, MEMBERS, Network::Loopback, ELECTION_TIMEOUT_MS)?;
    match play(&mut cluster).await {
        Ok(()) => Ok(()),
        Err(error) => {
            if let Some(kept) = cluster.keep() {
                eprintln!("recover: data and logs are in {}", kept.display());
            }
            Err(error)
        }
    }
}

async fn play(cluster: &mut Cluster) -> Result<()> {
    cluster.start_all()?;
    cluster.agreement().await.context("the cluster did not start")?;
    let leader = cluster.leader(&[0, 1, 2]).await?;
    let (survivor, lost) = ((leader + 1) % MEMBERS, leader);
    let client = cluster.client(leader, CALL_LIMIT)?;
    for number in 0..WRITES {
        let text = Bytes::from(number.to_string());
        client.put(Bytes::from(format!("key/{number:04}")), text).await?;
    }
    cluster.agreement().await?;
    cluster.kill_together(&[0, 1, 2])?;

    let looked = cluster.recover(survivor, &[])?;
    ensure!(looked.contains("Nothing was changed"), "it does not say that it only looked: {looked}");
    let done = cluster.recover(survivor, &["--yes"])?;
    ensure!(done.contains("Done"), "{done}");
    let again = cluster.recover(survivor, &["--yes"])?;
    ensure!(again.contains("nothing to do"), "{again}");
    let begun = Instant::now();
    cluster.start(survivor)?;
    cluster.leader(&[survivor]).await?;
    let client = cluster.client(survivor, CALL_LIMIT)?;
    let content = client.content(false).await.context("the survivor does not answer")?;
    let kept = content.keys.iter().filter(|found| found.key.starts_with(b"key/")).count() as u64;
    ensure!(kept == WRITES, "{kept} of {WRITES} acknowledged writes are there");
    client.put(Bytes::from_static(b"on"), Bytes::from_static(b"it goes")).await?;
    println!(
        "recover: the survivor serves after {:.1} s with all {WRITES} writes",
        begun.elapsed().as_secs_f64()
    );

    cluster.start(lost)?;
    let begun = Instant::now();
    while !cluster.has_ended(lost)? {
        ensure!(begun.elapsed() < PATIENCE, "a lost member runs on");
        sleep(Duration::from_millis(20)).await;
    }
    let log = cluster.log_of(lost)?;
    ensure!(log.contains("the cluster was recovered without it"), "it does not say why it ended");
    client.put(Bytes::from_static(b"and"), Bytes::from_static(b"on")).await?;
    println!("recover: a lost member that came back was refused and ended");
    Ok(())
}
