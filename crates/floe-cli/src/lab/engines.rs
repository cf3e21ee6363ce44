//! Engines that run natively, each under a name that a page has given itself.
//!
//! Each has a thread of its own: a world is not made to be sent between threads, and one that is slow keeps nobody
//! else waiting.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use floe_lab::Engine;
use tokio::sync::oneshot;

/// Engines that are there at one time. One more takes the place of the one that nobody has asked for the longest time.
const ENGINES_MAX: usize = 64;
/// Calls that wait for one engine. A page makes one after the other.
const CALLS_MAX: usize = 8;
/// An engine that nobody asks for so long is forgotten.
const IDLE_MAX: Duration = Duration::from_secs(600);
/// A world of ten minutes nests deeply while it is replayed in an unoptimised build.
const STACK_BYTES: usize = 8 << 20;

/// Why a call has no answer of an engine's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CallError {
    #[error("an engine's name has 1 to 64 letters, digits, `-` and `_`")]
    BadName,
    #[error("this engine has too many calls to answer; wait for them")]
    Busy,
    #[error("this engine came to an end while it answered; open the world again")]
    Ended,
    #[error("no thread can be started for another engine")]
    NoThread,
}

/// All engines.
#[derive(Clone, Default)]
pub(crate) struct Engines {
    running: Arc<Mutex<BTreeMap<String, Running>>>,
}

struct Running {
    calls: SyncSender<Call>,
    asked_at: Instant,
}

struct Call {
    request: String,
    answer: oneshot::Sender<String>,
}

impl Engines {
    /// Lets the engine of that name answer, which is made if it is not there.
    pub(super) async fn call(&self, name: &str, request: String) -> Result<String, CallError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if name.is_empty() || name.len() > 64 || !name.bytes().all(is_plain) {
            return Err(CallError::BadName);
        }
        let answer = self.ask(name, request)?;
        answer.await.map_err(|_| CallError::Ended)
    }

    /// Puts a call into the engine's queue.
    fn ask(&self, name: &str, request: String) -> Result<oneshot::Receiver<String>, CallError> {
        let (answer, answered) = oneshot::channel();
        let call = Call { request, answer };
        let mut running = self.lock();
        let now = Instant::now();
        // Those that have ended by themselves are still listed.
        running.retain(|_, engine| now.duration_since(engine.asked_at) < IDLE_MAX);
        let call = match running.get_mut(name) {
            None => call,
            Some(engine) => {
                engine.asked_at = now;
                match engine.calls.try_send(call) {
                    Ok(()) => return Ok(answered),
                    Err(TrySendError::Full(_)) => return Err(CallError::Busy),
                    Err(TrySendError::Disconnected(call)) => call,
                }
            }
        };
        if running.len() >= ENGINES_MAX && !running.contains_key(name) {
            let oldest =
                running.iter().min_by_key(|(_, engine)| engine.asked_at).map(|(name, _)| name.clone());
            oldest.and_then(|oldest| running.remove(&oldest));
        }
        let (calls, queue) = sync_channel(CALLS_MAX);
        thread::Builder::new()
            .name("floe-lab-engine".into())
            .stack_size(STACK_BYTES)
            .spawn(move || run(&queue))
            .map_err(|_| CallError::NoThread)?;
        calls.try_send(call).map_err(|_| CallError::Ended)?;
        running.insert(name.to_owned(), Running { calls, asked_at: now });
        Ok(answered)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        // Nothing panics while it is held.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One engine's life: it ends when nobody can ask it any more, when nobody has for a long time, or in a panic of its own.
fn run(calls: &Receiver<Call>) {
    let mut engine = Engine::new();
    while let Ok(Call { request, answer }) = calls.recv_timeout(IDLE_MAX) {
        // What a panic leaves behind is not used again: the engine goes, and who asked hears that it did.
        let Ok(said) = catch_unwind(AssertUnwindSafe(|| engine.call(&request))) else { return };
        // Whoever asked may have left.
        let _ = answer.send(said);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn at(engines: &Engines, name: &str, request: &str) -> String {
        engines.call(name, request.to_owned()).await.unwrap()
    }

    #[tokio::test]
    async fn each_name_has_a_world_of_its_own_and_nonsense_hurts_nobody() {
        let engines = Engines::default();
        let open = r#"{"call":"open","settings":{"version":1,"seed":7}}"#;
        assert!(at(&engines, "a", open).await.starts_with(r#"{"ok":"#));
        let moved = at(&engines, "a", r#"{"call":"seek","at":1000000000}"#).await;
        assert!(moved.contains(r#""at":1000000000"#), "{moved}");
        assert!(at(&engines, "b", r#"{"call":"state"}"#).await.contains("no-world"));
        assert!(at(&engines, "a", "\0{").await.contains("bad-json"));
        assert!(at(&engines, "a", r#"{"call":"state"}"#).await.contains(r#""at":1000000000"#));
        for name in ["", "a/b", "ü", &"x".repeat(65)] {
            assert_eq!(engines.call(name, open.to_owned()).await, Err(CallError::BadName), "{name}");
        }
    }

    #[tokio::test]
    async fn the_number_of_engines_is_bounded() {
        let engines = Engines::default();
        for number in 0..ENGINES_MAX + 3 {
            at(&engines, &number.to_string(), r#"{"call":"state"}"#).await;
        }
        let names: Vec<String> = engines.lock().keys().cloned().collect();
        assert_eq!(names.len(), ENGINES_MAX);
        assert!(!names.contains(&"0".to_owned()) && names.contains(&(ENGINES_MAX + 2).to_string()));
    }
}
