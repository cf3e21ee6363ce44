//! What the driver tells people who look, and how long its messages take.

use std::collections::BTreeMap;
use std::time::Duration;

use floe_raft::{Envelope, Message, NodeId, Round, Time};

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

impl<R: Send + 'static> Driver<R> {
    /// The node as it is now, with at most so many of its last entries.
    pub(super) fn view(&self, now: Time, entries: u64) -> NodeView {
        let node = &self.parts.node;
        let status = node.status();
        let recent = node.recent_entries(entries).into_iter().map(|entry| RecentEntry {
            id: entry.id,
            kind: entry.kind,
            bytes: entry.payload.len() as u64,
        });
        let lease_left = status.lease_until.filter(|until| *until > now).map(|until| until.since(now));
        let disk_waits = node.writing_since().map(|since| now.since(since));
        NodeView {
            recent: recent.collect(),
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
    use floe_raft::{Index, Term};

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
}
