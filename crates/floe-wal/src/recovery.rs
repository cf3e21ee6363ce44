//! Opening a log that exists. The rules and their reasons are in `docs/design/wal.md`, under these numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use floe_raft::{Entry, EntryKind, GroupId, HardState, Index};

use crate::batch::greater;
use crate::disk::{Disk, DiskFile};
use crate::error::{OpenError, ReadError};
use crate::identifier::Slot;
use crate::index::{Catalog, GroupLog, Location, Segment, Shared};
use crate::mend::{Mending, remove};
use crate::mutant::Mutant;
use crate::reader::Reader;
use crate::record::{Fault, FrameHeader, Kind, Record, hard_state_in, records};
use crate::scan::{Found, FrameScan, SegmentFile, SlotRegion};
use crate::segment::{SegmentHeader, name_of, sequence_in};
use crate::spare::is_spare;
use crate::wal::{Active, Options, RecoveredGroup, identifier_of};

/// The recovered tails of all groups together, and the least for one.
const TAILS_BYTES: u64 = 32 << 20;
const TAIL_BYTES_MIN: u64 = 64 << 10;

/// What to do with a last frame that is damaged although its identifier is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TailPolicy {
    /// Refuse to open.
    Refuse,
    /// Drop it, as a person asked for.
    Discard,
}

/// A log as it was found.
#[derive(Debug)]
pub(crate) struct Recovery<F> {
    pub(crate) catalog: Catalog<F>,
    pub(crate) active: Active<F>,
    pub(crate) memberships: BTreeMap<GroupId, Vec<Entry>>,
    /// Hard states whose second copy is later than the first; to be written again.
    pub(crate) superseded: BTreeMap<GroupId, HardState>,
    pub(crate) mended: u64,
}

/// Reads the log; `None` if there is none. Mends what may be mended, at the very end.
pub(crate) fn recover<D: Disk>(
    disk: &D,
    options: &Options,
    policy: TailPolicy,
) -> Result<Option<Recovery<D::File>>, OpenError> {
    let directory =
        |action| move |source| OpenError::Io { action, file: "the log's directory".into(), source };
    let names = disk.list().map_err(directory("list"))?;
    let sequences: BTreeSet<u64> = names.iter().filter_map(|name| sequence_in(name)).collect();
    let spares = names.iter().filter(|name| is_spare(name)).cloned();
    let Some(&newest) = sequences.last() else {
        remove(disk, spares)?;
        return Ok(None);
    };
    // Rule 1.
    let mut oldest = newest;
    while sequences.contains(&(oldest - 1)) {
        oldest -= 1;
    }
    let segments: Vec<_> = (oldest..=newest)
        .map(|sequence| SegmentFile::open(disk, options, sequence))
        .collect::<Result<_, _>>()?;

    let mut replay = Replay::new(&segments[0].header);
    let mut mendings = Vec::new();
    for (position, segment) in segments.iter().enumerate() {
        let next = segments.get(position + 1).map(|next| &next.header);
        mendings.push(replay.segment(segment, next, policy)?);
    }
    // Rule 8.
    if replay.catalog.groups.values().any(|log| !log.is_complete()) {
        return Err(OpenError::Missing { file: name_of(oldest.saturating_sub(1)) });
    }

    // Rule 9.
    disk.sync_dir().map_err(directory("sync"))?;
    for (segment, mending) in segments.iter().zip(&mendings) {
        mending.perform(segment)?;
    }
    let left_over = sequences.range(..oldest).map(|&sequence| name_of(sequence));
    remove(disk, left_over.chain(spares))?;
    let mended = mendings.iter().map(|mending| mending.damaged).sum();
    Ok(replay.finish(&segments, mended))
}

/// A segment in the course of its replay.
struct Place<'a, F> {
    segment: &'a SegmentFile<F>,
    slots: SlotRegion,
    scan: FrameScan<'a, F>,
    mending: Mending,
}

/// The state of a replay between two frames.
struct Replay<F> {
    catalog: Catalog<F>,
    memberships: BTreeMap<GroupId, Vec<Entry>>,
    superseded: BTreeMap<GroupId, HardState>,
    /// The next frame: its number, and the checksum that it follows.
    number: u64,
    previous: u32,
    /// Where it is, and its slots, in the present segment.
    offset: u64,
    slot: u64,
    last: Option<LastFrame>,
    /// Whether groups are stated for the first time.
    is_first_segment: bool,
}

