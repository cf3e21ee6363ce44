//! Where a store's file lies: on a disk, or in memory on a disk that can crash.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use redb::{Database, StorageBackend};

use crate::error::StorageError;
use crate::shared::lock;

/// The store's file, and those that take its place when they are whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Slot {
    Store,
    /// An empty store that is being made.
    Beginning,
    /// A snapshot that is being made into a store.
    Restoring,
}

/// Where the files are.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Path(PathBuf),
    Memory(MemoryDisk),
}

impl Place {
    fn path(path: &Path, slot: Slot) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(match slot {
            Slot::Store => "",
            Slot::Beginning => ".beginning",
            Slot::Restoring => ".restoring",
        });
        PathBuf::from(name)
    }

    pub(crate) fn exists(&self) -> io::Result<bool> {
        match self {
            Self::Path(path) => path.try_exists(),
            Self::Memory(disk) => Ok(lock(&disk.0).contains_key(&Slot::Store)),
        }
    }

    /// Opens the database of a slot, or makes it.
    pub(crate) fn database(&self, slot: Slot, cache_bytes: usize) -> Result<Arc<Database>, StorageError> {
        let mut builder = Database::builder();
        builder.set_cache_size(cache_bytes);
        let database = match self {
            Self::Path(path) => builder.create(Self::path(path, slot)),
            Self::Memory(disk) => builder.create_with_backend(disk.file(slot)),
        };
        Ok(Arc::new(database.map_err(StorageError::redb)?))
    }

    pub(crate) fn remove(&self, slot: Slot) -> io::Result<()> {
        match self {
            Self::Path(path) => match fs::remove_file(Self::path(path, slot)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                outcome => outcome,
            },
            Self::Memory(disk) => {
                lock(&disk.0).remove(&slot);
                Ok(())
            }
        }
    }

    /// Gives what is in the slot the store's name, durably: the name must outlive a power cut as surely as the log entries
    /// that will be dropped for its file.
    pub(crate) fn put_in_place(&self, slot: Slot) -> io::Result<()> {
        match self {
            Self::Path(path) => {
                fs::rename(Self::path(path, slot), path)?;
                let directory = match path.parent() {
                    Some(directory) if !directory.as_os_str().is_empty() => directory,
                    Some(_) | None => Path::new("."),
                };
                File::open(directory)?.sync_all()
            }
            Self::Memory(disk) => {
                let mut files = lock(&disk.0);
                if let Some(file) = files.remove(&slot) {
                    files.insert(Slot::Store, file);
                }
                Ok(())
            }
        }
    }

    pub(crate) fn len(&self) -> io::Result<u64> {
        match self {
            Self::Path(path) => Ok(fs::metadata(path)?.len()),
            Self::Memory(disk) => Ok(lock(&disk.file(Slot::Store).0).now.len() as u64),
        }
    }
}

/// A disk in memory: what was not synced may be lost by a crash, in part. For simulated machines.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk(Arc<Mutex<BTreeMap<Slot, MemoryFile>>>);

/// A file of it. An open store keeps the file that it has opened, as a dead process would.
#[derive(Clone, Debug, Default)]
struct MemoryFile(Arc<Mutex<Content>>);

#[derive(Debug, Default)]
struct Content {
    /// What a reader sees.
    now: Vec<u8>,
    synced: Vec<u8>,
    /// What was written since the last sync.
    writes: Vec<(usize, Vec<u8>)>,
}

impl MemoryDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    fn file(&self, slot: Slot) -> MemoryFile {
        lock(&self.0).entry(slot).or_default().clone()
    }

    /// The machine loses power. Each write that was not synced is asked for: whether it is on the disk all the same. What a
    /// store that is still open writes from here on goes nowhere.
    pub fn crash(&self, mut survives: impl FnMut() -> bool) {
        for file in lock(&self.0).values_mut() {
            let left = {
                let content = lock(&file.0);
                let mut left = content.synced.clone();
                for (offset, data) in content.writes.iter().filter(|_| survives()) {
                    put(&mut left, *offset, data);
                }
                left
            };
            let content = Content { now: left.clone(), synced: left, writes: Vec::new() };
            *file = MemoryFile(Arc::new(Mutex::new(content)));
        }
    }
}

fn put(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(data);
}

fn range(content: &Content, offset: u64, length: usize) -> io::Result<std::ops::Range<usize>> {
    let start = usize::try_from(offset).map_err(io::Error::other)?;
    let end = start.checked_add(length).filter(|end| *end <= content.now.len());
    end.map(|end| start..end).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

impl StorageBackend for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.0).now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let content = lock(&self.0);
        let range = range(&content, offset, out.len())?;
        out.copy_from_slice(&content.now[range]);
        Ok(())
    }

    /// The length is durable at once, as with a journal that is ahead of the data.
    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut content = lock(&self.0);
        let length = usize::try_from(length).map_err(io::Error::other)?;
        content.now.resize(length, 0);
        content.synced.resize(length, 0);
        content.writes.retain(|(offset, data)| offset + data.len() <= length);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut content = lock(&self.0);
        let content = &mut *content;
        for (offset, data) in content.writes.drain(..) {
            put(&mut content.synced, offset, &data);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut content = lock(&self.0);
        let range = range(&content, offset, data.len())?;
        content.writes.push((range.start, data.to_vec()));
        content.now[range].copy_from_slice(data);
        Ok(())
    }
}
