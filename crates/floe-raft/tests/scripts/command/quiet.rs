//! `quiet [N...]`: whether nothing is under way at each node, so that its host may stop calling it.

use super::Args;
use crate::cluster::Cluster;
use crate::failure::Failure;

pub(super) fn run(cluster: &mut Cluster, args: &mut Args<'_>) -> Result<(), Failure> {
    for node in args.nodes_or_all(cluster)? {
        let word = if cluster.node(node)?.is_quiet() { "quiet" } else { "awake" };
        cluster.say(|| format!("n{node} is {word}"));
    }
    Ok(())
}
