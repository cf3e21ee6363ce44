//! The index in memory: every key, and where each of its changes lies in the revision table.
//!
//! Keys lie in blocks of neighbours (`block.rs`), and the blocks in an ordered map by their lowest possible key. A map of
//! single keys would do, but finding one among half a million costs it some thirty cache misses, and counting a range
//! would mean to visit every key in it; a block that lies inside the range is counted by its own figures.
//!
//! etcd keeps a list of generations a key, each from a creation to a deletion. Here the changes are one flat list with
//! the deletions marked, which says the same: a generation is what lies between two marks. The creation revision and the
//! version are needed for the newest change only, because each record of the table carries its own.

use std::collections::{BTreeMap, btree_map};
use std::ops::{Bound, ControlFlow};

use bytes::Bytes;

use crate::block::{Block, MAX_KEYS};
use crate::kv::KeyRange;

/// How many keys a look visits before it gives way to the writer. About a hundred microseconds.
const KEYS_PER_LOOK: usize = 2048;

/// What a block that is only counted costs of [`KEYS_PER_LOOK`].
const COST_OF_COUNT: usize = 4;

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
    newest: Head,
    /// All but the newest. None for most keys of most stores, hence the box: eight bytes instead of 24.
    #[allow(clippy::box_collection)]
    older: Option<Box<Vec<Change>>>,
}

impl History {
    fn new(newest: Head) -> Self {
        Self { newest, older: None }
    }

    fn older(&self) -> &[Change] {
        self.older.as_deref().map_or(&[], Vec::as_slice)
    }

    fn push(&mut self, head: Head) {
        let change = std::mem::replace(&mut self.newest, head).change;
        self.older.get_or_insert_default().push(change);
    }

    /// Drops the `count` oldest changes, but never the newest.
    fn drop_oldest(&mut self, count: usize) {
        if let Some(older) = &mut self.older {
            if count >= older.len() {
                self.older = None;
            } else {
                older.drain(..count);
                older.shrink_to_fit();
            }
        }
    }

    /// The newest change.
    pub(crate) fn newest(&self) -> &Head {
        &self.newest
    }

    /// The newest change at `revision`, a deletion included.
    pub(crate) fn at(&self, revision: i64) -> Option<Change> {
        if self.newest.change.place.revision <= revision {
            return Some(self.newest.change);
        }
        let older = self.older();
        let after = older.partition_point(|change| change.place.revision <= revision);
        after.checked_sub(1).map(|at| older[at])
    }

    /// The last change before `place`, a deletion included.
    pub(crate) fn before(&self, place: Place) -> Option<Change> {
        if self.newest.change.place < place {
            return Some(self.newest.change);
        }
        let older = self.older();
        let after = older.partition_point(|change| change.place < place);
        after.checked_sub(1).map(|at| older[at])
    }

    /// The changes that go when the sweep of a compaction at `revision` comes to the one at `place`: those before it,
    /// which it supersedes, and itself, if a newer one at or below the compaction supersedes it, or if it is a deletion.
    /// Changes exactly at the compaction stay, deletions too, because a watch may begin there (etcd #18089, #19179).
    /// What goes is always the oldest.
    pub(crate) fn swept_by(&self, place: Place, revision: i64) -> impl Iterator<Item = Place> + '_ {
        let changes = || self.older().iter().chain([&self.newest.change]);
        let below = |change: &&Change| change.place < place && change.place.revision < revision;
        let before = changes().take_while(below).count();
        let goes = place.revision < revision
            && (changes().nth(before).is_some_and(|own| own.tombstone)
                || changes().nth(before + 1).is_some_and(|next| next.place.revision <= revision));
        changes().take(before + usize::from(goes)).map(|change| change.place)
    }
}

/// Every key's history, in key order.
#[derive(Debug)]
pub(crate) struct KeyIndex {
    /// By a key that none of the block's lies below. The first block's is the empty one, so every key has a block.
    blocks: BTreeMap<Box<[u8]>, Block>,
    keys: usize,
}

impl Default for KeyIndex {
    fn default() -> Self {
        Self { blocks: BTreeMap::from([(Box::default(), Block::default())]), keys: 0 }
    }
}

