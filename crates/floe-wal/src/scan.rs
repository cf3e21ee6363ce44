//! Reading a segment from front to back: its header, its slots, its frames.

use std::sync::Arc;

use floe_raft::{GroupId, HardState};

use crate::disk::{Disk, DiskFile};
use crate::error::OpenError;
use crate::identifier::{Identifier, Slot};
use crate::mutant::{Mutant, Mutation};
use crate::record::{Fault, FrameHeader, check_records, restore_hard_states};
use crate::segment::{
    Binding, Geometry, HEADER_BYTES, SECTOR_BYTES, SLOT_BYTES, SegmentHeader, VERSION, name_of,
};
use crate::wal::Options;

/// Files are read in pieces of this length.
const WINDOW_BYTES: u64 = 1 << 20;
/// What lies behind the last frame is cleared in pieces of this length.
pub(crate) const CLEAR_BYTES: u64 = 64 << 10;

/// A segment whose header was checked.
#[derive(Debug)]
pub(crate) struct SegmentFile<F> {
    pub(crate) name: String,
    pub(crate) file: Arc<F>,
    pub(crate) geometry: Geometry,
    pub(crate) binding: Binding,
    pub(crate) header: SegmentHeader,
    /// Where a copy of the header is bad.
    pub(crate) bad_headers: Vec<u64>,
    pub(crate) mutation: Mutation,
}

impl<F: DiskFile> SegmentFile<F> {
    /// Opens a segment and checks that it is the one that its name says, and ours (rule 2).
    pub(crate) fn open<D: Disk<File = F>>(
        disk: &D,
        options: &Options,
        sequence: u64,
    ) -> Result<Self, OpenError> {
        let name = name_of(sequence);
        let io = |action| {
            let file = name.clone();
            move |source| OpenError::Io { action, file, source }
        };
        let file = disk.open(&name).map_err(io("open"))?;
        let len = file.len().map_err(io("measure"))?;
        let corrupt = |reason| OpenError::Corrupt {
            file: name.clone(),
            offset: 0,
            group: None,
            index: None,
            reason,
            undecided: false,
        };
        let Some(geometry) = Geometry::new(len) else {
            return Err(corrupt("no segment has this length"));
        };
        let mut found = None;
        let mut bad_headers = Vec::new();
        for offset in geometry.header_offsets() {
            let mut bytes = [0; HEADER_BYTES];
            file.read_at(offset, &mut bytes).map_err(io("read"))?;
            match SegmentHeader::decode(&bytes) {
                Some(header) => found = found.or(Some(header)),
                None => bad_headers.push(offset),
            }
        }
        let Some(header) = found else {
            return Err(corrupt("both copies of the header are bad"));
        };
        if header.version != VERSION {
            return Err(OpenError::Version { file: name, found: header.version, known: VERSION });
        }
        if (header.cluster, header.member) != (options.cluster, options.member) {
            return Err(OpenError::WrongOwner {
                file: name,
                found_cluster: header.cluster,
                found_member: header.member,
                cluster: options.cluster,
                member: options.member,
            });
        }
        if header.sequence != sequence {
            return Err(OpenError::Misplaced { file: name, found: header.sequence });
        }
        if header.segment_bytes != len {
            return Err(corrupt("the file has another length than its header says"));
        }
        let binding = Binding::new(options.cluster, options.member, sequence);
        let mutation = options.mutation();
        Ok(Self { name, file: Arc::new(file), geometry, binding, header, bad_headers, mutation })
    }

    /// Reads the identifier region.
    pub(crate) fn slots(&self) -> Result<SlotRegion, OpenError> {
        // Bounded by the length of the file.
        let mut bytes = vec![0; self.geometry.identifiers_bytes() as usize];
        let start = self.geometry.identifiers_start();
        self.file.read_at(start, &mut bytes).map_err(|source| self.unreadable(source))?;
        Ok(SlotRegion { bytes, start, binding: self.binding })
    }

