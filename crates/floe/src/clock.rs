//! The time of a node: nanoseconds since it started, monotonic.

use std::time::{Duration, Instant};

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
