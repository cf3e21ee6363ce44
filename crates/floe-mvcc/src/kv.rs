//! A key's value at a revision, and the events that watchers see.

use bytes::Bytes;

/// A key and its value as of one revision. Mirrors etcd's `mvccpb.KeyValue`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyValue {
    /// The key.
    pub key: Bytes,
    /// The revision of the key's last creation.
    pub create_revision: i64,
    /// The revision of its last change.
    pub mod_revision: i64,
    /// 1 at creation, one more at each change; a deletion resets it.
    pub version: i64,
    /// The value.
    pub value: Bytes,
    /// The lease that the key is attached to; 0 for none.
    pub lease: i64,
}

/// One change, as a watcher sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The key was written.
    Put(KeyValue),
    /// The key was deleted. Only `key` and `mod_revision` are set.
    Delete(KeyValue),
}

impl Event {
    /// The key and revision of either kind.
    pub fn kv(&self) -> &KeyValue {
        match self {
            Self::Put(kv) | Self::Delete(kv) => kv,
        }
    }
}

/// A half-open interval of keys in etcd's convention: an empty `end` means the one key `start`; an `end` of a single
/// zero byte means every key from `start` on.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyRange {
    /// The first key.
    pub start: Bytes,
    /// The key after the last, or one of the two special forms.
    pub end: Bytes,
}
