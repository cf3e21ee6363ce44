//! The time of a node: nanoseconds since it started, monotonic, and going on while the machine is suspended.
//!
//! A lease is a promise about time that really passes. The usual monotonic clock of Linux stands still while a virtual
//! machine is suspended; a leader that came back after a minute would answer reads by a lease that seems to have some
//! milliseconds left, and another leads since. So there the clock that counts suspended time is read. On other systems
//! the standard library's clock is; reads by lease are then right only on machines that are never suspended.

use std::time::Duration;

use floe_raft::Time;

/// Counts from its making. Starts at a second, so that "a moment ago" is never before zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    const OFFSET: Duration = Duration::from_secs(1);

    pub(crate) fn new() -> Self {
        Self { start: Instant::now() }
    }

    pub(crate) fn now(self) -> Time {
        Time(0).plus(self.start.elapsed() + Self::OFFSET)
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
use std::time::Instant;

/// A moment of the clock that counts suspended time.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[derive(Clone, Copy, Debug)]
struct Instant(Duration);

#[cfg(any(target_os = "linux", target_os = "android"))]
impl Instant {
    fn now() -> Self {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let (seconds, nanos) = (u64::try_from(now.tv_sec), u32::try_from(now.tv_nsec));
        Self(Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0)))
    }

    fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_and_never_goes_back() {
        let clock = Clock::new();
        let (mut last, begun) = (clock.now(), std::time::Instant::now());
        assert!(last >= Time(0).plus(Clock::OFFSET));
        while begun.elapsed() < Duration::from_millis(20) {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
        // Asked once more: on a busy machine the last look may have been long before the end of the loop.
        last = clock.now();
        assert!(last >= Time(0).plus(Clock::OFFSET + Duration::from_millis(19)), "{last:?}");
    }
}
