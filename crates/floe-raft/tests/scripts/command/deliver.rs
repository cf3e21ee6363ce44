//! `deliver [from=N] [to=N] [kind=K] [count=N] [newest=true]`: delivers matching parcels, on cut and delayed links,
//! too; at most `count` a link, oldest first. With `newest` the last one that matches on each link overtakes all
//! others. Each receiver acts when it has got all of its own.

use super::Args;
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::format;
use crate::network::{Link, Parcel};

pub(super) fn run(cluster: &mut Cluster, args: &mut Args<'_>) -> Result<(), Failure> {
    let filter = args.filter()?;
    let count = args.key("count")?.unwrap_or(usize::MAX);
    let parcels = if args.key("newest")?.unwrap_or(false) {
        cluster.network.take_newest(filter)
    } else {
        cluster.network.take(filter, count)
    };
    if parcels.is_empty() {
        return Err(Failure::new("there is nothing to deliver"));
    }
    for (link, parcel) in &parcels {
        cluster.say(|| describe(*link, parcel, "⇒"));
    }
    cluster.deliver(parcels)
}

/// A parcel at the end of its way: `n1@1⇒n2 append ...`.
pub(super) fn describe(link: Link, parcel: &Parcel, arrow: &str) -> String {
    let Link { from, to } = link;
    match parcel {
        Parcel::Message(envelope) | Parcel::Snapshot(envelope, _) => {
            format!("n{from}@{}{arrow}n{to} {}", envelope.term, format::message(&envelope.message))
        }
        Parcel::Receipt(outcome) => format!("n{from}{arrow}n{to} snapshot receipt: {outcome:?}"),
    }
}
