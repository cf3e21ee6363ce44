//! `transfer N TO`: the leader N hands leadership over.

use super::Args;
use crate::cluster::Cluster;
use crate::failure::Failure;

pub(super) fn run(cluster: &mut Cluster, args: &mut Args<'_>) -> Result<(), Failure> {
    let node = args.node()?;
    let to = args.node()?;
    let outcome = cluster.transfer(node, to)?;
    outcome?;
    cluster.settle(node)
}
