//! The writer of the log: one frame a batch, one sync a frame, a new segment when one is full.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use floe_raft::{Entry, GroupId, HardState, LogId, Write, WriteId};

use crate::batch::{Batch, Plan, Statement, encode_statements, hard_states_of};
use crate::disk::{Disk, DiskFile};
use crate::error::{AppendError, OpenError, SpareError};
use crate::identifier::{Identifier, Slot};
use crate::index::{Catalog, Location, Segment, Shared};
use crate::mutant::{Mutant, Mutation};
use crate::reader::Reader;
use crate::record::{FrameHeader, FrameWriter};
use crate::recovery::{self, Recovery, TailPolicy};
use crate::segment::{Binding, Geometry, SEGMENT_BYTES_MAX, SLOT_BYTES, SegmentHeader, VERSION, name_of};
use crate::spare::SpareMaker;

/// What a log is told when it is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// The cluster. A log of another one is refused.
    pub cluster: u64,
    /// The member. A log of another one is refused.
    pub member: u64,
    /// The length of the segments that are made from now on: a multiple of 4096, from 32 KiB to 2 GiB.
    pub segment_bytes: u64,
    /// The old bug that this log has, for the ledger of bugs; never set outside of it.
    #[cfg(feature = "mutants")]
    #[doc(hidden)]
    pub mutant: Option<Mutant>,
}

impl Options {
    /// The usual length of a segment.
    pub const SEGMENT_BYTES: u64 = 64 << 20;

    /// With segments of the usual length.
    pub fn new(cluster: u64, member: u64) -> Self {
        Self {
            cluster,
            member,
            segment_bytes: Self::SEGMENT_BYTES,
            #[cfg(feature = "mutants")]
            mutant: None,
        }
    }

    /// Which old bug this log has.
    #[cfg(feature = "mutants")]
    pub(crate) fn mutation(&self) -> Mutation {
        Mutation(self.mutant)
    }

    /// None, without the feature.
    #[cfg(not(feature = "mutants"))]
    pub(crate) const fn mutation(&self) -> Mutation {
        Mutation()
    }
}

/// What the log holds of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveredGroup {
    /// Term and vote.
    pub hard_state: HardState,
    /// What the first entry follows.
    pub base: LogId,
    /// The terms of the entries as runs: the first entry of each, ascending.
    pub terms: Vec<LogId>,
    /// The last entry; `base` if there is none.
    pub last: LogId,
    /// The most recent entries, ending at `last`, as many as fit some MiB.
    pub tail: Vec<Entry>,
    /// Every membership entry after `base`, ascending.
    pub memberships: Vec<Entry>,
}

/// The segment that is written to.
#[derive(Debug)]
pub(crate) struct Active<F> {
    pub(crate) sequence: u64,
    pub(crate) file: Arc<F>,
    pub(crate) geometry: Geometry,
    pub(crate) binding: Binding,
    /// Where the next frame goes.
    pub(crate) offset: u64,
    /// Where its slots go.
    pub(crate) slot: u64,
    /// Its number.
    pub(crate) number: u64,
    /// The checksum of the frame before it.
    pub(crate) previous: u32,
}

/// The durable log of all groups of a process. One thread writes it; [`Reader`]s read beside it.
#[derive(Debug)]
pub struct Wal<D: Disk> {
    disk: D,
    options: Options,
    shared: Shared<D::File>,
    spares: SpareMaker<D>,
    active: Active<D::File>,
    frame: FrameWriter,
    slots: Vec<u8>,
    locations: Vec<Location>,
    poisoned: bool,
    mended: u64,
}

impl<D: Disk> Wal<D> {
    /// Opens the log, or begins one if the directory holds none, and tells what it holds.
    ///
    /// A write that a crash interrupted is dropped; it was never acknowledged. Anything else that is not as
    /// it was written is an error, and then nothing on the disk was changed.
    ///
    /// An empty directory begins a new log: whether this member had one before, and lost it, only the host
    /// can know.
    pub fn open(disk: D, options: Options) -> Result<(Self, BTreeMap<GroupId, RecoveredGroup>), OpenError> {
        Self::open_with(disk, options, TailPolicy::Refuse)
    }

    /// The same, but the last write of the log is dropped if it is damaged and nothing tells whether it was
    /// acknowledged ([`OpenError::Corrupt`] with `undecided`). Only a person who knows that the other members
    /// hold what is dropped, or who gives it up, may ask for this.
    pub fn open_discarding_undecided(
        disk: D,
        options: Options,
    ) -> Result<(Self, BTreeMap<GroupId, RecoveredGroup>), OpenError> {
        Self::open_with(disk, options, TailPolicy::Discard)
    }

