//! `lease`: for how many ms more each leader may answer reads by its lease.

use super::Args;
use crate::cluster::Cluster;
use crate::failure::Failure;

pub(super) fn run(cluster: &mut Cluster, _: &mut Args<'_>) -> Result<(), Failure> {
    for id in cluster.ids() {
        let now = cluster.local(id);
        let Some(status) = cluster.status(id).filter(|status| status.leader == Some(id)) else { continue };
        cluster.say(|| match status.lease_until {
            Some(end) if now < end => format!("n{id} holds a lease for {} ms", end.since(now).as_millis()),
            Some(_) => format!("the lease of n{id} has ended"),
            None => format!("n{id} holds no lease"),
        });
    }
    Ok(())
}