    /// Reads frames.
    pub(crate) fn scan(&self) -> FrameScan<'_, F> {
        FrameScan { segment: self, window: Vec::new(), window_start: 0 }
    }

    /// A fault in this segment.
    pub(crate) fn corrupt(&self, fault: &Fault, undecided: bool) -> OpenError {
        let entry = fault.header.filter(|header| header.id.index.0 > 0);
        OpenError::Corrupt {
            file: self.name.clone(),
            offset: fault.offset,
            group: fault.header.map(|header| header.group),
            index: entry.map(|header| header.id.index),
            reason: fault.reason,
            undecided,
        }
    }

    /// The disk failed under this segment.
    pub(crate) fn unreadable(&self, source: std::io::Error) -> OpenError {
        OpenError::Io { action: "read", file: self.name.clone(), source }
    }
}

/// The identifier region of a segment.
#[derive(Debug)]
pub(crate) struct SlotRegion {
    bytes: Vec<u8>,
    start: u64,
    binding: Binding,
}

impl SlotRegion {
    /// The slot, if it verifies.
    pub(crate) fn slot(&self, slot: u64) -> Option<Slot> {
        let at = usize::try_from(slot.checked_mul(SLOT_BYTES)?).ok()?;
        let bytes = self.bytes.get(at..at.checked_add(SLOT_BYTES as usize)?)?;
        Slot::decode(bytes, self.binding, self.start + at as u64)
    }

    /// The second copies of `count` hard states from `slot` on.
    pub(crate) fn hard_states(&self, slot: u64, count: u32) -> Vec<Option<(GroupId, HardState)>> {
        // A frame cannot claim more hard states than there are slots, whatever its header says.
        let last = (slot + u64::from(count)).min(self.bytes.len() as u64 / SLOT_BYTES);
        (slot..last)
            .map(|slot| match self.slot(slot) {
                Some(Slot::HardState { group, hard_state }) => Some((group, hard_state)),
                Some(Slot::Frame(_) | Slot::Seal(_)) | None => None,
            })
            .collect()
    }

    /// The highest identifier of a frame, and whether there is a seal.
    pub(crate) fn highest(&self) -> (Option<Identifier>, Option<Identifier>) {
        let (mut frame, mut seal) = (None::<Identifier>, None);
        for slot in 0..self.bytes.len() as u64 / SLOT_BYTES {
            match self.slot(slot) {
                Some(Slot::Frame(found)) if frame.is_none_or(|known| known.number < found.number) => {
                    frame = Some(found);
                }
                Some(Slot::Seal(found)) => seal = Some(found),
                Some(Slot::Frame(_) | Slot::HardState { .. }) | None => {}
            }
        }
        (frame, seal)
    }

    /// From where to where the region holds anything from `slot` on.
    pub(crate) fn dirty_from(&self, slot: u64) -> Option<(u64, u64)> {
        let from = (slot * SLOT_BYTES) as usize;
        let rest = self.bytes.get(from..)?;
        let last = rest.iter().rposition(|&byte| byte != 0)?;
        Some((self.start + from as u64, last as u64 + 1))
    }
}

/// What lies where the next frame is expected.
#[derive(Debug)]
pub(crate) enum Found {
    /// The frame, whole.
    Good(FrameHeader),
    /// The frame, whole after its hard states were restored from their copies.
    Restored(FrameHeader),
    /// Not the frame.
    Bad {
        fault: Fault,
        /// The frame's header, if that much is good.
        header: Option<FrameHeader>,
    },
}

/// Reads a segment's frames through a window.
#[derive(Debug)]
pub(crate) struct FrameScan<'a, F> {
    segment: &'a SegmentFile<F>,
    window: Vec<u8>,
    window_start: u64,
}

