//! `status [N...]`: the state line of each node, changed or not.

use super::Args;
use crate::cluster::Cluster;
use crate::failure::Failure;

pub(super) fn run(cluster: &mut Cluster, args: &mut Args<'_>) -> Result<(), Failure> {
    cluster.take_changes();
    for node in args.nodes_or_all(cluster)? {
        let line = cluster.state_line(node);
        cluster.say(|| line);
    }
    Ok(())
}
