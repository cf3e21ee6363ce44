//! Everybody who waits for the driver: proposals, reads and questions, each answered exactly once.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use floe_raft::{Index, LogId, NodeId, ProposalId, ReadId, Term, Time};

use crate::completion::{Completer, Wakes};
use crate::error::{AskError, ProposeError, ReadError, UnknownCause};
use crate::handle::Applied;

/// Waits for the reply to a command.
pub(crate) struct Proposer<R>(pub(crate) Completer<Result<Applied<R>, ProposeError>>);

impl<R> Proposer<R> {
    pub(crate) fn refuse(self, error: ProposeError, wakes: &mut Wakes) {
        self.0.complete(Err(error), wakes);
    }
}

/// Proposals under way. Those with a place in the log wait for that entry to be applied here; those that were
/// passed on wait for the leader to name their place.
pub(crate) struct Proposals<R> {
    /// Ascending by index, then term. Nearly always appended at the end: a leader hands out ascending places.
    placed: VecDeque<Placed<R>>,
    forwarded: BTreeMap<ProposalId, Forwarded<R>>,
    next_id: u64,
}

struct Placed<R> {
    id: LogId,
    proposer: Proposer<R>,
}

struct Forwarded<R> {
    proposer: Proposer<R>,
    bytes: u64,
}

impl<R> Default for Proposals<R> {
    fn default() -> Self {
        Self { placed: VecDeque::new(), forwarded: BTreeMap::new(), next_id: 0 }
    }
}

impl<R> Proposals<R> {
    pub(crate) fn is_empty(&self) -> bool {
        self.placed.is_empty() && self.forwarded.is_empty()
    }

    /// The proposer waits for this entry.
    pub(crate) fn place(&mut self, id: LogId, proposer: Proposer<R>) {
        let key = (id.index, id.term);
        let at = match self.placed.back() {
            Some(last) if (last.id.index, last.id.term) > key => {
                self.placed.partition_point(|placed| (placed.id.index, placed.id.term) < key)
            }
            Some(_) | None => self.placed.len(),
        };
        self.placed.insert(at, Placed { id, proposer });
    }

    /// A name for a proposal that is about to be passed on.
    pub(crate) fn next_id(&mut self) -> ProposalId {
        self.next_id += 1;
        ProposalId(self.next_id)
    }

    /// The proposer waits for the leader's answer. The core gives one to each, if need be that nobody can say.
    pub(crate) fn forward(&mut self, proposal: ProposalId, bytes: u64, proposer: Proposer<R>) {
        self.forwarded.insert(proposal, Forwarded { proposer, bytes });
    }

    /// The leader answered: the proposer, and how many bytes it proposed.
    pub(crate) fn answered(&mut self, proposal: ProposalId) -> Option<(Proposer<R>, u64)> {
        self.forwarded.remove(&proposal).map(|forwarded| (forwarded.proposer, forwarded.bytes))
    }

    /// Takes all who wait for entries up to `last`, ascending.
    pub(crate) fn take_through(&mut self, last: Index) -> Vec<(LogId, Proposer<R>)> {
        let count = self.placed.partition_point(|placed| placed.id.index <= last);
        self.placed.drain(..count).map(|placed| (placed.id, placed.proposer)).collect()
    }

    /// Gives up everybody who waits for an entry of a term before this one: its leader is gone, and nothing says
    /// when or whether the entry will commit.
    pub(crate) fn give_up_before(&mut self, term: Term, wakes: &mut Wakes) {
        let (kept, late): (VecDeque<_>, Vec<_>) = {
            let mut late = Vec::new();
            let mut kept = VecDeque::with_capacity(self.placed.len());
            for placed in self.placed.drain(..) {
                if placed.id.term < term { late.push(placed) } else { kept.push_back(placed) }
            }
            (kept, late)
        };
        self.placed = kept;
        for placed in late {
            placed.proposer.refuse(ProposeError::Unknown(UnknownCause::LeaderChanged), wakes);
        }
    }

    /// Gives up everybody, because the node stops.
    pub(crate) fn give_up(&mut self, wakes: &mut Wakes) {
        let forwarded = std::mem::take(&mut self.forwarded).into_values().map(|forwarded| forwarded.proposer);
        for proposer in self.placed.drain(..).map(|placed| placed.proposer).chain(forwarded) {
            proposer.refuse(ProposeError::Unknown(UnknownCause::Shutdown), wakes);
        }
    }
}

/// Waits for a read to be confirmed.
pub(crate) struct ReadWaiter(pub(crate) Completer<Result<Index, ReadError>>);

/// Reads under way. All that were asked for between two drains share one round of the protocol.
#[derive(Default)]
pub(crate) struct Reads {
    rounds: BTreeMap<ReadId, Vec<ReadWaiter>>,
    next_id: u64,
}

impl Reads {
    pub(crate) fn is_empty(&self) -> bool {
        self.rounds.is_empty()
    }

    pub(crate) fn next_id(&mut self) -> ReadId {
        self.next_id += 1;
        ReadId(self.next_id)
    }

    pub(crate) fn wait(&mut self, read: ReadId, waiters: Vec<ReadWaiter>) {
        self.rounds.insert(read, waiters);
    }

    /// Answers everybody who shares this round.
    pub(crate) fn answer(&mut self, read: ReadId, outcome: Result<Index, ReadError>, wakes: &mut Wakes) {
        for waiter in self.rounds.remove(&read).unwrap_or_default() {
            waiter.0.complete(outcome, wakes);
        }
    }

