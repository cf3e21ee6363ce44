//! W6, W9: the disk answers with errors. What was acknowledged stays; what was not is not claimed.

use std::io::ErrorKind;

use floe_raft::{Index, Write};
use floe_wal::AppendError;
use floe_wal::sim::{Operation, SimDisk};

use crate::support::{GROUP, Model, OPTIONS, appended, hard_state, id, open, reopened, try_open, voted};

fn batch(index: u64) -> [(floe_raft::GroupId, Write); 1] {
    let hard_state = Some(hard_state(index, Some(1)));
    [(GROUP, Write { hard_state, ..appended(1, index, &[2000]) })]
}

#[test]
fn a_failed_sync_poisons_the_log_and_loses_nothing_acknowledged() {
    let operations = [Operation::Write, Operation::Sync, Operation::Rename, Operation::SyncDir];
    for operation in operations {
        for after in 0..14 {
            for loses_all in [false, true] {
                check_failure(operation, after, loses_all);
            }
        }
    }
}

/// One operation fails once; everything after it would succeed.
fn check_failure(operation: Operation, after: u64, loses_all: bool) {
    let disk = SimDisk::new();
    let (mut wal, _) = open(&disk);
    let mut acknowledged = Model::default();
    disk.fail(operation, after, ErrorKind::Other);
    for index in 1..=40 {
        match wal.append(&batch(index)) {
            Ok(()) => acknowledged.append(&batch(index)),
            Err(error) => {
                assert!(error.is_fatal(), "{error}");
                assert!(matches!(error, AppendError::Io { .. }), "{error}");
                break;
            }
        }
    }
    let mut with_failed = acknowledged.clone();
    let next = acknowledged.group(GROUP).last().index.0 + 1;
    if next <= 40 {
        with_failed.append(&batch(next));
        // Never again, although the disk would take it.
        let before = disk.changes();
        assert!(matches!(wal.append(&batch(next)), Err(AppendError::Poisoned)));
        assert!(matches!(wal.compact(GROUP, id(1, 1)), Err(AppendError::Poisoned)));
        assert_eq!(disk.changes(), before);
    }
    if loses_all {
        disk.crash_losing_all();
    } else {
        disk.restart();
    }
    let found = reopened(&disk);
    assert!(found == acknowledged || found == with_failed, "{operation:?} after {after}");
    // What an opened log has told is durable, even if the page cache was all that held it (Rebello et al.,
    // ATC'20).
    disk.crash_losing_all();
    assert_eq!(reopened(&disk), found, "{operation:?} after {after}");
}

#[test]
fn a_full_disk_is_told_apart_and_the_log_goes_on_when_there_is_space() {
    let disk = SimDisk::new();
    let (mut wal, _) = open(&disk);
    let mut model = Model::default();
    disk.set_space(Some(OPTIONS.segment_bytes * 2));
    let mut index = 0;
    let error = loop {
        index += 1;
        match wal.append(&batch(index)) {
            Ok(()) => model.append(&batch(index)),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, AppendError::NoSpace { .. }) && !error.is_fatal(), "{error}");
    assert!(wal.spare_maker().make().unwrap_err().is_no_space());
    assert!(matches!(wal.append(&batch(index)), Err(AppendError::NoSpace { .. })));
    assert_eq!(wal.reader().read(GROUP, Index(1), Index(1), 1).unwrap().len(), 1, "reads go on");
    // What is short still fits: a vote, and the compaction that makes room.
    let vote = [(GROUP, voted(100, Some(2)))];
    wal.append(&vote).unwrap();
    model.append(&vote);
    let copy = disk.duplicate();
    copy.crash_losing_all();
    assert_eq!(reopened(&copy), model);
    wal.compact(GROUP, id(1, 12)).unwrap();
    model.compact(GROUP, id(1, 12));
    wal.spare_maker().make().unwrap();
    let next = [(GROUP, appended(1, index, &[2000]))];
    wal.append(&next).unwrap();
    model.append(&next);
    disk.crash_losing_all();
    assert_eq!(reopened(&disk), model);
}

#[test]
fn a_disk_that_is_full_from_the_start_says_so() {
    let disk = SimDisk::new();
    disk.set_space(Some(1000));
    assert!(matches!(try_open(&disk), Err(floe_wal::OpenError::NoSpace { .. })));
    disk.set_space(None);
    assert_eq!(reopened(&disk), Model::default());
}

#[test]
fn errors_while_opening_are_errors_and_a_later_open_succeeds() {
    for operation in [
        Operation::List,
        Operation::Open,
        Operation::Read,
        Operation::Write,
        Operation::Sync,
        Operation::SyncDir,
        Operation::Remove,
    ] {
        let disk = SimDisk::new();
        let (mut wal, _) = open(&disk);
        let mut model = Model::default();
        for index in 1..=20 {
            wal.append(&batch(index)).unwrap();
            model.append(&batch(index));
        }
        wal.spare_maker().make().unwrap();
        let mut failures = 0;
        for after in 0.. {
            disk.fail(operation, after, ErrorKind::Other);
            let failed = try_open(&disk).is_err();
            disk.restart();
            assert_eq!(reopened(&disk), model);
            if !failed {
                break;
            }
            failures += 1;
            // Opening removes spares; the next round shall have one to remove.
            disk.put("spare-9", vec![0; 10]);
        }
        assert!(failures > 0, "{operation:?}");
    }
}

#[test]
fn a_spare_that_cannot_be_made_does_not_stop_the_log() {
    let disk = SimDisk::new();
    let (mut wal, _) = open(&disk);
    disk.fail(Operation::Create, 0, ErrorKind::Other);
    assert!(wal.spare_maker().make().is_err());
    assert!(wal.wants_spare(), "it may be asked again");
    let mut model = Model::default();
    for index in 1..=20 {
        wal.append(&batch(index)).unwrap();
        model.append(&batch(index));
    }
    wal.compact(GROUP, id(1, 20)).unwrap();
    model.compact(GROUP, id(1, 20));
    disk.fail(Operation::Rename, 0, ErrorKind::Other);
    assert!(wal.spare_maker().make().is_err());
    wal.spare_maker().make().unwrap();
    disk.crash_losing_all();
    assert_eq!(reopened(&disk), model);
}
