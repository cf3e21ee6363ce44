//! A segment: its name, where things lie in it, what its checksums are bound to, and its header.

use bytes::{Buf, BufMut};

/// What no write is torn within: frames start at its multiples.
pub(crate) const SECTOR_BYTES: u64 = 512;
const PAGE_BYTES: u64 = 4096;
const MAGIC: &[u8; 8] = b"floe-wal";

/// The version of the format that is written, and the only one that is read.
pub(crate) const VERSION: u32 = 1;
pub(crate) const HEADER_BYTES: usize = 512;
pub(crate) const SLOT_BYTES: u64 = 32;

/// The shortest segment: it has room for some frames.
pub(crate) const SEGMENT_BYTES_MIN: u64 = 32 << 10;
/// The longest segment: offsets in it are 32 bits.
pub(crate) const SEGMENT_BYTES_MAX: u64 = 2 << 30;

/// The name of a segment's file.
pub(crate) fn name_of(sequence: u64) -> String {
    format!("{sequence:016x}.log")
}

/// The sequence in a segment's name; `None` for the name of anything else.
pub(crate) fn sequence_in(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    let lower = digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if digits.len() != 16 || !lower {
        return None;
    }
    u64::from_str_radix(digits, 16).ok().filter(|&sequence| sequence > 0)
}

/// Where things lie in a segment of a certain length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// The length of the file.
    pub(crate) segment_bytes: u64,
    identifiers_bytes: u64,
}

impl Geometry {
    /// Of a segment whose length is a multiple of a page and within bounds.
    pub(crate) fn new(segment_bytes: u64) -> Option<Self> {
        let fits = (SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&segment_bytes);
        if !fits || !segment_bytes.is_multiple_of(PAGE_BYTES) {
            return None;
        }
        let identifiers_bytes = (segment_bytes / 32 / PAGE_BYTES * PAGE_BYTES).max(PAGE_BYTES);
        Some(Self { segment_bytes, identifiers_bytes })
    }

    /// The shortest segment, doubling from `segment_bytes`, that takes a first frame of this length with its
    /// slots.
    pub(crate) fn holding(segment_bytes: u64, frame_bytes: u64, slots: u64) -> Option<Self> {
        let mut geometry = Self::new(segment_bytes)?;
        while !geometry.fits(geometry.frames_start(), frame_bytes, 0, slots) {
            geometry = Self::new(geometry.segment_bytes * 2)?;
        }
        Some(geometry)
    }

    /// Whether a frame of this length at this offset, its slots from `slot` on, and a seal fit.
    pub(crate) fn fits(&self, offset: u64, frame_bytes: u64, slot: u64, slots: u64) -> bool {
        let frame_fits = self.frames_end().saturating_sub(offset) >= frame_bytes;
        frame_fits && self.slots().saturating_sub(slot) > slots
    }

    /// Where the first frame begins.
    #[allow(clippy::unused_self)]
    pub(crate) fn frames_start(&self) -> u64 {
        PAGE_BYTES
    }

    /// Where frames end at the latest.
    pub(crate) fn frames_end(&self) -> u64 {
        self.identifiers_start() - self.identifiers_bytes
    }

    /// Where the identifier region begins.
    pub(crate) fn identifiers_start(&self) -> u64 {
        self.segment_bytes - PAGE_BYTES - self.identifiers_bytes
    }

    /// The length of the identifier region.
    pub(crate) fn identifiers_bytes(&self) -> u64 {
        self.identifiers_bytes
    }

    /// How many slots the identifier region has.
    pub(crate) fn slots(&self) -> u64 {
        self.identifiers_bytes / SLOT_BYTES
    }

    /// Where a slot begins.
    pub(crate) fn slot_offset(&self, slot: u64) -> u64 {
        self.identifiers_start() + slot * SLOT_BYTES
    }

    /// Where the two copies of the header begin.
    pub(crate) fn header_offsets(&self) -> [u64; 2] {
        [0, self.segment_bytes - PAGE_BYTES]
    }
}

