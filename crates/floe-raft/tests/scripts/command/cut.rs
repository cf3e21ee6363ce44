//! `cut [from=N] [to=N]`: from now on these directed links lose what is sent on them. What already travels stays on
//! the link, and arrives only when it is delivered by name.

use super::Args;
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::network::Link;

pub(super) fn run(cluster: &mut Cluster, args: &mut Args<'_>) -> Result<(), Failure> {
    let filter = args.filter()?;
    for link in links(cluster) {
        if filter.matches(link) {
            cluster.network.cut(link);
        }
    }
    Ok(())
}

/// Every directed link of a cluster.
pub(super) fn links(cluster: &Cluster) -> Vec<Link> {
    let ids = cluster.ids();
    let pairs = ids.iter().flat_map(|from| ids.iter().map(|to| Link { from: *from, to: *to }));
    pairs.filter(|link| link.from != link.to).collect()
}
