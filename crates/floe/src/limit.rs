//! One line a second at most: what strangers can cause must not fill a disk with logs.

use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(1);

/// Limits how often something is logged.
#[derive(Debug, Default)]
pub(crate) struct RateLimit {
    last: Option<Instant>,
    suppressed: u64,
}

impl RateLimit {
    /// Whether a line may be written now, and how many were not since the last one.
    pub(crate) fn permit(&mut self) -> Option<u64> {
        let now = Instant::now();
        if self.last.is_some_and(|last| now - last < INTERVAL) {
            self.suppressed += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_makes_one_line() {
        let mut limit = RateLimit::default();
        assert_eq!(limit.permit(), Some(0));
        for _ in 0..100 {
            assert_eq!(limit.permit(), None);
        }
        limit.last = limit.last.map(|last| last - INTERVAL);
        assert_eq!(limit.permit(), Some(100));
    }
}
