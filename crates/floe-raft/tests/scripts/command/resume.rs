//! `resume N [seen="1:20,2:400"]`: the host of node N goes on after a pause. It knows by other means how many ms ago each
//! member lived and agreed that nothing happens.

use std::collections::BTreeMap;
use std::time::Duration;

use floe_raft::{NodeId, Time};

use super::Args;
use crate::cluster::Cluster;
use crate::failure::Failure;

pub(super) fn run(cluster: &mut Cluster, args: &mut Args<'_>) -> Result<(), Failure> {
    let node = args.node()?;
    let now = cluster.local(node);
    let mut seen = BTreeMap::new();
    for one in args.0.take_key("seen").into_iter().flat_map(|list| list.split(',')) {
        let (member, ms) = one.split_once(':').ok_or_else(|| Failure::new("who was seen?"))?;
        let ago = Duration::from_millis(ms.parse()?);
        seen.insert(NodeId(member.parse()?), Time(now.since(Time::default().plus(ago)).as_nanos() as u64));
    }
    cluster.node(node)?.handle_resumed(now, |member| seen.get(&member).copied());
    cluster.settle(node)
}
