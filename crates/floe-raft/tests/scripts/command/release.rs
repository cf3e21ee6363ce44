//! `release-disk N [count=N]`: the first pending writes of node N become durable, and it is told of the last of them.
//! Without `count` all do, and its disk is no longer held. `release-apply N`, `release-fetch N`: the work goes on.

use super::Args;
use crate::cluster::Cluster;
use crate::failure::Failure;

pub(super) fn disk(cluster: &mut Cluster, args: &mut Args<'_>) -> Result<(), Failure> {
    let node = args.node()?;
    match args.key("count")? {
        Some(count) => {
            cluster.complete_writes(node, count)?;
        }
        None => cluster.disk(node)?.held = false,
    }
    cluster.settle(node)
}

pub(super) fn apply(cluster: &mut Cluster, args: &mut Args<'_>) -> Result<(), Failure> {
    let node = args.node()?;
    cluster.member(node)?.applies_held = false;
    cluster.settle(node)
}

pub(super) fn fetch(cluster: &mut Cluster, args: &mut Args<'_>) -> Result<(), Failure> {
    let node = args.node()?;
    cluster.member(node)?.fetches_held = false;
    cluster.settle(node)
}
