//! Who leads: timeouts, pre-votes, votes, and the four transitions between roles.
//!
//! A vote or a request for one is not sent before term and vote are durable (raft paper 5.2; sofa-jraft #1245 asked
//! first and could vote twice after a crash): [`Node::send`] holds it back. An own vote is counted when it is
//! durable, too, so that even a group of one leads only by a vote on disk.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::entry::{Entry, EntryKind, HardState};
use crate::id::{LogId, NodeId, Round, Term, Time};
use crate::lease::Grounds;
use crate::message::{Envelope, Message};
use crate::mutant::Mutant;
use crate::node::Node;
use crate::priority::Preference;
use crate::quorum::Verdict;
use crate::reads::LeaderReads;
use crate::replication::progress::Progress;
use crate::role::Role;
use crate::role::candidate::Candidate;
use crate::role::follower::Follower;
use crate::role::leader::{Leader, Uncommitted};

/// A leader whose process is known to be dead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LostLeader {
    pub(crate) leader: NodeId,
    /// The term that it led, or one in which this node has campaigned since.
    term: Term,
    /// Those who hear it longer than that hear one that lives.
    until: Time,
}

impl Node {
    /// A deadline that is drawn anew each time, in `[1, 2)` election timeouts from now, and later for those that are less
    /// preferred.
    pub(crate) fn draw_deadline(&mut self) -> Time {
        let timeout = self.config.election_timeout;
        if self.config.mutated(Mutant::EqualTimeouts) {
            return self.now.plus(timeout);
        }
        self.now.plus(timeout + self.random.below(timeout) + self.deference(timeout))
    }

    /// Nothing was heard of a leader, or nothing came of a campaign.
    pub(crate) fn election_due(&mut self) {
        // A node whose disk hangs would ask for votes that it could never use; and one that promised not to elect
        // anybody may not elect itself.
        let may_campaign = self.may_campaign() && !self.is_promised();
        if !may_campaign || self.installing.is_some() || self.is_disk_stalled() {
            self.become_follower(self.hard_state.term, None);
        } else if self.config.pre_vote {
            self.become_pre_candidate();
        } else {
            self.become_candidate(false);
        }
    }

    /// Follows `leader`, or waits for one; a higher term is entered with no vote cast. In the same term the vote
    /// stays: given back, it could be cast twice.
    pub(crate) fn become_follower(&mut self, term: Term, leader: Option<NodeId>) {
        debug_assert!(term >= self.hard_state.term);
        let reads = self.leave_role(leader);
        if term > self.hard_state.term {
            self.enter_term(HardState { term, vote: None });
        } else if self.config.mutated(Mutant::VoteGivenBack) {
            self.set_hard_state(HardState { term, vote: None });
        }
        let deadline = self.draw_deadline();
        let contact = leader.map(|_| self.now);
        self.role = Role::Follower(Follower::new(leader, contact, deadline));
        self.refuse_reads(reads);
    }

    /// Asks whether a campaign could succeed. Term and vote stay as they are.
    fn become_pre_candidate(&mut self) {
        let reads = self.leave_role(None);
        let deadline = self.draw_deadline();
        let mut candidate = Candidate::new(deadline);
        if let Some(lost) = self.known_dead() {
            candidate.record(lost.leader, false);
        }
        self.role = Role::PreCandidate(candidate);
        self.refuse_reads(reads);
        let message = Message::PreVote { last: self.log.last() };
        let term = self.hard_state.term.next();
        for to in self.other_voters() {
            // Speaks of a term that is not entered, and promises nothing: no need to wait for the disk.
            self.outbox.send(Envelope { from: self.config.id, to, term, message: message.clone() });
        }
        self.count(self.config.id, true);
    }

    /// Campaigns in a new term, with the own vote.
    pub(crate) fn become_candidate(&mut self, transfer: bool) {
        let reads = self.leave_role(None);
        let lost = self.known_dead();
        let term = self.hard_state.term.next();
        self.enter_term(HardState { term, vote: Some(self.config.id) });
        let deadline = self.draw_deadline();
        let mut candidate = Candidate::new(deadline);
        if let Some(lost) = lost {
            candidate.record(lost.leader, false);
            self.lost_leader = Some(LostLeader { term, ..lost });
        }
        self.role = Role::Candidate(candidate);
        self.refuse_reads(reads);
        let message = Message::Vote { last: self.log.last(), transfer };
        for to in self.other_voters() {
            self.send(to, message.clone());
        }
    }

