//! What the driver lets others see.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use floe_raft::{LogId, Membership, Node, NodeId, Time};
use tokio::sync::watch;

use crate::status::{Leadership, Live};

use super::change;

/// The publishing side of a node's state.
pub(crate) struct Publisher {
    live: Arc<Live>,
    leadership: watch::Sender<Leadership>,
    interval: Duration,
    progress_at: Time,
    /// Those whom this member, as a leader, still tells that they are out.
    leaving: BTreeSet<NodeId>,
}

impl Publisher {
    pub(crate) fn new(live: Arc<Live>, leadership: watch::Sender<Leadership>, interval: Duration) -> Self {
        Self { live, leadership, interval, progress_at: Time(0), leaving: BTreeSet::new() }
    }

    /// Publishes role, term and leader; returns what they were.
    pub(super) fn leadership(&self, leadership: Leadership) -> Leadership {
        self.live.set_leadership(leadership);
        self.leadership.send_replace(leadership)
    }

    pub(super) fn membership(&mut self, membership: Membership) {
        self.live.membership.store(Arc::new(membership));
        // Who leaves by it is known at once, before the connections to them are thought of.
        self.progress_at = Time(0);
    }

    pub(super) fn leaving(&self) -> BTreeSet<NodeId> {
        self.leaving.clone()
    }

    /// Publishes how far the log is, and a membership that is new as a committed one.
    pub(super) fn stand(&self, last: LogId, given: LogId, membership: Option<&Arc<Membership>>) {
        self.live.stand(|standing| {
            (standing.last, standing.commit) = (last, given);
            if let Some(membership) = membership {
                standing.membership = Arc::clone(membership);
            }
        });
    }

    pub(super) fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live)
    }

    pub(super) fn received(&self) {
        self.live.messages_received.fetch_add(1, Ordering::Relaxed);
    }

    /// The other members.
    pub(super) fn others(&self) -> Vec<NodeId> {
        let members = self.live.membership.load().members();
        members.into_iter().filter(|&member| member != self.live.id()).collect()
    }

    /// Publishes how far the log is, and now and then what a leader knows of its peers. Whether others are leaving than
    /// before.
    pub(super) fn progress(&mut self, now: Time, node: &Node) -> bool {
        self.live.last.store(node.last().index.0, Ordering::Relaxed);
        self.live.commit.store(node.commit().0, Ordering::Relaxed);
        self.live.disk_term.store(node.term().0, Ordering::Release);
        self.live.durable.store(node.durable().0, Ordering::Release);
        if now < self.progress_at {
            return false;
        }
        self.progress_at = now.plus(self.interval);
        let mut leaving = BTreeSet::new();
        if node.is_leader() {
            let status = node.status();
            leaving = change::leaving(&status);
            self.live.progress.store(Arc::new(status.progress));
        } else if !self.live.progress.load().is_empty() {
            self.live.progress.store(Arc::new(BTreeMap::new()));
        }
        let is_new = leaving != self.leaving;
        self.leaving = leaving;
        is_new
    }
}
