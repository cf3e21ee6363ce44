//! Catching up without a leader: who is refused for a stale log pulls what it lacks from its refuser, and campaigns
//! again.
//!
//! PreVote and CheckQuorum leave one graph of links in which a group that could elect somebody never does: the only
//! node that reaches a majority lacks an entry that the others have, and nobody else reaches a majority to elect the
//! one that has it. The argument that a pull is sound, the rules, and what goes wrong without each are in
//! `docs/design/elections.md`. In short:
//!
//! - Only who hears of no leader takes what it pulled, and only a log that is *newer* as a whole: it replaces its own
//!   end in one write, by entries that reach beyond it in term or, in the same term, in position.
//! - Whoever drops entries that way leaves the term, unless the pulled log ends in it: what it acknowledged in the term
//!   may be among them.
//! - Nothing that was pulled is acknowledged or committed by the pull. A later leader does that by its own rules.
//!
//! No side remembers anything between two messages, so that any of them may be lost, late or repeated.

use crate::effect::{Alarm, Effect};
use crate::entry::Entry;
use crate::fetch::Purpose;
use crate::id::{Index, LogId, NodeId};
use crate::message::{Envelope, Message};
use crate::mutant::Mutant;
use crate::node::Node;
use crate::role::Role;

/// How many appends' worth of entries one reply may carry when fewer do not reach beyond the asker's log.
const STRETCH: u64 = 16;

impl Node {
    /// A voter refused: perhaps because it has more. It says nothing if not.
    pub(crate) fn pull(&mut self, from: NodeId) {
        if matches!(self.role, Role::PreCandidate(_) | Role::Candidate(_)) {
            self.ask_for_more(from, self.log.last());
        }
    }

    fn ask_for_more(&mut self, of: NodeId, after: LogId) {
        let message = Message::Pull { after, last: self.log.last() };
        let (from, term) = (self.config.id, self.hard_state.term);
        // Promises nothing, and enters no term at the receiver.
        self.outbox.send(Envelope { from, to: of, term, message });
    }

    /// A node that nobody elects asks for what follows `after` in this log. Changes nothing here.
    pub(crate) fn handle_pull(&mut self, from: NodeId, after: LogId, last: LogId) {
        // A leader that lives brings everybody up to date by itself; who hears one would refuse the asker in any case.
        let is_led = matches!(self.role, Role::Leader(_)) || self.is_sticky();
        // A witness has no commands to give, and who is no member is told nothing.
        let may_tell = !self.config.witness && self.members.current().contains(from);
        if is_led || !may_tell || self.installing.is_some() || last >= self.log.last() {
            return;
        }
        if self.log.matches(after) {
            self.tell(from, after, last);
        } else if let Some(prev) = self.log.floor(after.index, after.term) {
            let message = Message::PullReply { prev, entries: Vec::new(), last: self.log.last() };
            self.send(from, message);
        }
        // Otherwise the logs part in what is compacted here: a leader's snapshot has to help.
    }

    /// Sends the entries after `prev`, read from disk if need be.
    fn tell(&mut self, to: NodeId, prev: LogId, past: LogId) {
        let (first, end) = (prev.index.next(), self.log.last().index);
        for max_bytes in [self.config.append_bytes, self.config.append_bytes.saturating_mul(STRETCH)] {
            match self.log.recent(first, end, max_bytes) {
                Some(entries) if entries.last().is_some_and(|entry| entry.id > past) => {
                    let message = Message::PullReply { prev, entries, last: self.log.last() };
                    return self.send(to, message);
                }
                // More of them may reach far enough.
                Some(_) => {}
                None => return self.fetch_for_pull(to, first, past, max_bytes.saturating_mul(STRETCH)),
            }
        }
    }

    fn fetch_for_pull(&mut self, to: NodeId, first: Index, past: LogId, max_bytes: u64) {
        // What is not durable is in memory, so that only what is on disk is asked for.
        let last = self.log.durable();
        if last < first || self.fetches.is_pulling(to) {
            return;
        }
        if let Some(id) = self.fetches.start(self.now, Purpose::Pull(to, past), first) {
            self.outbox.push(Effect::Fetch { id, first, last, max_bytes });
        }
    }

    /// Entries that were read from disk for one that pulls, if they reach beyond the log that it had.
    pub(crate) fn send_pulled(&mut self, to: NodeId, past: LogId, entries: Vec<Entry>) {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return };
        let prev = first.id.index.prev();
        let Some(term) = self.log.term_at(prev) else { return };
        if last.id > past {
            let message = Message::PullReply { prev: LogId::new(term, prev), entries, last: self.log.last() };
            self.send(to, message);
        }
    }

    /// What a refuser has after `prev`; its log ends with `last`. Without entries, `prev` is where the logs could agree.
    pub(crate) fn handle_pull_reply(&mut self, from: NodeId, prev: LogId, entries: Vec<Entry>, last: LogId) {
        if self.leader().is_some() || !self.may_campaign() || self.installing.is_some() {
            return;
        }
        let own = self.log.last();
        let Some(end) = entries.last().map(|entry| entry.id) else {
            if last > own
                && let Some(after) = self.log.floor(prev.index, prev.term)
            {
                self.ask_for_more(from, after);
            }
            return;
        };
        let is_newer = end > own || self.config.mutated(Mutant::PullUnchecked);
        // An answer to an earlier question may come when the log is another one.
        if !is_newer || !self.log.matches(prev) {
            return;
        }
        if let Some(index) = self.committed_conflict(prev, &entries) {
            self.outbox.alarm(Alarm::CommittedConflict { from, index });
            return;
        }
        let drops = entries.iter().any(|entry| entry.id.index <= own.index && !self.log.matches(entry.id));
        let term = self.hard_state.term;
        // What is dropped may have been acknowledged in this term to its leader, which takes it for held ever after.
        let leaves = drops && end.term < term && !self.config.mutated(Mutant::PullKeepsTerm);
        self.become_follower(if leaves { term.next() } else { term }, None);
        if !self.store(from, entries) {
            return;
        }
        if end == last {
            self.election_due();
        } else {
            self.ask_for_more(from, end);
        }
    }
}
