//! `gone N PEER`: node N learns that the process of the peer is dead.

use super::Args;
use crate::cluster::Cluster;
use crate::failure::Failure;

pub(super) fn run(cluster: &mut Cluster, args: &mut Args<'_>) -> Result<(), Failure> {
    let node = args.node()?;
    let peer = args.node()?;
    cluster.peer_gone(node, peer)
}
