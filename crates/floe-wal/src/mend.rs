//! What recovery writes, after everything was checked (rule 9).

use crate::disk::{Disk, DiskFile};
use crate::error::OpenError;
use crate::identifier::Slot;
use crate::scan::{CLEAR_BYTES, SegmentFile};
use crate::segment::{Binding, SLOT_BYTES};

/// What is to be written to one segment.
#[derive(Debug, Default)]
pub(crate) struct Mending {
    /// Bytes of frames and headers, by offset.
    frames: Vec<(u64, Vec<u8>)>,
    /// Where zeros go, behind the frames.
    clear_frames: Vec<(u64, u64)>,
    /// Slots, by offset.
    slots: Vec<(u64, [u8; SLOT_BYTES as usize])>,
    /// Where zeros go, behind the slots.
    clear_slots: Option<(u64, u64)>,
    /// How many redundant things were found damaged.
    pub(crate) damaged: u64,
}

impl Mending {
    pub(crate) fn rewrite(&mut self, offset: u64, bytes: Vec<u8>) {
        self.frames.push((offset, bytes));
    }

    pub(crate) fn rewrite_slot(&mut self, binding: Binding, offset: u64, slot: &Slot) {
        self.slots.push((offset, slot.encode(binding, offset)));
    }

    pub(crate) fn clear(&mut self, frames: Vec<(u64, u64)>, slots: Option<(u64, u64)>) {
        self.clear_frames = frames;
        self.clear_slots = slots;
    }

    /// Writes it: the frames durably first, so that no identifier is durable before its frame.
    pub(crate) fn perform<F: DiskFile>(&self, segment: &SegmentFile<F>) -> Result<(), OpenError> {
        let failed = |action| move |source| OpenError::Io { action, file: segment.name.clone(), source };
        let write = |offset, bytes: &[u8]| segment.file.write_at(offset, bytes).map_err(failed("write"));
        let zeros = [0; CLEAR_BYTES as usize];
        let clear = |(offset, len): (u64, u64)| {
            let end = offset + len;
            (offset..end)
                .step_by(CLEAR_BYTES as usize)
                .try_for_each(|at| write(at, &zeros[..(end - at).min(CLEAR_BYTES) as usize]))
        };
        if !self.frames.is_empty() || !self.clear_frames.is_empty() {
            self.frames.iter().try_for_each(|(offset, bytes)| write(*offset, bytes))?;
            self.clear_frames.iter().copied().try_for_each(clear)?;
            segment.file.sync().map_err(failed("sync"))?;
        }
        if !self.slots.is_empty() || self.clear_slots.is_some() {
            self.slots.iter().try_for_each(|(offset, bytes)| write(*offset, bytes))?;
            self.clear_slots.into_iter().try_for_each(clear)?;
            segment.file.sync().map_err(failed("sync"))?;
        }
        Ok(())
    }
}

/// Removes files that the log does not need.
pub(crate) fn remove<D: Disk>(disk: &D, names: impl Iterator<Item = String>) -> Result<(), OpenError> {
    for file in names {
        disk.remove(&file).map_err(|source| OpenError::Io { action: "remove", file, source })?;
    }
    Ok(())
}
