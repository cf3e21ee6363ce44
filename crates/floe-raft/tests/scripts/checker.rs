//! The laws of Raft, checked across nodes from the outside after every step.
//!
//! The checker never asks a node what it believes about its log: it follows what each node writes to its virtual
//! disk, what it sends and what it applies, and compares that with everything any node ever did. It remembers the
//! whole history, so a vote that is cast again after a restart, or a committed entry that disappears much later, is
//! found, too.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use floe_raft::{
    Entry, EntryKind, Envelope, Index, LogId, Membership, Message, NodeId, ProposeError, ReadId, RoleKind,
    Status, Term, Write,
};

use crate::disk::{Disk, Log};
use crate::failure::Failure;
use crate::format;
use crate::laws_of_change::quorum_holds;
use crate::machine::Machine;

/// Everything that ever happened, as far as the laws speak of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Checker {
    /// The membership that the group was born with.
    pub(crate) birth: Membership,
    /// Nodes that are witnesses, members or not.
    pub(crate) witnesses: BTreeSet<NodeId>,
    /// Memberships that leaders appended, and whose rules are still to be checked: the leader, its entry, and the
    /// membership entry before it, if any.
    pub(crate) changes: Vec<(NodeId, LogId, Option<LogId>)>,
    /// Who led in each term.
    leaders: BTreeMap<Term, NodeId>,
    /// Every entry that was ever in a log, with what it followed.
    pub(crate) entries: BTreeMap<LogId, (EntryKind, Bytes, LogId)>,
    /// Every entry that was ever known as committed, with the term in which that was first known.
    pub(crate) committed: BTreeMap<Index, (LogId, Term)>,
    /// Every vote that was ever cast.
    votes: BTreeMap<(NodeId, Term), NodeId>,
    /// The state after each applied index.
    digests: BTreeMap<Index, u64>,
    /// Reads under way, with what was committed when they were asked for.
    reads: BTreeMap<(NodeId, ReadId), Index>,
    /// Commands that a client was told are in no log.
    refused: BTreeSet<Bytes>,
    /// What each node last said of itself.
    nodes: BTreeMap<NodeId, Seen>,
    /// How much there was to check.
    pub(crate) tally: Tally,
}

/// How much there was to check.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Snapshots installed.
    pub(crate) installs: usize,
    /// Reads answered.
    pub(crate) reads: usize,
    /// Forwarded commands that a leader appended.
    pub(crate) forwards: usize,
    /// Memberships that leaders appended.
    pub(crate) changes: usize,
}

/// What a node last said of itself.
#[derive(Clone, Debug)]
struct Seen {
    role: RoleKind,
    term: Term,
    commit: Index,
    membership: Membership,
}

pub(crate) fn law(broken: bool, text: impl FnOnce() -> String) -> Result<(), Failure> {
    if broken { Err(Failure::law(text())) } else { Ok(()) }
}

impl Checker {
    /// A checker of a new group.
    pub(crate) fn new(birth: Membership) -> Self {
        Self { birth, ..Self::default() }
    }

    /// The last entry that any node ever knew as committed.
    pub(crate) fn commit(&self) -> Index {
        self.committed.last_key_value().map_or(Index::ZERO, |(index, _)| *index)
    }

    /// How many terms had a leader.
    pub(crate) fn leaders(&self) -> usize {
        self.leaders.len()
    }

    /// How many reads these nodes have not answered.
    pub(crate) fn reads_waiting(&self, nodes: &BTreeSet<NodeId>) -> usize {
        self.reads.keys().filter(|(reader, _)| nodes.contains(reader)).count()
    }

    /// A node hands a write to its disk; `disk` is as it was before.
    pub(crate) fn persist(&mut self, node: NodeId, disk: &Disk, write: &Write) -> Result<(), Failure> {
        if let Some(hard_state) = write.hard_state {
            let old = disk.submitted;
            law(hard_state.term < old.term, || format!("n{node} lowers its term to {}", hard_state.term))?;
            let revoked = hard_state.term == old.term && old.vote.is_some() && old.vote != hard_state.vote;
            law(revoked, || format!("n{node} changes its vote in term {}", old.term))?;
        }
        let witness = self.witnesses.contains(&node);
        let foreign = if witness { EntryKind::Command } else { EntryKind::Witnessed };
        law(write.entries.iter().any(|entry| entry.kind == foreign), || {
            format!("n{node}, {} witness, writes a {foreign:?}", if witness { "a" } else { "no" })
        })?;
        let mut last = disk.written.last();
        if let Some(base) = write.restart_after {
            self.truncation(node, &disk.written, base.index.next(), &write.entries, "restarts")?;
            last = base;
        }
        if let Some(from) = write.truncate_from {
            self.truncation(node, &disk.written, from, &write.entries, "truncates")?;
            let Some(id) = disk.written.id_at(from.prev()) else {
                return Err(Failure::law(format!("n{node} truncates from {from}, which leaves a gap")));
            };
            last = id;
        }
        for entry in &write.entries {
            self.append(node, last, entry)?;
            last = entry.id;
        }
        Ok(())
    }