    /// A quorum voted for this node: it leads from here on, and commits what came before by an entry of its own
    /// term (raft paper figure 8: an older entry on a majority can still be overwritten).
    fn become_leader(&mut self) {
        debug_assert!(matches!(self.role, Role::Candidate(_)));
        debug_assert_eq!(self.hard_state.vote, Some(self.config.id));
        debug_assert!(self.log.hard_state_write().is_none(), "a leader's term is durable");
        self.leave_role(None);
        let first = self.log.last().index.next();
        let membership = self.members.current();
        let progress: BTreeMap<_, _> = membership
            .members()
            .into_iter()
            .filter(|peer| *peer != self.config.id)
            .map(|peer| (peer, Progress::new(first, membership.is_witness(peer))))
            .collect();
        let mut uncommitted = Uncommitted::default();
        uncommitted.push(Entry::OVERHEAD);
        self.role = Role::Leader(Box::new(Leader {
            progress,
            first,
            round: Round(0),
            beat: true,
            heartbeat_at: self.now,
            check_at: self.now.plus(self.config.election_timeout),
            uncommitted,
            reads: LeaderReads::default(),
            transfer: None,
            grounds: Grounds::default(),
            preference: Preference::default(),
        }));
        let id = LogId::new(self.hard_state.term, first);
        self.log.append(Entry { id, kind: EntryKind::Noop, payload: Bytes::new() });
    }

    fn enter_term(&mut self, hard_state: HardState) {
        debug_assert!(hard_state.term > self.hard_state.term);
        self.outbox.forget_waiting();
        self.taken.forget();
        self.set_hard_state(hard_state);
    }

    fn set_hard_state(&mut self, hard_state: HardState) {
        self.hard_state = hard_state;
        self.log.set_hard_state(hard_state);
    }

    fn other_voters(&self) -> Vec<NodeId> {
        let membership = self.members.current();
        membership
            .members()
            .into_iter()
            .filter(|id| *id != self.config.id && membership.is_voter(*id))
            .collect()
    }

    /// Whether this node has a leader that it must not help to depose.
    pub(crate) fn is_sticky(&self) -> bool {
        let hears_leader = match &self.role {
            Role::Follower(follower) => follower.is_sticky(self.now, self.config.election_timeout),
            Role::PreCandidate(_) | Role::Candidate(_) => false,
            // It steps down by itself when it cannot lead.
            Role::Leader(_) => true,
        };
        let is_sticky = self.config.check_quorum && !self.config.mutated(Mutant::NoStickiness);
        (is_sticky && hears_leader) || self.is_promised()
    }

    /// Whether a log that ends with `last` is not behind the own one.
    fn is_current(&self, last: LogId) -> bool {
        if self.config.mutated(Mutant::LongestLogWins) {
            return last.index >= self.log.last().index;
        }
        last >= self.log.last()
    }

    /// For the ledger of bugs: leads again after a restart, without an election.
    pub(crate) fn resume_leading(&mut self) {
        self.role = Role::Candidate(Candidate::new(self.now));
        self.become_leader();
    }

    pub(crate) fn handle_pre_vote(&mut self, from: NodeId, term: Term, last: LogId) {
        let own = self.hard_state;
        let is_free = match own.vote {
            Some(vote) => vote == from,
            None => self.leader().is_none(),
        };
        // One whose disk hangs could not: its vote would have to be on it.
        let could_vote = (term > own.term || (term == own.term && is_free)) && !self.is_disk_stalled();
        let granted = could_vote && self.is_current(last) && !self.is_sticky();
        if granted && self.config.mutated(Mutant::PreVoteVotes) {
            self.set_hard_state(HardState { term: own.term, vote: Some(from) });
        }
        // A grant answers in the term it was asked for; a refusal in the own one: a node that is behind catches up
        // on the term, without which two halves can refuse each other for ever (openraft #1796).
        let term = if granted { term } else { own.term };
        let message = Message::PreVoteReply { granted };
        self.outbox.send(Envelope { from: self.config.id, to: from, term, message });
    }

    /// A pre-vote was granted for the campaign of `term`. One for another, or one that arrives when the campaign has
    /// begun, is nobody's vote.
    pub(crate) fn handle_pre_vote_granted(&mut self, from: NodeId, term: Term) {
        if matches!(self.role, Role::PreCandidate(_)) && term == self.hard_state.term.next() {
            self.count(from, true);
        }
        let is_asked = matches!(self.role, Role::Candidate(_)) && term == self.hard_state.term;
        if is_asked && self.config.mutated(Mutant::PreVoteCounts) {
            self.count(from, true);
        }
    }

    /// A pre-vote was refused in this node's own term.
    pub(crate) fn handle_pre_vote_refused(&mut self, from: NodeId) {
        if matches!(self.role, Role::PreCandidate(_)) {
            self.pull(from);
            self.count(from, false);
        }
    }

