//! What is committed: one log for the whole world, grown from what the first node to know says, and the states that
//! it means.

use floe_raft::{EntryKind, Index, LogId, Membership, NodeId, Term};
use floe_session::Limits;

use super::{Checked, Invariant, Violation, broken, decides, describe};
use crate::image::LogImage;
use crate::machine::{Command, Effect, Key, Machine, OpId, Reply, Versions};

/// The committed log, with the state after each entry.
#[derive(Debug)]
pub(crate) struct Commits {
    /// The entries' names from index 1.
    ids: Vec<LogId>,
    /// The state's hash after each index, from index 0.
    hashes: Vec<u64>,
    /// Up to where the log was first known to be committed in each term, ascending in both.
    known_in: Vec<(Term, Index)>,
    /// The membership whose quorum holds the last of them.
    counted_by: Membership,
    /// The entry of the last committed membership; zero if there is none.
    membership: LogId,
    machine: Machine,
    versions: Versions,
}

impl Commits {
    /// The empty log; `sessions` are those of the state machine, if clients have some.
    pub(crate) fn new(sessions: Option<Limits>) -> Self {
        let machine = Machine::new(sessions);
        let hashes = vec![machine.hash()];
        Self {
            ids: Vec::new(),
            hashes,
            known_in: Vec::new(),
            counted_by: Membership::default(),
            membership: LogId::ZERO,
            machine,
            versions: Versions::default(),
        }
    }
}

/// A node that knows of more committed entries than before.
pub(crate) struct Advance<'a> {
    pub(crate) node: NodeId,
    pub(crate) term: Term,
    /// Whether it leads, and so found out by counting.
    pub(crate) leads: bool,
    /// What it knew before.
    pub(crate) from: Index,
    /// What it knows now.
    pub(crate) to: Index,
    /// Its log as it has asked for it to be written.
    pub(crate) log: &'a LogImage,
    /// By what it counted if it died in the middle of its effects: a membership that it had appended and not yet asked to
    /// be written. What it counted so is committed all the same, because quorums of the two memberships meet (seed 30011005).
    pub(crate) unwritten: Option<&'a Membership>,
    /// What is on each node's disk; `None` of one that is lost for ever.
    pub(crate) disks: &'a dyn Fn(NodeId) -> Option<&'a LogImage>,
}

impl Commits {
    /// The last index known to be committed anywhere.
    pub(crate) fn last(&self) -> Index {
        Index(self.ids.len() as u64)
    }

    /// The committed entry at an index.
    pub(crate) fn id(&self, index: Index) -> Option<LogId> {
        let offset = index.0.checked_sub(1)?;
        self.ids.get(offset as usize).copied()
    }

    /// The value of a key after an index.
    pub(crate) fn value(&self, key: Key, at: Index) -> OpId {
        self.versions.value(key, at)
    }

    /// The entry that brought the last committed membership; zero if none did.
    pub(crate) fn membership(&self) -> LogId {
        self.membership
    }

    /// Whether an entry of this term is committed below `index`.
    pub(crate) fn has_of_term(&self, term: Term, index: Index) -> bool {
        let below = &self.ids[..self.ids.len().min(index.0.saturating_sub(1) as usize)];
        below.last().is_some_and(|last| last.term >= term)
            && below.iter().rev().take_while(|id| id.term >= term).any(|id| id.term == term)
    }

