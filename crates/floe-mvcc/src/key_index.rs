//! The index in memory: every key, and where each of its changes lies in the revision table.
//!
//! etcd keeps a list of generations a key, each from a creation to a deletion. Here the changes are one flat list with
//! the deletions marked, which says the same: a generation is what lies between two marks. The creation revision and the
//! version are needed for the newest change only, because each record of the table carries its own.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::kv::KeyRange;

/// A place in the revision table: the revision, and the number of the change within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The revision, positive.
    pub(crate) revision: i64,
    /// The change within it, from 0.
    pub(crate) sub: u32,
}

/// One change of a key. Sixteen bytes: there is one for every version of every key since the compaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// Where it lies.
    pub(crate) place: Place,
    /// Whether it deleted the key.
    pub(crate) tombstone: bool,
    /// Whether it attached the key to a lease, so that a later change must detach it.
    pub(crate) leased: bool,
}

/// The newest change of a key with what the next one builds on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The change.
    pub(crate) change: Change,
    /// The revision of the key's creation.
    pub(crate) create_revision: i64,
    /// The key's version.
    pub(crate) version: i64,
}

impl Head {
    /// Whether the key exists.
    pub(crate) fn is_live(&self) -> bool {
        !self.change.tombstone
    }
}

/// All changes of one key since the compaction, oldest first.
#[derive(Debug)]
pub(crate) struct History {
    /// All but the newest. Empty, and then without memory of its own, for most keys of most stores.
    older: Vec<Change>,
    newest: Head,
}

impl History {
    /// The newest change.
    pub(crate) fn newest(&self) -> &Head {
        &self.newest
    }

    /// The newest change at `revision`, a deletion included.
    pub(crate) fn at(&self, revision: i64) -> Option<Change> {
        if self.newest.change.place.revision <= revision {
            return Some(self.newest.change);
        }
        let after = self.older.partition_point(|change| change.place.revision <= revision);
        after.checked_sub(1).map(|at| self.older[at])
    }

    /// The last change before `place`, a deletion included.
    pub(crate) fn before(&self, place: Place) -> Option<Change> {
        if self.newest.change.place < place {
            return Some(self.newest.change);
        }
        let after = self.older.partition_point(|change| change.place < place);
        after.checked_sub(1).map(|at| self.older[at])
    }

    /// The changes that go when the sweep of a compaction at `revision` comes to the one at `place`: those before it,
    /// which it supersedes, and itself, if a newer one at or below the compaction supersedes it, or if it is a deletion.
    /// Changes exactly at the compaction stay, deletions too, because a watch may begin there (etcd #18089, #19179).
    /// What goes is always the oldest.
    pub(crate) fn swept_by(&self, place: Place, revision: i64) -> impl Iterator<Item = Place> + '_ {
        let changes = || self.older.iter().chain([&self.newest.change]);
        let below = |change: &&Change| change.place < place && change.place.revision < revision;
        let before = changes().take_while(below).count();
        let goes = place.revision < revision
            && (changes().nth(before).is_some_and(|own| own.tombstone)
                || changes().nth(before + 1).is_some_and(|next| next.place.revision <= revision));
        changes().take(before + usize::from(goes)).map(|change| change.place)
    }
}

/// Every key's history, in key order.
#[derive(Debug, Default)]
pub(crate) struct KeyIndex {
    keys: BTreeMap<Box<[u8]>, History>,
}

impl KeyIndex {
    /// The key's history.
    pub(crate) fn history(&self, key: &[u8]) -> Option<&History> {
        self.keys.get(key)
    }

    /// The key's newest change, a deletion included.
    pub(crate) fn head(&self, key: &[u8]) -> Option<Head> {
        self.keys.get(key).map(|history| history.newest)
    }

    /// Appends a change. Changes of a key come in order.
    pub(crate) fn record(&mut self, key: &[u8], head: Head) {
        if let Some(history) = self.keys.get_mut(key) {
            history.older.push(history.newest.change);
            history.newest = head;
        } else {
            self.keys.insert(key.into(), History { older: Vec::new(), newest: head });
        }
    }

    /// Drops the `count` oldest changes of a key, and the key when none is left.
    pub(crate) fn drop_oldest(&mut self, key: &[u8], count: usize) {
        let Some(history) = self.keys.get_mut(key) else {
            return;
        };
        if count > history.older.len() {
            self.keys.remove(key);
        } else {
            history.older.drain(..count);
            history.older.shrink_to_fit();
        }
    }

    /// The histories of a range in key order, from the key after `resume` on if one is given.
    pub(crate) fn range<'a>(
        &'a self,
        range: &'a KeyRange,
        resume: Option<&'a [u8]>,
    ) -> impl Iterator<Item = (&'a [u8], &'a History)> + 'a {
        let (start, end) = range.bounds();
        let start = resume.map_or(start, Bound::Excluded);
        // An ordered map panics on bounds that cross, which a range without keys and a resumption at the last key have.
        let nothing = range.is_empty()
            || match (start, end) {
                (Bound::Excluded(start), Bound::Included(end) | Bound::Excluded(end)) => start >= end,
                _ => false,
            };
        let entries = (!nothing).then(|| self.keys.range::<[u8], _>((start, end)));
        entries.into_iter().flatten().map(|(key, history)| (&key[..], history))
    }

    /// How many keys are known, deleted ones that are not compacted included.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }
}
