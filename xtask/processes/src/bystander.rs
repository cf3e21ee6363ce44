//! A process that does nothing but write a small file now and then, as durably as members write theirs: how long that takes
//! is the machine's doing, and no member's.

use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Between two passes. Rare enough not to disturb the members, which sync thousands of times a second.
const PAUSE: Duration = Duration::from_millis(50);

/// Syncs until it is dropped.
pub(crate) struct Bystander {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    /// The longest pass, in microseconds, since somebody asked.
    longest_us: AtomicU64,
    /// When the pass under way began; it may not have ended when somebody asks.
    under_way: std::sync::Mutex<Option<Instant>>,
    stopping: AtomicBool,
}

impl Bystander {
    /// Syncs a file in this directory, which should be on the members' disk.
    pub(crate) fn start(directory: &Path) -> Result<Self> {
        let place = directory.to_owned();
        let mut log = File::create(place.join("bystander")).context("the bystander's file")?;
        let shared = Arc::new(Shared::default());
        let ours = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            while !ours.stopping.load(Ordering::Acquire) {
                let begun = Instant::now();
                *ours.under_way.lock().unwrap_or_else(PoisonError::into_inner) = Some(begun);
                std::thread::sleep(PAUSE);
                // A disk that fails is noticed by the members; this only takes the time.
                let _ = append(&mut log).and_then(|()| replace(&place));
                ours.under_way.lock().unwrap_or_else(PoisonError::into_inner).take();
                ours.longest_us.fetch_max(beyond_pause(begun).as_micros() as u64, Ordering::AcqRel);
            }
        });
        Ok(Self { shared, thread: Some(thread) })
    }

    /// The longest that a sleep and a pass took beyond what was asked for, since the last call.
    pub(crate) fn take_longest(&self) -> Duration {
        let under_way = *self.shared.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = Duration::from_micros(self.shared.longest_us.swap(0, Ordering::AcqRel));
        ended.max(under_way.map_or(Duration::ZERO, beyond_pause))
    }
}

/// As a member writes its log: into blocks that the file has.
fn append(log: &mut File) -> io::Result<()> {
    log.rewind()?;
    log.write_all(&[7; 512])?;
    log.sync_data()
}

/// As a member replaces a file: the journal of the file system takes part, and may be busy with somebody else's files.
fn replace(directory: &Path) -> io::Result<()> {
    let (temporary, whole) = (directory.join("bystander.tmp"), directory.join("bystander.file"));
    let mut file = File::create(&temporary)?;
    file.write_all(&[7; 512])?;
    file.sync_all()?;
    fs::rename(&temporary, &whole)?;
    File::open(directory)?.sync_all()
}

fn beyond_pause(begun: Instant) -> Duration {
    begun.elapsed().saturating_sub(PAUSE)
}

impl Drop for Bystander {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // It panics nowhere.
            let _ = thread.join();
        }
    }
}