impl<F: DiskFile> FrameScan<'_, F> {
    /// Looks for frame `number`, which follows the checksum `previous`, at `offset` (rules 3 and 4). Its
    /// slots begin at `slot`.
    pub(crate) fn find(
        &mut self,
        offset: u64,
        number: u64,
        previous: u32,
        slots: &SlotRegion,
        slot: u64,
    ) -> Result<Found, OpenError> {
        let (binding, mutation) = (self.segment.binding, self.segment.mutation);
        let bad =
            |reason| Found::Bad { fault: Fault { offset, reason, header: None, record: 0 }, header: None };
        let room = self.segment.geometry.frames_end().saturating_sub(offset);
        if room < SECTOR_BYTES {
            return Ok(bad("no frame fits here"));
        }
        let sector = self.bytes(offset, SECTOR_BYTES)?;
        let Some(header) = FrameHeader::decode(sector, binding, offset) else {
            return Ok(bad("the header of a frame does not verify"));
        };
        if header.number != number {
            return Ok(bad("a frame has another number than is due"));
        }
        if header.previous != previous {
            return Ok(bad("a frame does not follow the one before it"));
        }
        if u64::from(header.length) > room {
            return Ok(bad("a frame is longer than its segment"));
        }
        let frame = self.bytes(offset, u64::from(header.length))?;
        let is_whole = check_records(frame, &header, binding, offset).is_ok();
        if is_whole || mutation.is(Mutant::TornFrameTaken) {
            return Ok(Found::Good(header));
        }
        let copies = slots.hard_states(slot, header.hard_states);
        restore_hard_states(frame, &header, binding, offset, &copies);
        match check_records(frame, &header, binding, offset) {
            Ok(()) => Ok(Found::Restored(header)),
            Err(fault) => Ok(Found::Bad { fault, header: Some(header) }),
        }
    }

    /// The bytes from `offset` on; `len` is within the frames' area.
    pub(crate) fn bytes(&mut self, offset: u64, len: u64) -> Result<&mut [u8], OpenError> {
        let window_end = self.window_start + self.window.len() as u64;
        if offset < self.window_start || offset + len > window_end {
            let end = self.segment.geometry.frames_end().min(offset + len.max(WINDOW_BYTES));
            // Bounded by the length of the file.
            self.window.resize((end - offset) as usize, 0);
            self.window_start = offset;
            let read = self.segment.file.read_at(offset, &mut self.window);
            read.map_err(|source| {
                self.window.clear();
                self.segment.unreadable(source)
            })?;
        }
        let start = (offset - self.window_start) as usize;
        Ok(&mut self.window[start..start + len as usize])
    }

    /// Looks at everything from `offset` on: whether the header of a frame with a number above `number` is
    /// there, and which pieces hold anything but zeros.
    pub(crate) fn rest(&mut self, offset: u64, number: u64) -> Result<Rest, OpenError> {
        let mut rest = Rest { later_frame: false, dirty: Vec::new() };
        let (binding, end) = (self.segment.binding, self.segment.geometry.frames_end());
        let mut at = offset;
        while at < end {
            let piece_bytes = CLEAR_BYTES.min(end - at);
            let piece = self.bytes(at, piece_bytes)?;
            if piece.iter().any(|&byte| byte != 0) {
                rest.dirty.push((at, piece_bytes));
                for (position, sector) in piece.chunks(SECTOR_BYTES as usize).enumerate() {
                    let sector_offset = at + position as u64 * SECTOR_BYTES;
                    let found = FrameHeader::decode(sector, binding, sector_offset);
                    rest.later_frame |= found.is_some_and(|header| header.number > number);
                }
            }
            at += piece_bytes;
        }
        Ok(rest)
    }
}

/// What lies behind the last good frame.
#[derive(Debug)]
pub(crate) struct Rest {
    pub(crate) later_frame: bool,
    /// Offset and length of what is not zero.
    pub(crate) dirty: Vec<(u64, u64)>,
}