/// What the checksums in one segment of one member start from, so that the same bytes in any other place do
/// not verify (misdirected writes, recycled files, swapped disks).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Binding(u32);

impl Binding {
    pub(crate) fn new(cluster: u64, member: u64, sequence: u64) -> Self {
        let mut bytes = [0; 24];
        let mut out = &mut bytes[..];
        out.put_u64_le(cluster);
        out.put_u64_le(member);
        out.put_u64_le(sequence);
        Self(crc32c::crc32c(&bytes))
    }

    /// The checksum of `bytes` that belong at `offset` of the segment.
    pub(crate) fn checksum(self, offset: u64, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c_append(self.0, &offset.to_le_bytes()), bytes)
    }
}

/// The header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) version: u32,
    pub(crate) cluster: u64,
    pub(crate) member: u64,
    pub(crate) sequence: u64,
    pub(crate) segment_bytes: u64,
    /// The number of the first frame in it.
    pub(crate) first_number: u64,
    /// Where the frames of the previous segment end; zero in the first segment.
    pub(crate) previous_end: u64,
    /// The checksum of the last frame of the previous segment; zero in the first segment.
    pub(crate) previous: u32,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut out = &mut bytes[12..];
        out.put_u32_le(self.version);
        out.put_u64_le(self.cluster);
        out.put_u64_le(self.member);
        out.put_u64_le(self.sequence);
        out.put_u64_le(self.segment_bytes);
        out.put_u64_le(self.first_number);
        out.put_u64_le(self.previous_end);
        out.put_u32_le(self.previous);
        let checksum = crc32c::crc32c(&bytes[12..]);
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// `None` if these bytes are not a whole header.
    pub(crate) fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let mut input = &bytes[8..];
        let checksum = input.get_u32_le();
        if &bytes[..8] != MAGIC || checksum != crc32c::crc32c(input) {
            return None;
        }
        Some(Self {
            version: input.get_u32_le(),
            cluster: input.get_u64_le(),
            member: input.get_u64_le(),
            sequence: input.get_u64_le(),
            segment_bytes: input.get_u64_le(),
            first_number: input.get_u64_le(),
            previous_end: input.get_u64_le(),
            previous: input.get_u32_le(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_other_files() {
        assert_eq!(sequence_in(&name_of(0xab)), Some(0xab));
        for other in [
            "LOCK",
            "spare-1",
            "1.log",
            "000000000000000A.log",
            "+00000000000000a.log",
            "0000000000000000.log",
        ] {
            assert_eq!(sequence_in(other), None, "{other}");
        }
    }

    #[test]
    fn an_identifier_is_far_from_its_frame() {
        for segment_bytes in [SEGMENT_BYTES_MIN, 64 << 10, 1 << 20, 64 << 20, SEGMENT_BYTES_MAX] {
            let geometry = Geometry::new(segment_bytes).unwrap();
            assert!(geometry.frames_end() > geometry.frames_start());
            assert_eq!(geometry.slot_offset(0) - geometry.frames_end(), geometry.identifiers_bytes());
            assert!(geometry.slot_offset(geometry.slots()) <= geometry.header_offsets()[1]);
        }
        assert_eq!(Geometry::new(64 << 20).unwrap().slots(), 65_536);
        assert_eq!(Geometry::new((64 << 20) + 1), None);
        assert_eq!(Geometry::new(SEGMENT_BYTES_MAX * 2), None);
    }

    #[test]
    fn a_header_with_any_bit_flipped_is_not_one() {
        let header = SegmentHeader {
            version: VERSION,
            cluster: 1,
            member: 2,
            sequence: 3,
            segment_bytes: 4,
            first_number: 5,
            previous_end: 6,
            previous: 7,
        };
        let bytes = header.encode();
        assert_eq!(SegmentHeader::decode(&bytes), Some(header));
        for bit in 0..HEADER_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&flipped), None, "bit {bit}");
        }
    }
}
