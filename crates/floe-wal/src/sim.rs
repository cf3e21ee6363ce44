//! A disk in memory that keeps apart what is durable and what is not, loses power, fills up, fails and lies
//! on demand, and does the same for the same seed.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, DiskFile};

/// What a crash tears at the finest; within one, old and new bytes may still be mixed.
pub const SECTOR_BYTES: usize = 512;

/// The operations of [`Disk`] and [`DiskFile`], to choose one that shall fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// [`Disk::list`].
    List,
    /// [`Disk::create`].
    Create,
    /// [`Disk::open`].
    Open,
    /// [`Disk::rename`].
    Rename,
    /// [`Disk::remove`].
    Remove,
    /// [`Disk::sync_dir`].
    SyncDir,
    /// [`DiskFile::read_at`].
    Read,
    /// [`DiskFile::write_at`].
    Write,
    /// [`DiskFile::sync`].
    Sync,
}

impl Operation {
    fn changes(self) -> bool {
        match self {
            Self::List | Self::Open | Self::Read => false,
            Self::Create | Self::Rename | Self::Remove | Self::SyncDir | Self::Write | Self::Sync => true,
        }
    }
}

/// A simulated disk. Its clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct SimDisk(Arc<Mutex<World>>);

/// An open file of a [`SimDisk`]. It stops working when the disk crashes.
#[derive(Debug)]
pub struct SimFile {
    disk: SimDisk,
    inode: u64,
    crashes: u64,
}

#[derive(Debug, Default)]
struct World {
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    names: BTreeMap<String, u64>,
    /// The names as they were at the last sync of the directory, and what happened to them since.
    synced_names: BTreeMap<String, u64>,
    unsynced_names: Vec<NameChange>,
    crashes: u64,
    /// How many operations changed something, and how many may until the power fails.
    changes: u64,
    power_until: Option<u64>,
    faults: Vec<Fault>,
    space_bytes: Option<u64>,
    stalled: bool,
    syncs: u64,
}

/// A file's contents as a reader sees them, and what each sector that is not durable held before.
#[derive(Clone, Debug, Default)]
struct Inode {
    bytes: Vec<u8>,
    /// The next sync makes these durable.
    unsynced: BTreeMap<usize, Vec<u8>>,
    /// A sync failed over these: they look written, and no sync makes them durable unless they are written
    /// again.
    abandoned: BTreeMap<usize, Vec<u8>>,
}

#[derive(Clone, Debug)]
enum NameChange {
    Set { name: String, inode: u64 },
    Move { from: String, to: String },
    Remove { name: String },
}

#[derive(Debug)]
struct Fault {
    operation: Operation,
    /// How many of these operations still succeed.
    after: u64,
    kind: io::ErrorKind,
}

