//! floe, the embeddable library: a state machine, replicated.
//!
//! Write a [`StateMachine`], start a [`Builder`] on each machine, and use the [`Handle`] it gives: what is proposed
//! on any member is applied on all of them, in one order, and survives the loss of any minority. The library brings
//! the durable log, the network between the members, linearizable reads and leadership; the state machine brings
//! the meaning of the commands.
//!
//! A member may be a *witness* ([`Builder::start_witness`]): it votes, keeps of the log all but the commands, and has no
//! state machine, so that two members with data and a witness bear the loss of any one of the three.
//!
//! Inside, one *driver* thread owns the protocol (a `floe_raft::Node`, which does no I/O) and the sockets to the
//! other members; a *wal* thread writes the log, an *apply* thread runs the state machine. No lock is held over I/O,
//! every queue is bounded, and a full one says [`ProposeError::Busy`].
#![forbid(unsafe_code)]

mod apply_thread;
mod builder;
mod clock;
mod completion;
mod config;
mod contacts;
mod discovery;
mod disk;
mod driver;
mod error;
mod exile;
mod fences;
mod frame;
mod handle;
mod handshake;
mod identity;
mod inbox;
mod limit;
mod members;
mod net;
mod once;
mod queue;
mod recover;
mod slow;
mod snapshot;
mod state_machine;
mod status;
mod threads;
mod trace;
mod transport;
mod view;
mod waiters;
mod wal_thread;
mod witness;

pub use builder::Builder;
pub use config::NodeConfig;
pub use discovery::{ClusterView, discover};
pub use disk::FileDisk;
pub use error::{
    AskError, ChangeError, CheckpointError, DiscoverError, Failure, ProposeError, ReadError, StartError,
    StateMachineError, TransferError, UnknownCause,
};
pub use floe_raft::{
    EntryKind, Index, Lease, LogId, Membership, MembershipChange, MembershipOperation, NodeId, ProgressState,
    ProgressStatus, RoleKind, Term,
};
pub use floe_session as session;
pub use handle::{Applied, Handle, Stopped};
pub use identity::Owner;
pub use once::{Answer, NotInMemory, Once};
pub use recover::{RecoverError, Survivor};
pub use state_machine::{Batch, Command, Snapshot, StateMachine};
pub use status::{Counters, Histogram, Leadership, NodeStatus};
pub use trace::{TraceConfig, TracePage};
pub use view::{NodeView, RecentEntry};