/// The frame that was taken in last.
struct LastFrame {
    offset: u64,
    length: u32,
    /// Its slots as they should be, by offset.
    slots: Vec<(u64, Slot)>,
    /// How many of them are missing. In the very last frame of the log that may be the work of a crash.
    missing_slots: u64,
}

impl<F: DiskFile> Replay<F> {
    fn new(first: &SegmentHeader) -> Self {
        Self {
            catalog: Catalog::new(),
            memberships: BTreeMap::new(),
            superseded: BTreeMap::new(),
            number: first.first_number,
            previous: first.previous,
            offset: 0,
            slot: 0,
            last: None,
            is_first_segment: true,
        }
    }

    /// Replays a segment, and tells what is to be mended in it. `next` is the header of its successor.
    fn segment(
        &mut self,
        segment: &SegmentFile<F>,
        next: Option<&SegmentHeader>,
        policy: TailPolicy,
    ) -> Result<Mending, OpenError> {
        let SegmentFile { ref file, geometry, binding, ref header, ref bad_headers, .. } = *segment;
        let mut mending = Mending::default();
        for &offset in bad_headers {
            mending.rewrite(offset, header.encode().to_vec());
            mending.damaged += 1;
        }
        let opened = Segment { file: Arc::clone(file), geometry, binding, live: 0 };
        self.catalog.segments.insert(header.sequence, opened);
        self.offset = geometry.frames_start();
        self.slot = 0;
        self.last = None;
        let mut place = Place { segment, slots: segment.slots()?, scan: segment.scan(), mending };
        self.frames(&mut place, next, policy)?;
        self.is_first_segment = false;
        Ok(place.mending)
    }

    fn frames(
        &mut self,
        place: &mut Place<'_, F>,
        next: Option<&SegmentHeader>,
        policy: TailPolicy,
    ) -> Result<(), OpenError> {
        loop {
            if let Some(next) = next
                && next.first_number == self.number
            {
                self.count_missing_slots(place);
                return self.check_link(place.segment, next);
            }
            match place.scan.find(self.offset, self.number, self.previous, &place.slots, self.slot)? {
                Found::Good(header) => self.frame(place, &header)?,
                Found::Restored(header) => {
                    let frame = place.scan.bytes(self.offset, u64::from(header.length))?;
                    place.mending.rewrite(self.offset, frame.to_vec());
                    place.mending.damaged += 1;
                    self.frame(place, &header)?;
                }
                Found::Bad { fault, header } => {
                    // Rule 5, and a first frame is never torn.
                    let Some(last) = self.last.as_ref().filter(|_| next.is_none()) else {
                        return Err(place.segment.corrupt(&fault, false));
                    };
                    return self.end(place, last, &fault, header, policy);
                }
            }
        }
    }

    /// Checks that a segment ends as the next one says (rule 5).
    fn check_link(&self, segment: &SegmentFile<F>, next: &SegmentHeader) -> Result<(), OpenError> {
        if next.previous_end == self.offset && next.previous == self.previous {
            return Ok(());
        }
        let reason = "the next segment follows another one than this";
        let fault = Fault { offset: self.offset, reason, header: None, record: 0 };
        Err(segment.corrupt(&fault, false))
    }

    /// Decides what the first bad frame of the newest segment is (rules 6 and 7), and what rule 9 writes
    /// there.
    fn end(
        &self,
        place: &mut Place<'_, F>,
        last: &LastFrame,
        fault: &Fault,
        header: Option<FrameHeader>,
        policy: TailPolicy,
    ) -> Result<(), OpenError> {
        let segment = place.segment;
        let (identifier, seal) = place.slots.highest();
        if seal.is_some_and(|seal| seal.number + 1 == self.number) {
            return Err(OpenError::Missing { file: name_of(segment.header.sequence + 1) });
        }
        let rest = place.scan.rest(self.offset, self.number)?;
        let highest = identifier.map_or(0, |identifier| identifier.number);
        let mut later = rest.later_frame || highest > self.number || seal.is_some();
        if segment.mutation.is(Mutant::MiddleCut) {
            later = false;
        }
        let undecided = !later && highest == self.number;
        if later
            && let Some(header) = header
            && fault.record < header.hard_states
        {
            return Err(OpenError::HardStateLost {
                file: segment.name.clone(),
                offset: fault.offset,
                copy: segment.geometry.slot_offset(self.slot + u64::from(fault.record)),
                group: fault.header.map(|header| header.group),
            });
        }
        if later || (undecided && policy == TailPolicy::Refuse) {
            return Err(segment.corrupt(fault, undecided));
        }
        let frame = place.scan.bytes(last.offset, u64::from(last.length))?.to_vec();
        place.mending.rewrite(last.offset, frame);
        for (offset, slot) in &last.slots {
            place.mending.rewrite_slot(segment.binding, *offset, slot);
        }
        place.mending.clear(rest.dirty, place.slots.dirty_from(self.slot));
        Ok(())
    }

