//! What the log carries to the store, and what the store answers.
//!
//! A command is encoded once, by the API edge, and is deterministic: whatever depends on a clock or on chance (a
//! lease's id, its deadline) was decided by the proposer and is part of the command.

use bytes::Bytes;

use crate::error::ApplyError;
use crate::kv::{KeyRange, KeyValue};

/// A change of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Write one key.
    Put(Put),
    /// Delete a range of keys.
    DeleteRange(DeleteRange),
    /// Compare, then one of two lists of operations, as one revision.
    Txn(Txn),
    /// Forget all versions older than the newest at `revision`.
    Compact {
        /// The revision; reading exactly at it stays possible.
        revision: i64,
    },
    /// Create a lease.
    LeaseGrant {
        /// Chosen by the proposer, positive.
        id: i64,
        /// Seconds to live, already raised to the minimum.
        ttl: i64,
    },
    /// End a lease and delete its keys, in key order, at one revision.
    LeaseRevoke {
        /// The lease.
        id: i64,
    },
    /// Publish what a member calls itself and where clients reach it.
    PublishMember(MemberInfo),
    /// Forget what a member published, because it is none any more.
    RetractMember {
        /// The member.
        id: u64,
    },
    /// Raise or clear an alarm of a member.
    Alarm {
        /// The member.
        member: u64,
        /// etcd's number: 1 no space, 2 corrupt.
        alarm: i32,
        /// Raise it, or clear it.
        raise: bool,
    },
}

/// etcd's `PutRequest`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Put {
    /// The key, not empty.
    pub key: Bytes,
    /// The value.
    pub value: Bytes,
    /// The lease to attach to; 0 detaches.
    pub lease: i64,
    /// Answer with the previous pair.
    pub prev_kv: bool,
    /// Keep the present value.
    pub ignore_value: bool,
    /// Keep the present lease.
    pub ignore_lease: bool,
}

/// etcd's `DeleteRangeRequest`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteRange {
    /// Which keys.
    pub range: KeyRange,
    /// Answer with the previous pairs.
    pub prev_kv: bool,
}

/// etcd's `RangeRequest`, without the consistency flag: that is the API edge's business.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// Which keys.
    pub range: KeyRange,
    /// At most so many pairs; 0 for no limit.
    pub limit: i64,
    /// At which revision; 0 or less for the latest.
    pub revision: i64,
    /// The order of the answer.
    pub order: SortOrder,
    /// What it is ordered by.
    pub target: SortTarget,
    /// Leave the values out.
    pub keys_only: bool,
    /// Only count.
    pub count_only: bool,
    /// Bounds on the pairs' revisions, inclusive; 0 for none.
    pub min_mod_revision: i64,
    /// See `min_mod_revision`.
    pub max_mod_revision: i64,
    /// See `min_mod_revision`.
    pub min_create_revision: i64,
    /// See `min_mod_revision`.
    pub max_create_revision: i64,
}

/// The order of a range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortOrder {
    /// As the target says by default.
    #[default]
    None,
    /// Smallest first.
    Ascend,
    /// Largest first.
    Descend,
}

/// What a range is ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortTarget {
    /// The key.
    #[default]
    Key,
    /// The version.
    Version,
    /// The creation revision.
    Create,
    /// The modification revision.
    Mod,
    /// The value.
    Value,
}

/// etcd's `TxnRequest`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    /// All must hold.
    pub compare: Vec<Compare>,
    /// Done when they do.
    pub success: Vec<TxnOp>,
    /// Done when one does not.
    pub failure: Vec<TxnOp>,
}

/// One operation of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TxnOp {
    /// Read.
    Range(Range),
    /// Write.
    Put(Put),
    /// Delete.
    DeleteRange(DeleteRange),
    /// A nested transaction.
    Txn(Txn),
}

/// A condition on a key, or on each key of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compare {
    /// Which keys.
    pub range: KeyRange,
    /// How the key's figure relates to the operand.
    pub result: CompareResult,
    /// Which figure, and the operand.
    pub operand: CompareOperand,
}

/// How two figures relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompareResult {
    /// `==`
    Equal,
    /// `>`
    Greater,
    /// `<`
    Less,
    /// `!=`
    NotEqual,
}

/// A key's figure and what it is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompareOperand {
    /// The version.
    Version(i64),
    /// The creation revision.
    Create(i64),
    /// The modification revision.
    Mod(i64),
    /// The value. False for a missing key, whatever the relation.
    Value(Bytes),
    /// The lease.
    Lease(i64),
}

/// A member as clients see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberInfo {
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Where clients reach it.
    pub client_urls: Vec<String>,
}

/// What a command did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The store's revision after the command: the header's.
    pub revision: i64,
    /// What is particular to the command.
    pub outcome: Result<Outcome, ApplyError>,
}

/// What a command that succeeded answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// To a put.
    Put {
        /// The previous pair, if asked for and present.
        prev_kv: Option<KeyValue>,
    },
    /// To a delete.
    DeleteRange {
        /// How many keys were deleted.
        deleted: i64,
        /// The previous pairs, if asked for.
        prev_kvs: Vec<KeyValue>,
    },
    /// To a transaction.
    Txn(TxnReply),
    /// To the creation of a lease: what the proposer chose.
    LeaseGranted {
        /// The lease.
        id: i64,
        /// Seconds to live.
        ttl: i64,
    },
    /// To an alarm that was raised or cleared.
    Alarm {
        /// Whether it was raised before.
        was_raised: bool,
    },
    /// To all others.
    Done,
}

/// What a range answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeReply {
    /// The store's present revision, also for a range at an old one.
    pub revision: i64,
    /// The pairs.
    pub kvs: Vec<KeyValue>,
    /// Whether the limit left some out.
    pub more: bool,
    /// How many keys are in the range at the revision, whatever the limit and the filters.
    pub count: i64,
}

/// What a transaction answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnReply {
    /// Whether all comparisons held.
    pub succeeded: bool,
    /// One for each operation of the branch taken.
    pub responses: Vec<TxnOpReply>,
    /// The store's revision as of this operation list, for the child headers.
    pub revision: i64,
}

/// What one operation of a transaction answers. Child headers carry `revision`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TxnOpReply {
    /// To a read; its `revision` is the one within the transaction.
    Range(RangeReply),
    /// To a write.
    Put {
        /// The revision within the transaction.
        revision: i64,
        /// The previous pair, if asked for and present.
        prev_kv: Option<KeyValue>,
    },
    /// To a delete.
    DeleteRange {
        /// The revision within the transaction.
        revision: i64,
        /// How many keys were deleted.
        deleted: i64,
        /// The previous pairs, if asked for.
        prev_kvs: Vec<KeyValue>,
    },
    /// To a nested transaction.
    Txn(TxnReply),
}
