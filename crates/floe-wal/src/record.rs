//! Frames and the records in them: how a batch is encoded, and how its bytes are checked.

use bytes::{Buf, BufMut};
use floe_raft::{EntryKind, GroupId, HardState, Index, LogId, NodeId, Term};

use crate::segment::{Binding, SECTOR_BYTES};

pub(crate) const FRAME_HEADER_BYTES: u64 = 40;
pub(crate) const RECORD_HEADER_BYTES: u64 = 48;
const HARD_STATE_BYTES: u64 = 16;
const FRAME_MAGIC: u32 = u32::from_le_bytes(*b"frme");
/// Indexes beyond this are not written and not believed, so that arithmetic on them cannot overflow.
pub(crate) const INDEX_MAX: u64 = 1 << 62;

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Term and vote.
    HardState,
    /// Base and last index of a group, at the start of a segment.
    Group,
    /// The log is empty and continues after this id.
    RestartAfter,
    /// This entry and all after it are dropped.
    TruncateFrom,
    /// An entry.
    Entry(EntryKind),
    /// This entry and all before it are dropped.
    Compact,
}

impl Kind {
    fn to_bytes(self) -> [u8; 2] {
        match self {
            Self::HardState => [1, 0],
            Self::Group => [2, 0],
            Self::RestartAfter => [3, 0],
            Self::TruncateFrom => [4, 0],
            Self::Entry(EntryKind::Noop) => [5, 0],
            Self::Entry(EntryKind::Command) => [5, 1],
            Self::Entry(EntryKind::Membership) => [5, 2],
            Self::Entry(EntryKind::Witnessed) => [5, 3],
            Self::Compact => [6, 0],
        }
    }

    fn from_bytes(bytes: [u8; 2]) -> Option<Self> {
        match bytes {
            [1, 0] => Some(Self::HardState),
            [2, 0] => Some(Self::Group),
            [3, 0] => Some(Self::RestartAfter),
            [4, 0] => Some(Self::TruncateFrom),
            [5, 0] => Some(Self::Entry(EntryKind::Noop)),
            [5, 1] => Some(Self::Entry(EntryKind::Command)),
            [5, 2] => Some(Self::Entry(EntryKind::Membership)),
            [5, 3] => Some(Self::Entry(EntryKind::Witnessed)),
            [6, 0] => Some(Self::Compact),
            _ => None,
        }
    }
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// The link that the next frame holds.
    pub(crate) checksum: u32,
    pub(crate) number: u64,
    /// Of the frame, in bytes, header and padding included.
    pub(crate) length: u32,
    pub(crate) records: u32,
    /// How many of the records, at the front, are hard states.
    pub(crate) hard_states: u32,
    /// The checksum of the frame before.
    pub(crate) previous: u32,
    /// The checksum of the last record.
    pub(crate) last: u32,
}

impl FrameHeader {
    /// `None` if no frame header that belongs at `offset` begins these bytes.
    pub(crate) fn decode(bytes: &[u8], binding: Binding, offset: u64) -> Option<Self> {
        let bytes = bytes.get(..FRAME_HEADER_BYTES as usize)?;
        let mut input = bytes;
        let checksum = input.get_u32_le();
        // The magic comes first because a scan for frames looks at every sector, and nearly all fail here.
        if input.get_u32_le() != FRAME_MAGIC || binding.checksum(offset, &bytes[4..]) != checksum {
            return None;
        }
        let header = Self {
            checksum,
            number: input.get_u64_le(),
            length: input.get_u32_le(),
            records: input.get_u32_le(),
            hard_states: input.get_u32_le(),
            previous: input.get_u32_le(),
            last: input.get_u32_le(),
        };
        let least = FRAME_HEADER_BYTES + u64::from(header.records) * RECORD_HEADER_BYTES;
        let sound = u64::from(header.length) >= least
            && u64::from(header.length).is_multiple_of(SECTOR_BYTES)
            && header.hard_states <= header.records;
        sound.then_some(header)
    }

    fn encode(&mut self, binding: Binding, offset: u64, bytes: &mut [u8]) {
        let bytes = &mut bytes[..FRAME_HEADER_BYTES as usize];
        let mut out = &mut bytes[4..];
        out.put_u32_le(FRAME_MAGIC);
        out.put_u64_le(self.number);
        out.put_u32_le(self.length);
        out.put_u32_le(self.records);
        out.put_u32_le(self.hard_states);
        out.put_u32_le(self.previous);
        out.put_u32_le(self.last);
        out.put_u32_le(0);
        self.checksum = binding.checksum(offset, &bytes[4..]);
        bytes[..4].copy_from_slice(&self.checksum.to_le_bytes());
    }
}

