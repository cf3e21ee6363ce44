//! `stabilize`: messages arrive until there are none left on whole and prompt links. No time passes.

use super::Args;
use crate::cluster::Cluster;
use crate::failure::Failure;

pub(super) fn run(cluster: &mut Cluster, _: &mut Args<'_>) -> Result<(), Failure> {
    cluster.stabilize()
}
