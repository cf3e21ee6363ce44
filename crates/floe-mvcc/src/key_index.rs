//! The index in memory: every key, and where each of its changes lies in the revision table.
//!
//! Keys lie in blocks of neighbours (`block.rs`), and blocks in groups. A map of single keys would do, but finding one
//! among half a million costs it some thirty cache misses, and counting a range would mean to visit every key in it; a
//! block that lies inside the range is counted by its own figures.
//!
//! etcd keeps a list of generations a key, each from a creation to a deletion. Here the changes are one flat list with
//! the deletions marked, which says the same: a generation is what lies between two marks. The creation revision and the
//! version are needed for the newest change only, because each record of the table carries its own.

use std::collections::{BTreeMap, btree_map};
use std::ops::{Bound, ControlFlow};

use bytes::Bytes;

use crate::block::{Block, MAX_KEYS};
use crate::kv::KeyRange;
use crate::run::Run;

/// How many blocks a group holds at most. See [`MAX_KEYS`] for the tests' number.
const MAX_BLOCKS: usize = if cfg!(test) { 4 } else { 64 };

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
    pub(crate) fn new(newest: Head) -> Self {
        Self { newest, older: None }
    }

    /// All changes but the newest.
    pub(crate) fn older(&self) -> &[Change] {
        self.older.as_deref().map_or(&[], Vec::as_slice)
    }

    /// Appends a change.
    pub(crate) fn push(&mut self, head: Head) {
        let change = std::mem::replace(&mut self.newest, head).change;
        self.older.get_or_insert_default().push(change);
    }

    /// Drops the `count` oldest changes, but never the newest.
    pub(crate) fn drop_oldest(&mut self, count: usize) {
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
///
/// Two levels of runs under a map: groups of blocks, and blocks of keys. The key of a block in its group, and of a group in
/// the map, is one that none of its keys lies below. That of a group is also that of its first block, always: a first
/// block that began later would leave room for keys that belong to no block.
#[derive(Debug)]
pub(crate) struct KeyIndex {
    groups: BTreeMap<Box<[u8]>, Run<Block>>,
    keys: usize,
}

impl Default for KeyIndex {
    fn default() -> Self {
        let mut group = Run::default();
        group.insert(0, &[], Block::default());
        Self { groups: BTreeMap::from([(Box::default(), group)]), keys: 0 }
    }
}

/// The block of a group that a key belongs to.
fn block_of(group: &Run<Block>, key: &[u8]) -> usize {
    group.find(key).unwrap_or_else(|above| above.saturating_sub(1))
}

/// The keys up to and with `key`, for finding the last group at or below it.
fn up_to(key: &[u8]) -> (Bound<&[u8]>, Bound<&[u8]>) {
    (Bound::Unbounded, Bound::Included(key))
}

impl KeyIndex {
    /// The key's history.
    pub(crate) fn history(&self, key: &[u8]) -> Option<&History> {
        let (_, group) = self.groups.range::<[u8], _>(up_to(key)).next_back()?;
        let keys = group.value(block_of(group, key)).keys();
        keys.find(key).ok().map(|at| keys.value(at))
    }

    /// The key's newest change, a deletion included.
    pub(crate) fn head(&self, key: &[u8]) -> Option<Head> {
        self.history(key).map(|history| history.newest)
    }

    /// Appends a change. Changes of a key come in order.
    pub(crate) fn record(&mut self, key: &[u8], head: Head) {
        let Some((_, group)) = self.groups.range_mut::<[u8], _>(up_to(key)).next_back() else {
            return;
        };
        let at = block_of(group, key);
        let block = group.value_mut(at);
        let Some(inserted) = block.record(key, head) else {
            return;
        };
        self.keys += 1;
        if block.keys().len() > MAX_KEYS {
            let (separator, upper) = block.split(block.keys().cut(inserted));
            group.insert(at + 1, &separator, upper);
            if group.len() > MAX_BLOCKS {
                let (separator, upper) = split_group(group, at + 1);
                self.groups.insert(separator, upper);
            }
        }
    }

    /// Drops the `count` oldest changes of a key, and the key when none is left.
    pub(crate) fn drop_oldest(&mut self, key: &[u8], count: usize) {
        let Some((separator, group)) = self.groups.range_mut::<[u8], _>(up_to(key)).next_back() else {
            return;
        };
        let at = block_of(group, key);
        if !group.value_mut(at).drop_oldest(key, count) {
            return;
        }
        self.keys -= 1;
        let left = group.value(at).keys().len();
        if at > 0 && left < MAX_KEYS / 4 && group.value(at - 1).keys().len() + left <= MAX_KEYS / 2 {
            let block = group.remove(at);
            group.value_mut(at - 1).append(block);
        } else if left == 0 && at > 0 {
            group.remove(at);
        } else if left == 0 && group.len() > 1 {
            *group.value_mut(0) = group.remove(1);
        } else if left == 0 && !separator.is_empty() {
            let separator = separator.clone();
            self.groups.remove(&separator);
        }
    }

    /// The keys of a range in order, from the key after `resume` on if one is given.
    pub(crate) fn range<'a>(&'a self, range: &'a KeyRange, resume: Option<&'a [u8]>) -> Cursor<'a> {
        let (start, end) = range.bounds();
        let start = resume.map_or(start, Bound::Excluded);
        let mut cursor =
            Cursor { groups: btree_map::Range::default(), group: None, end, part: None, key: Vec::new() };
        let (Bound::Included(first) | Bound::Excluded(first)) = start else {
            return cursor;
        };
        let separator =
            self.groups.range::<[u8], _>(up_to(first)).next_back().map(|(separator, _)| separator);
        if range.is_empty() {
            return cursor;
        }
        let Some(separator) = separator else {
            return cursor;
        };
        cursor.groups = self.groups.range::<[u8], _>((Bound::Included(&separator[..]), Bound::Unbounded));
        if let Some((_, group)) = cursor.groups.next() {
            let at = block_of(group, first);
            cursor.group = Some((group, at + 1));
            let block = group.value(at);
            let key = match (block.keys().find(first), start) {
                (Ok(at), Bound::Excluded(_)) => at + 1,
                (Ok(at) | Err(at), _) => at,
            };
            cursor.enter(block, key);
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
        if range.is_point() && resume.is_none() {
            // Most ranges by far.
            if let Some(history) = self.history(&range.start)
                && let Some(change) = history.at(revision)
            {
                visitor.visit(&range.start, change, &history.newest)?;
            }
            return ControlFlow::Continue(None);
        }
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

/// Gives away the upper part of a group, and a key that none of its keys lies below.
fn split_group(group: &mut Run<Block>, inserted: usize) -> (Box<[u8]>, Run<Block>) {
    let from = group.cut(inserted);
    let mut separator = Vec::new();
    group.write_key(from, &mut separator);
    let (mut lower, mut upper) = (Run::default(), Run::default());
    let mut at = 0;
    std::mem::take(group).drain(|key, block| {
        let half = if at < from { &mut lower } else { &mut upper };
        half.insert(half.len(), key, block);
        at += 1;
    });
    *group = lower;
    (separator.into(), upper)
}

/// A walk over the keys of a range.
pub(crate) struct Cursor<'a> {
    /// The groups after the present one.
    groups: btree_map::Range<'a, Box<[u8]>, Run<Block>>,
    /// The present group, and the block of it that comes next.
    group: Option<(&'a Run<Block>, usize)>,
    end: Bound<&'a [u8]>,
    part: Option<Part<'a>>,
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
        let part = self.part.as_mut()?;
        let (keys, at) = (part.block.keys(), part.at);
        part.at += 1;
        keys.write_key(at, &mut self.key);
        Some((&self.key, keys.value(at)))
    }

    /// Walks over a block that lies in the range as a whole and has no change above `revision`: how many of its keys
    /// exist. None, and no step, if the next keys must be visited one by one.
    fn count_block(&mut self, revision: i64) -> Option<usize> {
        self.settle()?;
        let part = self.part.as_mut()?;
        let is_whole = part.at == 0 && part.until == part.block.keys().len();
        if !is_whole || part.block.newest_revision() > revision {
            return None;
        }
        part.at = part.until;
        Some(part.block.live())
    }

    /// The last key of the part that was walked over, if there is more after it.
    fn last_key(&mut self) -> Option<Bytes> {
        let part = self.part.as_ref()?;
        part.block.keys().write_key(part.until.checked_sub(1)?, &mut self.key);
        Some(Bytes::copy_from_slice(&self.key))
    }

    /// Moves on to a part that has keys left. None at the end of the range.
    fn settle(&mut self) -> Option<()> {
        loop {
            let part = self.part.as_ref()?;
            if part.at < part.until {
                return Some(());
            }
            if part.until < part.block.keys().len() {
                self.part = None;
                return None;
            }
            match self.next_block() {
                Some(block) => self.enter(block, 0),
                None => self.part = None,
            }
        }
    }

    fn next_block(&mut self) -> Option<&'a Block> {
        let (group, at) = self.group?;
        if at < group.len() {
            self.group = Some((group, at + 1));
            return Some(group.value(at));
        }
        // No group is without a block.
        let (_, group) = self.groups.next()?;
        self.group = Some((group, 1));
        Some(group.value(0))
    }

    fn enter(&mut self, block: &'a Block, at: usize) {
        let keys = block.keys();
        let until = match self.end {
            Bound::Unbounded => keys.len(),
            Bound::Excluded(end) => keys.find(end).unwrap_or_else(|at| at),
            Bound::Included(end) => keys.find(end).map_or_else(|at| at, |at| at + 1),
        };
        // A resumption after the last key lies behind the end.
        self.part = Some(Part { block, at: at.min(until), until });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// A key of a few letters and one of two hundred numbers: some begin alike for long, some not at all.
    fn any_key() -> impl Strategy<Value = Vec<u8>> {
        let stem = proptest::sample::select(
            &["", "a", "aa/long/and/shared/", "aa/long/and/other/", "b\0", "\u{ff}"][..],
        );
        (stem, proptest::option::weighted(0.95, 0..200_u16)).prop_map(|(stem, number)| {
            let mut key = stem.as_bytes().to_vec();
            key.extend(number.map(|number| format!("{number:x}")).unwrap_or_default().bytes());
            key
        })
    }

    fn any_range() -> impl Strategy<Value = KeyRange> {
        prop_oneof![
            any_key().prop_map(KeyRange::key),
            any_key().prop_map(KeyRange::prefix),
            (any_key(), any_key()).prop_map(|(start, end)| KeyRange::between(start, end)),
            any_key().prop_map(|start| KeyRange::between(start, &b"\0"[..])),
            Just(KeyRange::all()),
        ]
    }

    fn head(revision: i64, live: bool) -> Head {
        let place = Place { revision, sub: 0 };
        Head {
            change: Change { place, tombstone: !live, leased: false },
            create_revision: revision,
            version: 1,
        }
    }

    #[derive(Default)]
    struct Seen {
        keys: Vec<(Vec<u8>, i64)>,
        wanted: usize,
        live: usize,
    }

    impl Visit for Seen {
        type Break = ();

        fn visit(&mut self, key: &[u8], change: Change, _: &Head) -> ControlFlow<()> {
            if !change.tombstone {
                self.live += 1;
                if !self.only_counts() {
                    self.keys.push((key.to_vec(), change.place.revision));
                }
            }
            ControlFlow::Continue(())
        }

        fn only_counts(&self) -> bool {
            self.keys.len() >= self.wanted
        }

        fn count(&mut self, keys: usize) {
            self.live += keys;
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        /// Every operation against a map of lists, with enough keys for blocks and groups to split, empty and merge.
        #[test]
        fn the_index_is_an_ordered_map(
            rounds in vec(
                (vec((any_key(), any::<bool>()), 1..600), vec((any_range(), any::<bool>()), 0..4)),
                1..6,
            ),
            ranges in vec((any_range(), 0..2000_i64, 0..200_usize), 1..12),
        ) {
            let mut index = KeyIndex::default();
            let mut model = BTreeMap::<Vec<u8>, Vec<Head>>::new();
            let mut revision = 0;
            for (changes, swept) in rounds {
                for (key, live) in changes {
                    revision += 1;
                    let head = head(revision, live);
                    index.record(&key, head);
                    model.entry(key).or_default().push(head);
                }
                check(&index, &model, &ranges)?;
                // As a sweep does: of each key all changes but the newest go, and that, too, if it is a deletion.
                for (range, deleted) in swept {
                    for (key, heads) in model.iter_mut().filter(|(key, _)| deleted && range.contains(key)) {
                        revision += 1;
                        index.record(key, head(revision, false));
                        heads.push(head(revision, false));
                    }
                    for (key, heads) in model.iter_mut().filter(|(key, _)| range.contains(key)) {
                        let kept = usize::from(heads.last().is_some_and(Head::is_live));
                        let gone = heads.len() - kept;
                        heads.drain(..gone);
                        if gone > 0 {
                            index.drop_oldest(key, gone);
                        }
                    }
                    model.retain(|_, heads| !heads.is_empty());
                    check(&index, &model, &ranges)?;
                }
            }
        }
    }

    fn check(
        index: &KeyIndex,
        model: &BTreeMap<Vec<u8>, Vec<Head>>,
        ranges: &[(KeyRange, i64, usize)],
    ) -> Result<(), TestCaseError> {
        prop_assert_eq!(index.len(), model.len());
        for (key, heads) in model {
            prop_assert_eq!(index.head(key), heads.last().copied());
        }
        prop_assert_eq!(index.head(b"not a key of the test"), None);
        for (range, revision, wanted) in ranges {
            let found = model.iter().filter(|(key, _)| range.contains(key)).filter_map(|(key, heads)| {
                let head = heads.iter().rev().find(|head| head.change.place.revision <= *revision)?;
                head.is_live().then(|| (key.clone(), head.change.place.revision))
            });
            let expected: Vec<(Vec<u8>, i64)> = found.collect();
            let mut seen = Seen { wanted: *wanted, ..Seen::default() };
            let ControlFlow::Continue(mut resume) = index.look(range, *revision, None, &mut seen) else {
                return Err(TestCaseError::fail("the visitor never breaks"));
            };
            while let Some(last) = resume {
                resume = index.look(range, *revision, Some(&last), &mut seen).continue_value().flatten();
            }
            prop_assert_eq!(seen.live, expected.len());
            prop_assert_eq!(&seen.keys[..], &expected[..expected.len().min(*wanted)]);
            // Going on after any key gives the rest.
            if let Some((last, _)) = expected.get(expected.len() / 2) {
                let mut rest = Vec::new();
                let mut cursor = index.range(range, Some(last));
                while let Some((key, history)) = cursor.next() {
                    if history.at(*revision).is_some_and(|change| !change.tombstone) {
                        rest.push(key.to_vec());
                    }
                }
                let after: Vec<Vec<u8>> =
                    expected[expected.len() / 2 + 1..].iter().map(|(key, _)| key.clone()).collect();
                prop_assert_eq!(rest, after);
            }
        }
        Ok(())
    }

    #[test]
    fn looks_give_way_and_go_on() {
        let mut index = KeyIndex::default();
        for n in 0..200_000_u32 {
            index.record(&n.to_be_bytes(), head(i64::from(n) + 1, true));
        }
        for wanted in [0, 100_000, usize::MAX] {
            let (mut seen, mut looks, mut resume) = (Seen { wanted, ..Seen::default() }, 0, None::<Bytes>);
            loop {
                looks += 1;
                let all = KeyRange::between(&b""[..], &b"\0"[..]);
                resume = index.look(&all, i64::MAX, resume.as_deref(), &mut seen).continue_value().flatten();
                if resume.is_none() {
                    break;
                }
            }
            assert_eq!((seen.live, seen.keys.len()), (200_000, wanted.min(200_000)));
            assert!(looks >= 200_000 / MAX_KEYS * COST_OF_COUNT / KEYS_PER_LOOK);
        }
    }
}
