//! W1: the power fails while the last batch is written. It is dropped whole, whatever of it reached the disk,
//! and nothing of it ever comes back.

use floe_raft::{GroupId, Write};
use floe_wal::sim::{SECTOR_BYTES, SimDisk};
use floe_wal::{OpenError, Wal};

use crate::support::{
    FRAMES_START, GROUP, Model, OPTIONS, SLOTS_START, appended, hard_state, open, reopened, try_open,
};

const SEGMENT: &str = "0000000000000001.log";

/// A log with some acknowledged batches, and one that is written and not synced. The models without and with
/// it.
fn interrupted() -> (SimDisk, Model, Model) {
    let disk = SimDisk::new();
    let (mut wal, _) = open(&disk);
    let mut without = Model::default();
    for batch in [
        vec![(GROUP, Write { hard_state: Some(hard_state(1, Some(1))), ..appended(1, 1, &[100, 20]) })],
        vec![(GROUP, appended(1, 3, &[700])), (GroupId(4), appended(1, 1, &[5]))],
    ] {
        wal.append(&batch).unwrap();
        without.append(&batch);
    }
    let last = vec![
        (GROUP, Write { hard_state: Some(hard_state(2, Some(3))), ..appended(2, 4, &[600, 600, 600]) }),
        (GroupId(4), appended(2, 2, &[40])),
    ];
    let mut with = without.clone();
    with.append(&last);
    // The two writes of a batch succeed, its sync does not.
    disk.fail_power_after(2);
    assert!(wal.append(&last).unwrap_err().is_fatal());
    (disk, without, with)
}

/// The log takes more, and what was dropped stays away.
fn check_goes_on(disk: &SimDisk, mut model: Model) {
    let (mut wal, groups) = open(disk);
    assert_eq!(Model::of(&wal, &groups), model);
    let last = model.group(GROUP).last();
    // Shorter than what was torn, so that the rest of that would lie behind it.
    let batch = [(GROUP, appended(last.term.0, last.index.0 + 1, &[3]))];
    wal.append(&batch).unwrap();
    model.append(&batch);
    disk.crash_losing_all();
    assert_eq!(reopened(disk), model);
}

#[test]
fn any_sectors_of_the_last_batch_may_be_lost() {
    let (disk, without, with) = interrupted();
    let sectors = disk.unsynced_sectors(SEGMENT);
    assert_eq!(sectors.len(), 6, "five of the frame, one of the slots: {sectors:?}");
    let identifier = sectors[5];
    assert!(identifier * SECTOR_BYTES >= SLOTS_START as usize);
    let mut outcomes = [0; 3];
    for kept in 0..1u32 << sectors.len() {
        let crashed = disk.duplicate();
        let is_kept =
            |sector| sectors.iter().position(|&s| s == sector).is_some_and(|at| kept >> at & 1 == 1);
        crashed.crash_keeping(|_, sector| is_kept(sector));
        let frame_is_whole = kept & 0b1_1111 == 0b1_1111;
        match (frame_is_whole, is_kept(identifier)) {
            (true, _) => {
                check_goes_on(&crashed, with.clone());
                outcomes[0] += 1;
            }
            (false, false) => {
                check_goes_on(&crashed, without.clone());
                outcomes[1] += 1;
            }
            (false, true) => {
                check_undecided(&crashed, &without);
                outcomes[2] += 1;
            }
        }
    }
    assert_eq!(outcomes, [2, 31, 31]);
}

/// The identifier is there and the frame is not: damage of an acknowledged batch looks the same, so nothing
/// is dropped unasked.
fn check_undecided(disk: &SimDisk, without: &Model) {
    let before = disk.contents(SEGMENT);
    let error = try_open(disk).unwrap_err();
    let OpenError::Corrupt { undecided: true, offset, .. } = error else { panic!("{error}") };
    assert!(offset > FRAMES_START);
    assert_eq!(disk.contents(SEGMENT), before, "a refused open changes nothing");
    let (wal, groups) = Wal::open_discarding_undecided(disk.clone(), OPTIONS).unwrap();
    assert_eq!(Model::of(&wal, &groups), *without);
    check_goes_on(disk, without.clone());
}

#[test]
fn the_last_batch_may_be_torn_at_any_byte_from_either_end() {
    let (disk, without, with) = interrupted();
    let new = disk.contents(SEGMENT).unwrap();
    let lost = disk.duplicate();
    lost.crash_losing_all();
    let old = lost.contents(SEGMENT).unwrap();
    let differs = |at: &usize| old[*at] != new[*at];
    let frame_range = 0..SLOTS_START as usize;
    let first = frame_range.clone().find(differs).unwrap();
    let last = frame_range.rev().find(differs).unwrap();
    for cut in first..=last {
        for keeps_front in [true, false] {
            let mut bytes = old.clone();
            let kept = if keeps_front { first..cut } else { cut + 1..last + 1 };
            bytes[kept.clone()].copy_from_slice(&new[kept]);
            let torn = SimDisk::new();
            torn.put(SEGMENT, bytes);
            assert_eq!(reopened(&torn), without, "cut at {cut}");
        }
    }
    let mut whole = old;
    whole[first..=last].copy_from_slice(&new[first..=last]);
    let torn = SimDisk::new();
    torn.put(SEGMENT, whole);
    assert_eq!(reopened(&torn), with, "only the identifier is lost");
}

#[test]
fn a_torn_batch_is_wiped_from_the_disk() {
    let (disk, _, _) = interrupted();
    let sectors = disk.unsynced_sectors(SEGMENT);
    disk.crash_keeping(|_, sector| sector != sectors[1] && sector != sectors[5]);
    let start = sectors[0] * SECTOR_BYTES;
    let frames_end = SLOTS_START as usize - 4096;
    assert!(disk.contents(SEGMENT).unwrap()[start..frames_end].iter().any(|&byte| byte != 0));
    open(&disk);
    disk.crash_losing_all();
    assert!(disk.contents(SEGMENT).unwrap()[start..frames_end].iter().all(|&byte| byte == 0));
}

#[test]
fn a_torn_batch_followed_by_whole_ones_is_not_torn() {
    // Identifiers of the second batch and of the third are lost, and the second batch is damaged. A reader
    // that stops at the first bad frame would drop the third batch, which is whole, with it (etcd #5230).
    let disk = SimDisk::new();
    let (mut wal, _) = open(&disk);
    for index in 1..=3 {
        wal.append(&[(GROUP, appended(1, index, &[600]))]).unwrap();
    }
    disk.damage(SEGMENT, |bytes| {
        bytes[SLOTS_START as usize + 32 * 2..][..64].fill(0);
        bytes[FRAMES_START as usize + 512 + 1024 + 100] ^= 1;
    });
    let error = try_open(&disk).unwrap_err();
    let OpenError::Corrupt { undecided: false, offset, index, .. } = error else { panic!("{error}") };
    assert_eq!((offset, index), (FRAMES_START + 512 + 1024 + 40, Some(floe_raft::Index(2))));
}
