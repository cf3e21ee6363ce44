//! What a stage remembers of a trace beside its lines: when each event was, and what became of each operation.

use std::collections::BTreeMap;

use floe_raft::NodeId;

use crate::clock::Moment;
use crate::machine::{Key, OpId};
use crate::trace::{EventId, Happening};

/// Sees every event of a trace.
#[derive(Debug, Default)]
pub(crate) struct Watcher {
    moments: Vec<Moment>,
    pub(crate) operations: BTreeMap<OpId, Seen>,
}

/// An operation, as it was seen from outside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) client: u64,
    pub(crate) key: Key,
    pub(crate) node: NodeId,
    /// An earlier operation is sent again.
    pub(crate) again: bool,
    pub(crate) invoked_at: Moment,
    pub(crate) told: Option<Told>,
}

/// What its client was told, or concluded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    pub(crate) at: Moment,
    pub(crate) outcome: &'static str,
    pub(crate) value: OpId,
}

impl Watcher {
    pub(crate) fn saw(&mut self, now: Moment, happening: &Happening<'_>) {
        self.moments.push(now);
        match *happening {
            Happening::Invoked { client, op, key, node, .. } => {
                let told = None;
                self.operations.insert(op, Seen { client, key, node, again: false, invoked_at: now, told });
            }
            Happening::TriedAgain { client, op, first, node } => {
                let Some(key) = self.operations.get(&first).map(|seen| seen.key) else { return };
                let told = None;
                self.operations.insert(op, Seen { client, key, node, again: true, invoked_at: now, told });
            }
            Happening::Answered { op, outcome, value, .. } => {
                if let Some(seen) = self.operations.get_mut(&op) {
                    // Who has given up hears nothing any more.
                    seen.told.get_or_insert(Told { at: now, outcome, value });
                }
            }
            _ => {}
        }
    }

    /// When an event was.
    pub(crate) fn moment(&self, event: EventId) -> Option<Moment> {
        self.moments.get((event.0 as usize).checked_sub(1)?).copied()
    }
}
