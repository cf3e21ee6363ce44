//! Spare segments: made, recycled and removed beside the log, so that a full segment costs its writer no
//! waiting.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::Disk;
use crate::error::SpareError;
use crate::segment::Geometry;

const SPARE_PREFIX: &str = "spare-";

/// Whether the file is a spare. A spare that a crash left behind is never used: a first frame may have been
/// written to it for the very segment that it would become again, with the same checksums.
pub(crate) fn is_spare(name: &str) -> bool {
    name.starts_with(SPARE_PREFIX)
}

#[derive(Debug, Default)]
struct Spares {
    /// Files of the usual length, allocated and synced.
    ready: Vec<String>,
    /// One is being made.
    making: bool,
    /// Segments that the log needs no more, with their lengths.
    freed: Vec<(String, u64)>,
    /// Names handed out.
    names: u64,
}

impl Spares {
    fn name(&mut self) -> String {
        self.names += 1;
        format!("{SPARE_PREFIX}{}", self.names)
    }
}

/// Prepares the next segment on whatever thread the host likes. Its clones work for the same log.
#[derive(Clone, Debug)]
pub struct SpareMaker<D> {
    disk: D,
    segment_bytes: u64,
    spares: Arc<Mutex<Spares>>,
}

enum Task {
    Fill { name: String },
    Recycle { from: String, name: String },
    Remove { name: String },
}

impl<D: Disk> SpareMaker<D> {
    pub(crate) fn new(disk: D, segment_bytes: u64) -> Self {
        Self { disk, segment_bytes, spares: Arc::default() }
    }

    /// Makes one spare if there is none, out of a freed segment if there is one, and removes the other freed
    /// segments. Returns when there is nothing left to do; a second call meanwhile returns at once.
    ///
    /// After an error the log works on, and makes a segment itself when it needs one. Call again later.
    pub fn make(&self) -> Result<(), SpareError> {
        while let Some(task) = self.next_task() {
            self.perform(task)?;
        }
        Ok(())
    }

    /// Whether [`SpareMaker::make`] has something to do.
    pub(crate) fn is_wanted(&self) -> bool {
        let spares = self.lock();
        (spares.ready.is_empty() && !spares.making) || !spares.freed.is_empty()
    }

    /// Hands over a segment that the log needs no more.
    pub(crate) fn free(&self, name: String, bytes: u64) {
        self.lock().freed.push((name, bytes));
    }

    /// A file to make into a segment: a spare if there is one that fits, otherwise a new one.
    pub(crate) fn take(&self, geometry: Geometry) -> Result<(String, D::File), SpareError> {
        let ready = if geometry.segment_bytes == self.segment_bytes { self.lock().ready.pop() } else { None };
        if let Some(name) = ready {
            let file = self.disk.open(&name).map_err(|source| failed("open", &name, source))?;
            return Ok((name, file));
        }
        let name = self.lock().name();
        let file = self.fill(&name, geometry.segment_bytes)?;
        Ok((name, file))
    }

    fn next_task(&self) -> Option<Task> {
        let mut spares = self.lock();
        let freed = spares.freed.pop();
        if spares.ready.is_empty() && !spares.making {
            spares.making = true;
            let name = spares.name();
            return Some(match freed {
                Some((from, bytes)) if bytes == self.segment_bytes => Task::Recycle { from, name },
                Some(other) => {
                    spares.freed.push(other);
                    Task::Fill { name }
                }
                None => Task::Fill { name },
            });
        }
        freed.map(|(name, _)| Task::Remove { name })
    }

    fn perform(&self, task: Task) -> Result<(), SpareError> {
        match task {
            Task::Fill { name } => {
                let made = self.fill(&name, self.segment_bytes).map(drop);
                self.made(name, made)
            }
            Task::Recycle { from, name } => {
                // The directory is synced before the file can be written to. Otherwise, after a crash, the
                // old name could be back and hold a part of another segment, in the middle of the log.
                let renamed = self.disk.rename(&from, &name).and_then(|()| self.disk.sync_dir());
                self.made(name, renamed.map_err(|source| failed("recycle", &from, source)))
            }
            Task::Remove { name } => {
                self.disk.remove(&name).map_err(|source| failed("remove", &name, source))
            }
        }
    }

    fn made(&self, name: String, result: Result<(), SpareError>) -> Result<(), SpareError> {
        let mut spares = self.lock();
        spares.making = false;
        if result.is_ok() {
            spares.ready.push(name);
        }
        result
    }

    fn fill(&self, name: &str, bytes: u64) -> Result<D::File, SpareError> {
        self.disk.create(name, bytes).map_err(|source| {
            // On a full disk the half-filled file is what others are short of. If it cannot be removed,
            // either, the next start removes it.
            let _ = self.disk.remove(name);
            failed("create", name, source)
        })
    }

    fn lock(&self) -> MutexGuard<'_, Spares> {
        self.spares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failed(action: &'static str, file: &str, source: std::io::Error) -> SpareError {
    SpareError { action, file: file.to_owned(), source }
}
