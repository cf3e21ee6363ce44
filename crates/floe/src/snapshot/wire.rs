//! What is said on a connection that carries a snapshot. `docs/design/snapshots.md`, "The exchange".
//!
//! ```text
//! length u32 | crc32c u32 | kind u8 | body
//! ```
//! `length` counts what follows the checksum, which covers the same bytes. Numbers are little endian. One thread at each
//! end reads and writes, and blocks.

use std::io::{self, Read, Write};

use floe_raft::{Index, LogId, Term};

use crate::snapshot::file::Hash;

/// The bytes of one piece of the file.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;
/// The largest `length`.
const LENGTH_MAX: u32 = CHUNK_BYTES as u32 + 64;

/// One unit of the exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// The sender: this file is yours.
    Offer(Offer),
    /// The receiver: begin at this byte; with the whole size, nothing is needed any more.
    Resume { offset: u64 },
    /// The sender: bytes of the file, in order.
    Chunk { offset: u64, bytes: Vec<u8> },
    /// The sender: that was all. It leads in this term.
    Finish { term: Term },
    /// The receiver: all of it is here, and is being put in place. Repeated, to show that it lives.
    Working,
    /// The receiver: its state contains the snapshot's last entry, and its log is durable from there.
    Installed,
    /// The receiver: not now, or not this.
    Refused(Refusal),
}

/// What the sender has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) last: LogId,
    pub(crate) size: u64,
    pub(crate) hash: Hash,
}

/// Why a snapshot is not installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("what arrived does not match its hash")]
    Damaged,
    #[error("the protocol has no use for it: another term, or another leader")]
    Unwanted,
    #[error("its disk refuses")]
    Disk,
    #[error("it has a reason that this version does not know")]
    Other,
}

impl Refusal {
    fn code(self) -> u8 {
        match self {
            Self::Damaged => 1,
            Self::Unwanted => 2,
            Self::Disk => 3,
            Self::Other => u8::MAX,
        }
    }

    fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Damaged,
            2 => Self::Unwanted,
            3 => Self::Disk,
            _ => Self::Other,
        }
    }
}

const OFFER: u8 = 1;
const RESUME: u8 = 2;
const CHUNK: u8 = 3;
const FINISH: u8 = 4;
const WORKING: u8 = 5;
const INSTALLED: u8 = 6;
const REFUSED: u8 = 7;

/// Writes one frame with one call.
pub(crate) fn write(to: &mut impl Write, frame: &Frame) -> io::Result<()> {
    let mut bytes = vec![0; 8];
    match frame {
        Frame::Offer(offer) => {
            bytes.push(OFFER);
            bytes.extend(offer.last.term.0.to_le_bytes());
            bytes.extend(offer.last.index.0.to_le_bytes());
            bytes.extend(offer.size.to_le_bytes());
            bytes.extend(offer.hash.0);
        }
        Frame::Resume { offset } => {
            bytes.push(RESUME);
            bytes.extend(offset.to_le_bytes());
        }
        Frame::Chunk { offset, bytes: chunk } => {
            bytes.reserve(chunk.len() + 16);
            bytes.push(CHUNK);
            bytes.extend(offset.to_le_bytes());
            bytes.extend(chunk);
        }
        Frame::Finish { term } => {
            bytes.push(FINISH);
            bytes.extend(term.0.to_le_bytes());
        }
        Frame::Working => bytes.push(WORKING),
        Frame::Installed => bytes.push(INSTALLED),
        Frame::Refused(refusal) => bytes.extend([REFUSED, refusal.code()]),
    }
    let length = (bytes.len() - 8) as u32;
    let crc = crc32c::crc32c(&bytes[8..]);
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    to.write_all(&bytes)
}

/// Reads one frame. Anything that is none is an error of the kind `InvalidData`.
pub(crate) fn read(from: &mut impl Read) -> io::Result<Frame> {
    let mut prefix = [0; 8];
    from.read_exact(&mut prefix)?;
    let [a, b, c, d, e, f, g, h] = prefix;
    let (length, crc) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
    if length == 0 || length > LENGTH_MAX {
        return Err(invalid("a frame of an impossible length"));
    }
    // No more room than one chunk takes, however long the frame says that it is.
    let mut bytes = vec![0; length as usize];
    from.read_exact(&mut bytes)?;
    if crc32c::crc32c(&bytes) != crc {
        return Err(invalid("a frame with a wrong checksum"));
    }
    decode(&bytes).ok_or_else(|| invalid("a frame that cannot be understood"))
}

fn invalid(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

fn decode(bytes: &[u8]) -> Option<Frame> {
    let (&kind, mut body) = bytes.split_first()?;
    let mut number = || {
        let (number, rest) = body.split_first_chunk()?;
        body = rest;
        Some(u64::from_le_bytes(*number))
    };
    let frame = match kind {
        OFFER => {
            let (term, index, size) = (Term(number()?), Index(number()?), number()?);
            let hash = Hash(body.try_into().ok()?);
            return Some(Frame::Offer(Offer { last: LogId::new(term, index), size, hash }));
        }
        RESUME => Frame::Resume { offset: number()? },
        CHUNK => {
            let offset = number()?;
            return Some(Frame::Chunk { offset, bytes: body.to_vec() });
        }
        FINISH => Frame::Finish { term: Term(number()?) },
        WORKING => Frame::Working,
        INSTALLED => Frame::Installed,
        REFUSED => {
            let [code] = body else { return None };
            return Some(Frame::Refused(Refusal::from_code(*code)));
        }
        _ => return None,
    };
    body.is_empty().then_some(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames() -> Vec<Frame> {
        let last = LogId::new(Term(3), Index(9));
        vec![
            Frame::Offer(Offer { last, size: 77, hash: Hash([5; 32]) }),
            Frame::Resume { offset: u64::MAX },
            Frame::Chunk { offset: 5, bytes: vec![1; CHUNK_BYTES] },
            Frame::Finish { term: Term(4) },
            Frame::Working,
            Frame::Installed,
            Frame::Refused(Refusal::Unwanted),
            Frame::Refused(Refusal::Other),
        ]
    }

    #[test]
    fn every_frame_survives_the_wire_and_every_flipped_bit_is_noticed() {
        for frame in frames() {
            let mut bytes = Vec::new();
            write(&mut bytes, &frame).expect("written");
            assert_eq!(read(&mut &bytes[..]).expect("read"), frame);
            for bit in (0..bytes.len().min(100) * 8).chain([bytes.len() * 8 - 1]) {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(read(&mut &flipped[..]).is_err(), "bit {bit} of {frame:?}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, kind in 0_u8..9) {
            let mut frame = vec![kind];
            frame.extend(&bytes);
            let mut whole = (frame.len() as u32).to_le_bytes().to_vec();
            whole.extend(crc32c::crc32c(&frame).to_le_bytes());
            whole.extend(frame);
            let _ = read(&mut &whole[..]);
            let _ = read(&mut &bytes[..]);
        }
    }
}