impl KeyIndex {
    /// The key's history.
    pub(crate) fn history(&self, key: &[u8]) -> Option<&History> {
        let (_, block) =
            self.blocks.range::<[u8], _>((Bound::Unbounded, Bound::Included(key))).next_back()?;
        block.find(key).ok().map(|at| block.history(at))
    }

    /// The key's newest change, a deletion included.
    pub(crate) fn head(&self, key: &[u8]) -> Option<Head> {
        self.history(key).map(|history| history.newest)
    }

    /// Appends a change. Changes of a key come in order.
    pub(crate) fn record(&mut self, key: &[u8], head: Head) {
        let Some((_, block)) =
            self.blocks.range_mut::<[u8], _>((Bound::Unbounded, Bound::Included(key))).next_back()
        else {
            return;
        };
        match block.find(key) {
            Ok(at) => {
                let was_live = block.history(at).newest.is_live();
                block.account(was_live, &head);
                block.history_mut(at).push(head);
            }
            Err(at) => {
                block.account(false, &head);
                block.insert(at, key, History::new(head));
                self.keys += 1;
                if block.len() > MAX_KEYS {
                    let (separator, upper) = block.split(at);
                    self.blocks.insert(separator, upper);
                }
            }
        }
    }

    /// Drops the `count` oldest changes of a key, and the key when none is left.
    pub(crate) fn drop_oldest(&mut self, key: &[u8], count: usize) {
        let bounds = (Bound::Unbounded, Bound::Included(key));
        let Some((separator, block)) = self.blocks.range_mut::<[u8], _>(bounds).next_back() else {
            return;
        };
        let Ok(at) = block.find(key) else {
            return;
        };
        if count <= block.history(at).older().len() {
            block.history_mut(at).drop_oldest(count);
            return;
        }
        let was_live = block.history(at).newest.is_live();
        block.remove(at, was_live);
        self.keys -= 1;
        if block.len() < MAX_KEYS / 4 {
            let separator = separator.clone();
            self.merge_down(&separator);
        }
    }

    /// Moves a small block's keys to the block before it, if they fit well.
    fn merge_down(&mut self, separator: &[u8]) {
        let bounds = (Bound::Unbounded, Bound::Excluded(separator));
        let before = self.blocks.range::<[u8], _>(bounds).next_back().map(|(_, block)| block.len());
        let own = self.blocks.get(separator).map_or(0, Block::len);
        if !before.is_some_and(|before| own == 0 || before + own <= MAX_KEYS / 2) {
            return;
        }
        if let Some(block) = self.blocks.remove(separator)
            && let Some((_, before)) = self.blocks.range_mut::<[u8], _>(bounds).next_back()
        {
            before.append(block);
        }
    }

    /// The keys of a range in order, from the key after `resume` on if one is given.
    pub(crate) fn range<'a>(&'a self, range: &'a KeyRange, resume: Option<&'a [u8]>) -> Cursor<'a> {
        let (start, end) = range.bounds();
        let start = resume.map_or(start, Bound::Excluded);
        let (Bound::Included(first) | Bound::Excluded(first)) = start else {
            return Cursor { blocks: btree_map::Range::default(), end, block: None, key: Vec::new() };
        };
        let below = self.blocks.range::<[u8], _>((Bound::Unbounded, Bound::Included(first))).next_back();
        let separator = below.map_or(&[][..], |(separator, _)| separator);
        let mut blocks = self.blocks.range::<[u8], _>((Bound::Included(separator), Bound::Unbounded));
        let mut cursor = Cursor { end, block: None, key: Vec::new(), blocks: btree_map::Range::default() };
        if !range.is_empty()
            && let Some((_, block)) = blocks.next()
        {
            let at = match (block.find(first), start) {
                (Ok(at), Bound::Excluded(_)) => at + 1,
                (Ok(at) | Err(at), _) => at,
            };
            cursor.blocks = blocks;
            cursor.enter(block, at);
        }
        cursor
    }

    /// Visits the next keys of a range. Gives the key to resume after, or none at the end.
    pub(crate) fn look<V: Visit>(
        &self,
        range: &KeyRange,
        revision: i64,
        resume: Option<&[u8]>,
        visitor: &mut V,
    ) -> ControlFlow<V::Break, Option<Bytes>> {
        let mut cursor = self.range(range, resume);
        let mut cost = 0;
        loop {
            if visitor.only_counts()
                && let Some(live) = cursor.count_block(revision)
            {
                visitor.count(live);
                cost += COST_OF_COUNT;
                if cost >= KEYS_PER_LOOK
                    && let Some(last) = cursor.last_key()
                {
                    return ControlFlow::Continue(Some(last));
                }
                continue;
            }
            let Some((key, history)) = cursor.next() else {
                return ControlFlow::Continue(None);
            };
            if let Some(change) = history.at(revision) {
                visitor.visit(key, change, &history.newest)?;
            }
            cost += 1;
            if cost >= KEYS_PER_LOOK {
                return ControlFlow::Continue(Some(Bytes::copy_from_slice(key)));
            }
        }
    }

    /// How many keys are known, deleted ones that are not compacted included.
    pub(crate) fn len(&self) -> usize {
        self.keys
    }
}