    /// Takes a good frame in.
    fn frame(&mut self, place: &mut Place<'_, F>, header: &FrameHeader) -> Result<(), OpenError> {
        self.count_missing_slots(place);
        let segment = place.segment;
        let is_first_frame = self.number == segment.header.first_number;
        let mut last =
            LastFrame { offset: self.offset, length: header.length, slots: Vec::new(), missing_slots: 0 };
        let frame = place.scan.bytes(self.offset, u64::from(header.length))?;
        for record in records(frame, header, segment.binding, self.offset) {
            let taken = match record.header.kind {
                Kind::HardState => self.hard_state(segment, &place.slots, &record, &mut last)?,
                Kind::Group if !is_first_frame => Err("a group is stated in the middle of a segment"),
                _ => self.record(segment.header.sequence, &record),
            };
            taken.map_err(|reason| {
                let header = Some(record.header);
                let fault = Fault { offset: record.offset, reason, header, record: 0 };
                segment.corrupt(&fault, false)
            })?;
        }
        let slot = self.slot + u64::from(header.hard_states);
        let identifier = Slot::Frame(identifier_of(header, self.offset));
        last.expect(segment, &place.slots, slot, identifier);
        for (offset, slot) in last.slots.iter().filter(|_| last.missing_slots > 0) {
            place.mending.rewrite_slot(segment.binding, *offset, slot);
        }
        self.offset += u64::from(header.length);
        self.slot = slot + 1;
        self.number += 1;
        self.previous = header.checksum;
        self.last = Some(last);
        Ok(())
    }

    /// The frame before was acknowledged: something follows it.
    fn count_missing_slots(&self, place: &mut Place<'_, F>) {
        place.mending.damaged += self.last.as_ref().map_or(0, |last| last.missing_slots);
    }

    /// A hard state, compared with its second copy. The inner error is what is wrong with the record.
    fn hard_state(
        &mut self,
        segment: &SegmentFile<F>,
        slots: &SlotRegion,
        record: &Record<'_>,
        last: &mut LastFrame,
    ) -> Result<Result<(), &'static str>, OpenError> {
        let group = record.header.group;
        let Some(mine) = hard_state_in(record) else {
            return Ok(Err("a hard state has another length"));
        };
        let log = self.catalog.log(group);
        if greater(log.hard_state, mine) != Some(mine) {
            return Ok(Err("a term or a vote goes back"));
        }
        log.hard_state = mine;
        let slot = self.slot + last.slots.len() as u64;
        let copy = match slots.slot(slot) {
            Some(Slot::HardState { group: copied, hard_state }) if copied == group => hard_state,
            Some(Slot::HardState { .. } | Slot::Frame(_) | Slot::Seal(_)) | None => mine,
        };
        let known = self.superseded.remove(&group).unwrap_or(mine);
        let Some(latest) = greater(mine, copy).and_then(|latest| greater(latest, known)) else {
            return Err(OpenError::HardStateLost {
                file: segment.name.clone(),
                offset: record.offset,
                copy: segment.geometry.slot_offset(slot),
                group: Some(group),
            });
        };
        if latest != mine {
            self.superseded.insert(group, latest);
        }
        let hard_state = if greater(mine, copy) == Some(copy) { copy } else { mine };
        last.expect(segment, slots, slot, Slot::HardState { group, hard_state });
        Ok(Ok(()))
    }

    /// Any other record. The error is what is wrong with it.
    fn record(&mut self, segment: u64, record: &Record<'_>) -> Result<(), &'static str> {
        let (group, id) = (record.header.group, record.header.id);
        let memberships = self.memberships.entry(group).or_default();
        let log = self.catalog.log(group);
        match record.header.kind {
            Kind::HardState => return Err("a hard state is out of its place"),
            Kind::Group => {
                let last = Index(u64::from_le_bytes(
                    record.payload.try_into().map_err(|_| "the state of a group has another length")?,
                ));
                if self.is_first_segment {
                    let hard_state = log.hard_state;
                    *log = GroupLog::following(id, last);
                    log.hard_state = hard_state;
                } else if (log.base, log.last_index()) != (id, last) {
                    return Err("a group is stated as it never was");
                }
            }
            Kind::RestartAfter => {
                memberships.clear();
                self.catalog.restart_after(group, id);
            }
            Kind::TruncateFrom => {
                if id.index <= log.base.index {
                    return Err("compacted entries are truncated");
                }
                memberships.retain(|entry| entry.id.index < id.index);
                self.catalog.truncate_from(group, id.index);
            }
            Kind::Entry(kind) => {
                if id.index != log.last_index().next() {
                    return Err("an entry does not follow the one before it");
                }
                if kind == EntryKind::Membership {
                    let payload = Bytes::copy_from_slice(record.payload);
                    memberships.push(Entry { id, kind, payload });
                }
                // A record lies within a segment, whose length fits 32 bits.
                let (offset, length) = (record.offset as u32, record.header.length);
                self.catalog.push(group, id.term, Location { segment, offset, length });
            }
            Kind::Compact => {
                if id.index < log.base.index || id.index > log.last_index() {
                    return Err("entries are compacted that the log has not");
                }
                memberships.retain(|entry| entry.id.index > id.index);
                self.catalog.compact(group, id);
            }
        }
        Ok(())
    }

    fn finish(mut self, segments: &[SegmentFile<F>], mended: u64) -> Option<Recovery<F>> {
        let newest = segments.last()?;
        let active = Active {
            sequence: newest.header.sequence,
            file: Arc::clone(&newest.file),
            geometry: newest.geometry,
            binding: newest.binding,
            offset: self.offset,
            slot: self.slot,
            number: self.number,
            previous: self.previous,
        };
        self.memberships.retain(|_, entries| !entries.is_empty());
        let Self { catalog, memberships, superseded, .. } = self;
        Some(Recovery { catalog, active, memberships, superseded, mended })
    }
}

