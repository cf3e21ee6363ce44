//! What the driver lets others see.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use floe_raft::{Membership, Node, NodeId, Time};
use tokio::sync::watch;

use crate::status::{Leadership, Live};

/// The publishing side of a node's state.
pub(crate) struct Publisher {
    live: Arc<Live>,
    leadership: watch::Sender<Leadership>,
    membership: watch::Sender<Arc<Membership>>,
    interval: Duration,
    progress_at: Time,
}

impl Publisher {
    pub(crate) fn new(
        live: Arc<Live>,
        leadership: watch::Sender<Leadership>,
        membership: watch::Sender<Arc<Membership>>,
        interval: Duration,
    ) -> Self {
        Self { live, leadership, membership, interval, progress_at: Time(0) }
    }

    /// Publishes role, term and leader; returns what they were.
    pub(super) fn leadership(&self, leadership: Leadership) -> Leadership {
        self.live.set_leadership(leadership);
        self.leadership.send_replace(leadership)
    }

    pub(super) fn membership(&self, membership: Membership) {
        let membership = Arc::new(membership);
        self.live.membership.store(Arc::clone(&membership));
        self.membership.send_replace(membership);
    }

    pub(super) fn received(&self) {
        self.live.messages_received.fetch_add(1, Ordering::Relaxed);
    }

    /// The other members.
    pub(super) fn others(&self) -> Vec<NodeId> {
        let members = self.live.membership.load().members();
        members.into_iter().filter(|&member| member != self.live.id()).collect()
    }

    /// Publishes how far the log is, and now and then what a leader knows of its peers.
    pub(super) fn progress(&mut self, now: Time, node: &Node) {
        self.live.last.store(node.last().index.0, Ordering::Relaxed);
        self.live.commit.store(node.commit().0, Ordering::Relaxed);
        self.live.durable.store(node.durable().0, Ordering::Release);
        if now < self.progress_at {
            return;
        }
        self.progress_at = now.plus(self.interval);
        if node.is_leader() {
            self.live.progress.store(Arc::new(node.status().progress));
        } else if !self.live.progress.load().is_empty() {
            self.live.progress.store(Arc::new(BTreeMap::new()));
        }
    }
}