    fn open_with(
        disk: D,
        options: Options,
        policy: TailPolicy,
    ) -> Result<(Self, BTreeMap<GroupId, RecoveredGroup>), OpenError> {
        let geometry = Geometry::new(options.segment_bytes)
            .ok_or(OpenError::Options("segment_bytes is a multiple of 4096 from 32 KiB to 2 GiB"))?;
        let spares = SpareMaker::new(disk.clone(), options.segment_bytes);
        let recovery = match recovery::recover(&disk, &options, policy)? {
            Some(recovery) => recovery,
            None => begin(&disk, &options, geometry, &spares)?,
        };
        let Recovery { catalog, active, memberships, superseded, mended } = recovery;
        let mut wal = Self {
            disk,
            options,
            shared: Shared::new(catalog),
            spares,
            active,
            frame: FrameWriter::new(),
            slots: Vec::new(),
            locations: Vec::new(),
            poisoned: false,
            mended,
        };
        wal.restate(superseded)?;
        let groups = recovery::recovered_groups(&wal.shared, &wal.reader(), memberships)?;
        Ok((wal, groups))
    }

    /// Writes hard states whose second copy turned out to be the later one.
    fn restate(&mut self, superseded: BTreeMap<GroupId, HardState>) -> Result<(), OpenError> {
        let write = |hard_state| Write {
            id: WriteId(0),
            hard_state: Some(hard_state),
            restart_after: None,
            truncate_from: None,
            entries: Vec::new(),
        };
        let batch: Vec<_> =
            superseded.into_iter().map(|(group, hard_state)| (group, write(hard_state))).collect();
        self.append(&batch).map_err(|error| match error {
            AppendError::Io { action, file, source } => OpenError::Io { action, file, source },
            AppendError::NoSpace { bytes, source } => OpenError::NoSpace { bytes, source },
            AppendError::Poisoned | AppendError::TooLarge { .. } | AppendError::Refused { .. } => {
                OpenError::Options("the segments are too short for the groups' votes")
            }
        })
    }

    /// Makes all of the batch durable with one sync: when this returns `Ok` everything in it is on the disk,
    /// and after a crash before that either all of it is there or nothing. Writes of one group are performed
    /// in order.
    ///
    /// An error for which [`AppendError::is_fatal`] holds leaves open whether the batch is on the disk, and
    /// every later call fails: a failed sync is never tried again, because the second one would report a
    /// success that is none (Rebello et al., ATC'20). After the other errors the log is as it was.
    pub fn append(&mut self, batch: &[(GroupId, Write)]) -> Result<(), AppendError> {
        self.commit(Batch::Writes(batch))
    }

    /// Drops the group's entries up to and including `base`, which its state machine holds durably. Segments
    /// without a live entry are freed. An earlier base than the present one changes nothing.
    pub fn compact(&mut self, group: GroupId, base: LogId) -> Result<(), AppendError> {
        if self.poisoned {
            return Err(AppendError::Poisoned);
        }
        let done = match self.shared.lock().groups.get(&group) {
            Some(log) => base.index <= log.base.index,
            None => base == LogId::ZERO,
        };
        if done {
            return Ok(());
        }
        self.commit(Batch::Compact(group, base))
    }

    /// Whether [`SpareMaker::make`] has something to do: make the next segment, or remove old ones.
    pub fn wants_spare(&self) -> bool {
        self.spares.is_wanted()
    }

    /// What makes the next segment, for another thread.
    pub fn spare_maker(&self) -> SpareMaker<D> {
        self.spares.clone()
    }

    /// What reads entries, for other threads.
    pub fn reader(&self) -> Reader<D> {
        Reader::new(self.shared.clone())
    }

    /// How many things with a good second source (a header, a vote, an identifier) were found damaged when the
    /// log was opened, and rewritten. Above zero the disk deserves a look.
    pub fn mended(&self) -> u64 {
        self.mended
    }

    fn commit(&mut self, batch: Batch<'_>) -> Result<(), AppendError> {
        if self.poisoned {
            return Err(AppendError::Poisoned);
        }
        let plan = Plan::new(batch, &self.shared.lock())?;
        if plan.is_empty() {
            return Ok(());
        }
        let (frame_bytes, slots) = plan.size();
        let active = &self.active;
        let result = if active.geometry.fits(active.offset, frame_bytes, active.slot, slots) {
            self.write_frame(&plan)
        } else {
            self.write_segment(&plan)
        };
        match result {
            Ok(()) => {
                self.free_segments();
                Ok(())
            }
            Err(error) => {
                self.poisoned = error.is_fatal();
                Err(error)
            }
        }
    }

