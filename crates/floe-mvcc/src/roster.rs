//! What the log says about the cluster's members besides Raft's own membership: their names and addresses for clients,
//! and the alarms that are raised.

use std::collections::{BTreeMap, BTreeSet};

use crate::command::MemberInfo;

/// etcd's number of the alarm that forbids writes that grow the store.
pub(crate) const NO_SPACE: i32 = 1;
/// etcd's number of the alarm that forbids all writes.
pub(crate) const CORRUPT: i32 = 2;

/// The members and alarms, in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roster {
    pub(crate) members: BTreeMap<u64, MemberInfo>,
    pub(crate) alarms: BTreeSet<(u64, i32)>,
}

impl Roster {
    /// Whether any member has raised the alarm: it holds for the whole cluster.
    pub(crate) fn is_raised(&self, alarm: i32) -> bool {
        self.alarms.iter().any(|&(_, raised)| raised == alarm)
    }
}
