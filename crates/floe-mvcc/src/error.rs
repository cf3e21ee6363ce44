//! Why a request is refused. The API edge turns each into etcd's code and text.

use floe_session::Refusal;

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
    /// The request's session does not let it through; see the refusal on whether it was applied before.
    #[error(transparent)]
    Session(#[from] Refusal),
    /// The request was applied before. Its reply was too large to be kept.
    #[error("the request was applied before, and its reply was too large to be kept")]
    ReplyNotKept,
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
    /// A transaction that writes was given to a reader. It must be proposed instead.
    #[error("the transaction writes, so it must be proposed")]
    NotReadOnly,
    /// The store's file cannot be read.
    #[error("the store cannot be read")]
    Storage(#[from] StorageError),
}

/// Why no watcher was created. The stream goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchRefused {
    /// The range holds no key: its end is not after its start.
    #[error("watcher range is empty")]
    EmptyRange,
    /// The id is in use on this stream.
    #[error("duplicate watch ID provided on the WatchStream")]
    DuplicateId,
    /// The start revision is negative.
    #[error("required revision has been compacted")]
    NegativeStart,
}

/// The bytes are not a command that this version of floe knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedCommand {
    /// The bytes end inside a field, or a length points past the end.
    #[error("the command ends early")]
    Truncated,
    /// The first byte names a layout that this version does not know.
    #[error("the command has layout {0}, which this version does not know")]
    Version(u8),
    /// A kind, flag or relation has no meaning in this layout.
    #[error("the command's {0} has no meaning in its layout")]
    Unknown(&'static str),
    /// Transactions are nested deeper than any that the API edge lets through.
    #[error("the command nests transactions too deeply")]
    TooDeep,
    /// Bytes follow the last field.
    #[error("the command has bytes after its end")]
    Trailing,
}

/// The store's file failed, or does not hold what it must.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// redb refused.
    #[error("the store's database failed")]
    Database(#[source] Box<redb::Error>),
    /// The file's directory or size cannot be read.
    #[error("the store's file cannot be reached")]
    Io(#[from] std::io::Error),
    /// A record has a form that this version never wrote.
    #[error("the store holds a record that is not valid: {0}")]
    Invalid(&'static str),
    /// The file was written by a version of floe with another layout.
    #[error("the store has layout {found}, this version reads {supported}: start the floe that wrote it")]
    Layout {
        /// The layout in the file.
        found: u32,
        /// The layout that this version reads and writes.
        supported: u32,
    },
    /// An earlier call failed, so memory and file may disagree. Open the store again and replay the log.
    #[error("the store failed earlier and must be opened again")]
    Failed,
}

impl StorageError {
    /// Wraps any of redb's errors.
    pub(crate) fn redb(error: impl Into<redb::Error>) -> Self {
        Self::Database(Box::new(error.into()))
    }
}
