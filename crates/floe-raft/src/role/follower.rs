//! Following a leader: its heartbeats, its entries, and what may be acknowledged of them.

use std::time::Duration;

use crate::codec::decode_membership;
use crate::effect::{Alarm, Effect};
use crate::entry::{Entry, EntryKind};
use crate::id::{Index, LogId, NodeId, Round, Time};
use crate::membership::Membership;
use crate::message::Message;
use crate::mutant::Mutant;
use crate::node::Node;
use crate::role::Role;

/// The data of a follower. All of it belongs to one term and one leader.
#[derive(Clone, Debug)]
pub(crate) struct Follower {
    /// Who leads this term, if known.
    pub(crate) leader: Option<NodeId>,
    /// When the leader was last heard of: any valid contact, a refused append among them (redpanda #30817).
    pub(crate) contact: Option<Time>,
    /// When to campaign if the leader is not heard of before.
    pub(crate) deadline: Time,
    /// Up to here the log agrees with this leader's: what its messages of this term compared. Never past it is
    /// anything acknowledged or committed (etcd #1366): the own log may go on with entries that nobody else has.
    pub(crate) verified: Index,
    /// The largest acknowledgement sent to this leader.
    pub(crate) acked: Index,
    /// An append ended here and has not been answered.
    pub(crate) owed: Option<Index>,
}

impl Follower {
    pub(crate) fn new(leader: Option<NodeId>, contact: Option<Time>, deadline: Time) -> Self {
        Self { leader, contact, deadline, verified: Index::ZERO, acked: Index::ZERO, owed: None }
    }

    /// Whether the leader was heard of too lately to help another one into its place (thesis 4.2.3).
    pub(crate) fn is_sticky(&self, now: Time, election_timeout: Duration) -> bool {
        self.leader.is_some() && self.contact.is_some_and(|contact| now.since(contact) < election_timeout)
    }
}

impl Node {
    /// A message that only a leader sends came, of the current term: whether to act on it.
    pub(crate) fn follow(&mut self, leader: NodeId) -> bool {
        let term = self.hard_state.term;
        match &self.role {
            Role::Leader(_) => {
                self.outbox.alarm(Alarm::TwoLeaders { other: leader, term });
                return false;
            }
            Role::Follower(follower) => match follower.leader {
                Some(known) if known == leader => {}
                Some(_) => {
                    self.outbox.bad_message(leader, "it leads a term that another leads");
                    return false;
                }
                None => self.become_follower(term, Some(leader)),
            },
            // In the same term a candidate keeps its vote (CCF #5891): the term has its leader, and no second
            // vote may help another one.
            Role::PreCandidate(_) | Role::Candidate(_) => self.become_follower(term, Some(leader)),
        }
        let deadline = self.draw_deadline();
        if let Role::Follower(follower) = &mut self.role {
            follower.contact = Some(self.now);
            follower.deadline = deadline;
        }
        true
    }

    pub(crate) fn handle_heartbeat(&mut self, from: NodeId, commit: Index, round: Round) {
        if !self.follow(from) {
            return;
        }
        let mut commit = commit;
        if self.config.mutated(Mutant::HeartbeatCommits) {
            commit = commit.min(self.log.last().index);
        }
        // What this node acknowledged in this term, perhaps before it was restarted, agrees with the leader's log
        // and is durable; no more than that does a leader put into a heartbeat.
        if commit > self.log.last().index {
            self.outbox.bad_message(from, "it commits what was not acknowledged; was this node's disk lost?");
        } else if self.installing.is_none() {
            self.commit = self.commit.max(commit);
        }
        self.promise();
        self.send(from, Message::HeartbeatReply { round });
        self.retry_read_index(from);
        self.expire_forwards();
    }

    pub(crate) fn handle_append(&mut self, from: NodeId, prev: LogId, entries: Vec<Entry>, commit: Index) {
        if !self.follow(from) {
            return;
        }
        // The log is about to be replaced as a whole. Entries now would be lost with it, and an acknowledgement of
        // them would be a lie (cockroach #3760).
        if self.installing.is_some() && !self.config.mutated(Mutant::AppendWhileInstalling) {
            return;
        }
        if let Some(index) = self.committed_conflict(prev, &entries) {
            self.outbox.alarm(Alarm::CommittedConflict { from, index });
            return;
        }
        // What is compacted was committed, so that it agrees with every leader.
        if prev.index >= self.log.base().index && !self.log.matches(prev) {
            let hint = self.log.floor(prev.index, prev.term).unwrap_or(self.log.base());
            self.send(from, Message::AppendReject { prev, hint });
            return;
        }
        let end = prev.index.plus(entries.len() as u64);
        if !self.store(from, entries) {
            return;
        }
        let Role::Follower(follower) = &mut self.role else { return };
        let nothing_new = end == prev.index && end <= follower.acked;
        follower.verified = follower.verified.max(end);
        let commit = commit.min(follower.verified);
        // An empty append that moves the commit index and repeats what was acknowledged needs no answer. If that
        // acknowledgement was lost, the leader repeats the append with nothing to commit, and that is answered.
        if !(nothing_new && commit > self.commit) {
            follower.owed = follower.owed.max(Some(end));
        }
        self.commit = self.commit.max(commit);
    }

