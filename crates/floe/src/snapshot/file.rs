//! A snapshot as a file, which is also what travels. `docs/design/snapshots.md`, "The file".
//!
//! ```text
//! magic "FLOESNAP" | version u16 | zero u16 | cluster u64 | term u64 | index u64 | length u32 | membership
//! | crc32c u32 of all before | the state machine's bytes | SHA-256 of all before
//! ```
//! Numbers are little endian.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use floe_raft::codec::{decode_membership, encode_membership};
use floe_raft::{Index, LogId, Membership, Term};
use sha2::{Digest, Sha256};

use crate::error::StateMachineError;

const MAGIC: &[u8; 8] = b"FLOESNAP";
const VERSION: u16 = 1;
/// Up to the membership.
const FIXED_BYTES: usize = 40;
/// Tens of thousands of members would fit; a longer one is not ours.
const MEMBERSHIP_BYTES_MAX: u32 = 1 << 20;
const BUFFER_BYTES: usize = 1 << 20;

/// The SHA-256 of a file but for its own last 32 bytes, which are this.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Hash(pub(crate) [u8; Self::BYTES]);

impl Hash {
    pub(crate) const BYTES: usize = 32;
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a snapshot is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) cluster: u64,
    /// The last entry that it contains.
    pub(crate) last: LogId,
    /// The membership in force there.
    pub(crate) membership: Membership,
}

/// A whole snapshot in a file.
#[derive(Clone, Debug)]
pub(crate) struct Sealed {
    pub(crate) path: PathBuf,
    pub(crate) header: Header,
    /// All of the file, in bytes.
    pub(crate) size: u64,
    pub(crate) hash: Hash,
    body_at: u64,
}

/// Why a file is no snapshot.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    StateMachine(#[from] StateMachineError),
    #[error("{0}")]
    Damaged(&'static str),
}

/// Writes a snapshot, durably but for its name. `body` writes the state machine's bytes.
pub(crate) fn write(
    path: PathBuf,
    header: Header,
    body: impl FnOnce(&mut dyn Write) -> Result<(), StateMachineError>,
) -> Result<Sealed, FileError> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    let mut out =
        Hashing { inner: BufWriter::with_capacity(BUFFER_BYTES, file), hash: Sha256::new(), size: 0 };
    let head = header.encode();
    out.write_all(&head)?;
    // Buffered twice: the hash costs less for large pieces than for rows.
    let mut buffered = BufWriter::with_capacity(BUFFER_BYTES, &mut out);
    body(&mut buffered)?;
    buffered.flush()?;
    drop(buffered);
    let Hashing { mut inner, hash, size } = out;
    let hash = Hash(hash.finalize().into());
    inner.write_all(&hash.0)?;
    inner.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    Ok(Sealed { path, header, size: size + Hash::BYTES as u64, hash, body_at: head.len() as u64 })
}

/// Reads all of a file, and says what it is a snapshot of.
pub(crate) fn verify(path: &Path, cluster: u64) -> Result<Sealed, FileError> {
    verify_with(path, cluster, || Ok(()))
}

/// The same, and calls `progress` after each piece: somebody may wait for the end of a large file, and must know that
/// this side is alive. Its error ends the reading.
pub(crate) fn verify_with(
    path: &Path,
    cluster: u64,
    mut progress: impl FnMut() -> io::Result<()>,
) -> Result<Sealed, FileError> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut fixed = [0; FIXED_BYTES];
    file.read_exact(&mut fixed).map_err(|_| FileError::Damaged("it is too short"))?;
    let length = membership_bytes(&fixed)?;
    let mut head = fixed.to_vec();
    (&mut file).take(u64::from(length) + 4).read_to_end(&mut head)?;
    let header = Header::decode(&head)?;
    if header.cluster != cluster {
        return Err(FileError::Damaged("it belongs to another cluster"));
    }
    let body_at = head.len() as u64;
    let mut left =
        size.checked_sub(body_at + Hash::BYTES as u64).ok_or(FileError::Damaged("it is too short"))?;
    let mut hash = Sha256::new();
    hash.update(&head);
    let mut piece = vec![0; BUFFER_BYTES];
    while left > 0 {
        let room = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        file.read_exact(&mut piece[..room])?;
        hash.update(&piece[..room]);
        left -= room as u64;
        progress()?;
    }
    let mut found = [0; Hash::BYTES];
    file.read_exact(&mut found)?;
    let hash = Hash(hash.finalize().into());
    if hash != Hash(found) {
        return Err(FileError::Damaged("its hash does not match"));
    }
    Ok(Sealed { path: path.to_owned(), header, size, hash, body_at })
}