    /// No committed entry may leave a log, unless the same write puts the same entry back.
    fn truncation(
        &self,
        node: NodeId,
        log: &Log,
        from: Index,
        added: &[Entry],
        how: &str,
    ) -> Result<(), Failure> {
        for (index, (id, _)) in self.committed.range(from..) {
            let lost = log.id_at(*index) == Some(*id) && !added.iter().any(|entry| entry.id == *id);
            law(lost, || format!("n{node} {how} its log from {from} and drops the committed {id}"))?;
        }
        Ok(())
    }

    /// Log matching: an id names one entry, and one history before it, for ever.
    fn append(&mut self, node: NodeId, prev: LogId, entry: &Entry) -> Result<(), Failure> {
        let id = entry.id;
        law(id.index != prev.index.next(), || {
            format!("n{node} appends {id} after {prev}, not without a gap")
        })?;
        law(id.term < prev.term, || format!("n{node} appends {id} after {prev}: terms never fall"))?;
        law(entry.kind == EntryKind::Command && self.refused.contains(&entry.payload), || {
            format!(
                "n{node} appends {}, of which a client was told that it is in no log",
                format::entry(entry)
            )
        })?;
        if entry.kind == EntryKind::Membership && !self.entries.contains_key(&id) {
            self.changed(node, prev, entry)?;
        }
        let known = match entry.kind {
            // The same entry is known as the command that a leader appended: only what it follows is compared.
            EntryKind::Witnessed => match self.entries.get(&id) {
                Some((EntryKind::Command, _, known)) if *known == prev => return Ok(()),
                _ => {
                    return Err(Failure::law(format!(
                        "n{node} witnesses {id} after {prev}, which nobody appended"
                    )));
                }
            },
            EntryKind::Noop | EntryKind::Command | EntryKind::Membership => {
                self.entries.entry(id).or_insert_with(|| (entry.kind, entry.payload.clone(), prev))
            }
        };
        law(*known != (entry.kind, entry.payload.clone(), prev), || {
            format!(
                "two entries are named {id}: n{node} has another after {prev} than the first after {}",
                known.2
            )
        })
    }

    /// A node sends a message; `disks` are as they are now.
    pub(crate) fn sent(
        &mut self,
        envelope: &Envelope,
        disks: &BTreeMap<NodeId, Disk>,
    ) -> Result<(), Failure> {
        let Envelope { from, to, term, ref message } = *envelope;
        let Some(disk) = disks.get(&from) else {
            return Err(Failure::law(format!("n{from} is not in the cluster")));
        };
        let leads = matches!(
            message,
            Message::PreVote { .. }
                | Message::Vote { .. }
                | Message::Append { .. }
                | Message::TimeoutNow { .. }
        );
        law(self.witnesses.contains(&from) && leads, || format!("the witness n{from} campaigns or leads"))?;
        match message {
            Message::Vote { .. } => self.vote(from, term, from, disk),
            Message::VoteReply { granted: true } => self.vote(from, term, to, disk),
            Message::AppendOk { matched } => {
                law(disk.hard_state.term < term, || {
                    format!("n{from} acknowledges in term {term}, which is not durable there")
                })?;
                let Some(id) = disk.durable.id_at(*matched).or_else(|| self.compacted(disk, *matched)) else {
                    return Err(Failure::law(format!(
                        "n{from} acknowledges {matched}, which is not durable there"
                    )));
                };
                let leads = self.leads_now(to, term);
                let leader_log = disks.get(&to).map(|disk| &disk.written).filter(|_| leads);
                law(leader_log.is_some_and(|log| !log.covers(id)), || {
                    format!("n{from} acknowledges {matched}, but {id} is not in the log of its leader n{to}")
                })
            }
            Message::Append { .. } | Message::Heartbeat { .. } | Message::Snapshot { .. } => {
                self.leads(from, term, &disk.written)
            }
            Message::PreVote { .. }
            | Message::PreVoteReply { .. }
            | Message::VoteReply { granted: false }
            | Message::AppendReject { .. }
            | Message::HeartbeatReply { .. }
            | Message::ReadIndex { .. }
            | Message::ReadIndexReply { .. }
            | Message::Propose { .. }
            | Message::ProposeReply { .. }
            | Message::Pull { .. }
            | Message::PullReply { .. }
            | Message::TimeoutNow { .. }
            | Message::Priority { .. } => Ok(()),
        }
    }

