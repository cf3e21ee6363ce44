//! `compact N INDEX`: node N makes its state machine durable and drops its log up to and including the index.

use floe_raft::Index;

use super::Args;
use crate::cluster::Cluster;
use crate::failure::Failure;

pub(super) fn run(cluster: &mut Cluster, args: &mut Args<'_>) -> Result<(), Failure> {
    let node = args.node()?;
    let index = args.0.next_pos().ok_or_else(|| Failure::new("up to which index?"))?.parse()?;
    let base = cluster.compact(node, Index(index))?;
    cluster.say(|| format!("n{node} compacts to {base}"));
    Ok(())
}
