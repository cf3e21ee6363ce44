//! `drop [from=N] [to=N] [kind=K] [count=N]`: loses matching parcels, at most `count` a link, oldest first.

use super::Args;
use super::deliver::describe;
use crate::cluster::Cluster;
use crate::failure::Failure;

pub(super) fn run(cluster: &mut Cluster, args: &mut Args<'_>) -> Result<(), Failure> {
    let filter = args.filter()?;
    let count = args.key("count")?.unwrap_or(usize::MAX);
    let parcels = cluster.network.take(filter, count);
    if parcels.is_empty() {
        return Err(Failure::new("there is nothing to drop"));
    }
    for (link, parcel) in parcels {
        cluster.say(|| describe(link, &parcel, "⇥"));
        cluster.lose(link, &parcel);
    }
    Ok(())
}
