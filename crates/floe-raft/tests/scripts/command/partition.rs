//! `partition N...`: cuts the named nodes off from all others, both ways.

use super::Args;
use super::cut::links;
use crate::cluster::Cluster;
use crate::failure::Failure;

pub(super) fn run(cluster: &mut Cluster, args: &mut Args<'_>) -> Result<(), Failure> {
    let side = args.nodes()?;
    for link in links(cluster) {
        if side.contains(&link.from) != side.contains(&link.to) {
            cluster.network.cut(link);
        }
    }
    Ok(())
}
