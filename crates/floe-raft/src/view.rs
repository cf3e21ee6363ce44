//! What a host shows people of a node, beside its [`crate::Status`].

use crate::entry::Entry;
use crate::id::{Index, Time};
use crate::node::Node;

impl Node {
    /// The last entries of the log, ascending: at most `count`, and no more than are still in memory.
    pub fn recent_entries(&self, count: u64) -> Vec<Entry> {
        let last = self.log.last().index;
        let wanted = Index(last.0.saturating_sub(count)).max(self.log.base().index).next();
        let Some(held) = self.log.first_recent() else { return Vec::new() };
        self.log.recent(wanted.max(held), last, u64::MAX).unwrap_or_default()
    }

    /// Since when the oldest write that is not reported durable is under way; none if nothing is.
    pub fn writing_since(&self) -> Option<Time> {
        self.log.waiting_since()
    }
}
