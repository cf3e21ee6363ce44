//! `duplicate [from=N] [to=N] [kind=K] [count=N]`: matching parcels are on their links twice, the copies at the end.

use super::Args;
use crate::cluster::Cluster;
use crate::failure::Failure;

pub(super) fn run(cluster: &mut Cluster, args: &mut Args<'_>) -> Result<(), Failure> {
    let filter = args.filter()?;
    let count = args.key("count")?.unwrap_or(usize::MAX);
    if cluster.network.duplicate(filter, count) {
        Ok(())
    } else {
        Err(Failure::new("there is nothing to duplicate"))
    }
}
