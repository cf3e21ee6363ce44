//! What the driver tells people who look, and how long its messages take.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use floe_raft::{Entry, Envelope, Message, Node, NodeId, Round, Time, Write};

use crate::view::{NodeView, RecentEntry};

use super::Driver;

/// A heartbeat without an answer is not waited for longer than this: the next one is timed instead.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long heartbeats take, there and back.
#[derive(Debug, Default)]
pub(super) struct RoundTrips {
    under_way: BTreeMap<NodeId, (Round, Time)>,
    last: BTreeMap<NodeId, Duration>,
}

impl RoundTrips {
    /// A message goes out. One heartbeat a peer is timed at a time, so that a link slower than their interval is measured,
    /// too.
    pub(super) fn sent(&mut self, now: Time, envelope: &Envelope) {
        let Message::Heartbeat { round, .. } = envelope.message else { return };
        let timed = self.under_way.entry(envelope.to).or_insert((round, now));
        if now.since(timed.1) > PATIENCE {
            *timed = (round, now);
        }
    }

    /// A message came.
    pub(super) fn arrived(&mut self, now: Time, envelope: &Envelope) {
        let Message::HeartbeatReply { round } = envelope.message else { return };
        if let Some(&(timed, sent)) = self.under_way.get(&envelope.from)
            && timed == round
        {
            self.under_way.remove(&envelope.from);
            self.last.insert(envelope.from, now.since(sent));
        }
    }

    /// Another role or term: what was measured is of the past.
    pub(super) fn forget(&mut self) {
        self.under_way.clear();
        self.last.clear();
    }
}

/// The last entries that came into the log. They are kept here and not asked of the core: a healthy cluster drops what
/// every member holds, and then its log is empty most of the time.
#[derive(Debug, Default)]
pub(super) struct Recent {
    entries: VecDeque<RecentEntry>,
}

impl Recent {
    const MAX: usize = 64;

    /// Those that were in the log at the start.
    pub(super) fn of(node: &Node) -> Self {
        let mut recent = Self::default();
        recent.add(&node.recent_entries(Self::MAX as u64));
        recent
    }

    /// The log is to be written.
    pub(super) fn writing(&mut self, write: &Write) {
        if write.restart_after.is_some() {
            self.entries.clear();
        }
        if let Some(from) = write.truncate_from {
            self.entries.truncate(self.entries.partition_point(|entry| entry.id.index < from));
        }
        self.add(&write.entries);
    }

    fn add(&mut self, entries: &[Entry]) {
        let skip = entries.len().saturating_sub(Self::MAX);
        for entry in entries.iter().skip(skip) {
            let bytes = entry.payload.len() as u64;
            self.entries.push_back(RecentEntry { id: entry.id, kind: entry.kind, bytes });
        }
        let excess = self.entries.len().saturating_sub(Self::MAX);
        self.entries.drain(..excess);
    }

    fn last(&self, count: u64) -> Vec<RecentEntry> {
        let skip = self.entries.len().saturating_sub(usize::try_from(count).unwrap_or(usize::MAX));
        self.entries.iter().skip(skip).copied().collect()
    }
}

impl<R: Send + 'static> Driver<R> {
    /// The node as it is now, with at most so many of its last entries.
    pub(super) fn view(&self, now: Time, entries: u64) -> NodeView {
        let node = &self.parts.node;
        let status = node.status();
        let lease_left = status.lease_until.filter(|until| *until > now).map(|until| until.since(now));
        let disk_waits = node.writing_since().map(|since| now.since(since));
        NodeView {
            recent: self.recent.last(entries),
            round_trips: self.round_trips.last.clone(),
            lease_left,
            disk_waits,
            is_disk_stalled: disk_waits.is_some_and(|waits| waits >= self.parts.limits.election_timeout),
            status,
        }
    }
}

#[cfg(test)]
mod tests {
    use floe_raft::{EntryKind, Index, LogId, Term, WriteId};

    use super::*;

    #[test]
    fn one_heartbeat_is_timed_until_it_is_answered_or_given_up() {
        let envelope =
            |from, to, message| Envelope { from: NodeId(from), to: NodeId(to), term: Term(1), message };
        let beat = |round| envelope(1, 2, Message::Heartbeat { commit: Index(0), round: Round(round) });
        let answer = |round| envelope(2, 1, Message::HeartbeatReply { round: Round(round) });
        let at = |ms: u64| Time(ms * 1_000_000);
        let mut trips = RoundTrips::default();
        trips.sent(at(0), &beat(1));
        trips.sent(at(30), &beat(2));
        trips.arrived(at(40), &answer(2));
        assert!(trips.last.is_empty(), "the second was not timed");
        trips.arrived(at(45), &answer(1));
        assert_eq!(trips.last[&NodeId(2)], Duration::from_millis(45));
        trips.sent(at(60), &beat(3));
        trips.sent(at(2000), &beat(70));
        trips.arrived(at(2001), &answer(70));
        assert_eq!(trips.last[&NodeId(2)], Duration::from_millis(1));
        trips.forget();
        assert!(trips.last.is_empty());
    }

    #[test]
    fn the_last_entries_follow_what_is_written_whatever_is_compacted() {
        let entries = |term, indexes: std::ops::RangeInclusive<u64>| {
            let id = |index| LogId::new(Term(term), Index(index));
            let entry = |index| Entry { id: id(index), kind: EntryKind::Command, payload: vec![0; 3].into() };
            indexes.map(entry).collect::<Vec<_>>()
        };
        let write = |entries, truncate_from, restart_after| Write {
            id: WriteId(1),
            hard_state: None,
            restart_after,
            truncate_from,
            entries,
        };
        let mut recent = Recent::default();
        recent.writing(&write(entries(1, 1..=100), None, None));
        recent.writing(&write(entries(2, 99..=99), Some(Index(99)), None));
        let last = recent.last(2);
        assert_eq!(
            last.iter().map(|entry| (entry.id.index.0, entry.id.term.0)).collect::<Vec<_>>(),
            [(98, 1), (99, 2)]
        );
        assert_eq!((recent.last(1000).len(), last[1].bytes), (63, 3));
        recent.writing(&write(Vec::new(), None, Some(LogId::new(Term(2), Index(500)))));
        assert!(recent.last(9).is_empty());
    }
}
