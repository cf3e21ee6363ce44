//! `checkpoint N...`: the state machine is made durable as it is; a restart begins there. All nodes by default.

use super::Args;
use crate::cluster::Cluster;
use crate::failure::Failure;

pub(super) fn run(cluster: &mut Cluster, args: &mut Args<'_>) -> Result<(), Failure> {
    for node in args.nodes_or_all(cluster)? {
        let last = cluster.checkpoint(node)?;
        cluster.say(|| format!("n{node} checkpoint {last}"));
    }
    Ok(())
}
