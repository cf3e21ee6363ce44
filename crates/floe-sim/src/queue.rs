//! What will happen, in order of time; what is due at the same moment happens in the order in which it was queued.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::clock::Moment;

/// The future.
///
/// The heap orders small keys; what happens lies in a slab beside it, so that a large message is not moved while
/// the heap sifts.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    order: BinaryHeap<Reverse<(Moment, u64, u32)>>,
    slab: Vec<Option<T>>,
    free: Vec<u32>,
    sequence: u64,
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        Self { order: BinaryHeap::new(), slab: Vec::new(), free: Vec::new(), sequence: 0 }
    }

    pub(crate) fn push(&mut self, at: Moment, item: T) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slab.push(None);
            (self.slab.len() - 1) as u32
        });
        self.slab[slot as usize] = Some(item);
        self.order.push(Reverse((at, self.sequence, slot)));
        self.sequence += 1;
    }

    pub(crate) fn pop(&mut self) -> Option<(Moment, T)> {
        let Reverse((at, _, slot)) = self.order.pop()?;
        let item = self.slab[slot as usize].take()?;
        self.free.push(slot);
        Some((at, item))
    }

    /// Takes out the items that are to go.
    pub(crate) fn remove(&mut self, goes: impl Fn(u64, &T) -> bool) -> usize {
        let Self { order, slab, free, .. } = self;
        let before = order.len();
        order.retain(|Reverse((_, sequence, slot))| {
            let place = &mut slab[*slot as usize];
            let is_gone = place.as_ref().is_some_and(|item| goes(*sequence, item));
            if is_gone {
                *place = None;
                free.push(*slot);
            }
            !is_gone
        });
        before - order.len()
    }

    /// All that is queued, in no order: when it is due, which of all ever queued it is, and what.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Moment, u64, &T)> {
        self.order.iter().filter_map(|Reverse((at, sequence, slot))| {
            Some((*at, *sequence, self.slab[*slot as usize].as_ref()?))
        })
    }

    /// When the next item is due.
    pub(crate) fn next(&self) -> Option<Moment> {
        self.order.peek().map(|Reverse((at, _, _))| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_moments_keep_their_order() {
        let mut queue = Queue::new();
        for (at, item) in [(5, 'c'), (1, 'a'), (5, 'd'), (2, 'b')] {
            queue.push(Moment(at), item);
        }
        assert_eq!(queue.next(), Some(Moment(1)));
        assert_eq!(queue.pop(), Some((Moment(1), 'a')));
        queue.push(Moment(5), 'e');
        let rest: String = std::iter::from_fn(|| queue.pop()).map(|(_, item)| item).collect();
        assert_eq!(rest, "bcde");
    }
}