    /// The committed entry that the message contradicts, if any.
    pub(crate) fn committed_conflict(&self, prev: LogId, entries: &[Entry]) -> Option<Index> {
        let conflicts = |id: LogId| {
            id.index <= self.commit && self.log.term_at(id.index).is_some_and(|term| term != id.term)
        };
        std::iter::once(prev)
            .chain(entries.iter().map(|entry| entry.id))
            .take_while(|id| id.index <= self.commit)
            .find(|id| conflicts(*id))
            .map(|id| id.index)
    }

    /// Takes into the log what it lacks, and drops only what really conflicts: a delayed, shorter append must not
    /// shorten a log that agrees with it (etcd #1763). Whether the entries are in the log now.
    pub(crate) fn store(&mut self, from: NodeId, mut entries: Vec<Entry>) -> bool {
        let base = self.log.base().index;
        let known =
            entries.iter().take_while(|entry| entry.id.index <= base || self.log.matches(entry.id)).count();
        let Some(first) = entries.get(known).map(|entry| entry.id.index) else {
            if let Some(last) = entries.last()
                && self.config.mutated(Mutant::ShortAppendTruncates)
            {
                self.log.truncate_from(last.id.index.next());
            }
            return true;
        };
        let memberships = match memberships_in(&entries[known..], self.config.witness) {
            Ok(memberships) => memberships,
            Err(reason) => {
                self.outbox.bad_message(from, reason);
                return false;
            }
        };
        let mut changed = false;
        if first <= self.log.last().index {
            self.log.truncate_from(first);
            if !self.config.mutated(Mutant::MembershipKept) {
                changed = self.members.truncate_from(first);
            }
        }
        entries.drain(known..).for_each(|entry| self.log.append(entry));
        for (index, membership) in memberships {
            self.members.push(index, membership);
            changed = true;
        }
        if changed {
            self.outbox.push(Effect::MembershipChanged(self.members.current().clone()));
        }
        true
    }

    /// Acknowledges what this leader verified *and* what is durable: the smaller of the two. No queue of
    /// acknowledgements is needed, and none can outlive what it speaks of.
    pub(crate) fn acknowledge(&mut self) {
        let mut durable = self.log.durable();
        if self.config.mutated(Mutant::AckBeforeDisk) {
            durable = self.log.last().index;
        }
        let Role::Follower(follower) = &mut self.role else { return };
        let Some(leader) = follower.leader else { return };
        let mut matched = follower.verified.min(durable);
        if self.config.mutated(Mutant::AckOwnLast) {
            matched = durable;
        }
        let repeated = follower.owed.is_some_and(|owed| owed <= matched);
        if matched <= follower.acked && !repeated {
            return;
        }
        if repeated {
            follower.owed = None;
        }
        follower.acked = follower.acked.max(matched);
        self.send(leader, Message::AppendOk { matched });
    }
}

/// The memberships among entries that are to go into the log of a node that is a witness, or is none; or why they must
/// not.
///
/// A leader that takes a witness for a member with data would count its disk for one that holds the commands.
pub(crate) fn memberships_in(
    entries: &[Entry],
    witness: bool,
) -> Result<Vec<(Index, Membership)>, &'static str> {
    let mut memberships = Vec::new();
    for entry in entries {
        match entry.kind {
            EntryKind::Membership => {
                let membership = decode_membership(entry.payload.clone())
                    .map_err(|_| "a membership entry that cannot be read")?;
                if membership.fault().is_some() {
                    return Err("a membership that no group may have");
                }
                memberships.push((entry.id.index, membership));
            }
            EntryKind::Command if witness => return Err("a command for a witness"),
            EntryKind::Witnessed if !witness => return Err("a command without its content"),
            EntryKind::Noop | EntryKind::Command | EntryKind::Witnessed => {}
        }
    }
    Ok(memberships)
}
