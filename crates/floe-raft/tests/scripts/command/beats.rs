//! `beats`: in how many ms each leader sends its next heartbeats. `hasten N`: node N, if it leads, sends them now.

use super::Args;
use crate::cluster::Cluster;
use crate::failure::Failure;

pub(super) fn run(cluster: &mut Cluster, args: &mut Args<'_>) -> Result<(), Failure> {
    for node in args.nodes_or_all(cluster)? {
        let now = cluster.local(node);
        let due = cluster.node(node)?.heartbeat_at();
        cluster.say(|| match due {
            Some(time) => format!("n{node} beats in {} ms", time.since(now).as_millis()),
            None => format!("n{node} does not beat"),
        });
    }
    Ok(())
}

pub(super) fn hasten(cluster: &mut Cluster, args: &mut Args<'_>) -> Result<(), Failure> {
    let node = args.node()?;
    let now = cluster.local(node);
    cluster.node(node)?.hasten_heartbeat(now);
    cluster.settle(node)
}
