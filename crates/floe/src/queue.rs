//! A queue to one worker thread, which takes everything that waits at once.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::completion::lock;

/// The queue. What it holds is bounded by those who push: each of them waits for the reports of the worker before
/// it gives out more.
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
}

struct State<T> {
    items: Vec<T>,
    sleeping: bool,
    closed: bool,
}

/// What [`Queue::take`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Items.
    Some,
    /// Nothing in the given time.
    Nothing,
    /// Nothing, and nothing will come any more.
    Closed,
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        let state = State { items: Vec::new(), sleeping: false, closed: false };
        Self { state: Mutex::new(state), arrived: Condvar::new() }
    }

    /// Adds an item and wakes the worker if it sleeps.
    pub(crate) fn push(&self, item: T) {
        self.push_all(&mut vec![item]);
    }

    /// Moves all items into the queue and wakes the worker if it sleeps.
    pub(crate) fn push_all(&self, items: &mut Vec<T>) {
        if items.is_empty() {
            return;
        }
        let mut state = lock(&self.state);
        if state.closed {
            items.clear();
            return;
        }
        if state.items.is_empty() {
            std::mem::swap(&mut state.items, items);
        } else {
            state.items.append(items);
        }
        let wake = std::mem::take(&mut state.sleeping);
        drop(state);
        if wake {
            self.arrived.notify_one();
        }
    }

    /// Takes everything, waiting up to `wait` (for ever if `None`). `items` must be empty; its allocation is used
    /// for the next ones.
    pub(crate) fn take(&self, items: &mut Vec<T>, wait: Option<Duration>) -> Taken {
        debug_assert!(items.is_empty());
        let mut state = lock(&self.state);
        if state.items.is_empty() && !state.closed {
            state.sleeping = true;
            let idle = |state: &mut State<T>| state.items.is_empty() && !state.closed;
            state = match wait {
                None => self.arrived.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner),
                Some(wait) => {
                    self.arrived
                        .wait_timeout_while(state, wait, idle)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
            state.sleeping = false;
        }
        std::mem::swap(&mut state.items, items);
        match (items.is_empty(), state.closed) {
            (false, _) => Taken::Some,
            (true, false) => Taken::Nothing,
            (true, true) => Taken::Closed,
        }
    }

    /// Takes nothing more in; the worker still gets what waits.
    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        self.arrived.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn everything_pushed_is_taken_in_order_and_closing_ends_the_worker() {
        let queue = Arc::new(Queue::new());
        let worker = {
            let queue = Arc::clone(&queue);
            std::thread::spawn(move || {
                let (mut all, mut items) = (Vec::new(), Vec::new());
                while queue.take(&mut items, None) != Taken::Closed {
                    all.append(&mut items);
                }
                all
            })
        };
        for item in 0..10_000_u32 {
            queue.push(item);
        }
        queue.close();
        queue.push(10_001);
        assert_eq!(worker.join().expect("no panic"), (0..10_000).collect::<Vec<_>>());
    }

    #[test]
    fn waiting_ends_when_nothing_comes() {
        let queue = Queue::<u8>::new();
        assert_eq!(queue.take(&mut Vec::new(), Some(Duration::from_millis(1))), Taken::Nothing);
    }
}
