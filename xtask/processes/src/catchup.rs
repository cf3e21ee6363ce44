//! `cargo xtask catchup`: a member sleeps while hundreds of megabytes are written, and becomes what the others are by a
//! snapshot; it is killed in the middle of the transfer, which goes on where it stopped. Writers never wait for that.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use tokio::time::sleep;

use crate::client::Client;
use crate::cluster::Cluster;
use crate::network::Network;

const MEMBERS: usize = 3;
const ELECTION_TIMEOUT_MS: u32 = 300;
const VALUE_BYTES: usize = 1 << 20;
const WRITE_LIMIT: Duration = Duration::from_secs(20);
/// Far above what a loaded machine needs for a gigabyte.
const PATIENCE: Duration = Duration::from_secs(600);
const PAUSE: Duration = Duration::from_millis(20);

/// What the writer beside the transfer has done.
#[derive(Default)]
struct Writer {
    stop: AtomicBool,
    written: AtomicU64,
    /// The longest time from one answer to the next, in microseconds.
    longest_gap_us: AtomicU64,
}

/// Plays it and prints what it took. `gap_ms` is the longest time that a writer may wait.
pub(crate) async fn run(binary: PathBuf, megabytes: u64, gap_ms: u64) -> Result<()> {
    let mut cluster = Cluster::new(binary, MEMBERS, Network::Loopback, ELECTION_TIMEOUT_MS)?;
    cluster.add_flags(["--snapshot-log-bytes=33554432", "--snapshot-trailing-bytes=8388608"]);
    match play(&mut cluster, megabytes, gap_ms).await {
        Ok(()) => Ok(()),
        Err(error) => {
            if let Some(kept) = cluster.keep() {
                eprintln!("catchup: data and logs are in {}", kept.display());
            }
            Err(error)
        }
    }
}

async fn play(cluster: &mut Cluster, megabytes: u64, gap_ms: u64) -> Result<()> {
    cluster.start_all()?;
    cluster.agreement().await.context("the cluster did not start")?;
    let leader = cluster.leader(&[0, 1, 2]).await?;
    let late = (leader + 1) % MEMBERS;
    cluster.kill(late)?;
    let begun = Instant::now();
    load(cluster, [leader, (leader + 2) % MEMBERS], megabytes).await?;
    println!("catchup: {megabytes} MiB written in {:.1} s, one member down", begun.elapsed().as_secs_f64());

    // Leadership may have moved while the disk was busy.
    let leader = cluster.leader(&[leader, (leader + 2) % MEMBERS]).await?;
    let client = cluster.client(leader, WRITE_LIMIT)?;
    let writer = Arc::new(Writer::default());
    let writing = tokio::spawn(write(client.clone(), Arc::clone(&writer)));
    let begun = Instant::now();
    cluster.start(late)?;
    let broken_at = break_transfer(cluster, late, megabytes).await?;
    cluster.start(late)?;
    let revision = client.status().await?.header.map_or(0, |header| header.revision);
    reach(cluster, late, revision).await?;
    let took = begun.elapsed();
    writer.stop.store(true, Ordering::Release);
    writing.await.context("the writer panicked")??;

    let resumed = cluster.log_of(leader)?.lines().filter_map(resumed_from).max().unwrap_or(0);
    ensure!(resumed > 0, "the transfer began anew after {broken_at} bytes instead of going on");
    let agreement = cluster.agreement().await?;
    let gap_us = writer.longest_gap_us.load(Ordering::Acquire);
    println!(
        "catchup: caught up in {:.1} s by a snapshot that was broken after {} MiB and went on at {} MiB; {} writes \
         meanwhile, the longest wait {:.0} ms; equal hashes at revision {}",
        took.as_secs_f64(),
        broken_at >> 20,
        resumed >> 20,
        writer.written.load(Ordering::Acquire),
        gap_us as f64 / 1e3,
        agreement.revision
    );
    ensure!(gap_us <= gap_ms * 1000, "a writer waited longer than {gap_ms} ms");
    Ok(())
}

/// Writes what the late member will lack. A write that fails is made again on the other member: it sets a key of its own
/// to a value of its own, so that twice is as good as once.
async fn load(cluster: &mut Cluster, members: [usize; 2], megabytes: u64) -> Result<()> {
    let clients = [cluster.client(members[0], WRITE_LIMIT)?, cluster.client(members[1], WRITE_LIMIT)?];
    for number in 0..megabytes {
        let mut value = vec![number as u8; VALUE_BYTES];
        value[..8].copy_from_slice(&number.to_le_bytes());
        let (key, value) = (Bytes::from(format!("large/{number:06}")), Bytes::from(value));
        let begun = Instant::now();
        let mut attempt = 0;
        while let Err(error) = clients[attempt % 2].put(key.clone(), value.clone()).await {
            cluster.all_run()?;
            ensure!(begun.elapsed() < PATIENCE, "a write while one member is down: {error}");
            attempt += 1;
            sleep(PAUSE).await;
        }
    }
    Ok(())
}

/// Kills the member when a quarter of the snapshot has arrived. Gives how many bytes had.
async fn break_transfer(cluster: &mut Cluster, late: usize, megabytes: u64) -> Result<u64> {
    let begun = Instant::now();
    loop {
        let arrived = cluster.bytes_of(late, "snapshots", "partial-")?;
        if arrived > (megabytes << 20) / 4 {
            cluster.kill(late)?;
            return Ok(arrived);
        }
        ensure!(begun.elapsed() < PATIENCE, "no snapshot is on its way; {arrived} bytes have arrived");
        sleep(PAUSE).await;
    }
}

/// Waits until the member answers with this revision.
async fn reach(cluster: &mut Cluster, late: usize, revision: i64) -> Result<()> {
    let begun = Instant::now();
    let client = cluster.client(late, WRITE_LIMIT)?;
    loop {
        cluster.all_run()?;
        let reached = client.status().await.ok().and_then(|status| status.header).map_or(0, |h| h.revision);
        if reached >= revision {
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            bail!("the member is at revision {reached}, not at {revision}");
        }
        sleep(PAUSE).await;
    }
}

async fn write(client: Client, writer: Arc<Writer>) -> Result<()> {
    let mut last = Instant::now();
    while !writer.stop.load(Ordering::Acquire) {
        let number = writer.written.fetch_add(1, Ordering::AcqRel);
        client.put(Bytes::from(format!("small/{}", number % 100)), Bytes::from(number.to_string())).await?;
        let gap = std::mem::replace(&mut last, Instant::now()).elapsed();
        writer.longest_gap_us.fetch_max(gap.as_micros() as u64, Ordering::AcqRel);
        sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// From a line of a sender's log, the byte at which a transfer began.
fn resumed_from(line: &str) -> Option<u64> {
    // What follows an escape is a colour, up to its `m`.
    let mut parts = line.split('\u{1b}');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(part.split_once('m').map_or(part, |(_, text)| text));
    }
    if !plain.contains("sends a snapshot") {
        return None;
    }
    let (_, number) = plain.split_once("from=")?;
    number.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_transfer_is_read_from_the_log() {
        let line = "2026 INFO floe::snapshot::send: sends a snapshot to=2 last=1@9 bytes=77 from=12";
        assert_eq!(resumed_from(line), Some(12));
        let coloured = "\u{1b}[2m2026\u{1b}[0m sends a snapshot \u{1b}[3mfrom\u{1b}[0m\u{1b}[2m=\u{1b}[0m0";
        assert_eq!(resumed_from(coloured), Some(0));
        assert_eq!(resumed_from("connected from=3"), None);
    }
}
