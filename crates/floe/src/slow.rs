//! Says what took a disk so long that clients notice: the first question after a stall is whose it was.

use std::time::{Duration, Instant};

/// What etcd warns of at a second: by then clients have begun to try elsewhere.
const SLOW: Duration = Duration::from_millis(500);

/// Does something with a disk, and warns if that took long.
pub(crate) fn timed<T>(what: &'static str, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let outcome = work();
    let took = begun.elapsed();
    if took >= SLOW {
        tracing::warn!(took_ms = took.as_millis() as u64, what, "the disk is slow");
    }
    outcome
}
