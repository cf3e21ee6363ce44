//! Requests for entries that are no longer in memory. The host reads them beside everything else; what it delivers
//! is checked against the terms of the log before it is sent or applied.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::effect::Alarm;
use crate::id::{FetchId, Index, LogId, NodeId, Time};
use crate::input::Fetched;
use crate::node::Node;

/// What entries are fetched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To send them to a peer.
    Peer(NodeId),
    /// To apply them.
    Apply,
    /// To send them to a node that nobody elects, whose log ended with this entry.
    Pull(NodeId, LogId),
}

/// Requests under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fetches {
    last: FetchId,
    under_way: BTreeMap<FetchId, (Purpose, Index)>,
    /// After a failure nothing is asked for until then, or a broken disk would be asked as fast as it refuses.
    pause_until: Option<Time>,
}

impl Fetches {
    /// Names a new request; `None` during the pause after a failure.
    pub(crate) fn start(&mut self, now: Time, purpose: Purpose, first: Index) -> Option<FetchId> {
        if self.pause_until.is_some_and(|until| now < until) {
            return None;
        }
        self.pause_until = None;
        self.last = FetchId(self.last.0 + 1);
        self.under_way.insert(self.last, (purpose, first));
        Some(self.last)
    }

    /// When to try again.
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.pause_until
    }

    /// Tries again if it is time.
    pub(crate) fn resume(&mut self, now: Time) {
        self.pause_until.take_if(|until| *until <= now);
    }

    fn pause(&mut self, now: Time, pause: Duration) {
        self.pause_until = Some(now.plus(pause));
    }

    /// Whether nothing is asked for, and nothing waits to be.
    pub(crate) fn is_idle(&self) -> bool {
        self.under_way.is_empty() && self.pause_until.is_none()
    }

    /// Whether entries to apply are on their way.
    pub(crate) fn is_applying(&self) -> bool {
        self.under_way.values().any(|(purpose, _)| *purpose == Purpose::Apply)
    }

    /// Whether entries for this node, which pulls them, are on their way.
    pub(crate) fn is_pulling(&self, to: NodeId) -> bool {
        self.under_way
            .values()
            .any(|(purpose, _)| matches!(purpose, Purpose::Pull(puller, _) if *puller == to))
    }

    /// What is to be applied is another thing now.
    pub(crate) fn forget_apply(&mut self) {
        self.under_way.retain(|_, (purpose, _)| *purpose != Purpose::Apply);
    }

    /// This node sends to nobody any more.
    pub(crate) fn forget_peers(&mut self) {
        self.under_way.retain(|_, (purpose, _)| *purpose == Purpose::Apply);
    }
}

impl Node {
    pub(crate) fn fetched(&mut self, id: FetchId, fetched: Fetched) {
        // Of a role or a log that is gone.
        let Some((purpose, first)) = self.fetches.under_way.remove(&id) else { return };
        let entries = match fetched {
            Fetched::Entries(entries) if self.log.holds(first, &entries) => entries,
            Fetched::Entries(_) => {
                self.outbox.alarm(Alarm::BadFetch { first });
                Vec::new()
            }
            // Compacted is what they also look like when the host compacted and has yet to say so. Nothing is ever
            // sent in the place of what could not be read (openraft #1795).
            Fetched::Compacted | Fetched::Failed => Vec::new(),
        };
        if entries.is_empty() {
            self.fetches.pause(self.now, self.config.heartbeat_interval);
        }
        match purpose {
            Purpose::Peer(to) => self.send_fetched(to, entries),
            Purpose::Apply => self.apply_fetched(entries),
            Purpose::Pull(to, past) => self.send_pulled(to, past, entries),
        }
    }
}
