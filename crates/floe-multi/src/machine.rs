//! What a machine knows of another one, and what it has to tell it.

use std::collections::VecDeque;
use std::time::Duration;

use floe_raft::{NodeId, Time};

use crate::beat::{Answer, Beat, Echo, Heartbeat};
use crate::vouch::{Vouched, Vouching};

/// Lives of a machine that ended and are remembered, so that no late beat of theirs is taken for a new start.
const ENDED_LIVES: usize = 8;

/// Another machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Machine {
    /// Its present life, once it was heard.
    life: Option<u64>,
    ended: VecDeque<u64>,
    /// The stamp of the last beat of this life.
    stamp: u64,
    /// When that came.
    pub(crate) heard: Option<Time>,
    /// The stamp of our last beat that it has heard, or when we began to vouch to it: since then it may be silent.
    pub(crate) echoed: Time,
    pub(crate) vouching: Vouching,
    pub(crate) vouched: Vouched,
    pub(crate) heartbeats: Vec<Heartbeat>,
    pub(crate) answers: Vec<Answer>,
    /// A beat goes out with the next drain even if it carries nothing else.
    pub(crate) due: bool,
}

/// What the head of a beat says about its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// Of an earlier life, or not newer than what was heard.
    Old,
    /// Its process lives.
    Alive,
    /// It is another process than before.
    Restarted,
}

impl Machine {
    /// Takes in who sent a beat, and when.
    pub(crate) fn hear(&mut self, now: Time, life: u64, stamp: u64) -> Sign {
        if self.ended.contains(&life) {
            return Sign::Old;
        }
        let sign = match self.life {
            Some(known) if known == life && stamp <= self.stamp => return Sign::Old,
            Some(known) if known == life => Sign::Alive,
            Some(known) => {
                if self.ended.len() == ENDED_LIVES {
                    self.ended.pop_front();
                }
                self.ended.push_back(known);
                Sign::Restarted
            }
            None => Sign::Alive,
        };
        self.life = Some(life);
        self.stamp = stamp;
        self.heard = Some(now);
        sign
    }

    /// Whether it was heard within this time.
    pub(crate) fn is_alive(&self, now: Time, within: Duration) -> bool {
        self.heard.is_some_and(|heard| now.since(heard) < within)
    }

    /// When it is silent if it does not echo or vouch before.
    pub(crate) fn silent_at(&self, patience: Duration) -> Option<Time> {
        let echo = (!self.vouching.is_empty()).then(|| self.echoed.plus(patience));
        let vouched = if self.vouched.is_empty() { None } else { self.vouched.at };
        let vouched = vouched.map(|at| at.plus(patience));
        [echo, vouched].into_iter().flatten().min()
    }

    /// Whether it gets a beat each interval: a group sleeps by one of us vouching to the other, or it has yet to hear
    /// that none does any more.
    pub(crate) fn wants_beats(&self, now: Time, patience: Duration) -> bool {
        !self.vouching.is_empty()
            || !self.vouched.is_empty()
            || (self.vouching.is_behind() && self.is_alive(now, patience))
    }

    /// The beat that is to go out, if any.
    pub(crate) fn take_beat(&mut self, from: NodeId, to: NodeId, life: u64, stamp: u64) -> Option<Beat> {
        if !self.due && self.heartbeats.is_empty() && self.answers.is_empty() {
            return None;
        }
        self.due = false;
        let echo = self.life.map(|life| Echo { life, stamp: self.stamp, version: self.vouched.version() });
        Some(Beat {
            from,
            to,
            life,
            stamp,
            echo,
            vouch: self.vouching.news(),
            refusals: self.vouched.refusals(),
            heartbeats: std::mem::take(&mut self.heartbeats),
            answers: std::mem::take(&mut self.answers),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_of_an_ended_life_or_a_repeated_one_is_no_sign_of_life() {
        let mut machine = Machine::default();
        assert_eq!(machine.hear(Time(1), 7, 10), Sign::Alive);
        assert_eq!(machine.hear(Time(2), 7, 10), Sign::Old);
        assert_eq!(machine.hear(Time(3), 7, 11), Sign::Alive);
        assert_eq!(machine.hear(Time(4), 8, 1), Sign::Restarted);
        assert_eq!(machine.hear(Time(5), 7, 12), Sign::Old);
        assert_eq!(machine.heard, Some(Time(4)));
        for life in 9..30 {
            assert_eq!(machine.hear(Time(6), life, 1), Sign::Restarted);
        }
        assert_eq!(machine.ended.len(), ENDED_LIVES);
    }
}
