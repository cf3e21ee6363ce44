//! The leader's side of the log: what it sends to each peer, what it learns from the answers, and what that commits.

pub(crate) mod inflight;
pub(crate) mod progress;

use crate::config::Config;
use crate::effect::Effect;
use crate::entry::Entry;
use crate::fetch::{Fetches, Purpose};
use crate::id::{Index, LogId, NodeId, Round, Term, Time};
use crate::log::Log;
use crate::membership::Members;
use crate::message::{Envelope, Message};
use crate::mutant::{Mutant, agreed_with};
use crate::node::Node;
use crate::outbox::Outbox;
use crate::replication::progress::{Mode, Progress};
use crate::role::Role;

impl Node {
    pub(crate) fn handle_append_ok(&mut self, from: NodeId, matched: Index) {
        let Role::Leader(leader) = &mut self.role else { return };
        let Some(progress) = leader.progress.get_mut(&from) else { return };
        if matched > self.log.last().index {
            self.outbox.bad_message(from, "it acknowledges entries that were never sent");
            return;
        }
        progress.answer(self.now);
        progress.acknowledge(matched, self.log.base().index);
    }

    pub(crate) fn handle_append_reject(&mut self, from: NodeId, prev: LogId, hint: LogId) {
        let Role::Leader(leader) = &mut self.role else { return };
        let Some(progress) = leader.progress.get_mut(&from) else { return };
        progress.answer(self.now);
        // A refusal of what was acknowledged since is an old one: to go back for it would undo progress (etcd/raft
        // #149).
        if prev.index <= progress.matched {
            if self.config.mutated(Mutant::StaleReject) {
                progress.next = prev.index;
            }
            return;
        }
        match progress.mode {
            Mode::Replicate if self.config.mutated(Mutant::RefusalUnheard) => {}
            Mode::Replicate if prev.index < progress.next => {
                // Something before it was lost: what the peer is known to hold is where to go on.
                progress.probe(progress.matched.next(), false);
            }
            Mode::Probe { .. } if prev.index.next() == progress.next => {
                let at = hint.index.min(prev.index.prev());
                let next = match self.log.floor(at, hint.term) {
                    Some(agreed) => agreed.index.next(),
                    None if self.config.mutated(Mutant::NoSnapshot) => self.log.base().index.next(),
                    // Where the logs could agree is compacted here, so that a snapshot is needed.
                    None => self.log.base().index,
                };
                progress.probe(next, false);
            }
            // Answers to earlier probes, or to appends before the snapshot.
            Mode::Replicate | Mode::Probe { .. } | Mode::Snapshot => {}
        }
    }

    pub(crate) fn handle_heartbeat_reply(&mut self, from: NodeId, round: Round) {
        let Role::Leader(leader) = &mut self.role else { return };
        if round > leader.round {
            self.outbox.bad_message(from, "it answers a heartbeat that was never sent");
            return;
        }
        let Some(progress) = leader.progress.get_mut(&from) else { return };
        progress.alive(self.now, round);
        let told = progress.farewell.and_then(|farewell| farewell.round);
        if told.is_some_and(|told| told <= round) {
            leader.progress.remove(&from);
        }
        // Should the invitation to campaign have been lost, this repeats it.
        if let Some(transfer) = &mut leader.transfer
            && transfer.to == from
        {
            transfer.invited = false;
        }
    }

    /// The peer's process is dead: nothing that was under way to it arrives.
    pub(crate) fn peer_gone(&mut self, peer: NodeId) {
        let Role::Leader(leader) = &mut self.role else { return };
        if let Some(progress) = leader.progress.get_mut(&peer) {
            progress.gone();
        }
    }

