//! etcd's multi-version key-value model as a deterministic state machine.
#![forbid(unsafe_code)]

mod command;
mod error;
mod kv;

pub use command::{
    Command, Compare, CompareOperand, CompareResult, DeleteRange, MemberInfo, Outcome, Put, Range, RangeReply, Reply,
    SortOrder, SortTarget, Txn, TxnOp, TxnOpReply, TxnReply,
};
pub use error::{ApplyError, ReadError, StorageError};
pub use kv::{Event, KeyRange, KeyValue};