impl Sealed {
    /// The state machine's bytes.
    pub(crate) fn body(&self) -> io::Result<impl Read + use<>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.body_at))?;
        let length = self.size - self.body_at - Hash::BYTES as u64;
        Ok(BufReader::with_capacity(BUFFER_BYTES, file).take(length))
    }
}

impl Header {
    fn encode(&self) -> Vec<u8> {
        let mut membership = Vec::new();
        encode_membership(&self.membership, &mut membership);
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend([0; 2]);
        bytes.extend(self.cluster.to_le_bytes());
        bytes.extend(self.last.term.0.to_le_bytes());
        bytes.extend(self.last.index.0.to_le_bytes());
        bytes.extend((membership.len() as u32).to_le_bytes());
        bytes.extend(membership);
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    /// Reads what [`Self::encode`] made, all of it.
    fn decode(bytes: &[u8]) -> Result<Self, FileError> {
        let damaged = FileError::Damaged("its beginning does not match its checksum");
        let Some((body, crc)) = bytes.split_last_chunk() else { return Err(damaged) };
        if body.len() < FIXED_BYTES || u32::from_le_bytes(*crc) != crc32c::crc32c(body) {
            return Err(damaged);
        }
        let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| body[at + byte]));
        let membership = decode_membership(Bytes::copy_from_slice(&body[FIXED_BYTES..]))
            .map_err(|_| FileError::Damaged("its membership cannot be read"))?;
        Ok(Self { cluster: number(12), last: LogId::new(Term(number(20)), Index(number(28))), membership })
    }
}

/// The length of the membership, when the fixed part is that of a snapshot.
fn membership_bytes(fixed: &[u8; FIXED_BYTES]) -> Result<u32, FileError> {
    if fixed[..8] != *MAGIC {
        return Err(FileError::Damaged("it is no snapshot"));
    }
    if fixed[8..10] != VERSION.to_le_bytes() {
        return Err(FileError::Damaged("it was written by a newer version"));
    }
    let length = u32::from_le_bytes([fixed[36], fixed[37], fixed[38], fixed[39]]);
    if length > MEMBERSHIP_BYTES_MAX {
        return Err(FileError::Damaged("its membership is too long"));
    }
    Ok(length)
}

/// Hashes and counts what passes.
struct Hashing<W> {
    inner: W,
    hash: Sha256,
    size: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use floe_raft::NodeId;

    use super::*;

    fn header() -> Header {
        let membership = Membership::of_voters([NodeId(1), NodeId(2)]);
        Header { cluster: 7, last: LogId::new(Term(3), Index(99)), membership }
    }

    #[test]
    fn what_is_written_is_read_and_every_change_is_noticed() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("snapshot");
        let state: Vec<u8> = (0..3_000_u32).flat_map(u32::to_le_bytes).collect();
        let written = write(path.clone(), header(), |out| {
            out.write_all(&state).map_err(|error| StateMachineError(error.into()))
        });
        let written = written.expect("written");
        let read = verify(&path, 7).expect("verified");
        assert_eq!((&read.header, read.size, read.hash), (&header(), written.size, written.hash));
        let mut body = Vec::new();
        read.body().expect("opened").read_to_end(&mut body).expect("read");
        assert!(body == state);
        assert!(matches!(verify(&path, 8), Err(FileError::Damaged(_))), "another cluster");

        let whole = std::fs::read(&path).expect("read");
        for bit in (0..600).chain((600..whole.len() * 8).step_by(701)) {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, flipped).expect("written");
            assert!(verify(&path, 7).is_err(), "bit {bit}");
        }
        for length in (0..100).chain((100..whole.len()).step_by(997)) {
            std::fs::write(&path, &whole[..length]).expect("written");
            assert!(verify(&path, 7).is_err(), "length {length}");
        }
    }
}
