//! `run ms=N`: time passes, timers fire, and messages arrive at once. `run until=N`: the same, until the timer of node N
//! is due; `campaign N` then fires it.

use std::time::Duration;

use floe_raft::NodeId;

use super::Args;
use crate::cluster::Cluster;
use crate::failure::Failure;

pub(super) fn run(cluster: &mut Cluster, args: &mut Args<'_>) -> Result<(), Failure> {
    if let Some(node) = args.key("until")? {
        return cluster.run_until_due(NodeId(node));
    }
    let ms = args.key("ms")?.ok_or_else(|| Failure::new("for how many ms?"))?;
    cluster.advance(Duration::from_millis(ms), true)
}
