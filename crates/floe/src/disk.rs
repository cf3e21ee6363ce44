//! The real disk: a directory of files for the log.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use floe_wal::{Disk, DiskFile};

const LOCK: &str = "LOCK";
const ZEROS: &[u8] = &[0; 1 << 20];

/// A directory that this process alone has open: the lock is held until the last clone is dropped.
#[derive(Clone, Debug)]
pub struct FileDisk {
    directory: Arc<Directory>,
}

#[derive(Debug)]
struct Directory {
    path: PathBuf,
    /// Open for its syncs.
    handle: File,
    /// Closing it gives the lock back.
    _lock: File,
}

/// A file of a [`FileDisk`].
#[derive(Debug)]
pub struct DiskFileHandle(File);

impl FileDisk {
    /// Opens the directory, or makes it, readable for its owner alone. Fails with `WouldBlock` if another
    /// process has it open: two writers of one log would destroy it.
    pub fn open(path: &Path) -> io::Result<Self> {
        if !path.is_dir() {
            make_directory(path)?;
        }
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join(LOCK))?;
        lock.try_lock()?;
        let directory = Directory { path: path.to_owned(), handle: File::open(path)?, _lock: lock };
        Ok(Self { directory: Arc::new(directory) })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path.join(name)
    }
}

/// Makes a directory and the missing ones above it. Each is synced into the one above: a log that is durable
/// in a directory that is not would be lost with it.
fn make_directory(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    if !parent.is_dir() {
        make_directory(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => File::open(parent)?.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

impl Disk for FileDisk {
    type File = DiskFileHandle;

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.directory.path)? {
            // The log's own names are ASCII; a name that is not UTF-8 is none of them.
            if let Ok(name) = entry?.file_name().into_string()
                && name != LOCK
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str, len: u64) -> io::Result<DiskFileHandle> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(self.path(name))?;
        // Real zeros, not `fallocate`: an extent that is only allocated is converted by its first write, and
        // that costs each sync 40 us.
        let mut offset = 0;
        while offset < len {
            let piece = ZEROS.len().min(usize::try_from(len - offset).unwrap_or(usize::MAX));
            file.write_all_at(&ZEROS[..piece], offset)?;
            offset += piece as u64;
        }
        file.sync_all()?;
        Ok(DiskFileHandle(file))
    }

    fn open(&self, name: &str) -> io::Result<DiskFileHandle> {
        OpenOptions::new().read(true).write(true).open(self.path(name)).map(DiskFileHandle)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.directory.handle.sync_all()
    }
}

impl DiskFile for DiskFileHandle {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        // The length never changes, so the data are all there is to sync (`fdatasync`).
        self.0.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use bytes::Bytes;
    use floe_raft::{Entry, EntryKind, GroupId, HardState, Index, LogId, NodeId, Term, Write, WriteId};
    use floe_wal::{OpenError, Options, Wal};

    use super::*;

    const GROUP: GroupId = GroupId(1);
    const OPTIONS: Options = Options { cluster: 1, member: 2, segment_bytes: 64 << 10 };

    fn entry(index: u64) -> Entry {
        let payload = Bytes::from(format!("entry {index}").repeat(40));
        Entry { id: LogId::new(Term(3), Index(index)), kind: EntryKind::Command, payload }
    }

    fn write(index: u64) -> (GroupId, Write) {
        let hard_state = Some(HardState { term: Term(3), vote: Some(NodeId(2)) });
        let entries = vec![entry(index)];
        (GROUP, Write { id: WriteId(index), hard_state, restart_after: None, truncate_from: None, entries })
    }

    #[test]
    fn a_log_on_real_files_comes_back() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("deep/log");
        {
            let (mut wal, groups) = Wal::open(FileDisk::open(&path).unwrap(), OPTIONS).unwrap();
            assert!(groups.is_empty());
            for index in 1..=300 {
                wal.append(&[write(index)]).unwrap();
                if wal.wants_spare() {
                    wal.spare_maker().make().unwrap();
                }
            }
            wal.compact(GROUP, entry(150).id).unwrap();
            wal.spare_maker().make().unwrap();
        }
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        let (wal, groups) = Wal::open(FileDisk::open(&path).unwrap(), OPTIONS).unwrap();
        let group = &groups[&GROUP];
        assert_eq!((group.base, group.last), (entry(150).id, entry(300).id));
        assert_eq!(group.tail.first(), Some(&entry(151)));
        assert_eq!(group.hard_state.vote, Some(NodeId(2)));
        assert_eq!(wal.reader().read(GROUP, Index(200), Index(200), 0).unwrap(), [entry(200)]);
    }

    #[test]
    fn a_directory_is_opened_once_at_a_time() {
        let temporary = tempfile::tempdir().unwrap();
        let first = FileDisk::open(temporary.path()).unwrap();
        let clone = first.clone();
        drop(first);
        let error = FileDisk::open(temporary.path()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        drop(clone);
        FileDisk::open(temporary.path()).unwrap();
    }

    #[test]
    fn a_file_has_its_length_from_the_start_and_is_full_of_zeros() {
        let temporary = tempfile::tempdir().unwrap();
        let disk = FileDisk::open(temporary.path()).unwrap();
        std::fs::write(temporary.path().join("a"), b"what was there before").unwrap();
        let length = (1 << 20) + 17;
        let file = disk.create("a", length).unwrap();
        assert_eq!(file.len().unwrap(), length);
        let mut bytes = vec![1; length as usize];
        file.read_at(0, &mut bytes).unwrap();
        assert!(bytes.iter().all(|&byte| byte == 0));
        assert!(file.read_at(length, &mut [0]).is_err());
        assert_eq!(disk.list().unwrap(), ["a"]);
    }

    #[test]
    fn damage_and_strangers_are_named_on_real_files() {
        let temporary = tempfile::tempdir().unwrap();
        {
            let (mut wal, _) = Wal::open(FileDisk::open(temporary.path()).unwrap(), OPTIONS).unwrap();
            wal.append(&[write(1)]).unwrap();
            wal.append(&[write(2)]).unwrap();
        }
        let stranger = Options { member: 9, ..OPTIONS };
        let error = Wal::open(FileDisk::open(temporary.path()).unwrap(), stranger).unwrap_err();
        assert!(matches!(error, OpenError::WrongOwner { found_member: 2, member: 9, .. }), "{error}");

        let segment = temporary.path().join("0000000000000001.log");
        let mut bytes = std::fs::read(&segment).unwrap();
        let at = bytes.windows(7).position(|window| window == b"entry 1").unwrap();
        bytes[at] ^= 1;
        std::fs::write(&segment, bytes).unwrap();
        let error = Wal::open(FileDisk::open(temporary.path()).unwrap(), OPTIONS).unwrap_err();
        let OpenError::Corrupt { index: Some(Index(1)), group: Some(GROUP), undecided: false, .. } = error
        else {
            panic!("{error}");
        };
    }
}