    /// The usual way: a frame behind the others.
    fn write_frame(&mut self, plan: &Plan<'_>) -> Result<(), AppendError> {
        let mutation = self.options.mutation();
        let active = &mut self.active;
        self.frame.begin(active.binding, active.offset, active.number, active.previous);
        for (group, hard_state) in plan.hard_states() {
            self.frame.push_hard_state(group, hard_state);
        }
        plan.encode_records(&mut self.frame, active.sequence, &mut self.locations);
        let header = self.frame.finish();
        let slot_offset = active.geometry.slot_offset(active.slot);
        encode_slots(
            &mut self.slots,
            active.binding,
            slot_offset,
            plan.hard_states(),
            &header,
            active.offset,
        );
        if mutation.is(Mutant::OneCopy) {
            let identifier = self.slots.len() - SLOT_BYTES as usize;
            self.slots[..identifier].fill(0);
        }

        let failed = |action, source| failed(action, name_of(active.sequence), source);
        active.file.write_at(active.offset, self.frame.bytes()).map_err(|e| failed("write", e))?;
        active.file.write_at(slot_offset, &self.slots).map_err(|e| failed("write", e))?;
        if !mutation.is(Mutant::NoSync) {
            let synced = active.file.sync().map_err(|e| failed("sync", e));
            if !mutation.is(Mutant::SyncFailureIgnored) {
                synced?;
            }
        }

        active.advance(&header);
        plan.perform(&mut self.shared.lock(), &self.locations);
        Ok(())
    }

    /// The frame becomes the first of a new segment.
    fn write_segment(&mut self, plan: &Plan<'_>) -> Result<(), AppendError> {
        let statements = plan.statements(&self.shared.lock());
        let (frame_bytes, slots) = plan.size_stating(&statements);
        let geometry = Geometry::holding(self.options.segment_bytes, frame_bytes, slots)
            .ok_or(AppendError::TooLarge { bytes: frame_bytes, most: SEGMENT_BYTES_MAX })?;
        let (spare, file) =
            self.spares.take(geometry).map_err(|error| no_spare(error, geometry.segment_bytes))?;
        let old = &self.active;
        let header = SegmentHeader {
            version: VERSION,
            cluster: self.options.cluster,
            member: self.options.member,
            sequence: old.sequence + 1,
            segment_bytes: geometry.segment_bytes,
            first_number: old.number,
            previous_end: old.offset,
            previous: old.previous,
        };
        let mut maker = SegmentMaker {
            frame: &mut self.frame,
            slots: &mut self.slots,
            statements: &statements,
            mutation: self.options.mutation(),
        };
        let new = maker
            .make(&self.disk, &spare, file, &header, geometry, |frame| {
                plan.encode_records(frame, header.sequence, &mut self.locations);
            })
            .map_err(|(action, source)| failed(action, name_of(header.sequence), source))?;
        seal(old).map_err(|(action, source)| failed(action, name_of(old.sequence), source))?;

        let mut catalog = self.shared.lock();
        catalog.segments.insert(new.sequence, new.segment());
        plan.perform(&mut catalog, &self.locations);
        self.active = new;
        Ok(())
    }

    /// Frees the oldest segments as long as they hold nothing that any group's log needs. Their hard states
    /// are stated again in the active one.
    fn free_segments(&self) {
        let mut catalog = self.shared.lock();
        while let Some((&sequence, segment)) = catalog.segments.first_key_value() {
            if segment.live > 0 || sequence == self.active.sequence {
                return;
            }
            let bytes = segment.geometry.segment_bytes;
            catalog.segments.remove(&sequence);
            self.spares.free(name_of(sequence), bytes);
        }
    }
}

impl<F: DiskFile> Active<F> {
    fn advance(&mut self, header: &FrameHeader) {
        self.offset += u64::from(header.length);
        self.slot += u64::from(header.hard_states) + 1;
        self.number += 1;
        self.previous = header.checksum;
    }

    fn segment(&self) -> Segment<F> {
        Segment { file: Arc::clone(&self.file), geometry: self.geometry, binding: self.binding, live: 0 }
    }
}

/// Makes a spare into a segment.
struct SegmentMaker<'a> {
    frame: &'a mut FrameWriter,
    slots: &'a mut Vec<u8>,
    statements: &'a BTreeMap<GroupId, Statement>,
    mutation: Mutation,
}

