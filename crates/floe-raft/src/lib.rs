//! One Raft group as a pure function of its inputs.
#![forbid(unsafe_code)]

mod apply;
pub mod codec;
mod config;
mod effect;
mod election;
mod entry;
mod error;
mod fetch;
mod forward;
mod id;
mod input;
mod invariants;
mod log;
mod membership;
mod message;
mod node;
mod outbox;
mod quorum;
mod random;
mod reads;
mod replication;
mod role;
mod snapshot;
mod status;
mod transfer;
mod validate;

pub use config::Config;
pub use effect::{Alarm, Effect, RoleKind};
pub use entry::{Entry, EntryKind, HardState, Restored, Write};
pub use error::{ConfigError, MembershipError, ProposeError, ReadError, TransferError};
pub use id::{FetchId, GroupId, Index, LogId, NodeId, ProposalId, ReadId, Round, Term, Time, WriteId};
pub use input::{Fetched, SnapshotOutcome};
pub use invariants::{Invariants, Violation};
pub use membership::Membership;
pub use message::{Envelope, Message};
pub use node::Node;
pub use status::{ProgressState, ProgressStatus, Status};