    /// What a log once held at an index that it has compacted since.
    fn compacted(&self, disk: &Disk, index: Index) -> Option<LogId> {
        if index > disk.durable.base.index {
            return None;
        }
        self.committed.get(&index).map(|(id, _)| *id)
    }

    /// One vote a term, for ever, and on disk before anybody hears of it.
    fn vote(&mut self, node: NodeId, term: Term, vote: NodeId, disk: &Disk) -> Result<(), Failure> {
        let first = *self.votes.entry((node, term)).or_insert(vote);
        law(first != vote, || {
            format!("n{node} votes for n{vote} in term {term}, after it voted for n{first}")
        })?;
        let durable = disk.hard_state;
        let spoken = durable.term < term || (durable.term == term && durable.vote != Some(vote));
        law(spoken, || format!("n{node} speaks of its vote for n{vote} in term {term} before it is durable"))
    }

    /// One leader a term; and it holds everything that earlier terms committed.
    fn leads(&mut self, node: NodeId, term: Term, log: &Log) -> Result<(), Failure> {
        if let Some(leader) = self.leaders.get(&term) {
            return law(*leader != node, || format!("n{leader} and n{node} both lead in term {term}"));
        }
        self.leaders.insert(term, node);
        for (id, known) in self.committed.values() {
            law(*known < term && !log.covers(*id), || {
                format!("n{node} leads in term {term} without {id}, committed in term {known} or before")
            })?;
        }
        Ok(())
    }

    fn leads_now(&self, node: NodeId, term: Term) -> bool {
        self.nodes.get(&node).is_some_and(|seen| seen.role == RoleKind::Leader && seen.term == term)
    }

    /// A node loses power: it leads no more, and may come back without what was not durable.
    pub(crate) fn crashed(&mut self, node: NodeId) {
        self.nodes.remove(&node);
        self.reads.retain(|(reader, _), _| *reader != node);
    }

    /// A node starts, for the first time or again.
    pub(crate) fn started(&self, status: &Status, disk: &Disk) -> Result<(), Failure> {
        let node = status.id;
        law(status.hard_state != disk.hard_state, || format!("n{node} starts without its term and vote"))
    }

    /// What a node says of itself after a step.
    pub(crate) fn status(&mut self, status: &Status, disks: &BTreeMap<NodeId, Disk>) -> Result<(), Failure> {
        let node = status.id;
        let Some(disk) = disks.get(&node) else {
            return Err(Failure::law(format!("n{node} is not in the cluster")));
        };
        let (term, commit) = (status.hard_state.term, status.commit);
        let now = Seen { role: status.role, term, commit, membership: status.membership.clone() };
        let before = self.nodes.insert(node, now);
        let before = before.as_ref();
        law(before.is_some_and(|seen| term < seen.term), || format!("the term of n{node} falls"))?;
        law(before.is_some_and(|seen| commit < seen.commit), || format!("the commit of n{node} falls"))?;
        law(status.hard_state != disk.submitted, || {
            format!("n{node} has a term or vote that it never wrote: {:?}", status.hard_state)
        })?;
        law(status.last != disk.written.last(), || {
            format!("n{node} says its log ends with {}, but it wrote {}", status.last, disk.written.last())
        })?;
        law(status.durable > disk.durable.last().index, || {
            format!(
                "n{node} takes {} for durable; its disk ends with {}",
                status.durable,
                disk.durable.last()
            )
        })?;
        law(status.commit > status.last.index, || format!("n{node} commits beyond its log"))?;
        law(status.applied > status.commit, || format!("n{node} applied beyond its commit"))?;
        if status.role == RoleKind::Leader {
            self.leads(node, term, &disk.written)?;
        }
        if commit > before.map_or(Index::ZERO, |seen| seen.commit) {
            self.commits(status, before, &disk.written, disks)?;
        }
        self.check_changes(node)
    }