impl SegmentMaker<'_> {
    /// Everything is written and synced before the file gets its name, and the name is synced before this
    /// returns: a file under a segment's name is whole, and what is acknowledged is found.
    fn make<D: Disk>(
        &mut self,
        disk: &D,
        spare: &str,
        file: D::File,
        header: &SegmentHeader,
        geometry: Geometry,
        encode_records: impl FnOnce(&mut FrameWriter),
    ) -> Result<Active<D::File>, (&'static str, io::Error)> {
        let mut new = Active {
            sequence: header.sequence,
            file: Arc::new(file),
            geometry,
            binding: Binding::new(header.cluster, header.member, header.sequence),
            offset: geometry.frames_start(),
            slot: 0,
            number: header.first_number,
            previous: header.previous,
        };
        self.frame.begin(new.binding, new.offset, new.number, new.previous);
        encode_statements(self.frame, self.statements);
        encode_records(self.frame);
        let frame = self.frame.finish();
        let slot_offset = geometry.slot_offset(0);
        let hard_states = hard_states_of(self.statements);
        encode_slots(self.slots, new.binding, slot_offset, hard_states, &frame, new.offset);

        let write = |offset, bytes: &[u8]| new.file.write_at(offset, bytes).map_err(|e| ("write", e));
        for offset in geometry.header_offsets() {
            write(offset, &header.encode())?;
        }
        write(new.offset, self.frame.bytes())?;
        write(slot_offset, self.slots)?;
        new.file.sync().map_err(|e| ("sync", e))?;
        disk.rename(spare, &name_of(header.sequence)).map_err(|e| ("name", e))?;
        if !self.mutation.is(Mutant::NameNotSynced) {
            disk.sync_dir().map_err(|e| ("sync the directory for", e))?;
        }
        new.advance(&frame);
        Ok(new)
    }
}

/// Notes in a segment that it has a successor. Only now is the successor durable; a seal that is there
/// without it means that a file was lost.
fn seal<F: DiskFile>(old: &Active<F>) -> Result<(), (&'static str, io::Error)> {
    let end =
        Identifier { number: old.number - 1, offset: old.offset as u32, length: 0, checksum: old.previous };
    let offset = old.geometry.slot_offset(old.slot);
    old.file.write_at(offset, &Slot::Seal(end).encode(old.binding, offset)).map_err(|e| ("seal", e))?;
    old.file.sync().map_err(|e| ("seal", e))
}

/// The slots of a frame: a copy of each of its hard states, then its identifier.
fn encode_slots(
    out: &mut Vec<u8>,
    binding: Binding,
    slot_offset: u64,
    hard_states: impl Iterator<Item = (GroupId, HardState)>,
    header: &FrameHeader,
    frame_offset: u64,
) {
    out.clear();
    for (group, hard_state) in hard_states {
        let slot = Slot::HardState { group, hard_state };
        out.extend_from_slice(&slot.encode(binding, slot_offset + out.len() as u64));
    }
    let slot = Slot::Frame(identifier_of(header, frame_offset));
    out.extend_from_slice(&slot.encode(binding, slot_offset + out.len() as u64));
}

/// What identifies the frame at this offset.
pub(crate) fn identifier_of(header: &FrameHeader, offset: u64) -> Identifier {
    // A segment is never longer than 32 bits can say.
    Identifier {
        number: header.number,
        offset: offset as u32,
        length: header.length,
        checksum: header.checksum,
    }
}

/// Begins a log with its first segment and an empty frame.
fn begin<D: Disk>(
    disk: &D,
    options: &Options,
    geometry: Geometry,
    spares: &SpareMaker<D>,
) -> Result<Recovery<D::File>, OpenError> {
    let (spare, file) = spares.take(geometry).map_err(|error| {
        if error.is_no_space() {
            OpenError::NoSpace { bytes: geometry.segment_bytes, source: error.source }
        } else {
            OpenError::Io { action: error.action, file: error.file, source: error.source }
        }
    })?;
    let header = SegmentHeader {
        version: VERSION,
        cluster: options.cluster,
        member: options.member,
        sequence: 1,
        segment_bytes: geometry.segment_bytes,
        first_number: 1,
        previous_end: 0,
        previous: 0,
    };
    let statements = BTreeMap::new();
    let mut maker = SegmentMaker {
        frame: &mut FrameWriter::new(),
        slots: &mut Vec::new(),
        statements: &statements,
        mutation: options.mutation(),
    };
    let active = maker
        .make(disk, &spare, file, &header, geometry, |_| {})
        .map_err(|(action, source)| OpenError::Io { action, file: name_of(header.sequence), source })?;
    let mut catalog = Catalog::new();
    catalog.segments.insert(active.sequence, active.segment());
    let (memberships, superseded) = (BTreeMap::new(), BTreeMap::new());
    Ok(Recovery { catalog, active, memberships, superseded, mended: 0 })
}

fn failed(action: &'static str, file: String, source: io::Error) -> AppendError {
    AppendError::Io { action, file, source }
}

fn no_spare(error: SpareError, bytes: u64) -> AppendError {
    if error.is_no_space() {
        AppendError::NoSpace { bytes, source: error.source }
    } else {
        failed(error.action, error.file, error.source)
    }
}
