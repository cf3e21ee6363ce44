//! One member of one Raft group.

use bytes::Bytes;

use crate::config::Config;
use crate::effect::Effect;
use crate::entry::Restored;
use crate::error::{ConfigError, ProposeError, ReadError, TransferError};
use crate::id::{FetchId, Index, LogId, NodeId, ProposalId, ReadId, Term, Time, WriteId};
use crate::input::{Fetched, SnapshotOutcome};
use crate::message::Envelope;
use crate::status::Status;

/// One member of one Raft group.
#[derive(Debug)]
pub struct Node {
    config: Config,
    status: Status,
}

#[allow(unused_variables, clippy::unused_self)]
impl Node {
    /// Starts from what is on disk.
    pub fn new(now: Time, seed: u64, config: Config, restored: Restored) -> Result<Self, ConfigError> {
        config.validate()?;
        let status = Status {
            id: config.id,
            role: crate::effect::RoleKind::Follower,
            leader: None,
            hard_state: restored.hard_state,
            base: restored.base,
            last: restored.last,
            durable: restored.last.index,
            commit: restored.applied,
            applied: restored.applied,
            membership: restored.membership,
            membership_at: restored.base.index,
            progress: std::collections::BTreeMap::new(),
            transfer_to: None,
            reads_waiting: 0,
        };
        Ok(Self { config, status })
    }

    /// A message arrived.
    pub fn handle_message(&mut self, now: Time, envelope: Envelope) {}

    /// The time of [`Node::poll_timeout`] came.
    pub fn handle_timeout(&mut self, now: Time) {}

    /// This write and every earlier one is durable.
    pub fn handle_persisted(&mut self, now: Time, write: WriteId) {}

    /// Entries were read for the core.
    pub fn handle_fetched(&mut self, now: Time, fetch: FetchId, entries: Fetched) {}

    /// The state machine contains this entry and all before it.
    pub fn handle_applied(&mut self, now: Time, index: Index) {}

    /// The host dropped the log's entries up to and including `base`.
    pub fn handle_compacted(&mut self, base: LogId) {}

    /// A snapshot that was asked for is installed at the peer, or failed.
    pub fn handle_snapshot_sent(&mut self, now: Time, to: NodeId, outcome: SnapshotOutcome) {}

    /// The peer's process is known to be dead, or to have been restarted.
    pub fn handle_peer_gone(&mut self, now: Time, peer: NodeId) {}

    /// Appends a command to the log; only a leader does.
    pub fn propose(&mut self, now: Time, payload: Bytes) -> Result<LogId, ProposeError> {
        Err(ProposeError::NotLeader { hint: None })
    }

    /// Passes a command on to the leader; the answer comes as [`Effect::Forwarded`].
    pub fn forward(&mut self, now: Time, proposal: ProposalId, payload: Bytes) -> Result<(), ProposeError> {
        Err(ProposeError::NotLeader { hint: None })
    }

    /// Asks for a linearizable read; the answer comes as [`Effect::ReadReady`] or [`Effect::ReadAborted`].
    pub fn read(&mut self, now: Time, read: ReadId) -> Result<(), ReadError> {
        Err(ReadError::NoLeader)
    }

    /// Hands leadership to another voter.
    pub fn transfer_leadership(&mut self, now: Time, to: NodeId) -> Result<(), TransferError> {
        Err(TransferError::NotLeader { hint: None })
    }

    /// The next thing to do for the host.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        None
    }

    /// When to call [`Node::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Time> {
        None
    }

    /// This node.
    pub fn id(&self) -> NodeId {
        self.config.id
    }

    /// The latest term seen.
    pub fn term(&self) -> Term {
        self.status.hard_state.term
    }

    /// The leader of the term, if known.
    pub fn leader(&self) -> Option<NodeId> {
        self.status.leader
    }

    /// Whether this node leads.
    pub fn is_leader(&self) -> bool {
        false
    }

    /// The last entry known to be committed.
    pub fn commit(&self) -> Index {
        self.status.commit
    }

    /// A copy of the state.
    pub fn status(&self) -> Status {
        self.status.clone()
    }
}
