//! `heal [from=N] [to=N]`: the matching links are whole and prompt again. All of them by default.

use super::Args;
use crate::cluster::Cluster;
use crate::failure::Failure;

pub(super) fn run(cluster: &mut Cluster, args: &mut Args<'_>) -> Result<(), Failure> {
    let filter = args.filter()?;
    cluster.network.heal(filter);
    Ok(())
}
