//! What the log asks of a disk: a directory of files, read and written at offsets, with explicit durability.

use std::io;

/// A directory. Its clones are the same directory.
///
/// A change of names (create, rename, remove) may be lost in a crash until [`Disk::sync_dir`] returns.
pub trait Disk: Clone + Send + Sync + 'static {
    /// A file in it.
    type File: DiskFile;

    /// The names of the files, in any order.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes a file of `len` zero bytes in place of whatever had the name. The contents are written and
    /// synced, so that later writes within them need no space; the name is durable after [`Disk::sync_dir`].
    fn create(&self, name: &str, len: u64) -> io::Result<Self::File>;

    /// Opens a file to read and write.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Gives a file another name, in place of whatever had that name. Atomic.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a name. A file that is open stays readable.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes all changes of names durable.
    fn sync_dir(&self) -> io::Result<()>;
}

/// An open file. Its length never changes.
pub trait DiskFile: Send + Sync + 'static {
    /// Its length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether it holds nothing.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `buf` from `offset`.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`, within the file's length. In a crash each sector of it may be there
    /// or not until [`DiskFile::sync`] returns.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes everything written to the file durable. After an error nothing that was not synced before is
    /// known to be durable, and a second call proves nothing (Rebello et al., ATC'20).
    fn sync(&self) -> io::Result<()>;
}