impl SimDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// An independent disk with the same contents, durable and not, and no faults.
    pub fn duplicate(&self) -> Self {
        let world = self.lock();
        Self(Arc::new(Mutex::new(World {
            inodes: world.inodes.clone(),
            next_inode: world.next_inode,
            names: world.names.clone(),
            synced_names: world.synced_names.clone(),
            unsynced_names: world.unsynced_names.clone(),
            ..World::default()
        })))
    }

    /// The power fails and returns. Of what was not synced each sector is lost, kept or torn on its own, and
    /// changes of names are lost from some point on. Open files stop working; faults that were set and the
    /// power limit are gone.
    pub fn crash(&self, seed: u64) {
        let mut random = Random(seed);
        let mut world = self.lock();
        world.settle_names(|changes| random.below(changes as u64 + 1) as usize);
        world.settle_sectors(|_, _, old, new| match random.below(8) {
            0..3 => {}
            3..6 => new.copy_from_slice(old),
            // Torn within the sector, from either end.
            6 => {
                let at = random.below(SECTOR_BYTES as u64) as usize;
                new[at..].copy_from_slice(&old[at..]);
            }
            _ => {
                let at = random.below(SECTOR_BYTES as u64) as usize;
                new[..at].copy_from_slice(&old[..at]);
            }
        });
        world.restart();
    }

    /// The power fails and returns, and nothing that was not synced is there.
    pub fn crash_losing_all(&self) {
        let mut world = self.lock();
        world.settle_names(|_| 0);
        world.settle_sectors(|_, _, old, new| new.copy_from_slice(old));
        world.restart();
    }

    /// The power fails and returns; `keeps` decides for each unsynced sector, by file name and number. Names
    /// stay.
    pub fn crash_keeping(&self, mut keeps: impl FnMut(&str, usize) -> bool) {
        let mut world = self.lock();
        let names: BTreeMap<u64, String> =
            world.names.iter().map(|(name, &inode)| (inode, name.clone())).collect();
        world.settle_names(|changes| changes);
        world.settle_sectors(|inode, sector, old, new| {
            if !keeps(names.get(&inode).map_or("", String::as_str), sector) {
                new.copy_from_slice(old);
            }
        });
        world.restart();
    }

    /// The process ends and another one starts: nothing is lost, but open files stop working.
    pub fn restart(&self) {
        self.lock().restart();
    }

    /// Which sectors of a file are not durable, ascending.
    pub fn unsynced_sectors(&self, name: &str) -> Vec<usize> {
        let world = self.lock();
        let inode = world.names.get(name).and_then(|inode| world.inodes.get(inode));
        inode.map(|inode| inode.unsynced.keys().copied().collect()).unwrap_or_default()
    }

    /// After this many more operations that change something, every operation fails, until the next crash.
    pub fn fail_power_after(&self, changes: u64) {
        let mut world = self.lock();
        world.power_until = Some(world.changes + changes);
    }

    /// How many operations changed something so far.
    pub fn changes(&self) -> u64 {
        self.lock().changes
    }

    /// How many times a file was synced so far.
    pub fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    /// The operation of this kind after `after` more fails once. A write that fails has written its first
    /// half; a sync that fails has marked everything clean without making it durable, as Linux does.
    pub fn fail(&self, operation: Operation, after: u64, kind: io::ErrorKind) {
        self.lock().faults.push(Fault { operation, after, kind });
    }

    /// Files may take this much together; beyond it creating one answers `StorageFull`. `None` is no limit.
    pub fn set_space(&self, bytes: Option<u64>) {
        self.lock().space_bytes = bytes;
    }

    /// Whether a sync would hang. The disk has no clock: a simulator asks, and delays the report of a write.
    pub fn is_stalled(&self) -> bool {
        self.lock().stalled
    }

    /// Sets what [`SimDisk::is_stalled`] answers.
    pub fn set_stalled(&self, stalled: bool) {
        self.lock().stalled = stalled;
    }

    /// Flips a bit of a file behind everybody's back, durably. Nothing happens if there is no such bit.
    pub fn flip_bit(&self, name: &str, offset: u64, bit: u8) {
        self.damage(name, |bytes| {
            if let Some(byte) = bytes.get_mut(offset as usize) {
                *byte ^= 1 << (bit % 8);
            }
        });
    }

    /// Changes a file's contents behind everybody's back, durably.
    pub fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut world = self.lock();
        let Some(&inode) = world.names.get(name) else { return };
        if let Some(inode) = world.inodes.get_mut(&inode) {
            change(&mut inode.bytes);
        }
    }

    /// A file's contents as a reader sees them.
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let world = self.lock();
        world.names.get(name).and_then(|inode| world.inodes.get(inode)).map(|inode| inode.bytes.clone())
    }

    /// Puts a file there, durably, name and all.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        let mut world = self.lock();
        let inode = world.add_inode(bytes);
        world.names.insert(name.to_owned(), inode);
        world.synced_names.insert(name.to_owned(), inode);
    }

    /// Removes a file, durably.
    pub fn take(&self, name: &str) {
        let mut world = self.lock();
        world.names.remove(name);
        world.synced_names.remove(name);
    }

    /// The names, ascending.
    pub fn names(&self) -> Vec<String> {
        self.lock().names.keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    /// Counts an operation; the error that it meets, if any.
    fn enter(&mut self, operation: Operation) -> io::Result<()> {
        if self.power_until.is_some_and(|until| self.changes >= until) {
            return Err(io::Error::other("the power has failed"));
        }
        if operation.changes() {
            self.changes += 1;
        }
        let mut failed = None;
        self.faults.retain_mut(|fault| {
            if fault.operation != operation || failed.is_some() {
                return true;
            }
            if fault.after == 0 {
                failed = Some(fault.kind);
                return false;
            }
            fault.after -= 1;
            true
        });
        failed.map_or(Ok(()), |kind| Err(kind.into()))
    }

    fn add_inode(&mut self, bytes: Vec<u8>) -> u64 {
        self.next_inode += 1;
        self.inodes.insert(self.next_inode, Inode { bytes, ..Inode::default() });
        self.next_inode
    }

    fn inode_of(&self, name: &str) -> io::Result<u64> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn change_name(&mut self, change: NameChange) {
        apply(&mut self.names, &change);
        self.unsynced_names.push(change);
    }

    fn used_bytes(&self) -> u64 {
        self.names
            .values()
            .filter_map(|inode| self.inodes.get(inode))
            .map(|inode| inode.bytes.len() as u64)
            .sum()
    }

    /// Keeps as many changes of names as `kept` says, in order: journals do not reorder them.
    fn settle_names(&mut self, kept: impl FnOnce(usize) -> usize) {
        let kept = kept(self.unsynced_names.len());
        for change in self.unsynced_names.iter().take(kept) {
            apply(&mut self.synced_names, change);
        }
        self.unsynced_names.clear();
        self.names = self.synced_names.clone();
        let named: Vec<u64> = self.names.values().copied().collect();
        self.inodes.retain(|inode, _| named.contains(inode));
    }

    fn settle_sectors(&mut self, mut settle: impl FnMut(u64, usize, &[u8], &mut [u8])) {
        for (&number, inode) in &mut self.inodes {
            let mut lost = std::mem::take(&mut inode.abandoned);
            lost.append(&mut inode.unsynced);
            for (sector, old) in lost {
                let start = sector * SECTOR_BYTES;
                settle(number, sector, &old, &mut inode.bytes[start..start + old.len()]);
            }
        }
    }

    fn restart(&mut self) {
        self.crashes += 1;
        self.power_until = None;
        self.faults.clear();
    }
}

