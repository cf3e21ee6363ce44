//! `restart N...`: the nodes start again from what is durable.

use super::Args;
use crate::cluster::Cluster;
use crate::failure::Failure;

pub(super) fn run(cluster: &mut Cluster, args: &mut Args<'_>) -> Result<(), Failure> {
    for node in args.nodes()? {
        cluster.start(node)?;
    }
    Ok(())
}