    pub(crate) fn handle_vote(&mut self, from: NodeId, term: Term, last: LogId, transfer: bool) {
        if term < self.hard_state.term {
            // Says the term and nothing more, as to every message of an old one.
            self.send(from, Message::HeartbeatReply { round: Round(0) });
            return;
        }
        let due = Some(self.role.deadline()).filter(|_| !self.is_leader());
        if term > self.hard_state.term {
            // Its term is not even looked at: a node that was removed, or that hears nobody, cannot depose a leader
            // that the others hear. If it belongs to the group, its answers to the leader's messages carry its term.
            if self.is_sticky() && !transfer {
                return;
            }
            self.become_follower(term, None);
        }
        let is_free = match self.hard_state.vote {
            Some(vote) => vote == from,
            None => self.leader().is_none(),
        };
        // Membership is not asked for: a learner that was made a voter may not know it yet, and its vote may be the
        // one that is needed (etcd #10998).
        // The term may have come from elsewhere than the leader that it was promised to. A vote that is given already
        // is only repeated.
        let is_bound = self.is_promised() && !transfer && self.hard_state.vote != Some(from);
        let is_bound = is_bound && !self.config.mutated(Mutant::PromiseOfOneTerm);
        let mut granted = is_free && self.is_current(last) && !is_bound;
        if self.config.mutated(Mutant::LearnerRefuses) {
            granted &= self.members.current().is_voter(self.config.id);
        }
        if granted && self.hard_state.vote.is_none() {
            self.become_follower(term, None);
            self.set_hard_state(HardState { term, vote: Some(from) });
        }
        // A candidate that gets no vote does not put this node's own campaign off. Else one that cannot win, but asks
        // sooner each time, would keep the only one that can from ever asking.
        if let (Role::Follower(follower), Some(due), false) = (&mut self.role, due, granted) {
            follower.deadline = follower.deadline.min(due);
        }
        self.send(from, Message::VoteReply { granted });
    }

    pub(crate) fn handle_vote_reply(&mut self, from: NodeId, granted: bool) {
        if matches!(self.role, Role::Candidate(_)) {
            if !granted {
                self.pull(from);
            }
            self.count(from, granted || self.config.mutated(Mutant::RefusalCounts));
        }
    }

    /// The own vote is durable.
    pub(crate) fn count_own_vote(&mut self) {
        if matches!(self.role, Role::Candidate(_)) && self.log.hard_state_write().is_none() {
            self.count(self.config.id, true);
        }
    }

    /// Notes an answer to the campaign that is under way, and acts when it decides it.
    fn count(&mut self, voter: NodeId, granted: bool) {
        let membership = self.members.current();
        let (Role::PreCandidate(candidate) | Role::Candidate(candidate)) = &mut self.role else { return };
        if !membership.is_voter(voter) {
            return;
        }
        candidate.record(voter, granted);
        match self.members.quorum().verdict(|id| candidate.votes.get(&id).copied()) {
            Verdict::Pending => {}
            Verdict::Lost => {
                self.become_follower(self.hard_state.term, None);
                self.hurry();
            }
            Verdict::Won => match self.role {
                Role::PreCandidate(_) => self.become_candidate(false),
                Role::Candidate(_) => self.become_leader(),
                Role::Follower(_) | Role::Leader(_) => {}
            },
        }
    }

    /// The peer's process is dead, by the word of its kernel. If it led, nobody need wait for it: this node asks for
    /// pre-votes soon, and those with the same evidence grant them. False evidence changes nothing: voters that hear
    /// the leader refuse.
    ///
    /// Not so with leases: a leader counts on what its followers promised, and what is dead may be only its listener.
    pub(crate) fn leader_gone(&mut self, peer: NodeId) {
        let Role::Follower(follower) = &self.role else { return };
        // One that got this node's vote may lead without that it was heard of since.
        let led = match follower.leader {
            Some(leader) => leader == peer,
            None => self.hard_state.vote == Some(peer),
        };
        if !led {
            return;
        }
        if self.config.lease.is_some() {
            self.drop_forwards(None);
            return;
        }
        self.become_follower(self.hard_state.term, None);
        let until = self.now.plus(self.config.election_timeout);
        self.lost_leader = Some(LostLeader { leader: peer, term: self.hard_state.term, until });
        self.hurry();
    }

    /// The leader of this term, if its process is known to be dead: it does not answer, and to wait for it would be to wait
    /// for the deadline. Two survivors of three that campaign at the same moment have one vote each; counted as a refusal, the
    /// dead one's decides that at once, and they ask again as soon as before.
    fn known_dead(&self) -> Option<LostLeader> {
        self.lost_leader.filter(|lost| lost.term == self.hard_state.term)
    }

    /// Campaigns soon, if the leader of the term is known to be dead. Voters that do not know it yet refuse; they learn
    /// it within moments as a rule, so that this node asks again and again, for an election timeout. It asks only: no term
    /// rises.
    fn hurry(&mut self) {
        let is_lost = self.known_dead().is_some_and(|lost| self.now < lost.until);
        if is_lost && self.config.pre_vote {
            let interval = self.config.heartbeat_interval;
            let soon = self.now.plus(self.random.below(interval) + self.deference(interval));
            let Role::Follower(follower) = &mut self.role else { return };
            follower.deadline = soon;
        }
    }

    /// What a node does first: a voter that is alone leads at once, since there is nobody to wait for.
    pub(crate) fn first_deadline(&mut self) -> Time {
        let membership = self.members.current();
        let alone = membership.members().len() == 1 && membership.is_voter(self.config.id);
        if alone { self.now.max(self.promised_until) } else { self.draw_deadline() }
    }
}