    /// Commits what a quorum holds durably. The own disk is one voice among them, and need not be the first.
    ///
    /// Only an entry of the own term is committed by counting. An older one on a majority is not safe yet: a node
    /// with a later last term may lack it, win, and overwrite it (raft paper figure 8). It is committed with the
    /// first entry of this term.
    pub(crate) fn advance_commit(&mut self) {
        let Role::Leader(leader) = &mut self.role else { return };
        let (own, mut durable) = (self.config.id, self.log.durable());
        if self.config.mutated(Mutant::CountBeforeDisk) {
            durable = self.log.last().index;
        }
        let held = |id| {
            if id == own {
                durable.0
            } else {
                leader.progress.get(&id).map_or(0, |progress| progress.matched.0)
            }
        };
        let mut agreed = Index(self.members.quorum().agreed(held));
        let membership = self.members.current();
        if self.config.mutated(Mutant::LearnerCounts) {
            agreed = Index(agreed_with(membership, &membership.learners, held));
        }
        if self.config.mutated(Mutant::OutsiderCounts) {
            agreed = Index(agreed_with(membership, &[own].into(), held));
        }
        let is_own_term = self.log.term_at(agreed) == Some(self.hard_state.term)
            || self.config.mutated(Mutant::CommitOldTerms);
        if agreed > self.commit && is_own_term {
            self.commit = agreed;
            if !self.config.mutated(Mutant::UncommittedLeaks) {
                leader.uncommitted.release(self.log.last().index.0 - agreed.0);
            }
        }
    }

    /// How far the log is on the disk of a voter with data. Witnesses get no more.
    ///
    /// A witness must never be the only voter that holds an entry. Say that a leader sends one beside its own write, and
    /// crashes before that is done; or that it is no voter any more, and stops. Then the witness refuses every voter for its
    /// longer log, and never campaigns itself: nobody leads again.
    fn witnessable(&self) -> Index {
        let Role::Leader(leader) = &self.role else { return Index::ZERO };
        let current = self.members.current();
        // One that is leaving is spoken to by a membership that has it no more, and votes by one that has.
        let has_witness = leader.progress.values().any(|progress| progress.witness);
        if !has_witness || self.config.mutated(Mutant::WitnessAhead) {
            return self.log.last().index;
        }
        let own = Some(self.log.durable()).filter(|_| current.is_voter(self.config.id));
        let others = leader.progress.iter().filter(|(id, _)| current.may_lead(**id));
        others.map(|(_, progress)| progress.matched).chain(own).max().unwrap_or(Index::ZERO)
    }

    /// Sends each peer what it lacks and its window admits.
    pub(crate) fn replicate(&mut self) {
        let witnessable = self.witnessable();
        let Role::Leader(leader) = &mut self.role else { return };
        let mut sender = Sender {
            config: &self.config,
            term: self.hard_state.term,
            commit: self.commit,
            now: self.now,
            log: &self.log,
            members: &self.members,
            witnessable,
            fetches: &mut self.fetches,
            outbox: &mut self.outbox,
        };
        for (&to, progress) in &mut leader.progress {
            sender.serve(to, progress);
        }
    }

    /// Entries that were read from disk for a peer go out, if they are still what it needs. None were if it failed.
    pub(crate) fn send_fetched(&mut self, to: NodeId, entries: Vec<Entry>) {
        let witnessable = self.witnessable();
        let Role::Leader(leader) = &mut self.role else { return };
        let Some(progress) = leader.progress.get_mut(&to) else { return };
        progress.fetch = None;
        let is_wanted = entries.first().is_some_and(|entry| entry.id.index == progress.next);
        let mut sender = Sender {
            config: &self.config,
            term: self.hard_state.term,
            commit: self.commit,
            now: self.now,
            log: &self.log,
            members: &self.members,
            witnessable,
            fetches: &mut self.fetches,
            outbox: &mut self.outbox,
        };
        if is_wanted && sender.admits(progress) && sender.has_prev(progress) {
            sender.append(to, progress, entries);
        }
    }
}

/// The parts of a leader that sending needs, apart from the progress that it changes.
struct Sender<'a> {
    config: &'a Config,
    term: Term,
    commit: Index,
    now: Time,
    log: &'a Log,
    members: &'a Members,
    /// How far a witness may be sent entries.
    witnessable: Index,
    fetches: &'a mut Fetches,
    outbox: &'a mut Outbox,
}

