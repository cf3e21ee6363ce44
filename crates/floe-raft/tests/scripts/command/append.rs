//! `append N to=M base=ID last=INDEX`: node M gets an append that the leader N could have sent: what its log holds
//! after the base, up to and including the index, and its commit index.

use floe_raft::{Envelope, Index, LogId, Message, NodeId, Term};

use super::Args;
use super::deliver::describe;
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::network::{Link, Parcel};

pub(super) fn run(cluster: &mut Cluster, args: &mut Args<'_>) -> Result<(), Failure> {
    let from = args.node()?;
    let to = NodeId(args.key("to")?.ok_or_else(|| Failure::new("to whom?"))?);
    let prev = id(args.0.take_key("base").unwrap_or("0@0"))?;
    let last: u64 = args.key("last")?.unwrap_or(prev.index.0);
    let Some(status) = cluster.status(from).filter(|status| status.leader == Some(from)) else {
        return Err(Failure::new(format!("n{from} does not lead")));
    };
    let log = &cluster.disk(from)?.written;
    if !log.covers(prev) {
        return Err(Failure::new(format!("n{from} has no {prev}")));
    }
    let entries = (prev.index.0 + 1..=last).filter_map(|index| log.entry(Index(index)).cloned()).collect();
    let message = Message::Append { prev, entries, commit: status.commit };
    let link = Link { from, to };
    let parcel = Parcel::Message(Envelope { from, to, term: status.hard_state.term, message });
    cluster.say(|| describe(link, &parcel, "⇒"));
    cluster.deliver(vec![(link, parcel)])
}

/// Reads `index@term`.
pub(super) fn id(text: &str) -> Result<LogId, Failure> {
    let Some((index, term)) = text.split_once('@') else {
        return Err(Failure::new(format!("{text} names no entry")));
    };
    Ok(LogId::new(Term(term.parse()?), Index(index.parse()?)))
}
