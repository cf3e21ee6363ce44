//! What a machine is told once, at its start.

use std::time::Duration;

use floe_raft::NodeId;

use crate::error::MultiConfigError;

/// The configuration of a machine with many groups.
#[derive(Clone, Debug)]
pub struct MultiConfig {
    /// The machine: its id in all of its groups.
    pub id: NodeId,
    /// 64 random bits, new at each start of the process.
    pub life: u64,
    /// How often leaders show that they are there; the same for all groups of all machines.
    pub heartbeat_interval: Duration,
    /// How long a silence is one; the same for all groups of all machines.
    pub election_timeout: Duration,
    /// A group in which nothing happened for this long sleeps; `None`: none ever does. Sleep takes all members: a group
    /// of which one machine does not let groups sleep stays awake.
    pub quiesce_after: Option<Duration>,
}

impl MultiConfig {
    /// The timing of [`floe_raft::Config::new`], and sleep after ten election timeouts.
    pub fn new(id: NodeId, life: u64) -> Self {
        let group = floe_raft::Config::new(id);
        Self {
            id,
            life,
            heartbeat_interval: group.heartbeat_interval,
            election_timeout: group.election_timeout,
            quiesce_after: Some(group.election_timeout * 10),
        }
    }

    /// Refuses what cannot work.
    pub fn validate(&self) -> Result<(), MultiConfigError> {
        let check = |ok: bool, reason| if ok { Ok(()) } else { Err(MultiConfigError::Invalid(reason)) };
        check(self.id.0 != 0, "a machine's id is never zero")?;
        check(!self.heartbeat_interval.is_zero(), "the heartbeat interval is zero")?;
        check(
            self.election_timeout >= self.heartbeat_interval * 2,
            "the election timeout is below two heartbeat intervals",
        )
    }
}
