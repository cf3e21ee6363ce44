//! How a thread answers futures cheaply: one-shot slots, and a mailbox for each runtime that waits on them.
//!
//! Waking a task of a current-thread tokio runtime from another thread costs a system call (a write to its eventfd),
//! so answering a batch of 1,000 proposals one by one would cost 1,000 of them. Here the answering thread stores the
//! values, collects the wakers by runtime, and hands each runtime its wakers with one call; a small task on that
//! runtime then wakes them from within, where a wake is a push to a local queue.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::runtime;

/// Locks, whatever happened to an earlier holder: no code panics while it holds one of these locks, and if it did
/// the data under them (a queue, an option) would still be whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A pair: what answers and what waits.
pub(crate) fn completion<T>() -> (Completer<T>, Completion<T>) {
    let slot = Arc::new(Mutex::new(Slot::Waiting(None)));
    (Completer { slot: Some(Arc::clone(&slot)) }, Completion { slot })
}

enum Slot<T> {
    Waiting(Option<Parked>),
    /// `None`: whoever should have answered is gone.
    Done(Option<T>),
}

/// A task that waits, and the mailbox of the runtime that it runs on.
struct Parked {
    waker: Waker,
    mailbox: Option<Arc<Mailbox>>,
}

/// Answers once. Dropped without an answer, it answers `None`, so that nobody waits for ever.
pub(crate) struct Completer<T> {
    slot: Option<Arc<Mutex<Slot<T>>>>,
}

impl<T> Completer<T> {
    /// Stores the answer; the one who waits learns of it when `wakes` is flushed.
    pub(crate) fn complete(mut self, value: T, wakes: &mut Wakes) {
        if let Some(slot) = self.slot.take()
            && let Some(parked) = fill(&slot, Some(value))
        {
            wakes.add(parked);
        }
    }

    /// Stores the answer and wakes at once: for what is rare.
    pub(crate) fn complete_now(self, value: T) {
        let mut wakes = Wakes::default();
        self.complete(value, &mut wakes);
        wakes.flush();
    }
}

impl<T> Drop for Completer<T> {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take()
            && let Some(parked) = fill(&slot, None)
        {
            parked.waker.wake();
        }
    }
}

fn fill<T>(slot: &Mutex<Slot<T>>, value: Option<T>) -> Option<Parked> {
    match std::mem::replace(&mut *lock(slot), Slot::Done(value)) {
        Slot::Waiting(parked) => parked,
        Slot::Done(_) => None,
    }
}

/// Waits for the answer: `None` if there will be none.
pub(crate) struct Completion<T> {
    slot: Arc<Mutex<Slot<T>>>,
}

impl<T> Future for Completion<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut slot = lock(&self.slot);
        match &mut *slot {
            Slot::Done(value) => Poll::Ready(value.take()),
            Slot::Waiting(Some(parked)) if parked.waker.will_wake(context.waker()) => Poll::Pending,
            Slot::Waiting(parked) => {
                *parked = Some(Parked { waker: context.waker().clone(), mailbox: Mailbox::current() });
                Poll::Pending
            }
        }
    }
}

/// Wakers collected by the runtime that they belong to.
#[derive(Default)]
pub(crate) struct Wakes {
    /// A handful of runtimes at most: one a core. A scan beats a map.
    mailboxes: Vec<(Arc<Mailbox>, Vec<Waker>)>,
    direct: Vec<Waker>,
}

impl Wakes {
    fn add(&mut self, parked: Parked) {
        let Some(mailbox) = parked.mailbox else {
            self.direct.push(parked.waker);
            return;
        };
        match self.mailboxes.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &mailbox)) {
            Some((_, wakers)) => wakers.push(parked.waker),
            None => self.mailboxes.push((mailbox, vec![parked.waker])),
        }
    }

    /// Wakes all that was collected.
    pub(crate) fn flush(&mut self) {
        for (mailbox, wakers) in self.mailboxes.drain(..) {
            mailbox.deliver(wakers);
        }
        self.direct.drain(..).for_each(Waker::wake);
    }
}

/// The way into one runtime: wakers to wake from within, and the waker of the task that does so.
struct Mailbox {
    state: Mutex<MailboxState>,
}

#[derive(Default)]
struct MailboxState {
    wakers: Vec<Waker>,
    task: Option<Waker>,
    /// The task is gone, or about to go: wake directly.
    closed: bool,
}

thread_local! {
    /// The mailbox of the runtime that this thread last polled a completion on.
    static CURRENT: RefCell<Option<Registered>> = const { RefCell::new(None) };
}

