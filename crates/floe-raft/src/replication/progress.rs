//! What a leader knows of one peer, and how it sends to it.

use std::time::Duration;

use crate::id::{FetchId, Index, Round, Time};
use crate::replication::inflight::Inflight;
use crate::status::{ProgressState, ProgressStatus};

/// How entries are sent to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// One append, then wait for its answer: where the logs agree is not known, or messages were lost. A paused
    /// probe goes on with the peer's next sign of life, so that a dead peer costs one message a heartbeat.
    Probe {
        /// The probe is sent, or none is to be for now.
        paused: bool,
        /// Where the probe ended and what its entries cost: they came with it, and need not be sent again.
        sent: Option<(Index, u64)>,
    },
    /// As many as the window admits, each after the one before without waiting.
    Replicate,
    /// None, until a snapshot has arrived.
    Snapshot,
}

/// The parting with a peer that the membership in force does not contain any more. It is sent the entry that removed
/// it and the news that this is committed, so that it stops campaigning by itself. It counts for nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Farewell {
    /// The entry that removed it.
    pub(crate) removal: Index,
    /// The first heartbeat that told it of the commit.
    pub(crate) round: Option<Round>,
    /// When to give it up; set when the removal is committed.
    pub(crate) deadline: Option<Time>,
}

/// What a leader knows of one peer.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    /// Known to agree with the leader and to be durable at the peer. Monotonically increases within a term.
    pub(crate) matched: Index,
    /// The next entry to send. Invariant: `matched < next`.
    pub(crate) next: Index,
    pub(crate) mode: Mode,
    /// It gets no commands, and no snapshot but the place that it stands for.
    pub(crate) witness: bool,
    /// Empty unless replicating.
    pub(crate) inflight: Inflight,
    /// Answered since the last quorum check, or was added since: a leader must not step down for a voter that had no
    /// time to answer.
    pub(crate) recent: bool,
    /// When it answered last.
    answered: Option<Time>,
    /// While it is leaving.
    pub(crate) farewell: Option<Farewell>,
    /// The latest heartbeat answered.
    pub(crate) round: Round,
    /// The largest commit index that an append told the peer and that it could act on.
    pub(crate) told: Index,
    /// The peer lives and has not acknowledged everything: repeat where it should stand, so that the loss of the
    /// last append (or of its answer) is noticed although nothing follows it.
    pub(crate) nudge: bool,
    /// Older entries are being read for the peer.
    pub(crate) fetch: Option<FetchId>,
}

impl Progress {
    /// Nothing is known yet; most likely the peer's log ends where the leader's does.
    pub(crate) fn new(next: Index, witness: bool) -> Self {
        Self {
            matched: Index::ZERO,
            next,
            mode: Mode::Probe { paused: false, sent: None },
            witness,
            inflight: Inflight::default(),
            recent: false,
            answered: None,
            farewell: None,
            round: Round(0),
            told: Index::ZERO,
            nudge: false,
            fetch: None,
        }
    }

    /// A peer that the entry at `at` makes a member.
    pub(crate) fn added(at: Index, witness: bool) -> Self {
        Self { recent: true, ..Self::new(at, witness) }
    }

    /// The peer answered something.
    pub(crate) fn answer(&mut self, now: Time) {
        self.recent = true;
        self.answered = Some(now);
    }

    /// When it answered last.
    pub(crate) fn answered_at(&self) -> Option<Time> {
        self.answered
    }

    /// Whether it answered within this time.
    pub(crate) fn is_active(&self, now: Time, within: Duration) -> bool {
        self.answered.is_some_and(|answered| now.since(answered) < within)
    }

    /// The host did not call the leader for a while, and saw the peer last at `seen`. An answer from before counts for
    /// no quorum check.
    pub(crate) fn resumed(&mut self, seen: Option<Time>) {
        self.recent = false;
        self.answered = self.answered.max(seen);
    }

    /// Its process is dead: nothing that was under way arrives, and no answer comes.
    pub(crate) fn gone(&mut self) {
        self.probe(self.next, true);
        self.recent = false;
        self.answered = None;
    }

    /// Looks for agreement from `next` on.
    pub(crate) fn probe(&mut self, next: Index, paused: bool) {
        self.next = next.max(self.matched.next());
        self.mode = Mode::Probe { paused, sent: None };
        self.inflight.clear();
        self.told = Index::ZERO;
        self.nudge = false;
        self.fetch = None;
    }

    /// The peer acknowledged everything up to `matched`.
    pub(crate) fn acknowledge(&mut self, matched: Index, base: Index) {
        self.matched = self.matched.max(matched);
        self.next = self.next.max(self.matched.next());
        match self.mode {
            Mode::Replicate => self.inflight.release(matched),
            // Some append of this leader was accepted, so that the one before the answer most likely was, with all
            // that it carried. If not, the next one is refused.
            Mode::Probe { sent, .. } => self.replicate(sent),
            // An append that was on its way when the snapshot was chosen may have been enough.
            Mode::Snapshot if self.matched >= base => self.replicate(None),
            Mode::Snapshot => {}
        }
    }

    fn replicate(&mut self, sent: Option<(Index, u64)>) {
        self.mode = Mode::Replicate;
        self.next = self.matched.next();
        self.inflight.clear();
        self.nudge = false;
        self.fetch = None;
        if let Some((last, bytes)) = sent
            && last > self.matched
        {
            self.inflight.push(last, bytes);
            self.next = last.next();
        }
    }

    /// The peer answered a heartbeat.
    pub(crate) fn alive(&mut self, now: Time, round: Round) {
        self.answer(now);
        self.round = self.round.max(round);
        match &mut self.mode {
            Mode::Probe { paused, .. } => *paused = false,
            Mode::Replicate => self.nudge = self.matched.next() < self.next,
            Mode::Snapshot => {}
        }
    }

    pub(crate) fn status(&self) -> ProgressStatus {
        ProgressStatus {
            matched: self.matched,
            next: self.next,
            state: match self.mode {
                Mode::Probe { .. } => ProgressState::Probe,
                Mode::Replicate => ProgressState::Replicate,
                Mode::Snapshot => ProgressState::Snapshot,
            },
            inflight: self.inflight.len(),
            recent: self.recent,
            leaving: self.farewell.is_some(),
        }
    }
}
