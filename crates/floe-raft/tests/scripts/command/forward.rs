//! `forward N COMMAND`: a client asks node N, which passes the command on to the leader.

use super::Args;
use crate::cluster::Cluster;
use crate::failure::Failure;

pub(super) fn run(cluster: &mut Cluster, args: &mut Args<'_>) -> Result<(), Failure> {
    let node = args.node()?;
    let text = args.text()?;
    let outcome = cluster.forward(node, &text)?;
    let proposal = outcome?;
    cluster.say(|| format!("n{node} p{proposal} {text}"));
    cluster.settle(node)
}