struct Registered {
    runtime: runtime::Id,
    mailbox: Arc<Mailbox>,
}

impl Drop for Registered {
    /// The thread has moved on to another runtime: let the drain task of the old one end.
    fn drop(&mut self) {
        self.mailbox.close();
    }
}

impl Mailbox {
    /// The mailbox of the runtime that this code runs on; `None` outside of tokio.
    fn current() -> Option<Arc<Self>> {
        let handle = runtime::Handle::try_current().ok()?;
        CURRENT.with_borrow_mut(|current| {
            if let Some(registered) = current
                && registered.runtime == handle.id()
            {
                return Some(Arc::clone(&registered.mailbox));
            }
            let mailbox = Arc::new(Self { state: Mutex::new(MailboxState::default()) });
            handle.spawn(Drain { mailbox: Arc::clone(&mailbox) });
            *current = Some(Registered { runtime: handle.id(), mailbox: Arc::clone(&mailbox) });
            Some(mailbox)
        })
    }

    fn deliver(&self, mut wakers: Vec<Waker>) {
        let task = {
            let mut state = lock(&self.state);
            if state.closed {
                None
            } else {
                state.wakers.append(&mut wakers);
                // Without a task yet the first poll of `Drain` finds the wakers.
                state.task.take()
            }
        };
        if let Some(task) = task {
            task.wake();
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    fn close(&self) {
        let (wakers, task) = {
            let mut state = lock(&self.state);
            state.closed = true;
            (std::mem::take(&mut state.wakers), state.task.take())
        };
        wakers.into_iter().chain(task).for_each(Waker::wake);
    }
}

/// The task on each runtime that wakes what is delivered to its mailbox.
struct Drain {
    mailbox: Arc<Mailbox>,
}

impl Future for Drain {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let wakers = {
            let mut state = lock(&self.mailbox.state);
            if state.closed {
                return Poll::Ready(());
            }
            state.task = Some(context.waker().clone());
            std::mem::take(&mut state.wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
        Poll::Pending
    }
}

impl Drop for Drain {
    /// The runtime ends, or the thread left it: what comes later is woken directly.
    fn drop(&mut self) {
        self.mailbox.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn current_thread() -> runtime::Runtime {
        runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
    }

    #[test]
    fn a_batch_of_answers_reaches_every_waiter_on_several_runtimes() {
        let (sender, receiver) = std::sync::mpsc::channel::<Completer<u64>>();
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let sender = sender.clone();
                std::thread::spawn(move || {
                    current_thread().block_on(async move {
                        let tasks: Vec<_> = (0..200)
                            .map(|_| {
                                let (completer, completion) = completion();
                                sender.send(completer).expect("the answering side lives");
                                tokio::spawn(completion)
                            })
                            .collect();
                        drop(sender);
                        let mut sum = 0;
                        for task in tasks {
                            sum += task.await.expect("no panic").expect("an answer");
                        }
                        sum
                    })
                })
            })
            .collect();
        drop(sender);
        let mut wakes = Wakes::default();
        let mut value = 0;
        while let Ok(first) = receiver.recv() {
            for completer in std::iter::once(first).chain(receiver.try_iter()) {
                completer.complete(value, &mut wakes);
                value += 1;
            }
            wakes.flush();
        }
        let total: u64 = threads.into_iter().map(|thread| thread.join().expect("no panic")).sum();
        assert_eq!(total, (0..600).sum());
    }

    #[test]
    fn a_dropped_completer_answers_none() {
        let (completer, completion) = completion::<()>();
        let answer = std::thread::spawn(move || current_thread().block_on(completion));
        drop(completer);
        assert_eq!(answer.join().expect("no panic"), None);
    }

    #[test]
    fn a_waiter_that_outlives_its_first_runtime_is_still_woken() {
        let (completer, mut pending) = completion::<u8>();
        // Polled once on a runtime that ends, so its mailbox is closed when the answer comes.
        current_thread().block_on(async {
            let polled =
                std::future::poll_fn(|context| Poll::Ready(Pin::new(&mut pending).poll(context))).await;
            assert!(polled.is_pending());
        });
        let waiter = std::thread::spawn(move || current_thread().block_on(pending));
        completer.complete_now(7);
        assert_eq!(waiter.join().expect("no panic"), Some(7));
    }

    #[test]
    fn dropping_the_waiter_is_harmless() {
        let (completer, completion) = completion::<String>();
        drop(completion);
        completer.complete_now("nobody reads this".into());
    }
}
