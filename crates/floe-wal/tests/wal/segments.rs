//! W10, W11: many segments; spares, recycling, and files that are missing, copied or somebody else's.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use floe_raft::{GroupId, Index};
use floe_wal::sim::{SimDisk, SimFile};
use floe_wal::{Disk, DiskFile, OpenError, Options, ReadError, Wal};

use crate::support::{GROUP, Model, OPTIONS, appended, id, open, reopened, try_open, voted};

fn name(sequence: u64) -> String {
    format!("{sequence:016x}.log")
}

/// Appends entries of 2,000 bytes, `count` of them, one a batch.
fn fill(wal: &mut Wal<SimDisk>, model: &mut Model, count: u64) {
    for _ in 0..count {
        let next = model.group(GROUP).last().index.0 + 1;
        let batch = [(GROUP, appended(1, next, &[2000]))];
        wal.append(&batch).unwrap();
        model.append(&batch);
    }
}

/// A log of some segments; group 2 voted in the first one only.
fn long_log() -> (SimDisk, Model) {
    let disk = SimDisk::new();
    let (mut wal, _) = open(&disk);
    let mut model = Model::default();
    let vote = [(GroupId(2), voted(7, Some(3)))];
    wal.append(&vote).unwrap();
    model.append(&vote);
    fill(&mut wal, &mut model, 30);
    assert_eq!(disk.names().len(), 5);
    (disk, model)
}

#[test]
fn a_log_spans_segments_and_forgets_the_compacted_ones() {
    let (disk, mut model) = long_log();
    assert_eq!(reopened(&disk), model);
    let (mut wal, _) = open(&disk);
    for index in [3, 12, 20, 30] {
        wal.compact(GROUP, id(1, index)).unwrap();
        model.compact(GROUP, id(1, index));
        wal.spare_maker().make().unwrap();
        let copy = disk.duplicate();
        copy.crash_losing_all();
        assert_eq!(reopened(&copy), model, "compacted to {index}");
    }
    assert!(!wal.wants_spare());
    assert_eq!(disk.names().iter().filter(|name| name.ends_with(".log")).count(), 1);
    assert_eq!(model.group(GroupId(2)).hard_state, crate::support::hard_state(7, Some(3)));
    fill(&mut wal, &mut model, 40);
    assert_eq!(reopened(&disk), model);
}

#[test]
fn nothing_of_a_recycled_segment_comes_back() {
    let disk = SimDisk::new();
    let (mut wal, _) = open(&disk);
    let mut model = Model::default();
    let mut recycled = 0;
    for _ in 0..12 {
        fill(&mut wal, &mut model, 11);
        let last = model.group(GROUP).last();
        wal.compact(GROUP, last).unwrap();
        model.compact(GROUP, last);
        let stale = |name: &String| {
            name.starts_with("spare") && disk.contents(name).unwrap().iter().any(|&byte| byte != 0)
        };
        wal.spare_maker().make().unwrap();
        recycled += u32::from(disk.names().iter().any(stale));
        // The file holds frames of its earlier life behind, and in place of, those that are written now.
        for crashed in 0..3 {
            let copy = disk.duplicate();
            copy.crash(crashed);
            assert_eq!(reopened(&copy), model);
            assert_eq!(reopened(&copy), model);
        }
    }
    assert!(recycled > 5, "{recycled} spares were made of old segments");
}

#[test]
fn a_spare_is_made_once_and_used() {
    let disk = SimDisk::new();
    let (mut wal, _) = open(&disk);
    assert!(wal.wants_spare());
    wal.spare_maker().make().unwrap();
    assert!(!wal.wants_spare());
    let names = disk.names();
    wal.spare_maker().make().unwrap();
    assert_eq!(disk.names(), names);
    let mut model = Model::default();
    fill(&mut wal, &mut model, 12);
    assert!(wal.wants_spare(), "the spare became a segment");
    assert_eq!(disk.names(), [name(1), name(2)]);
}

#[test]
fn a_new_segment_whose_name_is_lost_lost_nothing_acknowledged() {
    // The power fails after each operation of the batch that begins a segment, and changes of names that were
    // not synced are gone.
    let mut lengths = Vec::new();
    for changes in 0.. {
        let disk = SimDisk::new();
        let (mut wal, _) = open(&disk);
        let mut model = Model::default();
        fill(&mut wal, &mut model, 6);
        assert_eq!(disk.names(), [name(1)]);
        disk.fail_power_after(changes);
        let batch = [(GROUP, appended(1, 7, &[2000]))];
        let acknowledged = wal.append(&batch).is_ok();
        let mut with = model.clone();
        with.append(&batch);
        disk.crash_losing_all();
        let found = reopened(&disk);
        if acknowledged {
            assert_eq!(found, with);
            break;
        }
        assert!(found == model || found == with, "after {changes} operations");
        lengths.push(found.group(GROUP).entries.len());
    }
    assert_eq!(lengths.len(), 10, "create, 4 writes, sync, name, sync, seal, sync: {lengths:?}");
    assert!(lengths.is_sorted() && lengths.first() == Some(&6) && lengths.last() == Some(&7));
}

