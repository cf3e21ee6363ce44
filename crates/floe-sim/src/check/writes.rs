//! What a node says against what is on its disk: nothing leaves before it is durable.

use floe_raft::{HardState, Index, NodeId, Term, Write};

use super::{Checked, Invariant, broken};
use crate::image::LogImage;

/// `node` tells that it votes for `candidate` in `term`.
pub(crate) fn speaks_of_vote(node: NodeId, term: Term, candidate: NodeId, disk: HardState) -> Checked {
    // A later term on disk is as good: the node can never vote in the earlier one again.
    if disk.term > term || (disk.term == term && disk.vote == Some(candidate)) {
        return Ok(());
    }
    Err(broken(
        Invariant::DurableBeforeSaid,
        format!("n{node} votes for n{candidate} in term {term}, but its disk says {}", describe(disk)),
    ))
}

/// `node` asks for votes in `term`, and so tells that it votes for itself.
pub(crate) fn requests_vote(node: NodeId, term: Term, disk: HardState) -> Checked {
    speaks_of_vote(node, term, node, disk)
}

/// `node` tells the leader of `term` that its log agrees up to `matched`; `leader` is that leader's log, while it
/// still leads.
pub(crate) fn acknowledges(
    node: NodeId,
    term: Term,
    matched: Index,
    disk: &LogImage,
    leader: Option<&LogImage>,
) -> Checked {
    // An acknowledgement that waited while the term went by speaks of the moment before; a later leader may have
    // overwritten since what it says.
    if disk.hard_state.term > term {
        return Ok(());
    }
    if disk.last().index < matched {
        return Err(broken(
            Invariant::DurableBeforeSaid,
            format!("n{node} acknowledges {matched} in term {term}, but its disk ends at {}", disk.last()),
        ));
    }
    if disk.hard_state.term < term {
        return Err(broken(
            Invariant::DurableBeforeSaid,
            format!(
                "n{node} acknowledges {matched} in term {term}, but its disk says {}",
                describe(disk.hard_state)
            ),
        ));
    }
    let Some(leader) = leader else { return Ok(()) };
    let (Some(mine), Some(its)) = (disk.id_at(matched), leader.id_at(matched)) else { return Ok(()) };
    if mine != its {
        return Err(broken(
            Invariant::DurableBeforeSaid,
            format!(
                "n{node} acknowledges {matched} in term {term}, but holds {mine} where the leader holds {its}"
            ),
        ));
    }
    Ok(())
}

/// A restart of `node` finds `found`, where `kept` had been reported durable and `pending` was being written: of
/// that, some writes from the front may be there, each whole.
pub(crate) fn recovers(node: NodeId, kept: &LogImage, pending: &[Write], found: &LogImage) -> Checked {
    let mut expected = kept.clone();
    let mut fits = is_same(&expected, found);
    for write in pending {
        fits = fits || (expected.write(write).is_ok() && is_same(&expected, found));
    }
    if fits {
        return Ok(());
    }
    Err(broken(
        Invariant::LogIsWhole,
        format!(
            "n{node} restarts with {} and a log of ({}, {}], where {} and a log of ({}, {}] was durable, \
             and {} writes under way",
            describe(found.hard_state),
            found.base,
            found.last(),
            describe(kept.hard_state),
            kept.base,
            kept.last(),
            pending.len(),
        ),
    ))
}

/// The same log, except for how far it is compacted.
fn is_same(expected: &LogImage, found: &LogImage) -> bool {
    if expected.hard_state != found.hard_state || expected.last() != found.last() {
        return false;
    }
    let common = expected.entries.len().min(found.entries.len());
    let tail = |log: &LogImage| log.entries.len() - common;
    expected.entries.range(tail(expected)..).eq(found.entries.range(tail(found)..))
}

fn describe(hard_state: HardState) -> String {
    let vote = hard_state.vote.map_or("nobody".to_string(), |vote| format!("n{vote}"));
    format!("term {} and a vote for {vote}", hard_state.term)
}

#[cfg(test)]
mod tests {
    use super::*;
    use floe_raft::{Entry, EntryKind, LogId};

    fn log(terms: &[u64]) -> LogImage {
        let mut image = LogImage::default();
        for (offset, term) in terms.iter().enumerate() {
            let id = LogId::new(Term(*term), Index(offset as u64 + 1));
            image.entries.push_back(Entry { id, kind: EntryKind::Noop, payload: bytes::Bytes::new() });
        }
        image
    }

    fn invariant(checked: Checked) -> Option<Invariant> {
        checked.err().map(|violation| violation.invariant)
    }

    #[test]
    fn a_vote_that_is_not_on_disk_is_found() {
        let disk = |term, vote: Option<u64>| HardState { term: Term(term), vote: vote.map(NodeId) };
        let says = |disk| invariant(speaks_of_vote(NodeId(1), Term(5), NodeId(2), disk));
        assert_eq!(says(disk(5, Some(2))), None);
        assert_eq!(says(disk(6, None)), None);
        assert_eq!(says(disk(5, None)), Some(Invariant::DurableBeforeSaid));
        assert_eq!(says(disk(5, Some(3))), Some(Invariant::DurableBeforeSaid));
        assert_eq!(says(disk(4, Some(2))), Some(Invariant::DurableBeforeSaid));
        let own = requests_vote(NodeId(2), Term(5), disk(5, Some(3)));
        assert_eq!(invariant(own), Some(Invariant::DurableBeforeSaid));
    }

    #[test]
    fn an_acknowledgement_beyond_the_disk_is_found() {
        let mut disk = log(&[1, 1, 2]);
        disk.hard_state.term = Term(2);
        let says = |matched, leader: Option<&LogImage>| {
            invariant(acknowledges(NodeId(1), Term(2), Index(matched), &disk, leader))
        };
        assert_eq!(says(3, None), None);
        assert_eq!(says(4, None), Some(Invariant::DurableBeforeSaid));
        assert_eq!(says(2, Some(&log(&[1, 1, 3]))), None);
        assert_eq!(says(3, Some(&log(&[1, 1, 3]))), Some(Invariant::DurableBeforeSaid));
        let early = acknowledges(NodeId(1), Term(3), Index(3), &disk, None);
        assert_eq!(invariant(early), Some(Invariant::DurableBeforeSaid));
    }

    #[test]
    fn what_a_restart_lost_or_made_up_is_found() {
        let with = |term, vote: Option<u64>, terms: &[u64]| LogImage {
            hard_state: HardState { term: Term(term), vote: vote.map(NodeId) },
            ..log(terms)
        };
        let pending = Write {
            id: floe_raft::WriteId(1),
            hard_state: Some(HardState { term: Term(4), vote: None }),
            restart_after: None,
            truncate_from: Some(Index(2)),
            entries: vec![log(&[1, 4]).entries[1].clone()],
        };
        let kept = with(3, Some(1), &[1, 3]);
        let finds =
            |found: &LogImage| invariant(recovers(NodeId(1), &kept, std::slice::from_ref(&pending), found));
        assert_eq!(finds(&kept), None);
        assert_eq!(finds(&with(4, None, &[1, 4])), None);
        let mut compacted = kept.clone();
        compacted.compact(compacted.entries[0].id);
        assert_eq!(finds(&compacted), None);
        for wrong in [
            with(3, None, &[1, 3]),
            with(3, Some(1), &[1]),
            with(4, None, &[1, 3]),
            with(3, Some(1), &[1, 4]),
        ] {
            assert_eq!(finds(&wrong), Some(Invariant::LogIsWhole), "{wrong:?}");
        }
    }
}