    /// Gives up everybody, because the node stops.
    pub(crate) fn give_up(&mut self, wakes: &mut Wakes) {
        for waiter in std::mem::take(&mut self.rounds).into_values().flatten() {
            waiter.0.complete(Err(ReadError::Shutdown), wakes);
        }
    }
}

/// Questions to the leader under way.
#[derive(Default)]
pub(crate) struct Asks {
    /// Ascending ids, and so ascending deadlines.
    asked: BTreeMap<u64, Asked>,
    next_id: u64,
}

struct Asked {
    waiter: Completer<Result<Bytes, AskError>>,
    to: NodeId,
    deadline: Time,
}

impl Asks {
    /// Questions that may wait for their answers.
    pub(crate) const MAX: usize = 4096;

    pub(crate) fn is_full(&self) -> bool {
        self.asked.len() >= Self::MAX
    }

    pub(crate) fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub(crate) fn wait(
        &mut self,
        id: u64,
        to: NodeId,
        deadline: Time,
        waiter: Completer<Result<Bytes, AskError>>,
    ) {
        self.asked.insert(id, Asked { waiter, to, deadline });
    }

    /// An answer came. One from somebody who was not asked is ignored.
    pub(crate) fn answered(
        &mut self,
        from: NodeId,
        id: u64,
        answer: Result<Bytes, AskError>,
        wakes: &mut Wakes,
    ) {
        if self.asked.get(&id).is_some_and(|asked| asked.to == from)
            && let Some(asked) = self.asked.remove(&id)
        {
            asked.waiter.complete(answer, wakes);
        }
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.asked.first_key_value().map(|(_, asked)| asked.deadline)
    }

    pub(crate) fn expire(&mut self, now: Time, wakes: &mut Wakes) {
        while let Some(first) = self.asked.first_entry()
            && first.get().deadline <= now
        {
            first.remove().waiter.complete(Err(AskError::TimedOut), wakes);
        }
    }

    /// The connection to that member broke.
    pub(crate) fn lost(&mut self, to: NodeId, wakes: &mut Wakes) {
        for (_, asked) in self.asked.extract_if(.., |_, asked| asked.to == to) {
            asked.waiter.complete(Err(AskError::TimedOut), wakes);
        }
    }

    /// Gives up everybody, because the node stops.
    pub(crate) fn give_up(&mut self, wakes: &mut Wakes) {
        for asked in std::mem::take(&mut self.asked).into_values() {
            asked.waiter.complete(Err(AskError::Shutdown), wakes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::completion::{Completion, completion};

    type Answer = Result<Applied<u8>, ProposeError>;

    fn proposer() -> (Proposer<u8>, Completion<Answer>) {
        let (completer, completion) = completion();
        (Proposer(completer), completion)
    }

    /// The answer, if there is one by now.
    fn answer<T>(completion: &mut Completion<T>) -> Option<T> {
        match Pin::new(completion).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => answer,
            Poll::Pending => None,
        }
    }

    fn id(term: u64, index: u64) -> LogId {
        LogId::new(Term(term), Index(index))
    }

    #[test]
    fn those_who_wait_are_taken_in_log_order_whatever_order_they_came_in() {
        let mut proposals = Proposals::default();
        let mut completions = Vec::new();
        for place in [id(1, 5), id(1, 7), id(2, 6), id(2, 5), id(1, 9)] {
            let (proposer, completion) = proposer();
            proposals.place(place, proposer);
            completions.push(completion);
        }
        let taken: Vec<_> = proposals.take_through(Index(7)).into_iter().map(|(id, _)| id).collect();
        assert_eq!(taken, [id(1, 5), id(2, 5), id(2, 6), id(1, 7)]);
        assert!(!proposals.is_empty());
    }

    #[test]
    fn only_those_of_an_earlier_term_are_given_up() {
        let mut proposals = Proposals::default();
        let ((old, mut old_answer), (new, mut new_answer)) = (proposer(), proposer());
        proposals.place(id(1, 5), old);
        proposals.place(id(2, 6), new);
        proposals.give_up_before(Term(2), &mut Wakes::default());
        let unknown = ProposeError::Unknown(UnknownCause::LeaderChanged);
        assert_eq!(answer(&mut old_answer), Some(Err(unknown)));
        assert_eq!(answer(&mut new_answer), None);
        proposals.give_up(&mut Wakes::default());
        assert_eq!(answer(&mut new_answer), Some(Err(ProposeError::Unknown(UnknownCause::Shutdown))));
        assert!(proposals.is_empty());
    }

    #[test]
    fn a_question_is_answered_by_whom_it_was_put_to_or_by_nobody() {
        let mut asks = Asks::default();
        let mut completions = Vec::new();
        for (to, deadline) in [(2, 10), (3, 20), (3, 30)] {
            let (completer, completion) = completion();
            let id = asks.next_id();
            asks.wait(id, NodeId(to), Time(deadline), completer);
            completions.push(completion);
        }
        let wakes = &mut Wakes::default();
        asks.answered(NodeId(3), 1, Ok(Bytes::from_static(b"forged")), wakes);
        assert_eq!(answer(&mut completions[0]), None);
        assert_eq!(asks.deadline(), Some(Time(10)));
        asks.expire(Time(10), wakes);
        assert_eq!(answer(&mut completions[0]), Some(Err(AskError::TimedOut)));
        asks.answered(NodeId(3), 2, Ok(Bytes::from_static(b"true")), wakes);
        assert_eq!(answer(&mut completions[1]), Some(Ok(Bytes::from_static(b"true"))));
        asks.lost(NodeId(3), wakes);
        assert_eq!(answer(&mut completions[2]), Some(Err(AskError::TimedOut)));
        assert_eq!(asks.deadline(), None);
    }
}
