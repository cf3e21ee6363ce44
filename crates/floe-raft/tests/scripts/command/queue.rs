//! `queue`: what travels on each link, oldest first.

use super::Args;
use super::deliver::describe;
use crate::cluster::Cluster;
use crate::failure::Failure;

pub(super) fn run(cluster: &mut Cluster, _: &mut Args<'_>) -> Result<(), Failure> {
    let mut lines = Vec::new();
    for (link, queue) in &cluster.network.queues {
        lines.extend(queue.iter().map(|parcel| describe(*link, parcel, "→")));
    }
    for line in lines {
        cluster.say(|| line);
    }
    Ok(())
}
