//! Which membership is in force where the log begins: a small file beside the log.
//!
//! Memberships are entries of the log, so what the log drops must be kept elsewhere: before it drops the entry that put a
//! membership in force, and before it starts anew after a snapshot, the membership is written here. Each record holds
//! from its entry on; the last one at or before the log's base is the one in force there.
//!
//! ```text
//! magic "FLOEMEMB" | version u16 | count u32 | count x (term u64, index u64, length u32, membership) | crc32c u32
//! ```
//! Numbers are little endian. `docs/design/data-directory.md`.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use bytes::{Buf, Bytes};
use floe_raft::codec::{decode_membership, encode_membership};
use floe_raft::{Index, LogId, Membership, Term};

const FILE: &str = "members";
const TEMPORARY: &str = "members.tmp";
const MAGIC: &[u8; 8] = b"FLOEMEMB";
const VERSION: u16 = 1;
/// Two records of tens of thousands of members would fit; a longer file is not ours.
const BYTES_MAX: u64 = 4 << 20;

/// The file and what it says.
#[derive(Debug)]
pub(crate) struct MembersFile {
    directory: PathBuf,
    /// Ascending. Two at most: of a crash between this file and the log either may be the right one.
    records: Vec<(LogId, Membership)>,
}

impl MembersFile {
    /// Reads the file, if there is one.
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        let mut bytes = Vec::new();
        let records = match File::open(directory.join(FILE)) {
            Ok(file) => {
                file.take(BYTES_MAX).read_to_end(&mut bytes)?;
                decode(bytes.into()).map_err(|reason| io::Error::new(io::ErrorKind::InvalidData, reason))?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        Ok(Self { directory: directory.to_owned(), records })
    }

    /// The membership in force at the log's base; none if it is the one that the cluster began with.
    pub(crate) fn at(&self, base: Index) -> Option<&Membership> {
        let record = self.records.iter().rev().find(|(id, _)| id.index <= base);
        record.map(|(_, membership)| membership)
    }

    /// Notes, durably, what is in force at `base`, before the log begins there. Nothing is written if that follows from
    /// what is there.
    pub(crate) fn note(&mut self, base: LogId, membership: &Membership) -> io::Result<()> {
        if self.at(base.index) == Some(membership) {
            return Ok(());
        }
        // A record at or after the base is of a crash before the log got there; the log is decided anew.
        let mut records = self.records.clone();
        records.retain(|(id, _)| id.index < base.index);
        let kept = records.len().saturating_sub(1);
        records.drain(..kept);
        records.push((base, membership.clone()));
        let before = std::mem::replace(&mut self.records, records);
        let written = self.write();
        if written.is_err() {
            // It is asked for again when a full disk has space; what is not written must not pass for written then.
            self.records = before;
        }
        written
    }

    /// Writes the file so that it is either there and whole, or as it was.
    fn write(&self) -> io::Result<()> {
        let temporary = self.directory.join(TEMPORARY);
        let mut file = File::create(&temporary)?;
        file.write_all(&self.encode())?;
        file.sync_all()?;
        std::fs::rename(&temporary, self.directory.join(FILE))?;
        File::open(&self.directory)?.sync_all()
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend((self.records.len() as u32).to_le_bytes());
        for (id, membership) in &self.records {
            let mut encoded = Vec::new();
            encode_membership(membership, &mut encoded);
            bytes.extend(id.term.0.to_le_bytes());
            bytes.extend(id.index.0.to_le_bytes());
            bytes.extend((encoded.len() as u32).to_le_bytes());
            bytes.extend(encoded);
        }
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }
}

fn decode(mut bytes: Bytes) -> Result<Vec<(LogId, Membership)>, &'static str> {
    let short = |_| "the file of members is too short";
    if bytes.len() < MAGIC.len() + 10 || bytes[..MAGIC.len()] != *MAGIC {
        return Err("the file of members is none");
    }
    let mut crc = bytes.split_off(bytes.len() - 4);
    if crc.try_get_u32_le().map_err(short)? != crc32c::crc32c(&bytes) {
        return Err("the checksum of the file of members does not match");
    }
    bytes.advance(MAGIC.len());
    if bytes.try_get_u16_le().map_err(short)? != VERSION {
        return Err("the file of members was written by a newer version");
    }
    let count = bytes.try_get_u32_le().map_err(short)?;
    let mut records = Vec::new();
    for _ in 0..count {
        let term = Term(bytes.try_get_u64_le().map_err(short)?);
        let index = Index(bytes.try_get_u64_le().map_err(short)?);
        let length = bytes.try_get_u32_le().map_err(short)? as usize;
        if length > bytes.len() {
            return Err("the file of members is too short");
        }
        let membership =
            decode_membership(bytes.split_to(length)).map_err(|_| "a membership cannot be read")?;
        records.push((LogId::new(term, index), membership));
    }
    if bytes.is_empty() { Ok(records) } else { Err("the file of members is too long") }
}

#[cfg(test)]
mod tests {
    use floe_raft::NodeId;

    use super::*;

    fn of(voters: u64) -> Membership {
        Membership::of_voters((1..=voters).map(NodeId))
    }

    fn id(index: u64) -> LogId {
        LogId::new(Term(2), Index(index))
    }

    #[test]
    fn the_last_at_or_before_the_base_counts_and_survives() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut file = MembersFile::open(dir.path()).expect("none yet");
        assert_eq!(file.at(Index(100)), None);
        for (base, voters) in [(10, 1), (20, 2), (30, 2), (40, 3)] {
            file.note(id(base), &of(voters)).expect("noted");
        }
        let file = MembersFile::open(dir.path()).expect("read");
        assert_eq!(file.records.len(), 2);
        assert_eq!([25, 39, 40, 99].map(|at| file.at(Index(at)).cloned()), [2, 2, 3, 3].map(|n| Some(of(n))));
    }

    #[test]
    fn a_record_that_the_log_never_reached_gives_way() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut file = MembersFile::open(dir.path()).expect("none yet");
        file.note(id(10), &of(1)).expect("noted");
        // A snapshot up to 40 was about to be put in place; after a crash another one, up to 30, is.
        file.note(id(40), &of(4)).expect("noted");
        assert_eq!(file.at(Index(10)), Some(&of(1)), "until then the log begins where it did");
        file.note(id(30), &of(3)).expect("noted");
        assert_eq!(file.at(Index(50)), Some(&of(3)));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut file = MembersFile::open(dir.path()).expect("none yet");
        file.note(id(10), &of(3)).expect("noted");
        let whole = file.encode();
        assert!(decode(whole.clone().into()).is_ok());
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(flipped.into()).is_err(), "bit {bit}");
        }
        for length in 0..whole.len() {
            assert!(decode(whole[..length].to_vec().into()).is_err(), "length {length}");
        }
    }
}