fn apply(names: &mut BTreeMap<String, u64>, change: &NameChange) {
    match change {
        NameChange::Set { name, inode } => {
            names.insert(name.clone(), *inode);
        }
        NameChange::Move { from, to } => {
            if let Some(inode) = names.remove(from) {
                names.insert(to.clone(), inode);
            }
        }
        NameChange::Remove { name } => {
            names.remove(name);
        }
    }
}

impl Inode {
    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let start = offset as usize;
        let end = start + bytes.len();
        if end > self.bytes.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for sector in start / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES) {
            let from = sector * SECTOR_BYTES;
            let to = (from + SECTOR_BYTES).min(self.bytes.len());
            let old = self.abandoned.remove(&sector);
            self.unsynced
                .entry(sector)
                .or_insert_with(|| old.unwrap_or_else(|| self.bytes[from..to].to_vec()));
        }
        self.bytes[start..end].copy_from_slice(bytes);
        Ok(())
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    fn list(&self) -> io::Result<Vec<String>> {
        let mut world = self.lock();
        world.enter(Operation::List)?;
        Ok(world.names.keys().cloned().collect())
    }

    fn create(&self, name: &str, len: u64) -> io::Result<SimFile> {
        let mut world = self.lock();
        world.enter(Operation::Create)?;
        if world.space_bytes.is_some_and(|space| world.used_bytes() + len > space) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let inode = world.add_inode(vec![0; len as usize]);
        world.change_name(NameChange::Set { name: name.to_owned(), inode });
        Ok(SimFile { disk: self.clone(), inode, crashes: world.crashes })
    }

    fn open(&self, name: &str) -> io::Result<SimFile> {
        let mut world = self.lock();
        world.enter(Operation::Open)?;
        let inode = world.inode_of(name)?;
        Ok(SimFile { disk: self.clone(), inode, crashes: world.crashes })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut world = self.lock();
        world.enter(Operation::Rename)?;
        world.inode_of(from)?;
        world.change_name(NameChange::Move { from: from.to_owned(), to: to.to_owned() });
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut world = self.lock();
        world.enter(Operation::Remove)?;
        world.inode_of(name)?;
        world.change_name(NameChange::Remove { name: name.to_owned() });
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut world = self.lock();
        world.enter(Operation::SyncDir)?;
        world.synced_names = world.names.clone();
        world.unsynced_names.clear();
        Ok(())
    }
}

