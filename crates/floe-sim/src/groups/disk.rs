//! A machine's disk: one log for all of its groups, as plain values or as the real log over a simulated disk.

use std::collections::BTreeMap;
use std::io;

use floe_raft::{Fetched, GroupId, Index, NodeId, Write};
use floe_wal::sim::{Operation, SimDisk};
use floe_wal::{OpenError, Options, Reader, Wal};

use crate::check::{self, Invariant, Violation, broken};
use crate::image::LogImage;
use crate::rng::Rng;

/// A simulated segment is small, so that a world goes through many of them.
const SEGMENT_BYTES: u64 = 64 << 10;

/// All that survives a crash of one machine.
pub(crate) struct Disk {
    node: NodeId,
    /// What is durable in each group, as far as the host was told.
    images: BTreeMap<GroupId, LogImage>,
    real: Option<SimDisk>,
    open: Option<(Wal<SimDisk>, Reader<SimDisk>)>,
    /// What a crash caught under way.
    pending: Vec<(GroupId, Write)>,
}

impl Disk {
    /// An empty disk of a machine with these groups.
    pub(crate) fn new(node: NodeId, groups: impl Iterator<Item = GroupId>, real_log: bool) -> Self {
        Self {
            node,
            images: groups.map(|group| (group, LogImage::default())).collect(),
            real: real_log.then(SimDisk::new),
            open: None,
            pending: Vec::new(),
        }
    }

    pub(crate) fn image(&self, group: GroupId) -> Option<&LogImage> {
        self.images.get(&group)
    }

    /// Makes a batch of writes durable.
    pub(crate) fn write(&mut self, batch: &[(GroupId, Write)]) -> Result<(), String> {
        self.append(batch)?;
        self.take_over(batch)
    }

    fn append(&mut self, batch: &[(GroupId, Write)]) -> Result<(), String> {
        let Some((wal, _)) = &mut self.open else { return Ok(()) };
        wal.append(batch).map_err(|error| error.to_string())?;
        if wal.wants_spare() {
            wal.spare_maker().make().map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn take_over(&mut self, batch: &[(GroupId, Write)]) -> Result<(), String> {
        for (group, write) in batch {
            let image = self.images.entry(*group).or_default();
            image.write(write).map_err(|reason| format!("group {group}: {reason}"))?;
        }
        Ok(())
    }

    /// Reads entries of a group for the core.
    pub(crate) fn fetch(&self, group: GroupId, first: Index, last: Index, max_bytes: u64) -> Fetched {
        if let Some((_, reader)) = &self.open {
            let entries = reader.read(group, first, last, max_bytes);
            return entries.map_or(Fetched::Failed, Fetched::Entries);
        }
        let image = self.images.get(&group);
        let entries = (first.0..=last.0).filter_map(|index| image?.entry(Index(index)).cloned());
        let mut bytes = 0;
        let entries: Vec<_> = entries
            .enumerate()
            .take_while(|(count, entry)| {
                bytes += entry.cost();
                *count == 0 || bytes <= max_bytes
            })
            .map(|(_, entry)| entry)
            .collect();
        if entries.is_empty() { Fetched::Failed } else { Fetched::Entries(entries) }
    }

    /// The power fails while `writing` is under way: of that, some writes from the front become durable, whichever
    /// groups they are of; of the real log's batch all or nothing.
    pub(crate) fn crash(&mut self, writing: Vec<(GroupId, Write)>, rng: &mut Rng) {
        let Some(disk) = self.real.clone() else {
            let survivors = rng.below(writing.len() as u64 + 1) as usize;
            // Those that do not fit would not have been written either; nobody was told of them.
            let _ = self.take_over(&writing[..survivors]);
            return;
        };
        self.pending = writing;
        if !self.pending.is_empty() && self.open.is_some() {
            if rng.chance(250_000) {
                let operation = if rng.coin() { Operation::Sync } else { Operation::Write };
                disk.fail(operation, rng.below(2), io::ErrorKind::Other);
            } else {
                disk.fail_power_after(rng.below(8));
            }
            let pending = std::mem::take(&mut self.pending);
            // Whether it fails is for the disk to say; a write that nobody was told of may be there or not.
            let _ = self.append(&pending);
            self.pending = pending;
        }
        self.open = None;
        disk.crash(rng.number());
    }

    /// Opens the disk for a new process.
    pub(crate) fn open(&mut self) -> Result<(), Box<Violation>> {
        let Some(disk) = self.real.clone() else { return Ok(()) };
        let node = self.node;
        let options = Options { segment_bytes: SEGMENT_BYTES, ..Options::new(1, node.0) };
        let opened = match Wal::open(disk.clone(), options.clone()) {
            Err(OpenError::Corrupt { undecided: true, .. }) if !self.pending.is_empty() => {
                Wal::open_discarding_undecided(disk, options)
            }
            opened => opened,
        };
        let whole = |reason: String| broken(Invariant::LogIsWhole, format!("n{node}: {reason}"));
        let (wal, mut found) = opened.map_err(|error| whole(error.to_string()))?;
        let reader = wal.reader();
        let pending = std::mem::take(&mut self.pending);
        for (&group, kept) in &mut self.images {
            let recovered = found.remove(&group).unwrap_or_default();
            let mut image =
                LogImage { base: recovered.base, hard_state: recovered.hard_state, ..LogImage::default() };
            while image.last().index < recovered.last.index {
                let first = image.last().index.next();
                let entries = reader
                    .read(group, first, recovered.last.index, u64::MAX)
                    .map_err(|error| whole(format!("entry {first} of group {group}: {error}")))?;
                image.entries.extend(entries);
            }
            let of_group = pending.iter().filter(|(known, _)| *known == group);
            let of_group: Vec<Write> = of_group.map(|(_, write)| write.clone()).collect();
            check::recovers(node, kept, &of_group, &image)?;
            *kept = image;
        }
        self.open = Some((wal, reader));
        Ok(())
    }
}
