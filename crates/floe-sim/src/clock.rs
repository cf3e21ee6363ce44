//! True time, and each host's own idea of it: clocks that run too fast or too slowly and that jump ahead.
//!
//! A host's clock never goes back, as the boot-time clock of an operating system does not.

use floe_raft::Time;

/// Nanoseconds of true time since the world began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

/// Nanoseconds in a millisecond.
pub(crate) const MS: u64 = 1_000_000;

/// Nanoseconds in a second.
pub(crate) const SECOND: u64 = 1_000 * MS;

/// The time of day at which every world begins, in milliseconds since 1970.
pub(crate) const DAWN_MS: u64 = 1_700_000_000_000;

impl Moment {
    /// The moment this many nanoseconds later.
    pub fn plus(self, after: u64) -> Self {
        Self(self.0.saturating_add(after))
    }

    /// Nanoseconds since an earlier moment; zero if it lies ahead.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// One host's clock: a line through (true, local) with a slope.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    anchor: Moment,
    local_at_anchor: u64,
    rate: Rate,
    /// What it showed at the beginning of the world.
    first: u64,
}

/// Local nanoseconds in 1,024 true ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub u32);

impl Rate {
    /// A clock that is right.
    pub(crate) const TRUE: Self = Self(1_024);
}

impl Clock {
    /// A clock that shows `local` at the beginning of the world. Machines were not booted at one moment.
    pub(crate) fn new(local: u64) -> Self {
        Self { anchor: Moment(0), local_at_anchor: local, rate: Rate::TRUE, first: local }
    }

    pub(crate) fn local(&self, now: Moment) -> Time {
        let elapsed = u128::from(now.since(self.anchor)) * u128::from(self.rate.0) / 1_024;
        Time(self.local_at_anchor + elapsed as u64)
    }

    /// The time of day, in milliseconds, by this clock. It was right at the beginning.
    pub(crate) fn wall_ms(&self, now: Moment) -> u64 {
        DAWN_MS + (self.local(now).0 - self.first) / MS
    }

    /// The first moment at which the clock shows `local` or later, if nothing changes its rate.
    pub(crate) fn moment_of(&self, local: Time) -> Moment {
        let ahead = u128::from(local.0.saturating_sub(self.local_at_anchor)) * 1_024;
        let elapsed = ahead.div_ceil(u128::from(self.rate.0));
        self.anchor.plus(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }

    pub(crate) fn rate(&self) -> Rate {
        self.rate
    }

    pub(crate) fn set_rate(&mut self, now: Moment, rate: Rate) {
        *self = Self { anchor: now, local_at_anchor: self.local(now).0, rate, ..*self };
    }

    pub(crate) fn jump(&mut self, now: Moment, ahead: u64) {
        *self = Self { anchor: now, local_at_anchor: self.local(now).0 + ahead, ..*self };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_reached_exactly_when_it_is_due() {
        for rate in [512, 700, 1_024, 1_999, 2_048] {
            let mut clock = Clock::new(12_345);
            clock.set_rate(Moment(1_000), Rate(rate));
            clock.jump(Moment(5_000), 77);
            for ahead in [0, 1, 2, 3, 999, 1_000_003] {
                let deadline = Time(clock.local(Moment(5_000)).0 + ahead);
                let due = clock.moment_of(deadline);
                assert!(clock.local(due) >= deadline, "rate {rate}, ahead {ahead}");
                assert!(due == Moment(5_000) || clock.local(Moment(due.0 - 1)) < deadline);
            }
        }
    }

    #[test]
    fn a_clock_never_goes_back() {
        let mut clock = Clock::new(0);
        let mut last = clock.local(Moment(0));
        for step in 1..200u64 {
            let now = Moment(step * 1_001);
            clock.set_rate(now, Rate(512 + (step as u32 * 97) % 1_536));
            let local = clock.local(now);
            assert!(local >= last);
            last = local;
        }
    }
}