/// What a look is for.
pub(crate) trait Visit {
    /// What ends the look early.
    type Break;

    /// Takes a key, its change at the revision, and its newest.
    fn visit(&mut self, key: &[u8], change: Change, newest: &Head) -> ControlFlow<Self::Break>;

    /// Whether from here on only the number of the keys that exist matters.
    fn only_counts(&self) -> bool {
        false
    }

    /// Takes a number of keys that exist.
    fn count(&mut self, _keys: usize) {}
}

impl<B, F: FnMut(&[u8], Change, &Head) -> ControlFlow<B>> Visit for F {
    type Break = B;

    fn visit(&mut self, key: &[u8], change: Change, newest: &Head) -> ControlFlow<B> {
        self(key, change, newest)
    }
}

/// A walk over the keys of a range.
pub(crate) struct Cursor<'a> {
    /// The blocks after the present one.
    blocks: btree_map::Range<'a, Box<[u8]>, Block>,
    end: Bound<&'a [u8]>,
    block: Option<Part<'a>>,
    /// The present key, put together.
    key: Vec<u8>,
}

/// The part of a block that lies in the range and was not walked yet.
struct Part<'a> {
    block: &'a Block,
    at: usize,
    until: usize,
}

impl<'a> Cursor<'a> {
    /// The next key and its history.
    pub(crate) fn next(&mut self) -> Option<(&[u8], &'a History)> {
        self.settle()?;
        let part = self.block.as_mut()?;
        let at = part.at;
        part.at += 1;
        part.block.write_key(at, &mut self.key);
        Some((&self.key, part.block.history(at)))
    }

    /// Walks over a block that lies in the range as a whole and has no change above `revision`: how many of its keys
    /// exist. None, and no step, if the next keys must be visited one by one.
    fn count_block(&mut self, revision: i64) -> Option<usize> {
        self.settle()?;
        let part = self.block.as_mut()?;
        if part.at > 0 || part.until < part.block.len() || part.block.newest_revision() > revision {
            return None;
        }
        part.at = part.until;
        Some(part.block.live())
    }

    /// The last key of the part that was walked over, if there is more after it.
    fn last_key(&mut self) -> Option<Bytes> {
        let part = self.block.as_ref()?;
        part.block.write_key(part.until.checked_sub(1)?, &mut self.key);
        Some(Bytes::copy_from_slice(&self.key))
    }

    /// Moves on to a part that has keys left. None at the end of the range.
    fn settle(&mut self) -> Option<()> {
        while self.block.as_ref()?.at == self.block.as_ref()?.until {
            let part = self.block.as_ref()?;
            if part.until < part.block.len() {
                self.block = None;
                return None;
            }
            match self.blocks.next() {
                Some((_, block)) => self.enter(block, 0),
                None => self.block = None,
            }
        }
        Some(())
    }

    fn enter(&mut self, block: &'a Block, at: usize) {
        let until = match self.end {
            Bound::Unbounded => block.len(),
            Bound::Excluded(end) => block.find(end).unwrap_or_else(|at| at),
            Bound::Included(end) => block.find(end).map_or_else(|at| at, |at| at + 1),
        };
        // A resumption after the last key lies behind the end.
        self.block = Some(Part { block, at: at.min(until), until });
    }
}