#[test]
fn a_missing_segment_is_named() {
    for missing in [2, 3, 4] {
        let (disk, _) = long_log();
        disk.take(&name(missing));
        let error = try_open(&disk).unwrap_err();
        let OpenError::Missing { file } = error else { panic!("{error}") };
        assert_eq!(file, name(missing));
    }
    let (disk, _) = long_log();
    disk.take(&name(1));
    assert!(matches!(try_open(&disk), Err(OpenError::Missing { file }) if file == name(1)));
    let (disk, _) = long_log();
    disk.take(&name(5));
    let error = try_open(&disk).unwrap_err();
    assert!(matches!(&error, OpenError::Missing { file } if *file == name(5)), "the newest one: {error}");
}

#[test]
fn a_segment_that_nobody_needs_may_be_missing_or_reappear() {
    let (disk, mut model) = long_log();
    let old = disk.duplicate();
    let (mut wal, _) = open(&disk);
    wal.compact(GROUP, id(1, 15)).unwrap();
    model.compact(GROUP, id(1, 15));
    wal.spare_maker().make().unwrap();
    assert_eq!(disk.names()[..2], [name(3), name(4)]);
    for reappears in [&[2][..], &[1], &[1, 2]] {
        let copy = disk.duplicate();
        for &sequence in reappears {
            copy.put(&name(sequence), old.contents(&name(sequence)).unwrap());
        }
        assert_eq!(reopened(&copy), model, "{reappears:?}");
        assert!(!copy.names().contains(&name(1)) || reappears.contains(&2));
        assert_eq!(reopened(&copy), model);
    }
}

#[test]
fn segments_under_each_others_names_are_refused() {
    let (disk, _) = long_log();
    let bytes = |sequence| disk.contents(&name(sequence)).unwrap();
    let swapped = disk.duplicate();
    swapped.put(&name(2), bytes(3));
    swapped.put(&name(3), bytes(2));
    let error = try_open(&swapped).unwrap_err();
    assert!(matches!(&error, OpenError::Misplaced { file, found: 3 } if *file == name(2)), "{error}");
    let repeated = disk.duplicate();
    repeated.put(&name(6), bytes(5));
    assert!(matches!(try_open(&repeated), Err(OpenError::Misplaced { found: 5, .. })));
}

#[test]
fn an_older_copy_of_a_segment_is_refused() {
    // A backup of one file, put back over it: everything in it verifies.
    let disk = SimDisk::new();
    let (mut wal, _) = open(&disk);
    let mut model = Model::default();
    fill(&mut wal, &mut model, 5);
    let old = disk.contents(&name(1)).unwrap();
    fill(&mut wal, &mut model, 10);
    disk.put(&name(1), old);
    let error = try_open(&disk).unwrap_err();
    assert!(
        matches!(&error, OpenError::Corrupt { file, undecided: false, .. } if *file == name(1)),
        "{error}"
    );
}

#[test]
fn segments_of_two_histories_are_not_joined() {
    // Two copies of one disk lived on apart, and a segment of one came to the other. Names, owners, sequences and
    // numbers fit; only what the segment says of its predecessor does not.
    let histories = [1, 2].map(|term| {
        let disk = SimDisk::new();
        let (mut wal, _) = open(&disk);
        for index in 1..=8 {
            wal.append(&[(GROUP, appended(term, index, &[2000]))]).unwrap();
        }
        disk
    });
    let [one, other] = histories;
    one.put(&name(2), other.contents(&name(2)).unwrap());
    let error = try_open(&one).unwrap_err();
    let OpenError::Corrupt { file, reason, undecided: false, .. } = error else { panic!("{error}") };
    assert_eq!((file, reason), (name(1), "the next segment follows another one than this"));
}

#[test]
fn the_log_of_another_member_or_cluster_is_refused_by_name() {
    let (disk, model) = long_log();
    let before = disk.changes();
    for stranger in [Options { cluster: 5, ..OPTIONS }, Options { member: 5, ..OPTIONS }] {
        let error = Wal::open(disk.clone(), stranger).unwrap_err();
        let OpenError::WrongOwner { found_cluster: 0xc1, found_member: 0x3e, .. } = error else {
            panic!("{error}")
        };
        assert!(error.to_string().contains("belongs to member 3e of cluster c1"), "{error}");
    }
    assert_eq!(disk.changes(), before);
    assert_eq!(reopened(&disk), model);
}

