//! etcd's multi-version key-value model as a deterministic state machine.
//!
//! A [`Store`] is the one writer. It takes batches of encoded [`Command`]s in log order and applies each batch as one
//! transaction of the database file, together with the id of the last log entry that it contains. Any number of
//! [`Reader`]s answer ranges from other threads while it does, and any number of [`WatchStream`]s follow the changes.
//!
//! The crate reads no clock and starts no thread: time is an argument, and the host owns the threads. The bytes on
//! disk and the rules that keep index, file and readers in agreement are in `docs/design/mvcc.md`.
#![forbid(unsafe_code)]

mod apply;
mod block;
mod codec;
mod command;
mod compact;
mod error;
mod hash;
mod key_index;
mod kv;
mod lease;
mod place;
mod range;
mod reader;
mod record;
mod reply;
mod roster;
mod run;
mod sessions;
mod shared;
mod snapshot;
mod store;
mod txn;
mod watch;

pub use command::{
    Command, Compare, CompareOperand, CompareResult, DeleteRange, MemberInfo, Outcome, Put, Range,
    RangeReply, Reply, SortOrder, SortTarget, Txn, TxnOp, TxnOpReply, TxnReply,
};
pub use error::{ApplyError, MalformedCommand, ReadError, StorageError, WatchRefused};
pub use floe_session::{ClientId, InvalidRequestId, Refusal, RequestId, Sequence, Tag};
pub use hash::HashKv;
pub use kv::{Event, KeyRange, KeyValue};
pub use lease::{LeaseInfo, Lessor, Renewed};
pub use place::MemoryDisk;
pub use reader::{Reader, Size};
pub use snapshot::Snapshot;
pub use store::{Applied, Store, StoreOptions};
pub use watch::{WatchBatch, WatchCreated, WatchEvent, WatchSpec, WatchStream};
