//! A run of neighbouring keys with their histories: a leaf of the index.
//!
//! Neighbours mostly begin alike, so the beginning that all keys of a block share is kept once and the rest of each
//! side by side in one buffer. Finding a key touches few cache lines, and a key costs no allocation of its own.

use std::cmp::Ordering;

use crate::key_index::{Head, History};

/// How many keys a block holds at most.
pub(crate) const MAX_KEYS: usize = 64;

/// Keys in order, and their histories.
#[derive(Debug, Default)]
pub(crate) struct Block {
    /// What all keys begin with. May be shorter than it could be.
    prefix: Vec<u8>,
    /// What follows it, key by key.
    suffixes: Vec<u8>,
    /// Where each suffix ends.
    ends: Vec<u32>,
    histories: Vec<History>,
    /// How many of the keys exist.
    live: usize,
    /// The highest revision of any change.
    newest_revision: i64,
}

impl Block {
    /// How many keys the block holds.
    pub(crate) fn len(&self) -> usize {
        self.histories.len()
    }

    /// How many of them exist at the newest revision.
    pub(crate) fn live(&self) -> usize {
        self.live
    }

    /// No change of the block lies above this revision.
    pub(crate) fn newest_revision(&self) -> i64 {
        self.newest_revision
    }

    pub(crate) fn history(&self, at: usize) -> &History {
        &self.histories[at]
    }

    pub(crate) fn history_mut(&mut self, at: usize) -> &mut History {
        &mut self.histories[at]
    }

    /// Takes note of a change that is about to be recorded for a key.
    pub(crate) fn account(&mut self, was_live: bool, head: &Head) {
        self.live = self.live + usize::from(head.is_live()) - usize::from(was_live);
        self.newest_revision = self.newest_revision.max(head.change.place.revision);
    }

    /// Where the key is, or where it belongs.
    pub(crate) fn find(&self, key: &[u8]) -> Result<usize, usize> {
        let shared = key.len().min(self.prefix.len());
        match key[..shared].cmp(&self.prefix[..shared]) {
            Ordering::Less => return Err(0),
            Ordering::Greater => return Err(self.len()),
            Ordering::Equal if key.len() < self.prefix.len() => return Err(0),
            Ordering::Equal => {}
        }
        let suffix = &key[shared..];
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.suffix(middle).cmp(suffix) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Ok(middle),
            }
        }
        Err(low)
    }

    /// Puts a key together in `out`.
    pub(crate) fn write_key(&self, at: usize, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&self.prefix);
        out.extend_from_slice(self.suffix(at));
    }

    /// Inserts a key at the place that [`Block::find`] gave.
    pub(crate) fn insert(&mut self, at: usize, key: &[u8], history: History) {
        if self.histories.is_empty() {
            self.prefix = key.to_vec();
        } else {
            self.share(key);
        }
        let suffix = &key[self.prefix.len()..];
        let start = self.start(at);
        self.suffixes.splice(start..start, suffix.iter().copied());
        self.ends.insert(at, start as u32);
        for end in &mut self.ends[at..] {
            *end += suffix.len() as u32;
        }
        self.histories.insert(at, history);
    }

    /// Removes a key.
    pub(crate) fn remove(&mut self, at: usize, was_live: bool) {
        let (start, end) = (self.start(at), self.ends[at] as usize);
        self.suffixes.drain(start..end);
        self.ends.remove(at);
        for other in &mut self.ends[at..] {
            *other -= (end - start) as u32;
        }
        self.histories.remove(at);
        self.live -= usize::from(was_live);
    }

    /// Gives away the upper half, and the lowest key that may be in it. `at` is where the last key was inserted: keys that
    /// come in order leave full blocks behind.
    pub(crate) fn split(&mut self, at: usize) -> (Box<[u8]>, Self) {
        let from = if at + 1 == self.len() { at } else { self.len() / 2 };
        let mut separator = Vec::new();
        self.write_key(from, &mut separator);
        let lower = std::mem::take(self);
        let mut upper = Self::default();
        let mut key = Vec::new();
        let Self { prefix, suffixes, ends, histories, .. } = lower;
        let mut start = 0;
        for (at, (end, history)) in ends.into_iter().zip(histories).enumerate() {
            key.clear();
            key.extend_from_slice(&prefix);
            key.extend_from_slice(&suffixes[start..end as usize]);
            start = end as usize;
            if at < from { self.push(&key, history) } else { upper.push(&key, history) }
        }
        (separator.into(), upper)
    }

    /// Takes over the keys of a block that lies above this one.
    pub(crate) fn append(&mut self, above: Self) {
        let mut key = Vec::new();
        let mut start = 0;
        for (end, history) in above.ends.into_iter().zip(above.histories) {
            key.clear();
            key.extend_from_slice(&above.prefix);
            key.extend_from_slice(&above.suffixes[start..end as usize]);
            start = end as usize;
            self.push(&key, history);
        }
    }

    /// Inserts a key above all others, with its figures.
    fn push(&mut self, key: &[u8], history: History) {
        self.account(false, history.newest());
        self.insert(self.len(), key, history);
    }

    /// Shortens the shared beginning to what `key` has of it.
    fn share(&mut self, key: &[u8]) {
        let shared = key.iter().zip(&self.prefix).take_while(|(a, b)| a == b).count();
        if shared == self.prefix.len() {
            return;
        }
        let lost = self.prefix.split_off(shared);
        let mut suffixes = Vec::with_capacity(self.suffixes.len() + lost.len() * self.len());
        let mut start = 0;
        for end in &mut self.ends {
            suffixes.extend_from_slice(&lost);
            suffixes.extend_from_slice(&self.suffixes[start..*end as usize]);
            start = *end as usize;
            *end = suffixes.len() as u32;
        }
        self.suffixes = suffixes;
    }

    fn start(&self, at: usize) -> usize {
        if at == 0 { 0 } else { self.ends[at - 1] as usize }
    }

    fn suffix(&self, at: usize) -> &[u8] {
        &self.suffixes[self.start(at)..self.ends[at] as usize]
    }
}
