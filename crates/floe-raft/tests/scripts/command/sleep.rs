//! `sleep ms=N`: time passes, and no host calls its node meanwhile.

use std::time::Duration;

use super::Args;
use crate::cluster::Cluster;
use crate::failure::Failure;

pub(super) fn run(cluster: &mut Cluster, args: &mut Args<'_>) -> Result<(), Failure> {
    let ms = args.key("ms")?.ok_or_else(|| Failure::new("for how many ms?"))?;
    cluster.now = cluster.now.plus(Duration::from_millis(ms));
    Ok(())
}