/// The header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) checksum: u32,
    pub(crate) payload_checksum: u32,
    pub(crate) previous: u32,
    /// Of the payload, in bytes, without padding.
    pub(crate) length: u32,
    pub(crate) kind: Kind,
    pub(crate) group: GroupId,
    pub(crate) id: LogId,
}

impl RecordHeader {
    /// `None` if no record header that belongs at `offset` begins these bytes.
    pub(crate) fn decode(bytes: &[u8], binding: Binding, offset: u64) -> Option<Self> {
        let bytes = bytes.get(..RECORD_HEADER_BYTES as usize)?;
        let mut input = bytes;
        let checksum = input.get_u32_le();
        if binding.checksum(offset, &bytes[4..]) != checksum {
            return None;
        }
        let payload_checksum = input.get_u32_le();
        let previous = input.get_u32_le();
        let length = input.get_u32_le();
        let kind = Kind::from_bytes([input.get_u8(), input.get_u8()])?;
        input.advance(6);
        let group = GroupId(input.get_u64_le());
        let index = Index(input.get_u64_le());
        let term = Term(input.get_u64_le());
        let header =
            Self { checksum, payload_checksum, previous, length, kind, group, id: LogId::new(term, index) };
        (index.0 <= INDEX_MAX).then_some(header)
    }
}

/// What a record with a payload of this length takes in a frame.
pub(crate) fn record_bytes(payload_bytes: u64) -> u64 {
    RECORD_HEADER_BYTES + payload_bytes.next_multiple_of(8)
}

/// What a hard-state record takes in a frame.
pub(crate) const HARD_STATE_RECORD_BYTES: u64 = RECORD_HEADER_BYTES + HARD_STATE_BYTES;

/// The length of a frame whose records take this much.
pub(crate) fn frame_bytes(records_bytes: u64) -> u64 {
    (FRAME_HEADER_BYTES + records_bytes).next_multiple_of(SECTOR_BYTES)
}

/// Encodes one frame at a time into a buffer that it keeps.
#[derive(Debug)]
pub(crate) struct FrameWriter {
    bytes: Vec<u8>,
    binding: Binding,
    offset: u64,
    chain: u32,
    header: FrameHeader,
}

/// A buffer that once held a huge batch is given back when it exceeds this.
const BUFFER_KEPT_BYTES: usize = 8 << 20;

impl FrameWriter {
    pub(crate) fn new() -> Self {
        let header = FrameHeader {
            checksum: 0,
            number: 0,
            length: 0,
            records: 0,
            hard_states: 0,
            previous: 0,
            last: 0,
        };
        Self { bytes: Vec::new(), binding: Binding::new(0, 0, 0), offset: 0, chain: 0, header }
    }

    /// Starts the frame that will lie at `offset`.
    pub(crate) fn begin(&mut self, binding: Binding, offset: u64, number: u64, previous: u32) {
        self.bytes.clear();
        self.bytes.shrink_to(BUFFER_KEPT_BYTES);
        self.bytes.resize(FRAME_HEADER_BYTES as usize, 0);
        self.binding = binding;
        self.offset = offset;
        self.chain = previous;
        self.header =
            FrameHeader { checksum: 0, number, length: 0, records: 0, hard_states: 0, previous, last: 0 };
    }

    /// Adds a record and tells where in the segment it begins.
    pub(crate) fn push(&mut self, kind: Kind, group: GroupId, id: LogId, payload: &[u8]) -> u64 {
        let start = self.bytes.len();
        let offset = self.offset + start as u64;
        self.bytes.put_u32_le(0);
        self.bytes.put_u32_le(crc32c::crc32c(payload));
        self.bytes.put_u32_le(self.chain);
        // The length of the whole frame was checked to fit 32 bits before the first record was encoded.
        self.bytes.put_u32_le(payload.len() as u32);
        self.bytes.put_slice(&kind.to_bytes());
        self.bytes.put_bytes(0, 6);
        self.bytes.put_u64_le(group.0);
        self.bytes.put_u64_le(id.index.0);
        self.bytes.put_u64_le(id.term.0);
        self.chain = self.binding.checksum(offset, &self.bytes[start + 4..]);
        self.bytes[start..start + 4].copy_from_slice(&self.chain.to_le_bytes());
        self.bytes.put_slice(payload);
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        self.header.records += 1;
        offset
    }

    /// Adds a hard state; they come before all other records.
    pub(crate) fn push_hard_state(&mut self, group: GroupId, hard_state: HardState) {
        self.header.hard_states += 1;
        let id = LogId::new(hard_state.term, Index::ZERO);
        self.push(Kind::HardState, group, id, &hard_state_payload(hard_state));
    }

