//! What a machine asks of its host.

use floe_raft::{Effect, GroupId, Write};

use crate::beat::Beat;

/// A request to the host. Those of one group are in the order of its node; a drain puts out its writes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MultiEffect {
    /// Make these durable, as one if that is cheaper, then call [`crate::MultiNode::handle_persisted`] for each. Those of a
    /// group are in order.
    Persist(Vec<(GroupId, Write)>),
    /// Anything else that the node of a group asks for; never a `Persist`.
    Group(GroupId, Effect),
    /// Send this to the machine that it names; losing, delaying or repeating it is allowed.
    Beat(Beat),
}
