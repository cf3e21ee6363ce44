//! Two more ways for a leader to go: it is asked to stop, and its disk hangs. Part of `cargo xtask phases`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use tokio::time::sleep;

use crate::client::Client;
use crate::cluster::Cluster;
use crate::ledger::Ledger;
use crate::network::Network;

/// floe's own.
const ELECTION_TIMEOUT_MS: u32 = 300;
const CALL_LIMIT: Duration = Duration::from_secs(10);
/// A leader whose disk hangs must have a successor by then.
const STALL_LIMIT: Duration = Duration::from_secs(2);
/// Large enough for a log's files and a store.
const DISK_BYTES: u64 = 512 << 20;

/// A graceful stop fails no write: each member is asked to stop in turn, the leader first, while a writer writes to each.
/// A writer whose member does not listen any more goes on with another; every other error is a failed write.
pub(crate) async fn graceful(binary: &Path) -> Result<usize> {
    let mut cluster = Cluster::new(binary.to_path_buf(), 3, Network::Loopback, ELECTION_TIMEOUT_MS)?;
    cluster.start_all()?;
    cluster.agreement().await?;
    let clients: Vec<Client> =
        (0..3).map(|member| cluster.client(member, CALL_LIMIT)).collect::<Result<_>>()?;
    let (ended, ledger) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Ledger::default())));
    let writers: Vec<_> = (0..6)
        .map(|writer| tokio::spawn(write(writer, clients.clone(), Arc::clone(&ended), Arc::clone(&ledger))))
        .collect();
    sleep(Duration::from_millis(500)).await;
    let leader = cluster.leader(&[0, 1, 2]).await?;
    for member in (0..3).map(|step| (leader + step) % 3) {
        cluster.terminate(member).await?;
        sleep(Duration::from_millis(300)).await;
        cluster.start(member)?;
        // Somebody must always be there to write to.
        while cluster.client(member, CALL_LIMIT)?.read(Bytes::from_static(b"health"), false).await.is_err() {
            cluster.all_run()?;
            sleep(Duration::from_millis(20)).await;
        }
    }
    ended.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.context("a writer panicked")??;
    }
    cluster.agreement().await?;
    let content = clients[0].content(false).await?;
    let ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
    let faults = ledger.check(&content.keys);
    ensure!(faults.is_empty(), "{} faults: {}", faults.len(), faults[0]);
    Ok(ledger.counts().0)
}

async fn write(
    writer: usize,
    clients: Vec<Client>,
    ended: Arc<AtomicBool>,
    ledger: Arc<Mutex<Ledger>>,
) -> Result<()> {
    let mut at = writer;
    for sequence in 0_u64.. {
        if ended.load(Ordering::Relaxed) {
            break;
        }
        let (key, value) =
            (Bytes::from(format!("w{writer}/{sequence:08}")), Bytes::from(sequence.to_string()));
        ledger.lock().unwrap_or_else(PoisonError::into_inner).sent(key.clone(), value.clone());
        loop {
            match clients[at % clients.len()].put(key.clone(), value.clone()).await {
                Ok(revision) => {
                    ledger.lock().unwrap_or_else(PoisonError::into_inner).acknowledged(&key, revision);
                    break;
                }
                // It was never sent: nobody listens there now.
                Err(status) if was_not_sent(&status) => at += 1,
                Err(status) => bail!("writer {writer}: a write failed: {status}"),
            }
        }
        sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// Whether the request never left this process: nobody listened, the listener was closed while the connection waited to be
/// accepted, or the connection ended while the request waited for its turn on it.
fn was_not_sent(status: &tonic::Status) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(status);
    while let Some(error) = cause {
        let in_vain = error.to_string() == "tcp connect error";
        let queued = error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled);
        if in_vain || queued {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Whether file systems can be mounted and frozen here, in a namespace that is left behind with its process.
pub(crate) fn can_freeze() -> bool {
    let succeeds = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    succeeds("unshare", &["--mount", "true"])
        && succeeds("fsfreeze", &["--version"])
        && succeeds("losetup", &["--find"])
        && succeeds("sh", &["-c", "command -v mkfs.ext4"])
}

/// Runs [`stall`] in a mount namespace of its own.
pub(crate) fn stall_apart(binary: &Path) -> Result<()> {
    let own = std::env::current_exe()?;
    let mut command = Command::new("unshare");
    command.arg("--mount").arg(own).arg("stall").arg("--binary").arg(binary);
    let status = command.status().context("running unshare")?;
    ensure!(status.success(), "it ended with {status}");
    Ok(())
}

/// The disk of the leader hangs: its file system is frozen, so that no write to it ends. Another must lead and take writes
/// within two seconds, and the old one follow when its disk goes on.
pub(crate) async fn stall(binary: PathBuf) -> Result<Duration> {
    let mut cluster = Cluster::new(binary, 3, Network::Loopback, ELECTION_TIMEOUT_MS)?;
    for member in 0..3 {
        mount(&cluster.data_dir(member)?)?;
    }
    cluster.start_all()?;
    cluster.agreement().await?;
    let leader = cluster.leader(&[0, 1, 2]).await?;
    let others: Vec<usize> = (0..3).filter(|member| *member != leader).collect();
    let client = cluster.client(others[0], Duration::from_millis(500))?;
    client.put(Bytes::from_static(b"before"), Bytes::from_static(b"1")).await?;

    let frozen = Frozen::new(cluster.data_dir(leader)?)?;
    let begun = Instant::now();
    let mut number = 0;
    // Keys of their own: what is written before the handover may happen or not.
    while client.put(Bytes::from(format!("during/{number}")), Bytes::from_static(b"2")).await.is_err()
        || cluster.leader(&others).await? == leader
    {
        number += 1;
        ensure!(begun.elapsed() < STALL_LIMIT * 5, "nobody else leads while the disk of the leader hangs");
    }
    let took = begun.elapsed();
    drop(frozen);
    cluster.agreement().await.context("after the disk went on")?;
    ensure!(took <= STALL_LIMIT, "it took {took:?} until another led and took a write");
    Ok(took)
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let status =
        Command::new(program).args(arguments).status().with_context(|| format!("running {program}"))?;
    ensure!(status.success(), "{program} {} ended with {status}", arguments.join(" "));
    Ok(())
}

/// Puts a file system of its own at a directory.
fn mount(directory: &Path) -> Result<()> {
    std::fs::create_dir_all(directory)?;
    let image = directory.with_extension("img");
    std::fs::File::create(&image)?.set_len(DISK_BYTES)?;
    let (image, directory) = (image.to_string_lossy(), directory.to_string_lossy());
    run("mkfs.ext4", &["-q", &image])?;
    run("mount", &["-o", "loop", &image, &directory])
}

/// A frozen file system; dropped, it goes on. A process that waits for it cannot be killed.
struct Frozen {
    directory: PathBuf,
}

impl Frozen {
    fn new(directory: PathBuf) -> Result<Self> {
        run("fsfreeze", &["--freeze", &directory.to_string_lossy()])?;
        Ok(Self { directory })
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        if let Err(error) = run("fsfreeze", &["--unfreeze", &self.directory.to_string_lossy()]) {
            eprintln!("cannot unfreeze {}: {error:#}", self.directory.display());
        }
    }
}