impl Sender<'_> {
    fn serve(&mut self, to: NodeId, progress: &mut Progress) {
        // Also when the window is full. All of it may be lost, and what would show that, the append after it, can no
        // longer be made.
        if !self.has_prev(progress) {
            self.snapshot(to, progress);
            return;
        }
        // One that is leaving is told that it is out, and nothing after.
        let mut last = progress.farewell.map_or(self.log.last().index, |farewell| farewell.removal);
        if progress.witness {
            last = last.min(self.witnessable);
        }
        let mut sent = false;
        while self.admits(progress) {
            let is_probe = matches!(progress.mode, Mode::Probe { .. });
            if progress.next > last {
                if is_probe {
                    self.append(to, progress, Vec::new());
                }
                break;
            }
            match self.log.recent(progress.next, last, self.config.append_bytes) {
                Some(entries) => self.append(to, progress, entries),
                None => {
                    self.fetch(to, progress, last);
                    break;
                }
            }
            sent = true;
        }
        // A follower that waits to apply should not wait for the next heartbeat.
        let has_news = self.commit.min(progress.next.prev()) > progress.told;
        if progress.mode == Mode::Replicate && !sent && (has_news || progress.nudge) {
            self.append(to, progress, Vec::new());
        }
    }

    /// Whether one more append may go out.
    fn admits(&self, progress: &Progress) -> bool {
        progress.fetch.is_none()
            && match progress.mode {
                Mode::Probe { paused, .. } => !paused,
                Mode::Replicate => {
                    !progress.inflight.is_full(self.config.inflight_messages, self.config.inflight_bytes)
                }
                Mode::Snapshot => false,
            }
    }

    /// Whether the entry before the next one is in the log, or is what the log follows.
    fn has_prev(&self, progress: &Progress) -> bool {
        progress.next > self.log.base().index
    }

    fn append(&mut self, to: NodeId, progress: &mut Progress, entries: Vec<Entry>) {
        let prev = progress.next.prev();
        let Some(prev_term) = self.log.term_at(prev) else { return };
        let entries = if progress.witness { witnessed(entries) } else { entries };
        let last = prev.plus(entries.len() as u64);
        let cost = entries.iter().map(Entry::cost).sum();
        match progress.mode {
            Mode::Probe { .. } => progress.mode = Mode::Probe { paused: true, sent: Some((last, cost)) },
            Mode::Replicate if entries.is_empty() => {}
            Mode::Replicate => {
                progress.inflight.push(last, cost);
                progress.next = last.next();
            }
            Mode::Snapshot => return,
        }
        progress.nudge = false;
        progress.told = progress.told.max(self.commit.min(last));
        let message = Message::Append { prev: LogId::new(prev_term, prev), entries, commit: self.commit };
        self.outbox.send(Envelope { from: self.config.id, to, term: self.term, message });
    }

    fn fetch(&mut self, to: NodeId, progress: &mut Progress, last: Index) {
        // What is not durable is in memory, so that only what is on disk is asked for.
        let last = last.min(self.log.durable());
        let (first, max_bytes) = (progress.next, self.config.append_bytes);
        if let Some(id) = self.fetches.start(self.now, Purpose::Peer(to), first) {
            progress.fetch = Some(id);
            self.outbox.push(Effect::Fetch { id, first, last, max_bytes });
        }
    }

    /// Asks for a snapshot, unless one is on its way. Only for a peer that lives: to a dead one the state would be
    /// read for nothing.
    fn snapshot(&mut self, to: NodeId, progress: &mut Progress) {
        let may_send = match progress.mode {
            Mode::Probe { paused, .. } => !paused,
            Mode::Replicate => true,
            Mode::Snapshot => false,
        };
        // Nor to one that is leaving: the state is more than it need know.
        if may_send && progress.recent && progress.farewell.is_none() {
            progress.probe(progress.next, true);
            if progress.witness {
                self.place_witness(to);
                return;
            }
            progress.mode = Mode::Snapshot;
            let at_least = self.log.base().index;
            self.outbox.push(Effect::SendSnapshot { to, term: self.term, at_least });
        }
    }

    /// Tells a witness where its log begins anew. It has no state, so that nothing is streamed to it: this message is the
    /// snapshot. It stands for all that is committed here, as far as the membership at that place is known. Should it be
    /// lost, the next sign of life repeats it.
    fn place_witness(&mut self, to: NodeId) {
        let at = self.commit;
        let membership = self.members.at(at).clone();
        let Some(term) = self.log.term_at(at).filter(|_| membership.fault().is_none()) else { return };
        let message = Message::Snapshot { last: LogId::new(term, at), membership };
        self.outbox.send(Envelope { from: self.config.id, to, term: self.term, message });
    }
}

fn witnessed(entries: Vec<Entry>) -> Vec<Entry> {
    entries.into_iter().map(Entry::witnessed).collect()
}
