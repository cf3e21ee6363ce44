//! A run of neighbouring keys with a value each: what the index is built of.
//!
//! Neighbours mostly begin alike, so the beginning that all keys of a run share is kept once and the rest of each side
//! by side in one buffer. Finding a key touches few cache lines, and a key costs no allocation of its own.

use std::cmp::Ordering;

/// Keys in order, and their values.
#[derive(Debug)]
pub(crate) struct Run<V> {
    /// What all keys begin with. May be shorter than it could be.
    prefix: Vec<u8>,
    /// What follows it, key by key.
    suffixes: Vec<u8>,
    /// Where each suffix ends.
    ends: Vec<u32>,
    values: Vec<V>,
}

impl<V> Default for Run<V> {
    fn default() -> Self {
        Self { prefix: Vec::new(), suffixes: Vec::new(), ends: Vec::new(), values: Vec::new() }
    }
}

impl<V> Run<V> {
    /// How many keys the run holds.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn value(&self, at: usize) -> &V {
        &self.values[at]
    }

    pub(crate) fn value_mut(&mut self, at: usize) -> &mut V {
        &mut self.values[at]
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

    /// Inserts a key at the place that [`Run::find`] gave.
    pub(crate) fn insert(&mut self, at: usize, key: &[u8], value: V) {
        if self.values.is_empty() {
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
        self.values.insert(at, value);
    }

    /// Removes a key.
    pub(crate) fn remove(&mut self, at: usize) -> V {
        let (start, end) = (self.start(at), self.ends[at] as usize);
        self.suffixes.drain(start..end);
        self.ends.remove(at);
        for other in &mut self.ends[at..] {
            *other -= (end - start) as u32;
        }
        self.values.remove(at)
    }

    /// Where to cut a run that has grown too long, when the last key was inserted at `at`: keys that come in order leave
    /// full runs behind.
    pub(crate) fn cut(&self, at: usize) -> usize {
        if at + 1 == self.len() { at } else { self.len() / 2 }
    }

    /// Takes the run apart, key by key.
    pub(crate) fn drain(self, mut each: impl FnMut(&[u8], V)) {
        let mut key = self.prefix;
        let (shared, mut start) = (key.len(), 0);
        for (end, value) in self.ends.into_iter().zip(self.values) {
            key.truncate(shared);
            key.extend_from_slice(&self.suffixes[start..end as usize]);
            start = end as usize;
            each(&key, value);
        }
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