impl LastFrame {
    /// Notes what a slot of the frame should hold.
    fn expect<F>(&mut self, segment: &SegmentFile<F>, slots: &SlotRegion, slot: u64, expected: Slot) {
        self.missing_slots += u64::from(slots.slot(slot) != Some(expected));
        self.slots.push((segment.geometry.slot_offset(slot), expected));
    }
}

/// What the host is told about each group, with the most recent entries read back from the disk.
pub(crate) fn recovered_groups<D: Disk>(
    shared: &Shared<D::File>,
    reader: &Reader<D>,
    mut memberships: BTreeMap<GroupId, Vec<Entry>>,
) -> Result<BTreeMap<GroupId, RecoveredGroup>, OpenError> {
    let ids: Vec<GroupId> = shared.lock().groups.keys().copied().collect();
    let budget = (TAILS_BYTES / (ids.len() as u64).max(1)).max(TAIL_BYTES_MIN);
    let mut groups = BTreeMap::new();
    for id in ids {
        let (mut group, first) = {
            let mut catalog = shared.lock();
            let log = catalog.log(id);
            let group = RecoveredGroup {
                hard_state: log.hard_state,
                base: log.base,
                terms: log.terms(),
                last: log.last(),
                tail: Vec::new(),
                memberships: memberships.remove(&id).unwrap_or_default(),
            };
            (group, tail_start(log, budget))
        };
        let mut index = first;
        while index <= group.last.index {
            let entries = reader.read(id, index, group.last.index, budget).map_err(unreadable)?;
            index = index.plus(entries.len() as u64);
            group.tail.extend(entries);
        }
        groups.insert(id, group);
    }
    Ok(groups)
}

/// The first entry of the longest tail within the budget.
fn tail_start(log: &GroupLog, budget: u64) -> Index {
    let mut bytes = 0;
    let mut first = log.last_index().next();
    while let Some(location) = log.location(first.prev()) {
        bytes += u64::from(location.length) + Entry::OVERHEAD;
        if bytes > budget {
            break;
        }
        first = first.prev();
    }
    first
}

fn unreadable(error: ReadError) -> OpenError {
    match error {
        ReadError::Io { file, source } => OpenError::Io { action: "read", file, source },
        ReadError::Corrupt { file, offset, group, index, reason } => {
            let (group, index) = (Some(group), Some(index));
            OpenError::Corrupt { file, offset, group, index, reason, undecided: false }
        }
        ReadError::Compacted | ReadError::Absent { .. } => {
            OpenError::Options("a log that nobody else writes lost entries between two reads")
        }
    }
}