    /// Completes the frame.
    pub(crate) fn finish(&mut self) -> FrameHeader {
        self.bytes.resize(self.bytes.len().next_multiple_of(SECTOR_BYTES as usize), 0);
        self.header.length = self.bytes.len() as u32;
        self.header.last = self.chain;
        self.header.encode(self.binding, self.offset, &mut self.bytes);
        self.header
    }

    /// The frame, once it is complete.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

fn hard_state_payload(hard_state: HardState) -> [u8; HARD_STATE_BYTES as usize] {
    let mut payload = [0; HARD_STATE_BYTES as usize];
    let mut out = &mut payload[..];
    out.put_u64_le(u64::from(hard_state.vote.is_some()));
    out.put_u64_le(hard_state.vote.map_or(0, |node| node.0));
    payload
}

/// The hard state in a record; `None` if its payload has not the length of one.
pub(crate) fn hard_state_in(record: &Record<'_>) -> Option<HardState> {
    let mut payload = record.payload;
    if payload.len() as u64 != HARD_STATE_BYTES {
        return None;
    }
    let has_vote = payload.get_u64_le() == 1;
    let vote = NodeId(payload.get_u64_le());
    Some(HardState { term: record.header.id.term, vote: has_vote.then_some(vote) })
}

/// One record of a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    /// Where it begins, from the start of the segment.
    pub(crate) offset: u64,
    pub(crate) header: RecordHeader,
    pub(crate) payload: &'a [u8],
}

/// Where a frame first fails to be what was written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// From the start of the segment.
    pub(crate) offset: u64,
    pub(crate) reason: &'static str,
    /// The header of the record, if it verifies.
    pub(crate) header: Option<RecordHeader>,
    /// Which record of the frame, counted from zero.
    pub(crate) record: u32,
}

/// Checks all records of a frame whose header verified. `frame` is the whole frame.
pub(crate) fn check_records(
    frame: &[u8],
    header: &FrameHeader,
    binding: Binding,
    offset: u64,
) -> Result<(), Fault> {
    let mut chain = header.previous;
    let mut at = FRAME_HEADER_BYTES;
    for record in 0..header.records {
        let fault = |reason, header| Fault { offset: offset + at, reason, header, record };
        let rest = frame.get(at as usize..).unwrap_or_default();
        let Some(found) = RecordHeader::decode(rest, binding, offset + at) else {
            return Err(fault("the header of a record does not verify", None));
        };
        if found.previous != chain {
            return Err(fault("a record does not follow the one before it", Some(found)));
        }
        let start = RECORD_HEADER_BYTES as usize;
        let Some(payload) = rest.get(start..start + found.length as usize) else {
            return Err(fault("a record is longer than its frame", Some(found)));
        };
        if crc32c::crc32c(payload) != found.payload_checksum {
            return Err(fault("the payload of a record does not verify", Some(found)));
        }
        if (found.kind == Kind::HardState) != (record < header.hard_states) {
            return Err(fault("a hard state is out of its place", Some(found)));
        }
        chain = found.checksum;
        at += record_bytes(u64::from(found.length));
    }
    if chain != header.last {
        let record = header.records;
        return Err(Fault {
            offset,
            reason: "a frame does not end in its last record",
            header: None,
            record,
        });
    }
    Ok(())
}

/// The records of a frame that passed [`check_records`].
pub(crate) fn records<'a>(
    frame: &'a [u8],
    header: &FrameHeader,
    binding: Binding,
    offset: u64,
) -> impl Iterator<Item = Record<'a>> {
    let mut at = FRAME_HEADER_BYTES;
    (0..header.records).map_while(move |_| {
        let rest = frame.get(at as usize..)?;
        let found = RecordHeader::decode(rest, binding, offset + at)?;
        let start = RECORD_HEADER_BYTES as usize;
        let record = Record {
            offset: offset + at,
            header: found,
            payload: rest.get(start..start + found.length as usize)?,
        };
        at += record_bytes(u64::from(found.length));
        Some(record)
    })
}

