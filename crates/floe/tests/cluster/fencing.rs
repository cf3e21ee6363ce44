//! Members whose disk is not what it was take part in nothing.

use std::path::Path;

use bytes::Bytes;
use floe::{Failure, Stopped};

use crate::support::{Cluster, propose};

/// Copies a directory of files and directories.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

async fn write(cluster: &Cluster, numbers: std::ops::Range<u8>) {
    let leader = cluster.leader().await;
    for number in numbers {
        propose(cluster.members[leader].handle(), Bytes::from(vec![number])).await.expect("applied");
    }
}

/// The member must end by itself, for its disk.
async fn is_fenced(cluster: &Cluster, member: usize) -> String {
    match cluster.members[member].handle().stopped().await {
        Stopped::Failed(failure @ Failure::Fenced { .. }) => failure.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_old_image_of_a_disk_is_found_out_by_the_others() {
    let mut cluster = Cluster::configured(3, true, |_| {});
    write(&cluster, 0..20).await;
    cluster.agreed(20).await;
    let late = (cluster.leader().await + 1) % 3;
    let data_dir = cluster.members[late].config.data_dir.clone();
    let (state, image) = (data_dir.with_extension("state"), data_dir.with_extension("image"));
    cluster.members[late].stop_abruptly().await;
    copy(&data_dir, &image);
    let old_state = std::fs::read(&state).expect("a checkpoint at the stop");
    cluster.members[late].restart();
    write(&cluster, 20..40).await;
    let applied = cluster.members[cluster.leader().await].handle().applied();
    while cluster.members[late].handle().applied() < applied {
        crate::support::pause().await;
    }
    // A restart with the disk as it is, is nothing special.
    cluster.members[late].stop_abruptly().await;
    cluster.members[late].restart();
    write(&cluster, 40..41).await;

    cluster.members[late].stop_abruptly().await;
    std::fs::remove_dir_all(&data_dir).expect("removed");
    copy(&image, &data_dir);
    std::fs::write(&state, old_state).expect("written");
    cluster.members[late].restart();
    let text = is_fenced(&cluster, late).await;
    assert!(text.contains("an old image"), "{text}");
    cluster.members[late].handle = None;
    write(&cluster, 41..42).await;
    cluster.shutdown().await;
}

#[tokio::test]
async fn an_empty_disk_under_an_old_id_is_found_out_by_the_others() {
    let mut cluster = Cluster::configured(3, true, |_| {});
    write(&cluster, 0..20).await;
    let late = (cluster.leader().await + 1) % 3;
    cluster.members[late].stop_abruptly().await;
    let data_dir = cluster.members[late].config.data_dir.clone();
    std::fs::remove_dir_all(&data_dir).expect("removed");
    std::fs::remove_file(data_dir.with_extension("state")).expect("removed");
    cluster.members[late].restart();
    let text = is_fenced(&cluster, late).await;
    assert!(text.contains("another data directory"), "{text}");
    cluster.members[late].handle = None;
    write(&cluster, 20..21).await;
    cluster.shutdown().await;
}

/// Whoever remembers may be restarted: the memory is on its disk.
#[tokio::test]
async fn a_restart_of_all_others_does_not_make_them_forget() {
    let mut cluster = Cluster::configured(3, true, |config| {
        config.checkpoint_interval = std::time::Duration::from_millis(20);
    });
    write(&cluster, 0..20).await;
    cluster.agreed(20).await;
    cluster.shutdown().await;
    let data_dir = cluster.members[2].config.data_dir.clone();
    std::fs::remove_dir_all(&data_dir).expect("removed");
    std::fs::remove_file(data_dir.with_extension("state")).expect("removed");
    for member in &mut cluster.members {
        member.restart();
    }
    is_fenced(&cluster, 2).await;
    cluster.members[2].handle = None;
    write(&cluster, 20..21).await;
    cluster.shutdown().await;
}
