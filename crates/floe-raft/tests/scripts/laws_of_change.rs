//! The laws of membership changes: one at a time, none before the leader's own term has committed something, and never
//! two quorums of consecutive memberships that do not meet.

use std::collections::{BTreeMap, BTreeSet};

use floe_raft::codec::decode_membership;
use floe_raft::{Entry, EntryKind, LogId, Membership, NodeId};

use crate::checker::{Checker, law};
use crate::disk::Disk;
use crate::failure::Failure;

impl Checker {
    /// A membership that was in no log before is appended after `prev`.
    pub(crate) fn changed(&mut self, node: NodeId, prev: LogId, entry: &Entry) -> Result<(), Failure> {
        let id = entry.id;
        let next = decode_membership(entry.payload.clone())
            .map_err(|error| Failure::law(format!("n{node} appends an unreadable membership: {error}")))?;
        let (at, before) = self.membership_before(prev);
        law(!quorums_meet(&before, &next), || {
            format!("n{node} appends {id}, and two quorums do not meet: {before:?}, then {next:?}")
        })?;
        self.tally.changes += 1;
        self.changes.push((node, id, at));
        Ok(())
    }

    /// The last membership in the history of an entry, and the entry that brought it.
    fn membership_before(&self, mut at: LogId) -> (Option<LogId>, Membership) {
        while let Some((kind, payload, prev)) = self.entries.get(&at) {
            if *kind == EntryKind::Membership
                && let Ok(membership) = decode_membership(payload.clone())
            {
                return (Some(at), membership);
            }
            at = *prev;
        }
        (None, self.birth.clone())
    }

    /// Checks the changes that a node has made, once it said what it knows to be committed.
    pub(crate) fn check_changes(&mut self, node: NodeId) -> Result<(), Failure> {
        let made: Vec<_> = self.changes.extract_if(.., |(leader, ..)| *leader == node).collect();
        for (_, id, before) in made {
            let is_committed =
                |id: &LogId| self.committed.get(&id.index).is_some_and(|(known, _)| known == id);
            law(before.is_some_and(|before| !is_committed(&before)), || {
                format!("n{node} appends the membership {id} while the one before is not committed")
            })?;
            let earlier = self.committed.range(..id.index).rev().map(|(_, (known, _))| known);
            let own = earlier.take_while(|known| known.term >= id.term).any(|known| known.term == id.term);
            law(!own, || {
                format!("n{node} appends the membership {id} before its term has committed anything")
            })?;
        }
        Ok(())
    }
}

/// Whether every quorum of the one meets every quorum of the other: no set of nodes decides by the one while the rest
/// decides by the other.
fn quorums_meet(one: &Membership, other: &Membership) -> bool {
    let nodes: Vec<NodeId> = one.members().union(&other.members()).copied().collect();
    (0..1u32 << nodes.len()).all(|picks| {
        let (inside, outside): (BTreeSet<_>, BTreeSet<_>) = nodes
            .iter()
            .enumerate()
            .map(|(at, node)| (picks & (1 << at) != 0, *node))
            .fold((BTreeSet::new(), BTreeSet::new()), |(mut inside, mut outside), (picked, node)| {
                if picked {
                    inside.insert(node)
                } else {
                    outside.insert(node)
                };
                (inside, outside)
            });
        !(decides(one, &inside) && decides(other, &outside))
    })
}

/// Whether nodes are a majority: of both sets while the membership is joint.
fn decides(membership: &Membership, nodes: &BTreeSet<NodeId>) -> bool {
    [&membership.voters, &membership.outgoing]
        .into_iter()
        .all(|set| set.is_empty() || set.intersection(nodes).count() * 2 > set.len())
}

/// What is committed is durable on a majority: of both sets while the membership is joint.
pub(crate) fn quorum_holds(
    id: LogId,
    membership: &Membership,
    disks: &BTreeMap<NodeId, Disk>,
) -> Result<(), Failure> {
    let holds = |node: &NodeId| disks.get(node).is_some_and(|disk| disk.durable.covers(id));
    for set in [&membership.voters, &membership.outgoing] {
        let holders = set.iter().filter(|node| holds(node)).count();
        law(!set.is_empty() && holders * 2 <= set.len(), || {
            format!("{id} is committed, but durable on {holders} of {} voters only", set.len())
        })?;
        // A committed command that only witnesses hold is lost: none of them knows what it was.
        let with_data = |node: &&NodeId| !membership.is_witness(**node) && holds(node);
        law(!set.is_empty() && !set.iter().any(|node| with_data(&node)), || {
            format!("{id} is committed, but durable on witnesses only")
        })?;
    }
    Ok(())
}
