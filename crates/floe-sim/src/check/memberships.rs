//! The laws of membership changes: one at a time, none before the leader's own term has committed something, and never
//! two quorums of consecutive memberships that do not meet.
//!
//! Which membership is in force on a node is not asked of the node. It follows from its log: the last membership
//! among its entries, whoever appended it.

use std::collections::{BTreeMap, BTreeSet};

use floe_raft::codec::decode_membership;
use floe_raft::{Entry, Index, LogId, Membership, NodeId};

use super::{Checked, Commits, Invariant, broken};

/// Every membership that was ever in a log, by the entry that brought it.
#[derive(Debug)]
pub(crate) struct Memberships {
    /// That of the first members; it comes with their disks.
    birth: Membership,
    /// What a node is in that joined later and has received none yet.
    none: Membership,
    /// Those who know that of the first members without an entry: these themselves, and whoever installed a snapshot.
    informed: BTreeSet<NodeId>,
    by_entry: BTreeMap<LogId, Membership>,
    /// Appended in the present step, each with the one before it. They are judged when the leader has told what it
    /// knows to be committed.
    appended: Vec<(NodeId, LogId, LogId)>,
    /// A learner that the leader may promote by itself was promoted.
    promoted: bool,
}

impl Memberships {
    pub(crate) fn new(birth: Membership) -> Self {
        let informed = birth.members();
        let (by_entry, appended) = (BTreeMap::new(), Vec::new());
        Self { birth, none: Membership::default(), informed, by_entry, appended, promoted: false }
    }

    /// A snapshot takes the place of the node's log; it comes with a membership.
    pub(crate) fn installed(&mut self, node: NodeId) {
        self.informed.insert(node);
    }

    /// The node has another disk, which knows nothing.
    pub(crate) fn replaced(&mut self, node: NodeId) {
        self.informed.remove(&node);
    }

    /// The membership in force on a node whose log has `entry` as its last membership; zero if it has none.
    pub(crate) fn in_force(&self, node: NodeId, entry: LogId) -> &Membership {
        let of_no_entry = if self.informed.contains(&node) { &self.birth } else { &self.none };
        self.by_entry.get(&entry).unwrap_or(of_no_entry)
    }

    /// The membership that an entry brought; that of the first members if none did.
    pub(crate) fn of(&self, entry: LogId) -> &Membership {
        self.by_entry.get(&entry).unwrap_or(&self.birth)
    }

    /// How many changes there were.
    pub(crate) fn changes(&self) -> u64 {
        self.by_entry.len() as u64
    }

    /// Whether a learner that the leader may promote by itself was promoted.
    pub(crate) fn has_promoted(&self) -> bool {
        self.promoted
    }

    /// Those that may still come into force: whatever was appended anywhere beyond what is committed.
    pub(crate) fn after(&self, committed: Index) -> impl Iterator<Item = &Membership> {
        let later = move |entry: &LogId| entry.index > committed;
        self.by_entry.iter().filter(move |(entry, _)| later(entry)).map(|(_, membership)| membership)
    }

    /// A membership is in a log for the first time; `before` brought the one that was in force there.
    pub(crate) fn appended(&mut self, leader: NodeId, entry: &Entry, before: LogId) -> Checked {
        let id = entry.id;
        let next = decode_membership(entry.payload.clone()).map_err(|error| {
            broken(
                Invariant::QuorumsMeet,
                format!("n{leader} appends {id}, a membership that cannot be read: {error}"),
            )
        })?;
        if let Some(side) = strangers(self.of(before), &next) {
            return Err(broken(
                Invariant::QuorumsMeet,
                format!(
                    "n{leader} appends {id}, by which others than {side} may decide, who decide by {before}: {}, \
                     then {}",
                    describe(self.of(before)),
                    describe(&next)
                ),
            ));
        }
        self.promoted |= self.of(before).auto_promote.iter().any(|node| next.voters.contains(node));
        self.by_entry.insert(id, next);
        self.appended.push((leader, id, before));
        Ok(())
    }

    /// Judges what was appended in this step.
    pub(crate) fn judge(&mut self, commits: &Commits) -> Checked {
        for (leader, id, before) in self.appended.drain(..) {
            if before != LogId::ZERO && commits.id(before.index) != Some(before) {
                return Err(broken(
                    Invariant::OneConfiguration,
                    format!("n{leader} appends {id} while {before}, the membership before, is not committed"),
                ));
            }
            if !commits.has_of_term(id.term, id.index) {
                return Err(broken(
                    Invariant::OneConfiguration,
                    format!("n{leader} appends {id} before anything of its term is committed"),
                ));
            }
        }
        Ok(())
    }

    /// What the node takes for the membership in force is what its log says.
    pub(crate) fn agrees(&self, node: NodeId, entry: LogId, believed: &Membership) -> Checked {
        let expected = self.in_force(node, entry);
        if expected == believed {
            return Ok(());
        }
        Err(broken(
            Invariant::MembershipInForce,
            format!(
                "n{node} counts by {}, but the last membership in its log, {entry}, is {}",
                describe(believed),
                describe(expected)
            ),
        ))
    }
}

/// Whether some nodes are a majority: of both sets while the membership is joint.
pub(crate) fn decides(membership: &Membership, is_in: impl Fn(NodeId) -> bool) -> bool {
    [&membership.voters, &membership.outgoing]
        .into_iter()
        .all(|set| set.is_empty() || set.iter().filter(|node| is_in(**node)).count() * 2 > set.len())
}

