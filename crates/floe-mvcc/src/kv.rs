//! A key's value at a revision, the events that watchers see, and intervals of keys.

use std::ops::Bound;

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

/// The end that means "every key from the start on".
const OPEN_END: &[u8] = &[0];

impl KeyRange {
    /// The one key.
    pub fn key(key: impl Into<Bytes>) -> Self {
        Self { start: key.into(), end: Bytes::new() }
    }

    /// The keys from `start` up to, but not with, `end`.
    pub fn between(start: impl Into<Bytes>, end: impl Into<Bytes>) -> Self {
        Self { start: start.into(), end: end.into() }
    }

    /// All keys that begin with `prefix`.
    pub fn prefix(prefix: impl Into<Bytes>) -> Self {
        let start = prefix.into();
        let end = prefix_end(&start).map_or_else(|| Bytes::from_static(OPEN_END), Bytes::from);
        Self { start, end }
    }

    /// Every key. No key is empty, so the lowest possible is one zero byte.
    pub fn all() -> Self {
        Self { start: Bytes::from_static(OPEN_END), end: Bytes::from_static(OPEN_END) }
    }

    /// Whether the range means exactly one key.
    pub fn is_point(&self) -> bool {
        self.end.is_empty()
    }

    /// Whether no key can be in the range, because its end is not after its start.
    pub fn is_empty(&self) -> bool {
        !self.is_point() && self.end != OPEN_END && self.start >= self.end
    }

    /// Whether `key` is in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        if self.is_point() {
            return self.start == key;
        }
        self.start <= key && (self.end == OPEN_END || key < &self.end[..])
    }

    /// The prefix that the range means, if it is all keys with one.
    pub(crate) fn as_prefix(&self) -> Option<&Bytes> {
        let end = prefix_end(&self.start)?;
        (self.end == end).then_some(&self.start)
    }

    /// The range as bounds of an ordered map. Only for a range that is not empty: an ordered map rejects an
    /// interval whose end lies before its start.
    pub(crate) fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        let start = &self.start[..];
        if self.is_point() {
            (Bound::Included(start), Bound::Included(start))
        } else if self.end == OPEN_END {
            (Bound::Included(start), Bound::Unbounded)
        } else {
            (Bound::Included(start), Bound::Excluded(&self.end[..]))
        }
    }
}

/// The first key after all that begin with `prefix`; none if there is no such key.
fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte != 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}
