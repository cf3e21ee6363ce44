//! The window of appends that are under way to one peer, bounded in messages and in bytes.

use std::collections::VecDeque;

use crate::id::Index;

/// Appends sent and not acknowledged, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inflight {
    /// The last entry of each, and its cost. Invariant: the entries ascend.
    appends: VecDeque<(Index, u64)>,
    bytes: u64,
}

impl Inflight {
    /// Counts an append that ends at `last`.
    pub(crate) fn push(&mut self, last: Index, bytes: u64) {
        self.appends.push_back((last, bytes));
        self.bytes += bytes;
    }

    /// Everything up to `matched` arrived.
    pub(crate) fn release(&mut self, matched: Index) {
        while let Some((_, bytes)) = self.appends.pop_front_if(|(last, _)| *last <= matched) {
            self.bytes -= bytes;
        }
    }

    /// Whether nothing more may be sent. One append always may, whatever its size.
    pub(crate) fn is_full(&self, messages: usize, bytes: u64) -> bool {
        self.appends.len() >= messages || self.bytes >= bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.appends.len()
    }

    pub(crate) fn clear(&mut self) {
        self.appends.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_bounded_in_messages_and_in_bytes() {
        let mut inflight = Inflight::default();
        assert!(!inflight.is_full(2, 100));
        inflight.push(Index(5), 99);
        assert!(!inflight.is_full(2, 100));
        inflight.push(Index(6), 1);
        assert!(inflight.is_full(2, 1000));
        assert!(inflight.is_full(9, 100));
        inflight.release(Index(4));
        assert_eq!(inflight.len(), 2);
        inflight.release(Index(5));
        assert_eq!((inflight.len(), inflight.is_full(2, 100)), (1, false));
        inflight.push(Index(9), 5000);
        assert!(inflight.is_full(9, 100));
        inflight.release(Index(99));
        assert_eq!((inflight.len(), inflight.is_full(1, 1)), (0, false));
    }

    #[test]
    fn an_acknowledgement_covers_all_that_ends_before_it() {
        let mut inflight = Inflight::default();
        (1..=10).for_each(|last| inflight.push(Index(last * 10), 10));
        inflight.release(Index(59));
        assert_eq!((inflight.len(), inflight.bytes), (5, 50));
        inflight.clear();
        assert_eq!((inflight.len(), inflight.bytes), (0, 0));
    }
}