    /// A node knows of more; `learn` is told every command that nobody knew to be committed. A leader counts by the
    /// first of the memberships, or, when it appended that one in the same step, by the second. Returns whether
    /// witnesses were needed.
    pub(crate) fn advanced(
        &mut self,
        advance: &Advance<'_>,
        memberships: [&Membership; 2],
        mut learn: impl FnMut(LogId, &Command, Effect) -> Checked,
    ) -> Result<bool, Box<Violation>> {
        let Advance { node, to, log, .. } = *advance;
        if to < advance.from {
            return Err(broken(
                Invariant::MonotonicCommit,
                format!("n{node} knew {} to be committed, and now {to}", advance.from),
            ));
        }
        if log.last().index < to {
            return Err(broken(
                Invariant::StateMachineSafety,
                format!("n{node} takes {to} for committed, but its log ends at {}", log.last()),
            ));
        }
        let known = self.last();
        for index in advance.from.0 + 1..=to.0.min(known.0) {
            self.agrees(node, Index(index), log)?;
        }
        if to <= known {
            return Ok(false);
        }
        // Who does not lead has it from somebody who does, and said so before.
        if !advance.leads {
            return Err(broken(
                Invariant::CommittedIsDurable,
                format!("n{node} takes {to} for committed, but leaders have counted only up to {known}"),
            ));
        }
        for index in known.0.max(advance.from.0) + 1..=to.0 {
            let Some(entry) = log.entry(Index(index)) else {
                return Err(broken(
                    Invariant::StateMachineSafety,
                    format!("n{node} compacted {index} before anybody knew it to be committed"),
                ));
            };
            self.extend(entry, &mut learn)?;
        }
        let through_witness = self.check_count(advance, memberships)?;
        self.known_in.push((advance.term, to));
        Ok(through_witness)
    }

    /// `node` became the leader of `term` with this log.
    pub(crate) fn elected(&self, node: NodeId, term: Term, log: &LogImage) -> Checked {
        let earlier = self.known_in.iter().filter(|(known_in, _)| *known_in < term);
        let Some((known_in, index)) = earlier.max_by_key(|(_, index)| *index) else { return Ok(()) };
        let Some(id) = self.id(*index) else { return Ok(()) };
        if log.contains(id) {
            return Ok(());
        }
        Err(broken(
            Invariant::LeaderCompleteness,
            format!(
                "n{node} leads term {term} without {id}, committed in term {known_in}; its log ends at {}",
                log.last()
            ),
        ))
    }

    /// `node` drops its entries from `from` on, or all of them when it takes a snapshot whose last entry is `last`.
    pub(crate) fn truncates(&self, node: NodeId, from: Index, log: &LogImage) -> Checked {
        let Some(committed) = self.id(from) else { return Ok(()) };
        if log.id_at(from) != Some(committed) {
            return Ok(());
        }
        Err(broken(
            Invariant::CommittedIsDurable,
            format!("n{node} truncates {committed}, which is committed"),
        ))
    }

    /// What is committed is on the disks of a quorum, now that one of them has changed.
    pub(crate) fn durable<'a>(&self, disks: &dyn Fn(NodeId) -> Option<&'a LogImage>) -> Checked {
        let Some(id) = self.ids.last() else { return Ok(()) };
        on_quorum(*id, &self.counted_by, disks)
    }

    /// A replica has applied everything up to `last`.
    pub(crate) fn applied(&self, node: NodeId, last: LogId) -> Checked {
        let committed = if last == LogId::ZERO { Some(last) } else { self.id(last.index) };
        if committed != Some(last) {
            return Err(broken(
                Invariant::StateMachineSafety,
                format!("n{node} applied {last}, but at that index {} is committed", name(committed)),
            ));
        }
        Ok(())
    }

    /// A replica's state after `last` has this hash.
    pub(crate) fn state(&self, node: NodeId, last: LogId, hash: u64) -> Checked {
        self.applied(node, last)?;
        if self.hashes.get(last.index.0 as usize) != Some(&hash) {
            return Err(broken(
                Invariant::StateMatches,
                format!("n{node} has another state at {last} than the log gives"),
            ));
        }
        Ok(())
    }

    fn agrees(&self, node: NodeId, index: Index, log: &LogImage) -> Checked {
        let (Some(mine), Some(committed)) = (log.id_at(index), self.id(index)) else { return Ok(()) };
        if mine == committed {
            return Ok(());
        }
        Err(broken(
            Invariant::StateMachineSafety,
            format!("n{node} takes {mine} for committed, but {committed} is committed at that index"),
        ))
    }

    fn extend(
        &mut self,
        entry: &floe_raft::Entry,
        learn: &mut impl FnMut(LogId, &Command, Effect) -> Checked,
    ) -> Checked {
        self.ids.push(entry.id);
        match entry.kind {
            EntryKind::Noop | EntryKind::Witnessed => self.machine.skip(entry.id),
            EntryKind::Membership => {
                self.membership = entry.id;
                self.machine.skip(entry.id);
            }
            EntryKind::Command => {
                let Some(command) = Command::decode(&entry.payload) else {
                    return Err(broken(
                        Invariant::StateMachineSafety,
                        format!("{} is committed with bytes that no client proposed", entry.id),
                    ));
                };
                let effect = self.machine.apply(entry.id, &command);
                if let Effect::Done(Reply { wrote: true, .. }) = effect {
                    self.versions.wrote(command.key, entry.id.index, command.value);
                }
                learn(entry.id, &command, effect)?;
            }
        }
        self.hashes.push(self.machine.hash());
        Ok(())
    }

    fn check_count(
        &mut self,
        advance: &Advance<'_>,
        memberships: [&Membership; 2],
    ) -> Result<bool, Box<Violation>> {
        let Some(id) = self.id(advance.to) else { return Ok(false) };
        if id.term != advance.term {
            return Err(broken(
                Invariant::CurrentTermCommit,
                format!("n{} leads term {} and counts for {id}", advance.node, advance.term),
            ));
        }
        let [now, before] = memberships;
        let counts = |membership: &&Membership| on_quorum(id, membership, advance.disks).is_ok();
        let counted_by = [Some(now), advance.unwritten].into_iter().flatten().find(counts).unwrap_or(before);
        on_quorum(id, counted_by, advance.disks)?;
        self.counted_by = counted_by.clone();
        let disks = advance.disks;
        let with_data =
            |node| !counted_by.is_witness(node) && disks(node).is_none_or(|disk| disk.contains(id));
        Ok(!decides(counted_by, with_data))
    }
}

