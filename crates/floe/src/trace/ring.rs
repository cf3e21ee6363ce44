//! The last lines of a trace, in memory, for those who ask.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use floe_raft::{NodeId, Time};

use crate::completion::lock;

/// Lines that are kept.
const LINES: usize = 4096;
/// For how long after a question lines are made though no file wants them.
const WATCHED_FOR: Duration = Duration::from_secs(30);

/// A part of a member's trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TracePage {
    /// The wall clock when the trace began, in microseconds since 1970: another one is the trace of another life.
    pub started_at_us: u64,
    /// The last event so far; what follows it comes with the next question.
    pub last: u64,
    /// Who the numbers of members are.
    pub members: BTreeMap<u64, NodeId>,
    /// The events, ascending, each a JSON object.
    pub lines: Vec<String>,
}

/// Shared by the driver, which adds, and by those who ask.
#[derive(Debug)]
pub(crate) struct Ring {
    started_at_us: u64,
    /// Nanoseconds of the node's clock.
    watched_until: AtomicU64,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<(u64, String)>,
    members: BTreeMap<u64, NodeId>,
}

impl Ring {
    pub(crate) fn new(started_at_us: u64) -> Self {
        Self { started_at_us, watched_until: AtomicU64::new(0), kept: Mutex::default() }
    }

    pub(crate) fn started_at_us(&self) -> u64 {
        self.started_at_us
    }

    /// Whether somebody asked lately.
    pub(crate) fn is_watched(&self, now: Time) -> bool {
        now.0 < self.watched_until.load(Ordering::Relaxed)
    }

    /// Moves lines in, unless somebody is reading right now: then they wait for the next turn.
    pub(super) fn add(&self, lines: &mut Vec<(u64, String)>, members: &BTreeMap<NodeId, u64>) {
        let Ok(mut kept) = self.kept.try_lock() else {
            let excess = lines.len().saturating_sub(LINES);
            lines.drain(..excess);
            return;
        };
        if kept.members.len() != members.len() {
            kept.members = members.iter().map(|(id, number)| (*number, *id)).collect();
        }
        kept.lines.extend(lines.drain(..));
        let excess = kept.lines.len().saturating_sub(LINES);
        kept.lines.drain(..excess);
    }

    /// At most `limit` lines after that event, and notes that somebody asks.
    pub(crate) fn page(&self, now: Time, after: u64, limit: usize) -> TracePage {
        self.watched_until.store(now.plus(WATCHED_FOR).0, Ordering::Relaxed);
        let kept = lock(&self.kept);
        let begin = kept.lines.partition_point(|(id, _)| *id <= after);
        let lines: Vec<(u64, String)> = kept.lines.iter().skip(begin).take(limit).cloned().collect();
        let last = lines.last().map_or(after, |(id, _)| *id);
        let members = kept.members.clone();
        drop(kept);
        let lines = lines.into_iter().map(|(_, line)| line).collect();
        TracePage { started_at_us: self.started_at_us, last, members, lines }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_a_reader_goes_on_where_it_was() {
        let ring = Ring::new(7);
        assert!(!ring.is_watched(Time(1)));
        let members = [(NodeId(9), 1)].into();
        for id in 1..=LINES as u64 + 10 {
            ring.add(&mut vec![(id, format!("line {id}"))], &members);
        }
        let page = ring.page(Time(1), 0, 2);
        assert_eq!(page.lines, ["line 11", "line 12"]);
        assert_eq!((page.last, page.members[&1]), (12, NodeId(9)));
        assert_eq!(ring.page(Time(1), page.last, 1).lines, ["line 13"]);
        let end = ring.page(Time(1), LINES as u64 + 10, 5);
        assert_eq!((end.last, end.lines.len()), (LINES as u64 + 10, 0));
        assert!(ring.is_watched(Time(1).plus(WATCHED_FOR / 2)));
        assert!(!ring.is_watched(Time(2).plus(WATCHED_FOR)));
    }

    #[test]
    fn who_adds_never_waits_for_who_reads() {
        let ring = Ring::new(7);
        let reading = ring.kept.lock();
        let mut lines = (1..=LINES as u64 + 5).map(|id| (id, String::new())).collect();
        ring.add(&mut lines, &BTreeMap::new());
        assert_eq!((lines.len(), lines[0].0), (LINES, 6));
        drop(reading);
        ring.add(&mut lines, &BTreeMap::new());
        assert!(lines.is_empty());
    }
}
