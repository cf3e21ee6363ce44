//! `log [N...]`: the log of each node, as written, after its base. What is not durable is marked by `*`, and where
//! the node knows the entries to be committed ends a `|`.

use floe_raft::{Index, NodeId};

use super::Args;
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::format;

pub(super) fn run(cluster: &mut Cluster, args: &mut Args<'_>) -> Result<(), Failure> {
    for node in args.nodes_or_all(cluster)? {
        let line = line(cluster, node)?;
        cluster.say(|| line);
    }
    Ok(())
}

fn line(cluster: &mut Cluster, node: NodeId) -> Result<String, Failure> {
    let commit = cluster.status(node).map_or(Index::ZERO, |status| status.commit);
    let disk = cluster.disk(node)?;
    let mut line = format!("n{node} log");
    if disk.written.base.index > Index::ZERO {
        line += &format!(" base={}", disk.written.base);
    }
    if commit == disk.written.base.index {
        line += " |";
    }
    for entry in &disk.written.entries {
        let mark = if disk.durable.id_at(entry.id.index) == Some(entry.id) { "" } else { "*" };
        line += &format!(" {}{mark}", format::entry(entry));
        line += if entry.id.index == commit { " |" } else { "," };
    }
    Ok(line.trim_end_matches(',').to_owned())
}