    /// The commit index of a node moved: what it covers is committed for ever.
    fn commits(
        &mut self,
        status: &Status,
        before: Option<&Seen>,
        log: &Log,
        disks: &BTreeMap<NodeId, Disk>,
    ) -> Result<(), Failure> {
        let from = before.map_or(Index::ZERO, |seen| seen.commit);
        let (node, term) = (status.id, status.hard_state.term);
        let known = self.commit();
        for index in (from.0 + 1..=status.commit.0).map(Index) {
            let Some(id) = log.id_at(index) else {
                // Compacted here; then it was committed here before, or came in a snapshot of applied state.
                continue;
            };
            if let Some((committed, _)) = self.committed.get(&index) {
                law(*committed != id, || {
                    format!("n{node} commits {id}, but {committed} was committed before")
                })?;
                continue;
            }
            self.committed.insert(index, (id, term));
            for (other, seen) in &self.nodes {
                let later = seen.role == RoleKind::Leader && seen.term > term;
                let holds = disks.get(other).is_some_and(|disk| disk.written.covers(id));
                law(later && !holds, || {
                    format!(
                        "{id} is committed in term {term}, and n{other} leads in term {} without it",
                        seen.term
                    )
                })?;
            }
        }
        if status.commit > known
            && let Some(id) = log.id_at(status.commit)
        {
            // What became committed may in the same step have led to the next membership.
            let counted = quorum_holds(id, &status.membership, disks);
            match before.filter(|seen| seen.membership != status.membership) {
                Some(seen) => counted.or_else(|_| quorum_holds(id, &seen.membership, disks))?,
                None => counted?,
            }
        }
        Ok(())
    }

    /// A machine applied an entry; `machine` is as it is afterwards.
    pub(crate) fn applied(&mut self, node: NodeId, entry: &Entry, machine: &Machine) -> Result<(), Failure> {
        let committed = self.committed.get(&entry.id.index).map(|(id, _)| *id);
        law(committed != Some(entry.id), || format!("n{node} applies {}, which is not committed", entry.id))?;
        self.same_state(node, machine)
    }

    /// A machine was replaced by a snapshot.
    pub(crate) fn installed(&mut self, node: NodeId, machine: &Machine) -> Result<(), Failure> {
        let last = machine.last;
        let committed = self.committed.get(&last.index).map(|(id, _)| *id);
        self.tally.installs += 1;
        law(committed != Some(last), || {
            format!("n{node} installs a snapshot of {last}, which is not what was committed")
        })?;
        self.same_state(node, machine)
    }

    /// State machine safety: equal index, equal state.
    fn same_state(&mut self, node: NodeId, machine: &Machine) -> Result<(), Failure> {
        if self.witnesses.contains(&node) {
            // It never learns what the commands are.
            let has_state = !machine.values.is_empty();
            return law(has_state, || format!("the witness n{node} has state: {}", machine.describe()));
        }
        let first = *self.digests.entry(machine.last.index).or_insert(machine.digest);
        law(first != machine.digest, || {
            format!("the machine of n{node} differs from another at index {}", machine.last.index)
        })
    }

    /// A read is asked for.
    pub(crate) fn read_requested(&mut self, node: NodeId, read: ReadId) {
        let commit = self.commit();
        self.reads.insert((node, read), commit);
    }

    /// A read may be served by a machine that contains `applied`.
    pub(crate) fn read_ready(
        &mut self,
        node: NodeId,
        read: ReadId,
        index: Index,
        applied: Index,
    ) -> Result<(), Failure> {
        let Some(commit) = self.reads.remove(&(node, read)) else {
            return Err(Failure::law(format!("n{node} answers r{read}, which is not under way")));
        };
        self.tally.reads += 1;
        law(index < commit, || {
            format!(
                "n{node} answers r{read} at {index}; {commit} was committed before it was asked: a stale read"
            )
        })?;
        law(applied < index, || format!("n{node} answers r{read} at {index}, but has applied only {applied}"))
    }

    /// A read could not be confirmed.
    pub(crate) fn read_aborted(&mut self, node: NodeId, read: ReadId) -> Result<(), Failure> {
        law(self.reads.remove(&(node, read)).is_none(), || {
            format!("n{node} aborts r{read}, which is not under way")
        })
    }

    /// A client hears what became of its command. A refusal is definite: the command is in no log, ever.
    pub(crate) fn proposed(
        &mut self,
        node: NodeId,
        payload: &Bytes,
        outcome: Result<LogId, ProposeError>,
    ) -> Result<(), Failure> {
        match outcome {
            Ok(id) => {
                self.tally.forwards += 1;
                let other = self.entries.get(&id).is_some_and(|(_, known, _)| known != payload);
                law(other, || format!("n{node} says a command is at {id}, where another is"))
            }
            Err(ProposeError::Unknown) => Ok(()),
            Err(error @ (ProposeError::NotLeader { .. } | ProposeError::Busy | ProposeError::TooLarge)) => {
                let appended = self
                    .entries
                    .values()
                    .any(|(kind, known, _)| *kind == EntryKind::Command && known == payload);
                let text = format::payload(payload);
                law(appended, || format!("n{node} refuses {text} ({error}), which is in a log"))?;
                self.refused.insert(payload.clone());
                Ok(())
            }
        }
    }
}
