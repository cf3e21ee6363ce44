//! `crash N... [keep=0]`: the power of the nodes fails. The first `keep` pending writes reached the platter though
//! nobody was told; all others are lost, and with them all that was only in memory.

use super::Args;
use crate::cluster::Cluster;
use crate::failure::Failure;

pub(super) fn run(cluster: &mut Cluster, args: &mut Args<'_>) -> Result<(), Failure> {
    let kept = args.key("keep")?.unwrap_or(0);
    for node in args.nodes()? {
        cluster.crash(node, kept)?;
    }
    Ok(())
}
