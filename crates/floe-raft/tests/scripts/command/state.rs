//! `state [N...]`: what the state machine of each node contains.

use super::Args;
use crate::cluster::Cluster;
use crate::failure::Failure;

pub(super) fn run(cluster: &mut Cluster, args: &mut Args<'_>) -> Result<(), Failure> {
    for node in args.nodes_or_all(cluster)? {
        let text = cluster.member(node)?.machine.describe();
        cluster.say(|| format!("n{node} {text}"));
    }
    Ok(())
}
