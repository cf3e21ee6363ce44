//! `progress N`: what the leader N knows of each peer, in full.

use floe_raft::ProgressState;

use super::Args;
use crate::cluster::Cluster;
use crate::failure::Failure;

pub(super) fn run(cluster: &mut Cluster, args: &mut Args<'_>) -> Result<(), Failure> {
    let node = args.node()?;
    let Some(status) = cluster.status(node) else { return Err(Failure::new(format!("n{node} is down"))) };
    for (peer, progress) in status.progress {
        let state = match progress.state {
            ProgressState::Probe => "probe",
            ProgressState::Replicate => "replicate",
            ProgressState::Snapshot => "snapshot",
        };
        let recent = if progress.recent { " recent" } else { "" };
        let (matched, next, inflight) = (progress.matched, progress.next, progress.inflight);
        cluster.say(|| format!("n{peer} {state} match={matched} next={next} inflight={inflight}{recent}"));
    }
    Ok(())
}
