//! `hold-disk N...`, `hold-apply N...`, `hold-fetch N...`: from now on the writes, the applying or the reads of older
//! entries of these nodes wait until they are released.

use super::Args;
use crate::cluster::Cluster;
use crate::failure::Failure;

pub(super) fn disk(cluster: &mut Cluster, args: &mut Args<'_>) -> Result<(), Failure> {
    for node in args.nodes()? {
        cluster.disk(node)?.held = true;
    }
    Ok(())
}

pub(super) fn apply(cluster: &mut Cluster, args: &mut Args<'_>) -> Result<(), Failure> {
    for node in args.nodes()? {
        cluster.member(node)?.applies_held = true;
    }
    Ok(())
}

pub(super) fn fetch(cluster: &mut Cluster, args: &mut Args<'_>) -> Result<(), Failure> {
    for node in args.nodes()? {
        cluster.member(node)?.fetches_held = true;
    }
    Ok(())
}
