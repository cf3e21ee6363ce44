//! `read N [count=1]`: clients ask node N for linearizable reads. Several are asked for before the node acts.

use super::Args;
use crate::cluster::Cluster;
use crate::failure::Failure;

pub(super) fn run(cluster: &mut Cluster, args: &mut Args<'_>) -> Result<(), Failure> {
    let node = args.node()?;
    for _ in 0..args.key("count")?.unwrap_or(1) {
        let outcome = cluster.read(node)?;
        let read = outcome?;
        cluster.say(|| format!("n{node} r{read}"));
    }
    cluster.settle(node)
}
