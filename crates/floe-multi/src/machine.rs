//! What a machine knows of another one, and what it has to tell it.

use std::time::Duration;

use floe_raft::{NodeId, Time};

use crate::beat::{Answer, Beat, Echo, Heartbeat};
use crate::vouch::{Vouched, Vouching};

/// Another machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Machine {
    /// Its present life, once it was heard.
    life: Option<u64>,
    /// The stamp of the last beat of this life.
    stamp: u64,
    /// A beat of another life came. Which of the two is the later one nobody can tell from it.
    stranger: Option<Stranger>,
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

/// Another life of a machine than the one that is known.
#[derive(Clone, Copy, Debug)]
struct Stranger {
    life: u64,
    /// The stamp of its last beat.
    stamp: u64,
    /// The stamp of our last beat when its first one came.
    ours: u64,
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
    /// Takes in who sent a beat, and when. `answered` is the stamp of ours that it echoes, if it echoes one of this life.
    ///
    /// A beat of another life than the known one comes from a new process or, late, from one that ended long ago. To
    /// take the late one for a new start would mean to take the living process for the dead one from then on. So
    /// another life is believed only when it has answered a beat that was sent after it was first seen.
    pub(crate) fn hear(&mut self, now: Time, beat: (u64, u64), answered: Option<u64>, ours: u64) -> Sign {
        let (life, stamp) = beat;
        let sign = match self.life {
            Some(known) if known == life && stamp <= self.stamp => return Sign::Old,
            Some(known) if known == life => Sign::Alive,
            Some(_) => {
                let seen = self.stranger.filter(|stranger| stranger.life == life);
                let seen = seen.unwrap_or(Stranger { life, stamp, ours });
                if answered.is_none_or(|answered| answered <= seen.ours) {
                    self.stranger = Some(Stranger { stamp: seen.stamp.max(stamp), ..seen });
                    self.due = true;
                    return Sign::Old;
                }
                Sign::Restarted
            }
            None => {
                self.due = true;
                Sign::Alive
            }
        };
        self.life = Some(life);
        self.stamp = stamp;
        self.stranger = None;
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
        let known = self.life.map(|life| Echo { life, stamp: self.stamp, version: self.vouched.version() });
        // One that is not believed yet hears that it was heard, and answers.
        let stranger = self.stranger.map(|Stranger { life, stamp, .. }| Echo { life, stamp, version: 0 });
        let echo = stranger.or(known);
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
    fn a_repeated_beat_is_no_sign_of_life() {
        let mut machine = Machine::default();
        assert_eq!(machine.hear(Time(1), (7, 10), None, 100), Sign::Alive);
        assert_eq!(machine.hear(Time(2), (7, 10), None, 100), Sign::Old);
        assert_eq!(machine.hear(Time(3), (7, 11), None, 100), Sign::Alive);
        assert_eq!(machine.heard, Some(Time(3)));
    }

    #[test]
    fn another_life_is_believed_when_it_answers_what_was_said_after_it_was_first_seen() {
        let mut machine = Machine::default();
        assert_eq!(machine.hear(Time(1), (7, 10), None, 100), Sign::Alive);
        // A late one of a life before that, again and again: it echoes what was said long ago.
        for time in 2..9 {
            assert_eq!(machine.hear(Time(time), (6, 50), Some(90), 100 + time), Sign::Old);
        }
        assert_eq!(machine.hear(Time(10), (7, 11), Some(110), 111), Sign::Alive);
        // A new one is asked, and answers.
        assert_eq!(machine.hear(Time(11), (8, 1), None, 120), Sign::Old);
        let asked = machine.take_beat(NodeId(1), NodeId(2), 5, 121).and_then(|beat| beat.echo);
        assert_eq!(asked, Some(Echo { life: 8, stamp: 1, version: 0 }));
        assert_eq!(machine.hear(Time(12), (8, 2), Some(120), 121), Sign::Old);
        assert_eq!(machine.hear(Time(13), (8, 3), Some(121), 121), Sign::Restarted);
        assert_eq!(machine.hear(Time(14), (7, 99), Some(111), 122), Sign::Old);
        assert_eq!(machine.hear(Time(15), (8, 4), Some(122), 123), Sign::Alive);
    }
}