#[test]
fn another_version_is_refused_and_a_short_file_too() {
    let (disk, _) = long_log();
    let newer = disk.duplicate();
    newer.damage(&name(3), |bytes| {
        for at in [0, OPTIONS.segment_bytes as usize - 4096] {
            bytes[at + 12] = 2;
            let sum = crc32c::crc32c(&bytes[at + 12..at + 512]);
            bytes[at + 8..at + 12].copy_from_slice(&sum.to_le_bytes());
        }
    });
    assert!(matches!(try_open(&newer), Err(OpenError::Version { found: 2, known: 1, .. })));
    disk.damage(&name(3), |bytes| bytes.truncate(20 << 10));
    assert!(matches!(try_open(&disk), Err(OpenError::Corrupt { file, .. }) if file == name(3)));
}

#[test]
fn a_change_of_the_segments_length_concerns_new_ones_only() {
    let (disk, mut model) = long_log();
    let longer = Options { segment_bytes: 64 << 10, ..OPTIONS };
    let (mut wal, groups) = Wal::open(disk.clone(), longer.clone()).unwrap();
    assert_eq!(Model::of(&wal, &groups), model);
    fill(&mut wal, &mut model, 30);
    wal.compact(GROUP, id(1, 40)).unwrap();
    model.compact(GROUP, id(1, 40));
    while wal.wants_spare() {
        wal.spare_maker().make().unwrap();
    }
    let spare = disk.names().into_iter().find(|name| name.starts_with("spare")).unwrap();
    assert_eq!(disk.contents(&spare).unwrap().len(), 64 << 10, "a segment of the old length is no spare");
    let (wal, groups) = Wal::open(disk, longer).unwrap();
    assert_eq!(Model::of(&wal, &groups), model);
    for bad in [0, 4096, 100_000, 4 << 30] {
        let options = Options { segment_bytes: bad, ..OPTIONS };
        assert!(matches!(Wal::open(SimDisk::new(), options), Err(OpenError::Options(_))));
    }
}

/// A disk that calls back once, in the middle of a read.
#[derive(Clone)]
struct HookedDisk {
    inner: SimDisk,
    hook: Arc<Mutex<Option<Hook>>>,
}

type Hook = Box<dyn FnOnce() + Send>;

struct HookedFile {
    inner: SimFile,
    hook: Arc<Mutex<Option<Hook>>>,
}

impl Disk for HookedDisk {
    type File = HookedFile;
    fn list(&self) -> io::Result<Vec<String>> {
        self.inner.list()
    }
    fn create(&self, name: &str, len: u64) -> io::Result<HookedFile> {
        Ok(HookedFile { inner: self.inner.create(name, len)?, hook: Arc::clone(&self.hook) })
    }
    fn open(&self, name: &str) -> io::Result<HookedFile> {
        Ok(HookedFile { inner: self.inner.open(name)?, hook: Arc::clone(&self.hook) })
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }
    fn sync_dir(&self) -> io::Result<()> {
        self.inner.sync_dir()
    }
}

impl DiskFile for HookedFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let hook = self.hook.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(hook) = hook {
            hook();
        }
        self.inner.read_at(offset, buf)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.inner.write_at(offset, bytes)
    }
    fn sync(&self) -> io::Result<()> {
        self.inner.sync()
    }
}

#[test]
fn a_read_whose_segment_is_recycled_under_it_is_no_damage() {
    let disk = HookedDisk { inner: SimDisk::new(), hook: Arc::default() };
    let (mut wal, _) = Wal::open(disk.clone(), OPTIONS).unwrap();
    for index in 1..=20 {
        wal.append(&[(GROUP, appended(1, index, &[2000]))]).unwrap();
    }
    let reader = wal.reader();
    // The read of entry 3 has looked up where it lies. Before it reads, its segment is freed, recycled and
    // filled with other entries: the bytes there are now whole, and somebody else's.
    let hook = move || {
        wal.compact(GROUP, id(1, 6)).unwrap();
        wal.spare_maker().make().unwrap();
        for index in 21..=50 {
            wal.append(&[(GROUP, appended(2, index, &[2000]))]).unwrap();
            wal.spare_maker().make().unwrap();
        }
    };
    *disk.hook.lock().unwrap() = Some(Box::new(hook));
    let error = reader.read(GROUP, Index(3), Index(3), 1).unwrap_err();
    assert!(matches!(error, ReadError::Compacted), "{error}");
    assert_eq!(reader.read(GROUP, Index(50), Index(50), 1).unwrap().len(), 1);
}
