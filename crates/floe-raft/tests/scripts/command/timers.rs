//! `timers`: in how many ms the timer of each node is due.

use super::Args;
use crate::cluster::Cluster;
use crate::failure::Failure;

pub(super) fn run(cluster: &mut Cluster, _: &mut Args<'_>) -> Result<(), Failure> {
    for id in cluster.ids() {
        let now = cluster.local(id);
        let due = cluster.node(id).ok().and_then(|node| node.poll_timeout());
        cluster.say(|| match due {
            Some(time) => format!("n{id} in {} ms", time.since(now).as_millis()),
            None => format!("n{id} has no timer"),
        });
    }
    Ok(())
}
