//! A member that is too far behind the log becomes what another one is.

use std::cell::OnceCell;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use floe::NodeConfig;

use crate::proxy::Proxy;
use crate::support::{Cluster, PATIENCE, pause, propose};

const COMMAND_BYTES: usize = 64 << 10;

fn small(config: &mut NodeConfig) {
    config.checkpoint_interval = Duration::from_millis(20);
    config.checkpoint_bytes = 512 << 10;
    config.snapshot_log_bytes = 4 << 20;
    config.snapshot_trailing_bytes = 1 << 20;
}

/// Three members with small logs; what is sent to the third passes through a proxy.
fn cluster() -> (Cluster, Proxy) {
    let proxy = OnceCell::new();
    let cluster = Cluster::configured(3, true, |config| {
        small(config);
        let address = config.members.last_entry().expect("three members").get().parse().expect("an address");
        let proxy: &Proxy = proxy.get_or_init(|| Proxy::to(address));
        if config.id.0 != 3 {
            config.members.last_entry().expect("three members").insert(proxy.address.to_string());
        }
    });
    (cluster, proxy.into_inner().expect("made"))
}

/// Makes the first or second member lead, and gives its position.
async fn lead_elsewhere(cluster: &Cluster) -> usize {
    let leader = cluster.leader().await;
    if leader != 2 {
        return leader;
    }
    cluster.members[2].handle().transfer_leadership(cluster.members[0].id).await.expect("handed over");
    wait_for("another leader", || {
        cluster.members.iter().all(|m| m.handle().leader() == Some(cluster.members[0].id))
    })
    .await;
    0
}

fn segments(data_dir: &Path) -> usize {
    let names = std::fs::read_dir(data_dir.join("log")).expect("a directory");
    names
        .filter(|name| name.as_ref().expect("a name").file_name().to_string_lossy().ends_with(".log"))
        .count()
}

async fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "{what}: it does not come true");
        pause().await;
    }
}

fn command(number: usize) -> Bytes {
    let mut payload = vec![number as u8; COMMAND_BYTES];
    payload[..8].copy_from_slice(&(number as u64).to_le_bytes());
    payload.into()
}

#[tokio::test]
async fn it_catches_up_though_the_transfer_breaks_and_writers_go_on() {
    let (mut cluster, proxy) = cluster();
    let leader = lead_elsewhere(&cluster).await;
    propose(cluster.members[leader].handle(), command(0)).await.expect("applied");
    cluster.agreed(1).await;
    cluster.members[2].stop_abruptly().await;
    for number in 1..=256 {
        propose(cluster.members[leader].handle(), command(number)).await.expect("applied");
    }
    // Sixteen segments' worth. One of the members is down, and yet the log does not grow for it.
    wait_for("the log is cut", || segments(&cluster.members[leader].config.data_dir) < 9).await;

    proxy.cut_after(6 << 20);
    let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(257)));
    let writer = {
        let (handle, stop, written) =
            (cluster.members[leader].handle().clone(), Arc::clone(&stop), Arc::clone(&written));
        tokio::spawn(async move {
            while !stop.load(Ordering::Acquire) {
                let number = written.load(Ordering::Acquire);
                handle.propose(Bytes::from(number.to_string())).await.expect("the leader stays");
                written.fetch_add(1, Ordering::AcqRel);
            }
        })
    };
    cluster.members[2].restart();
    let late = cluster.members[2].handle().clone();
    wait_for("it is installed", || late.status().counters.snapshots_installed == 1).await;
    // While anybody holds a handle the member does not stop.
    drop(late);
    let before = written.load(Ordering::Acquire);
    wait_for("writers go on", || written.load(Ordering::Acquire) > before + 10).await;
    stop.store(true, Ordering::Release);
    writer.await.expect("every write was answered");
    cluster.agreed(written.load(Ordering::Acquire)).await;

    let counters = cluster.members[leader].handle().status().counters;
    assert_eq!(proxy.cuts(), 1, "it broke once");
    assert!(counters.snapshots_resumed >= 1 && counters.snapshots_sent >= 1, "{counters:?}");
    let whole = 257 * COMMAND_BYTES as u64;
    let sent = counters.snapshot_bytes_sent;
    assert!((whole..whole + (4 << 20)).contains(&sent), "{sent} bytes were sent of {whole}");

    // What follows a snapshot is replicated as ever, and all of it survives.
    let count = written.load(Ordering::Acquire);
    for member in &mut cluster.members {
        member.stop_abruptly().await;
    }
    for member in &mut cluster.members {
        member.restart();
    }
    let leader = cluster.leader().await;
    let applied = late_index(&cluster);
    propose(cluster.members[leader].handle(), Bytes::from_static(b"last")).await.expect("applied");
    wait_for("it is applied by all", || late_index(&cluster) > applied).await;
    assert!(applied as usize >= count, "{applied} entries hold {count} commands");
    let leftovers =
        std::fs::read_dir(cluster.members[2].config.data_dir.join("snapshots")).expect("a directory");
    assert_eq!(leftovers.count(), 0);
    cluster.shutdown().await;
}

/// The lowest applied index of all members.
fn late_index(cluster: &Cluster) -> u64 {
    cluster.members.iter().map(|member| member.handle().applied().0).min().expect("members")
}

#[tokio::test]
async fn a_transfer_goes_on_after_a_restart_of_its_receiver() {
    let (mut cluster, proxy) = cluster();
    let leader = lead_elsewhere(&cluster).await;
    cluster.members[2].stop_abruptly().await;
    for number in 0..192 {
        propose(cluster.members[leader].handle(), command(number)).await.expect("applied");
    }
    wait_for("the log is cut", || segments(&cluster.members[leader].config.data_dir) < 9).await;
    proxy.cut_after(7 << 20);
    cluster.members[2].restart();
    wait_for("it breaks", || proxy.cuts() == 1).await;
    cluster.members[2].stop_abruptly().await;
    cluster.members[2].restart();
    cluster.agreed(192).await;
    let counters = cluster.members[leader].handle().status().counters;
    assert!(counters.snapshots_resumed >= 1, "{counters:?}");
    assert!(counters.snapshot_bytes_sent < 192 * COMMAND_BYTES as u64 + (4 << 20), "{counters:?}");
    cluster.shutdown().await;
}

/// A state machine without a disk gets the snapshot again at every start, until the log reaches back to its beginning -
/// which it never does again.
#[tokio::test]
async fn a_state_in_memory_alone_is_restored_from_the_snapshot_at_every_start() {
    let mut cluster = Cluster::configured(3, true, small);
    let leader = cluster.leader().await;
    let late = (leader + 1) % 3;
    cluster.members[late].stop_abruptly().await;
    for number in 0..128 {
        propose(cluster.members[leader].handle(), command(number)).await.expect("applied");
    }
    wait_for("the log is cut", || segments(&cluster.members[leader].config.data_dir) < 7).await;
    cluster.members[late].forget_state();
    for round in 0..3 {
        cluster.members[late].restart();
        cluster.agreed(128).await;
        let installed = cluster.members[late].handle().status().counters.snapshots_installed;
        assert_eq!(installed, u64::from(round == 0), "later ones are those of the first");
        cluster.members[late].stop_abruptly().await;
    }
    cluster.shutdown().await;
}
