//! `preset N term=T [vote=V] ID...`: replaces the disk of node N by one with this log, and restarts it. Entries are
//! named as `2@1`, from index 1 and without a gap; the same name is the same entry everywhere.

use bytes::Bytes;
use floe_raft::{Entry, EntryKind, HardState, NodeId, Term};

use super::Args;
use super::append::id;
use crate::cluster::Cluster;
use crate::disk::Disk;
use crate::failure::Failure;

pub(super) fn run(cluster: &mut Cluster, args: &mut Args<'_>) -> Result<(), Failure> {
    let node = args.node()?;
    let term = Term(args.key("term")?.ok_or_else(|| Failure::new("in which term?"))?);
    let vote = args.key("vote")?.map(NodeId);
    let mut entries = Vec::new();
    while let Some(name) = args.0.next_pos() {
        let id = id(name)?;
        entries.push(Entry { id, kind: EntryKind::Command, payload: Bytes::from(format!("e={id}")) });
    }
    let membership = cluster.disk(node)?.durable.membership.clone();
    cluster.preset(node, Disk::preset(membership, HardState { term, vote }, entries))
}
