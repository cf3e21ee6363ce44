//! Snapshots: the state of one member, for another that is too far behind the log. `docs/design/snapshots.md`.
//!
//! A leader's state machine is frozen ([`crate::StateMachine::snapshot`]), written to one file ([`file`]) and streamed
//! ([`send`]) on a connection of its own ([`wire`]), so that nothing of the protocol ever waits behind it. The receiver
//! ([`receive`]) keeps what arrived, over restarts too, and gives the whole to its core, which decides. What is then put
//! in place can be finished by the next start at any point ([`install`]).

pub(crate) mod file;
pub(crate) mod install;
pub(crate) mod make;
pub(crate) mod receive;
pub(crate) mod send;
pub(crate) mod wire;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Where the files are, in the data directory.
const DIRECTORY: &str = "snapshots";
/// A snapshot that takes the place of the state machine, until that is durable.
const INSTALLING: &str = "installing";

/// Removes a file, durably.
pub(crate) fn remove(directory: &Directory, path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    directory.sync()
}

/// The names in the directory of snapshots.
#[derive(Clone, Debug)]
pub(crate) struct Directory(PathBuf);

impl Directory {
    /// Opens the directory, or makes it. What was made to be sent is of no use to another process, and goes.
    pub(crate) fn open(data_dir: &Path) -> io::Result<Self> {
        let directory = Self(data_dir.join(DIRECTORY));
        if !directory.0.is_dir() {
            fs::create_dir_all(&directory.0)?;
            File::open(data_dir)?.sync_all()?;
        }
        directory.remove_all(|name| name.starts_with("outgoing-"))?;
        Ok(directory)
    }

    pub(crate) fn installing(&self) -> PathBuf {
        self.0.join(INSTALLING)
    }

    /// Gives a whole snapshot the name under which the next start would finish what follows now.
    pub(crate) fn begin_install(&self, received: &Path) -> io::Result<()> {
        fs::rename(received, self.installing())?;
        self.sync()
    }

    /// What was frozen here at that entry, to be sent.
    fn outgoing(&self, last: floe_raft::LogId) -> PathBuf {
        self.0.join(format!("outgoing-{:x}-{:x}", last.term.0, last.index.0))
    }

    /// What has arrived so far of the file with that hash.
    fn partial(&self, hash: &file::Hash) -> PathBuf {
        self.0.join(format!("partial-{hash}"))
    }

    /// The same when it is whole.
    fn received(&self, hash: &file::Hash) -> PathBuf {
        self.0.join(format!("received-{hash}"))
    }

    fn remove_all(&self, chosen: impl Fn(&str) -> bool) -> io::Result<()> {
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(&chosen) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Makes names durable that were given or taken.
    fn sync(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}