impl SimFile {
    /// Performs an operation on the file, if its process still lives.
    fn with<T>(
        &self,
        operation: Operation,
        act: impl FnOnce(&mut Inode, io::Result<()>) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut world = self.disk.lock();
        if world.crashes != self.crashes {
            return Err(io::Error::other("the process that opened this file is gone"));
        }
        let powered = world.power_until.is_none_or(|until| world.changes < until);
        let entered = world.enter(operation);
        if operation == Operation::Sync && entered.is_ok() {
            world.syncs += 1;
        }
        if !powered {
            return Err(io::Error::other("the power has failed"));
        }
        let inode = world.inodes.get_mut(&self.inode).ok_or(io::ErrorKind::NotFound)?;
        act(inode, entered)
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        self.with(Operation::Open, |inode, entered| entered.map(|()| inode.bytes.len() as u64))
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.with(Operation::Read, |inode, entered| {
            entered?;
            let start = offset as usize;
            let bytes = inode.bytes.get(start..start + buf.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            buf.copy_from_slice(bytes);
            Ok(())
        })
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.with(Operation::Write, |inode, entered| match entered {
            Ok(()) => inode.write(offset, bytes),
            Err(error) => {
                inode.write(offset, &bytes[..bytes.len() / 2])?;
                Err(error)
            }
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.with(Operation::Sync, |inode, entered| {
            let synced = std::mem::take(&mut inode.unsynced);
            if entered.is_err() {
                inode.abandoned.extend(synced);
            }
            entered
        })
    }
}

/// SplitMix64: a small generator whose whole state is its seed.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_synced_survives_and_nothing_else_must() {
        let disk = SimDisk::new();
        let file = disk.create("a", 2048).unwrap();
        disk.sync_dir().unwrap();
        file.write_at(0, &[1; 1024]).unwrap();
        file.sync().unwrap();
        file.write_at(512, &[2; 1024]).unwrap();
        assert_eq!(disk.unsynced_sectors("a"), [1, 2]);
        disk.crash_losing_all();
        let bytes = disk.contents("a").unwrap();
        assert_eq!((bytes[0], bytes[512], bytes[1024]), (1, 1, 0));
        assert!(file.sync().is_err(), "the process is gone");
    }

    #[test]
    fn names_are_lost_in_order_without_a_sync_of_the_directory() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..64 {
            let disk = SimDisk::new();
            disk.create("a", 1).unwrap();
            disk.sync_dir().unwrap();
            disk.rename("a", "b").unwrap();
            disk.create("c", 1).unwrap();
            disk.crash(seed);
            seen.insert(disk.names());
        }
        let expected = [vec!["a"], vec!["b"], vec!["b", "c"]];
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_crash_is_a_function_of_its_seed_and_tears_sectors() {
        let crashed = |seed| {
            let disk = SimDisk::new();
            let file = disk.create("a", 16 << 10).unwrap();
            disk.sync_dir().unwrap();
            file.write_at(0, &[7; 16 << 10]).unwrap();
            disk.crash(seed);
            disk.contents("a").unwrap()
        };
        assert_eq!(crashed(5), crashed(5));
        assert_ne!(crashed(5), crashed(6));
        let torn = |sector: &[u8]| sector.contains(&0) && sector.contains(&7);
        assert!((0..20).any(|seed| crashed(seed).chunks(SECTOR_BYTES).any(torn)));
    }

    #[test]
    fn a_second_sync_does_not_save_what_a_failed_one_abandoned() {
        let disk = SimDisk::new();
        let file = disk.create("a", 1024).unwrap();
        disk.sync_dir().unwrap();
        file.write_at(0, &[7; 1024]).unwrap();
        disk.fail(Operation::Sync, 0, io::ErrorKind::Other);
        assert!(file.sync().is_err());
        file.write_at(512, &[8; 512]).unwrap();
        assert!(file.sync().is_ok());
        assert_eq!(disk.contents("a").unwrap()[0], 7, "it looks written");
        disk.crash_losing_all();
        let bytes = disk.contents("a").unwrap();
        assert_eq!((bytes[0], bytes[512]), (0, 8));
    }

    #[test]
    fn a_fault_comes_once_and_when_it_was_ordered() {
        let disk = SimDisk::new();
        let file = disk.create("a", 512).unwrap();
        disk.fail(Operation::Sync, 1, io::ErrorKind::Other);
        assert!(file.sync().is_ok());
        assert!(file.sync().is_err());
        assert!(file.sync().is_ok());
        disk.set_space(Some(1000));
        assert_eq!(disk.create("b", 512).unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