/// The entry is on the disks of a majority: of both sets while the membership is joint.
fn on_quorum<'a>(
    id: LogId,
    membership: &Membership,
    disks: &dyn Fn(NodeId) -> Option<&'a LogImage>,
) -> Checked {
    // A disk that is lost for ever counts as holding it: its node can never vote for a leader without it.
    let holds = |voter: NodeId| disks(voter).is_none_or(|disk| disk.contains(id));
    let with_data = membership
        .members()
        .into_iter()
        .any(|node| membership.is_voter(node) && !membership.is_witness(node) && holds(node));
    // Before the first commit no membership has counted anything.
    if decides(membership, holds) && (with_data || membership.voters.is_empty()) {
        return Ok(());
    }
    let holders: Vec<String> =
        membership.members().into_iter().filter(|node| holds(*node)).map(|node| format!("n{node}")).collect();
    Err(broken(
        Invariant::CommittedIsDurable,
        format!(
            "{id} is committed by {}, but on the disks of {{{}}} only",
            describe(membership),
            holders.join(" ")
        ),
    ))
}

fn name(id: Option<LogId>) -> String {
    id.map_or("nothing".to_string(), |id| id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use floe_raft::Entry;

    fn log(terms: &[u64]) -> LogImage {
        let mut image = LogImage::default();
        for (offset, term) in terms.iter().enumerate() {
            let index = offset as u64 + 1;
            let command =
                Command { op: OpId(index), value: OpId(index), key: Key(0), expect: None, tag: None };
            image.entries.push_back(Entry {
                id: LogId::new(Term(*term), Index(index)),
                kind: EntryKind::Command,
                payload: command.encode(0),
            });
        }
        image
    }

    /// Three voters with these logs on disk; the first one's commit index goes `from -> to` in `term`.
    fn advance(
        commits: &mut Commits,
        logs: [&LogImage; 3],
        term: u64,
        from: u64,
        to: u64,
    ) -> Option<Invariant> {
        let membership = Membership::of_voters((1..=3).map(NodeId));
        let disks = |node: NodeId| logs.get(node.0 as usize - 1).copied();
        let advance = Advance {
            node: NodeId(1),
            term: Term(term),
            leads: true,
            from: Index(from),
            to: Index(to),
            log: logs[0],
            unwritten: None,
            disks: &disks,
        };
        commits
            .advanced(&advance, [&membership; 2], |_, _, _| Ok(()))
            .err()
            .map(|violation| violation.invariant)
    }

    #[test]
    fn a_commit_on_a_minority_is_found() {
        let (two, none) = (log(&[1, 1]), log(&[]));
        assert_eq!(advance(&mut Commits::new(None), [&two, &two, &none], 1, 0, 2), None);
        let minority = advance(&mut Commits::new(None), [&two, &none, &none], 1, 0, 2);
        assert_eq!(minority, Some(Invariant::CommittedIsDurable));
    }

    #[test]
    fn counting_for_an_old_term_is_found() {
        let two = log(&[1, 2]);
        let old = advance(&mut Commits::new(None), [&two, &two, &two], 3, 0, 2);
        assert_eq!(old, Some(Invariant::CurrentTermCommit));
    }

    #[test]
    fn a_different_committed_entry_is_found() {
        let mut commits = Commits::new(None);
        let (ours, theirs) = (log(&[1, 1]), log(&[1, 2]));
        assert_eq!(advance(&mut commits, [&ours, &ours, &ours], 1, 0, 2), None);
        let other = advance(&mut commits, [&theirs, &theirs, &theirs], 2, 0, 2);
        assert_eq!(other, Some(Invariant::StateMachineSafety));
    }

    #[test]
    fn a_falling_commit_and_one_beyond_the_log_are_found() {
        let ours = log(&[1, 1]);
        let mut commits = Commits::new(None);
        assert_eq!(advance(&mut commits, [&ours, &ours, &ours], 1, 2, 1), Some(Invariant::MonotonicCommit));
        assert_eq!(
            advance(&mut commits, [&ours, &ours, &ours], 1, 0, 3),
            Some(Invariant::StateMachineSafety)
        );
    }

    #[test]
    fn an_incomplete_leader_is_found() {
        let mut commits = Commits::new(None);
        let ours = log(&[1, 1]);
        assert_eq!(advance(&mut commits, [&ours, &ours, &ours], 1, 0, 2), None);
        assert_eq!(commits.elected(NodeId(2), Term(2), &ours).err(), None);
        let incomplete = commits.elected(NodeId(2), Term(2), &log(&[1])).err();
        assert_eq!(incomplete.map(|violation| violation.invariant), Some(Invariant::LeaderCompleteness));
        // A leader of an earlier term that is elected late is no counter-example.
        assert_eq!(commits.elected(NodeId(2), Term(1), &log(&[1])).err(), None);
    }

    #[test]
    fn truncating_what_is_committed_is_found() {
        let mut commits = Commits::new(None);
        let ours = log(&[1, 1]);
        assert_eq!(advance(&mut commits, [&ours, &ours, &ours], 1, 0, 2), None);
        assert!(commits.truncates(NodeId(3), Index(2), &ours).is_err());
        assert!(commits.truncates(NodeId(3), Index(2), &log(&[1, 0])).is_ok());
        assert!(commits.truncates(NodeId(3), Index(3), &log(&[1, 1, 1])).is_ok());
    }

    #[test]
    fn a_wrong_state_is_found() {
        let mut commits = Commits::new(None);
        let ours = log(&[1, 1]);
        assert_eq!(advance(&mut commits, [&ours, &ours, &ours], 1, 0, 2), None);
        let mut machine = Machine::new(None);
        let put = |op| Command { op: OpId(op), value: OpId(op), key: Key(0), expect: None, tag: None };
        machine.apply(ours.entries[0].id, &put(1));
        machine.apply(ours.entries[1].id, &put(2));
        let right = machine.hash();
        assert!(commits.state(NodeId(1), ours.last(), right).is_ok());
        let wrong = commits.state(NodeId(1), ours.last(), right ^ 1).err();
        assert_eq!(wrong.map(|violation| violation.invariant), Some(Invariant::StateMatches));
        let unknown = commits.state(NodeId(1), LogId::new(Term(2), Index(2)), right).err();
        assert_eq!(unknown.map(|violation| violation.invariant), Some(Invariant::StateMachineSafety));
    }
}
