//! `read N [lease] [count=1]`: clients ask node N for linearizable reads, with `lease` such as a lease may answer. Several
//! are asked for before the node acts.

use floe_raft::ReadMode;

use super::Args;
use crate::cluster::Cluster;
use crate::failure::Failure;

pub(super) fn run(cluster: &mut Cluster, args: &mut Args<'_>) -> Result<(), Failure> {
    let node = args.node()?;
    let mode = match args.0.next_pos() {
        None => ReadMode::Index,
        Some("lease") => ReadMode::Lease,
        Some(other) => return Err(Failure::new(format!("there is no mode {other}"))),
    };
    for _ in 0..args.key("count")?.unwrap_or(1) {
        let outcome = cluster.read(node, mode)?;
        let read = outcome?;
        cluster.say(|| format!("n{node} r{read}"));
    }
    cluster.settle(node)
}