/// Writes the hard states whose second copies are known over the records at the front of the frame. Only a
/// check of the whole frame tells whether that made it good; the chain then proves it equal, bit for bit, to
/// what was written.
pub(crate) fn restore_hard_states(
    frame: &mut [u8],
    header: &FrameHeader,
    binding: Binding,
    offset: u64,
    copies: &[Option<(GroupId, HardState)>],
) {
    let mut writer = FrameWriter::new();
    let mut previous = header.previous;
    for (position, copy) in copies.iter().enumerate() {
        let at = FRAME_HEADER_BYTES as usize + position * HARD_STATE_RECORD_BYTES as usize;
        let Some(bytes) = frame.get_mut(at..at + HARD_STATE_RECORD_BYTES as usize) else {
            return;
        };
        if let Some((group, hard_state)) = *copy {
            // The writer puts its first record behind a frame header; give it the start that puts it here.
            writer.begin(binding, offset + at as u64 - FRAME_HEADER_BYTES, 0, previous);
            writer.push_hard_state(group, hard_state);
            bytes.copy_from_slice(&writer.bytes()[FRAME_HEADER_BYTES as usize..]);
        }
        previous = (&bytes[..4]).get_u32_le();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: GroupId = GroupId(7);

    fn sample() -> (FrameWriter, FrameHeader, Binding) {
        let binding = Binding::new(1, 2, 3);
        let mut writer = FrameWriter::new();
        writer.begin(binding, 4096, 5, 99);
        writer.push_hard_state(GROUP, HardState { term: Term(2), vote: Some(NodeId(3)) });
        writer.push(Kind::TruncateFrom, GROUP, LogId::new(Term(0), Index(4)), b"");
        let id = LogId::new(Term(2), Index(4));
        writer.push(Kind::Entry(EntryKind::Command), GROUP, id, b"hello");
        let header = writer.finish();
        (writer, header, binding)
    }

    #[test]
    fn a_frame_reads_back() {
        let (writer, header, binding) = sample();
        assert_eq!(writer.bytes().len(), 512);
        assert_eq!(FrameHeader::decode(writer.bytes(), binding, 4096), Some(header));
        check_records(writer.bytes(), &header, binding, 4096).unwrap();
        let found: Vec<_> = records(writer.bytes(), &header, binding, 4096).collect();
        assert_eq!(found.len(), 3);
        assert_eq!(hard_state_in(&found[0]), Some(HardState { term: Term(2), vote: Some(NodeId(3)) }));
        assert_eq!(found[2].payload, b"hello");
    }

    #[test]
    fn a_frame_with_any_meaningful_bit_flipped_is_found_out() {
        let (writer, header, binding) = sample();
        let meaningful = FRAME_HEADER_BYTES + HARD_STATE_RECORD_BYTES + 2 * RECORD_HEADER_BYTES + 5;
        for bit in 0..meaningful as usize * 8 {
            let mut frame = writer.bytes().to_vec();
            frame[bit / 8] ^= 1 << (bit % 8);
            let found = FrameHeader::decode(&frame, binding, 4096);
            assert!(
                found.is_none() || check_records(&frame, &header, binding, 4096).is_err(),
                "bit {bit} passed"
            );
        }
    }

    #[test]
    fn a_frame_verifies_in_its_place_alone() {
        let (writer, header, binding) = sample();
        assert_eq!(FrameHeader::decode(writer.bytes(), binding, 4096 + 512), None);
        for other in [Binding::new(1, 2, 4), Binding::new(1, 3, 3), Binding::new(2, 2, 3)] {
            assert_eq!(FrameHeader::decode(writer.bytes(), other, 4096), None);
            assert!(check_records(writer.bytes(), &header, other, 4096).is_err());
        }
    }

    #[test]
    fn a_hard_state_is_restored_from_its_copy() {
        let (writer, header, binding) = sample();
        let mut frame = writer.bytes().to_vec();
        frame[FRAME_HEADER_BYTES as usize..][..64].fill(0xff);
        assert!(check_records(&frame, &header, binding, 4096).is_err());
        let right = HardState { term: Term(2), vote: Some(NodeId(3)) };
        let wrong = HardState { term: Term(2), vote: Some(NodeId(1)) };
        restore_hard_states(&mut frame, &header, binding, 4096, &[Some((GROUP, wrong))]);
        assert!(
            check_records(&frame, &header, binding, 4096).is_err(),
            "the chain does not take another vote"
        );
        restore_hard_states(&mut frame, &header, binding, 4096, &[Some((GROUP, right))]);
        assert_eq!(frame, writer.bytes());
    }

    #[test]
    fn no_bytes_make_the_decoders_panic() {
        let binding = Binding::new(1, 2, 3);
        let (writer, header, _) = sample();
        for length in 0..writer.bytes().len() {
            let cut = &writer.bytes()[..length];
            let _ = FrameHeader::decode(cut, binding, 4096);
            let _ = RecordHeader::decode(cut, binding, 4096);
            let fault = check_records(cut, &header, binding, 4096);
            assert_eq!(fault.is_err(), length < 40 + 64 + 48 + 48 + 5);
        }
    }
}