/// Nodes that decide by the one while the rest decides by the other, if there are any.
fn strangers(one: &Membership, other: &Membership) -> Option<String> {
    let nodes: BTreeSet<NodeId> =
        [&one.voters, &one.outgoing, &other.voters, &other.outgoing].into_iter().flatten().copied().collect();
    let nodes: Vec<NodeId> = nodes.into_iter().collect();
    let mask = |set: &BTreeSet<NodeId>| {
        nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| set.contains(node))
            .fold(0u32, |mask, (at, _)| mask | 1 << at)
    };
    let masks = |membership: &Membership| [mask(&membership.voters), mask(&membership.outgoing)];
    let decides = |masks: [u32; 2], picks: u32| {
        masks.into_iter().all(|set| set == 0 || (set & picks).count_ones() * 2 > set.count_ones())
    };
    let (one, other) = (masks(one), masks(other));
    let all = (1u32 << nodes.len()) - 1;
    let picks = (0..=all).find(|picks| decides(one, *picks) && decides(other, all & !picks))?;
    let side = nodes.iter().enumerate().filter(|(at, _)| picks & (1 << at) != 0);
    Some(side.map(|(_, node)| format!("n{node}")).collect::<Vec<_>>().join(" "))
}

/// A membership in a few words.
pub(crate) fn describe(membership: &Membership) -> String {
    let list =
        |nodes: &BTreeSet<NodeId>| nodes.iter().map(|node| format!("n{node}")).collect::<Vec<_>>().join(" ");
    let mut text = format!("voters {{{}}}", list(&membership.voters));
    if !membership.outgoing.is_empty() {
        text += &format!(" and {{{}}}", list(&membership.outgoing));
    }
    if !membership.learners.is_empty() {
        text += &format!(", learners {{{}}}", list(&membership.learners));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use floe_raft::codec::encode_membership;
    use floe_raft::{EntryKind, Term};

    fn of(voters: &[u64], outgoing: &[u64]) -> Membership {
        let set = |ids: &[u64]| ids.iter().copied().map(NodeId).collect();
        Membership { voters: set(voters), outgoing: set(outgoing), ..Membership::default() }
    }

    fn entry(term: u64, index: u64, membership: &Membership) -> Entry {
        let mut payload = BytesMut::new();
        encode_membership(membership, &mut payload);
        let id = LogId::new(Term(term), Index(index));
        Entry { id, kind: EntryKind::Membership, payload: payload.freeze() }
    }

    fn invariant(checked: Checked) -> Option<Invariant> {
        checked.err().map(|violation| violation.invariant)
    }

    #[test]
    fn two_voters_at_once_are_strangers_unless_joint() {
        let birth = of(&[1, 2, 3], &[]);
        let mut memberships = Memberships::new(birth.clone());
        let one_more = entry(1, 2, &of(&[1, 2, 3, 4], &[]));
        assert_eq!(invariant(memberships.appended(NodeId(1), &one_more, LogId::ZERO)), None);
        let joint = entry(1, 3, &of(&[1, 2, 3, 4, 5], &[1, 2, 3]));
        assert_eq!(invariant(memberships.appended(NodeId(1), &joint, LogId::ZERO)), None);
        let two_more = entry(1, 4, &of(&[1, 2, 3, 4, 5], &[]));
        let found = memberships.appended(NodeId(1), &two_more, LogId::ZERO);
        assert_eq!(invariant(found), Some(Invariant::QuorumsMeet));
        assert_eq!(strangers(&birth, &of(&[1, 2, 3, 4, 5], &[])).as_deref(), Some("n1 n2"));
    }

    #[test]
    fn a_second_uncommitted_change_and_one_before_the_no_op_are_found() {
        let mut memberships = Memberships::new(of(&[1, 2, 3], &[]));
        let first = entry(1, 2, &of(&[1, 2, 3, 4], &[]));
        memberships.appended(NodeId(1), &first, LogId::ZERO).unwrap();
        // Nothing of the term is committed.
        assert_eq!(invariant(memberships.judge(&Commits::new(None))), Some(Invariant::OneConfiguration));
        let second = entry(1, 3, &of(&[1, 2, 3], &[]));
        memberships.appended(NodeId(1), &second, first.id).unwrap();
        assert_eq!(invariant(memberships.judge(&Commits::new(None))), Some(Invariant::OneConfiguration));
    }

    #[test]
    fn another_membership_than_that_of_the_log_is_found() {
        let birth = of(&[1, 2, 3], &[]);
        let memberships = Memberships::new(birth.clone());
        assert_eq!(invariant(memberships.agrees(NodeId(1), LogId::ZERO, &birth)), None);
        assert_eq!(invariant(memberships.agrees(NodeId(7), LogId::ZERO, &Membership::default())), None);
        let stranger = memberships.agrees(NodeId(7), LogId::ZERO, &birth);
        assert_eq!(invariant(stranger), Some(Invariant::MembershipInForce));
    }

    #[test]
    fn a_learner_does_not_decide() {
        let mut membership = of(&[1, 2, 3], &[]);
        membership.learners.insert(NodeId(4));
        assert!(!decides(&membership, |node| [1, 4].contains(&node.0)));
        assert!(decides(&membership, |node| [1, 3].contains(&node.0)));
        assert!(!decides(&of(&[1, 2, 3], &[4, 5, 6]), |node| node.0 <= 3));
    }
}
