//! One group on this machine.

use floe_raft::{Node, NodeId, Time};

/// A group, and what the machine knows of it beside its node.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) node: Node,
    /// It waits for the next drain.
    pub(crate) dirty: bool,
    /// Its timers stand still. Decided anew in each drain that looks at it; nobody else sets it.
    pub(crate) asleep: bool,
    /// On a leader: since when nothing happened.
    pub(crate) idle_since: Option<Time>,
    /// On a leader: to whom it is vouched for.
    pub(crate) vouched_to: Vec<NodeId>,
    /// Its deadline in the timer heap.
    pub(crate) armed: Option<Time>,
}

impl Group {
    pub(crate) fn new(node: Node) -> Self {
        Self { node, dirty: false, asleep: false, idle_since: None, vouched_to: Vec::new(), armed: None }
    }
}
