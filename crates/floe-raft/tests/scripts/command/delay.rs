//! `delay [from=N] [to=N] [kind=K]`: what is on these links, or is sent later, waits until it is delivered by name: all
//! of it, or what is of that kind.

use super::Args;
use super::cut::links;
use crate::cluster::Cluster;
use crate::failure::Failure;

pub(super) fn run(cluster: &mut Cluster, args: &mut Args<'_>) -> Result<(), Failure> {
    let filter = args.filter()?;
    for link in links(cluster) {
        if filter.matches(link) {
            cluster.network.delay(link, filter.kind);
        }
    }
    Ok(())
}
