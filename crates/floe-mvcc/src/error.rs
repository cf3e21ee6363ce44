//! Why a request is refused. The API edge turns each into etcd's code and text.

/// Why a command changed nothing. Deterministic: every replica gives the same answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// A put with `ignore_value` or `ignore_lease` on a missing key.
    #[error("key not found")]
    KeyNotFound,
    /// The lease does not exist.
    #[error("requested lease not found")]
    LeaseNotFound,
    /// A lease with that id exists.
    #[error("lease already exists")]
    LeaseExists,
    /// The revision is below the compaction.
    #[error("required revision has been compacted")]
    Compacted {
        /// The revision compacted at.
        compact_revision: i64,
    },
    /// The revision lies ahead.
    #[error("required revision is a future revision")]
    FutureRevision,
    /// An alarm forbids writes that grow the store.
    #[error("database space exceeded")]
    NoSpace,
    /// An alarm forbids all writes.
    #[error("corrupt cluster")]
    Corrupt,
    /// The bytes are not a command of this version. Written by a newer floe, or not by floe at all.
    #[error("not a command")]
    Malformed,
}

/// Why a read gives no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The revision is below the compaction.
    #[error("required revision has been compacted")]
    Compacted {
        /// The revision compacted at.
        compact_revision: i64,
    },
    /// The revision lies ahead.
    #[error("required revision is a future revision")]
    FutureRevision,
    /// The store's file cannot be read.
    #[error("the store cannot be read")]
    Storage(#[source] StorageError),
}

/// The store's file failed, or does not hold what it must.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// redb refused.
    #[error("the store's database failed")]
    Database(#[source] Box<redb::Error>),
    /// A record has a form that this version never wrote.
    #[error("the store holds a record that is not valid: {0}")]
    Invalid(&'static str),
}
