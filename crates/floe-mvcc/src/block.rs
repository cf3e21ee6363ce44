//! A leaf of the index: neighbouring keys with their histories, and figures that stand for all of them.

use crate::key_index::{Head, History};
use crate::run::Run;

/// How many keys a block holds at most. Few in this crate's own tests, so that a small index has many blocks.
pub(crate) const MAX_KEYS: usize = if cfg!(test) { 8 } else { 64 };

/// Keys in order, and their histories.
#[derive(Debug, Default)]
pub(crate) struct Block {
    keys: Run<History>,
    /// How many of the keys exist.
    live: usize,
    /// The highest revision of any change.
    newest_revision: i64,
}

impl Block {
    /// The keys and their histories.
    pub(crate) fn keys(&self) -> &Run<History> {
        &self.keys
    }

    /// How many of the keys exist at the newest revision.
    pub(crate) fn live(&self) -> usize {
        self.live
    }

    /// No change of the block lies above this revision.
    pub(crate) fn newest_revision(&self) -> i64 {
        self.newest_revision
    }

    /// Appends a change to a key's history. Says where the key was inserted if it is new.
    pub(crate) fn record(&mut self, key: &[u8], head: Head) -> Option<usize> {
        self.live += usize::from(head.is_live());
        self.newest_revision = self.newest_revision.max(head.change.place.revision);
        match self.keys.find(key) {
            Ok(at) => {
                let history = self.keys.value_mut(at);
                self.live -= usize::from(history.newest().is_live());
                history.push(head);
                None
            }
            Err(at) => {
                self.keys.insert(at, key, History::new(head));
                Some(at)
            }
        }
    }

    /// Drops the `count` oldest changes of a key. Says whether the key is gone with them.
    pub(crate) fn drop_oldest(&mut self, key: &[u8], count: usize) -> bool {
        let Ok(at) = self.keys.find(key) else {
            return false;
        };
        let history = self.keys.value_mut(at);
        let gone = count > history.older().len();
        if gone {
            self.live -= usize::from(history.newest().is_live());
            self.keys.remove(at);
        } else {
            history.drop_oldest(count);
        }
        gone
    }

    /// Gives away the keys from `from` on, and the first of them.
    pub(crate) fn split(&mut self, from: usize) -> (Box<[u8]>, Self) {
        let mut separator = Vec::new();
        self.keys.write_key(from, &mut separator);
        let mut upper = Self::default();
        let mut at = 0;
        std::mem::take(self).keys.drain(|key, history| {
            let block = if at < from { &mut *self } else { &mut upper };
            block.push(key, history);
            at += 1;
        });
        (separator.into(), upper)
    }

    /// Takes over the keys of a block that lies above this one.
    pub(crate) fn append(&mut self, above: Self) {
        above.keys.drain(|key, history| self.push(key, history));
    }

    /// Adds a key above all others.
    fn push(&mut self, key: &[u8], history: History) {
        self.live += usize::from(history.newest().is_live());
        self.newest_revision = self.newest_revision.max(history.newest().change.place.revision);
        self.keys.insert(self.keys.len(), key, history);
    }
}
