//! `cluster nodes=3 [witnesses=0] [learners=0] [spares=0] [spare-witnesses=0] [leader=1] [seed=1] [OPTION=VALUE...]`: starts a new cluster, all nodes with empty
//! disks; spares belong to no group yet. Of the nodes and of the spares the last ones are witnesses. With `leader`, that node is elected in term 1 and its no-op is committed everywhere, in silence.
//!
//! Options: `pre-vote=false`, `check-quorum=false`, `inflight=2` (messages), `inflight-bytes`, `append-bytes`,
//! `tail-bytes`, `uncommitted-bytes`, `apply-bytes`, `command-bytes`, `promotion-lag` (entries), `lease=30` (with a drift
//! margin in ms), `priorities="1:0,2:100"` (of nodes that have not the highest).

use std::time::Duration;

use floe_raft::{Lease, NodeId};

use super::Args;
use crate::cluster::{Cluster, Options};
use crate::failure::Failure;

pub(super) fn run(args: &mut Args<'_>) -> Result<Cluster, Failure> {
    let mut options = Options::new(args.key("nodes")?.ok_or_else(|| Failure::new("how many nodes?"))?);
    options.witnesses = args.key("witnesses")?.unwrap_or(0);
    options.spare_witnesses = args.key("spare-witnesses")?.unwrap_or(0);
    for one in args.0.take_key("priorities").into_iter().flat_map(|list| list.split(',')) {
        let (node, priority) = one.split_once(':').ok_or_else(|| Failure::new("whose priority?"))?;
        options.priorities.insert(NodeId(node.parse()?), priority.parse()?);
    }
    options.learners = args.key("learners")?.unwrap_or(0);
    options.spares = args.key("spares")?.unwrap_or(0);
    options.seed = args.key("seed")?.unwrap_or(1);
    let config = &mut options.config;
    config.pre_vote = args.key("pre-vote")?.unwrap_or(config.pre_vote);
    config.check_quorum = args.key("check-quorum")?.unwrap_or(config.check_quorum);
    config.inflight_messages = args.key("inflight")?.unwrap_or(config.inflight_messages);
    config.inflight_bytes = args.key("inflight-bytes")?.unwrap_or(config.inflight_bytes);
    config.append_bytes = args.key("append-bytes")?.unwrap_or(config.append_bytes);
    config.tail_bytes = args.key("tail-bytes")?.unwrap_or(config.tail_bytes);
    config.uncommitted_bytes = args.key("uncommitted-bytes")?.unwrap_or(config.uncommitted_bytes);
    config.apply_bytes = args.key("apply-bytes")?.unwrap_or(config.apply_bytes);
    config.command_bytes = args.key("command-bytes")?.unwrap_or(config.command_bytes);
    config.promotion_lag = args.key("promotion-lag")?.unwrap_or(config.promotion_lag);
    let drift_margin = args.key("lease")?.map(Duration::from_millis);
    config.lease = drift_margin.map(|drift_margin| Lease { drift_margin });
    let leader: Option<u64> = args.key("leader")?;
    let mut cluster = Cluster::new(options, leader.is_none())?;
    if let Some(leader) = leader {
        cluster.expire(NodeId(leader))?;
        cluster.stabilize()?;
        if cluster.leader() != Some(NodeId(leader)) {
            return Err(Failure::new(format!("n{leader} was not elected")));
        }
        cluster.talks = true;
    }
    Ok(cluster)
}
