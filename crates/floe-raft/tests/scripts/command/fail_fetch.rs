//! `fail-fetch N`: the oldest read of older entries that waits at node N fails.

use super::Args;
use crate::cluster::Cluster;
use crate::failure::Failure;

pub(super) fn run(cluster: &mut Cluster, args: &mut Args<'_>) -> Result<(), Failure> {
    let node = args.node()?;
    cluster.answer_fetch(node, true)?;
    cluster.settle(node)
}
