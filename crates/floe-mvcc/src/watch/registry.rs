//! Which watchers a change concerns.
//!
//! Nearly all watchers watch one key or one prefix. Single keys are found by the key, prefixes by each of the key's own
//! prefixes whose length some watcher has, so thousands of either cost a few look-ups a change. Other ranges are walked.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::kv::KeyRange;

/// A watcher, on whichever stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WatcherId {
    pub(super) stream: u64,
    pub(super) id: i64,
}

/// The ranges of all watchers.
#[derive(Debug, Default)]
pub(super) struct Registry {
    keys: BTreeMap<Bytes, Vec<WatcherId>>,
    prefixes: BTreeMap<Bytes, Vec<WatcherId>>,
    /// How many different prefixes there are of each length.
    prefix_lengths: BTreeMap<usize, usize>,
    others: BTreeMap<KeyRange, Vec<WatcherId>>,
}

impl Registry {
    pub(super) fn insert(&mut self, range: &KeyRange, watcher: WatcherId) {
        if range.is_point() {
            self.keys.entry(range.start.clone()).or_default().push(watcher);
        } else if let Some(prefix) = range.as_prefix() {
            let watchers = self.prefixes.entry(prefix.clone()).or_default();
            if watchers.is_empty() {
                *self.prefix_lengths.entry(prefix.len()).or_default() += 1;
            }
            watchers.push(watcher);
        } else {
            self.others.entry(range.clone()).or_default().push(watcher);
        }
    }

    pub(super) fn remove(&mut self, range: &KeyRange, watcher: WatcherId) {
        if range.is_point() {
            remove(&mut self.keys, &range.start, watcher);
        } else if let Some(prefix) = range.as_prefix() {
            if remove(&mut self.prefixes, prefix, watcher)
                && let Some(count) = self.prefix_lengths.get_mut(&prefix.len())
            {
                *count -= 1;
                if *count == 0 {
                    self.prefix_lengths.remove(&prefix.len());
                }
            }
        } else {
            remove(&mut self.others, range, watcher);
        }
    }

    /// Calls `visit` for each watcher of the key, once.
    pub(super) fn for_each(&self, key: &[u8], mut visit: impl FnMut(WatcherId)) {
        let mut visit_all = |watchers: &Vec<WatcherId>| watchers.iter().copied().for_each(&mut visit);
        if let Some(watchers) = self.keys.get(key) {
            visit_all(watchers);
        }
        for &length in self.prefix_lengths.range(..=key.len()).map(|(length, _)| length) {
            if let Some(watchers) = self.prefixes.get(&key[..length]) {
                visit_all(watchers);
            }
        }
        for (range, watchers) in &self.others {
            if &range.start[..] > key {
                break;
            }
            if range.contains(key) {
                visit_all(watchers);
            }
        }
    }
}

/// Removes a watcher from a range's list. Says whether the list is gone with it.
fn remove<K: Ord>(map: &mut BTreeMap<K, Vec<WatcherId>>, range: &K, watcher: WatcherId) -> bool {
    let Some(watchers) = map.get_mut(range) else {
        return false;
    };
    watchers.retain(|&other| other != watcher);
    let gone = watchers.is_empty();
    if gone {
        map.remove(range);
    }
    gone
}
