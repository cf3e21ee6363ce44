//! `campaign N`: time passes until the timer of node N is due, and it fires alone, as if all others were slow.

use super::Args;
use crate::cluster::Cluster;
use crate::failure::Failure;

pub(super) fn run(cluster: &mut Cluster, args: &mut Args<'_>) -> Result<(), Failure> {
    let node = args.node()?;
    cluster.expire(node)
}
