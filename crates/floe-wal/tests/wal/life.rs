//! Writing, reading back, truncating, compacting and coming back, without faults.

use floe_raft::{EntryKind, GroupId, Index, Write};
use floe_wal::sim::{Operation, SimDisk};
use floe_wal::{AppendError, ReadError};

use crate::support::{GROUP, Model, appended, entry, hard_state, id, open, reopened, voted, write};

#[test]
fn a_new_log_is_empty_and_stays_so() {
    let disk = SimDisk::new();
    assert!(open(&disk).1.is_empty());
    assert!(open(&disk).1.is_empty());
    assert_eq!(disk.names(), ["0000000000000001.log"]);
}

#[test]
fn what_was_appended_comes_back_without_a_close() {
    let disk = SimDisk::new();
    let (mut wal, _) = open(&disk);
    let other = GroupId(9);
    let mut membership = entry(2, 3, b"members");
    membership.kind = EntryKind::Membership;
    let batches = [
        vec![(GROUP, Write { hard_state: Some(hard_state(2, Some(3))), ..appended(1, 1, &[10, 0]) })],
        vec![(other, appended(2, 1, &[1000])), (GROUP, Write { entries: vec![membership], ..write() })],
        vec![(GROUP, voted(5, None)), (other, appended(5, 2, &[7])), (GROUP, appended(5, 4, &[3, 3]))],
    ];
    let mut model = Model::default();
    for batch in &batches {
        wal.append(batch).unwrap();
        model.append(batch);
    }
    disk.crash_losing_all();
    assert_eq!(reopened(&disk), model);
    assert_eq!(reopened(&disk), model, "opening changes nothing");
}

#[test]
fn a_batch_is_one_sync() {
    let disk = SimDisk::new();
    let (mut wal, _) = open(&disk);
    let before = disk.syncs();
    let batch: Vec<_> = (1..20).map(|group| (GroupId(group), appended(1, 1, &[100]))).collect();
    wal.append(&batch).unwrap();
    assert_eq!(disk.syncs() - before, 1);
    wal.append(&[(GROUP, write())]).unwrap();
    wal.append(&[]).unwrap();
    assert_eq!(disk.syncs() - before, 1, "nothing to write is nothing to sync");
}

#[test]
fn writes_of_one_group_in_one_batch_are_performed_in_order() {
    let disk = SimDisk::new();
    let (mut wal, _) = open(&disk);
    let overwrite = Write { truncate_from: Some(Index(2)), ..appended(2, 2, &[5]) };
    let batch = [
        (GROUP, appended(1, 1, &[1, 2, 3])),
        (GROUP, overwrite),
        (GROUP, voted(2, None)),
        (GROUP, voted(2, Some(7))),
        (GROUP, appended(2, 3, &[6])),
    ];
    wal.append(&batch).unwrap();
    let mut model = Model::default();
    model.append(&batch);
    assert_eq!(reopened(&disk), model);
    assert_eq!(model.group(GROUP).last(), id(2, 3));
}

#[test]
fn a_snapshot_restarts_the_log() {
    let disk = SimDisk::new();
    let (mut wal, _) = open(&disk);
    let restart = Write { restart_after: Some(id(4, 100)), ..appended(5, 101, &[8]) };
    let batches = [vec![(GROUP, appended(1, 1, &[9, 9]))], vec![(GROUP, restart)]];
    let mut model = Model::default();
    for batch in &batches {
        wal.append(batch).unwrap();
        model.append(batch);
    }
    assert!(matches!(wal.reader().read(GROUP, Index(100), Index(101), 10), Err(ReadError::Compacted)));
    assert_eq!(
        wal.reader().read(GROUP, Index(101), Index(101), 10).unwrap(),
        [model.group(GROUP).entries[0].clone()]
    );
    assert_eq!(reopened(&disk), model);
}

#[test]
fn a_read_is_bounded_and_never_empty() {
    let disk = SimDisk::new();
    let (mut wal, _) = open(&disk);
    let batch = [(GROUP, appended(1, 1, &[100; 20])), (GroupId(2), appended(1, 1, &[5000]))];
    wal.append(&batch).unwrap();
    wal.append(&[(GROUP, appended(1, 21, &[100; 20]))]).unwrap();
    let reader = wal.reader();
    let read = |first, last, max| reader.read(GROUP, Index(first), Index(last), max).unwrap().len();
    assert_eq!(read(1, 40, 0), 1);
    assert_eq!(read(1, 40, 263), 1);
    assert_eq!(read(1, 40, 264), 2);
    assert_eq!(read(1, 40, 1 << 20), 40, "across frames and over another group's entry");
    assert_eq!(read(39, 900, 1 << 20), 2);
    assert!(matches!(
        reader.read(GROUP, Index(41), Index(41), 1),
        Err(ReadError::Absent { last: Index(40) })
    ));
    assert!(matches!(reader.read(GROUP, Index(0), Index(1), 1), Err(ReadError::Compacted)));
    assert!(matches!(reader.read(GroupId(77), Index(1), Index(1), 1), Err(ReadError::Absent { .. })));
}

#[test]
fn what_would_break_a_log_is_refused_and_nothing_is_written() {
    let disk = SimDisk::new();
    let (mut wal, _) = open(&disk);
    let vote = voted(3, Some(1));
    wal.append(&[(GROUP, Write { hard_state: vote.hard_state, ..appended(1, 1, &[1, 1, 1, 1]) })]).unwrap();
    wal.compact(GROUP, id(1, 2)).unwrap();
    let before = disk.changes();
    let refused = [
        appended(1, 6, &[1]),
        appended(1, 4, &[1]),
        Write { truncate_from: Some(Index(2)), ..write() },
        Write { restart_after: Some(id(1, u64::MAX)), ..write() },
        voted(2, None),
        voted(3, Some(2)),
        voted(3, None),
    ];
    for write in refused {
        let error = wal.append(&[(GroupId(5), appended(1, 1, &[1])), (GROUP, write)]).unwrap_err();
        assert!(matches!(error, AppendError::Refused { group: GROUP, .. }), "{error}");
        assert!(!error.is_fatal());
    }
    for base in [id(2, 3), id(1, 5)] {
        assert!(matches!(wal.compact(GROUP, base), Err(AppendError::Refused { .. })));
    }
    wal.compact(GROUP, id(1, 1)).unwrap();
    assert_eq!(disk.changes(), before);
    wal.append(&[(GROUP, appended(1, 5, &[1]))]).unwrap();
    assert_eq!(reopened(&disk).group(GROUP).last(), id(1, 5));
}

#[test]
fn a_batch_beyond_a_segment_gets_a_segment_of_its_own_length() {
    let disk = SimDisk::new();
    let (mut wal, _) = open(&disk);
    let mut model = Model::default();
    for batch in [
        [(GROUP, appended(1, 1, &[50]))],
        [(GROUP, appended(1, 2, &[300_000, 10]))],
        [(GROUP, appended(1, 4, &[50]))],
    ] {
        wal.append(&batch).unwrap();
        model.append(&batch);
    }
    assert_eq!(reopened(&disk), model);
    assert_eq!(disk.contents("0000000000000002.log").unwrap().len(), 512 << 10);
    let (mut wal, _) = open(&disk);
    let before = disk.changes();
    wal.append(&[(GROUP, appended(1, 5, &[50]))]).unwrap();
    assert_eq!(disk.changes() - before, 3, "the long segment is used up like any other");
    wal.compact(GROUP, id(1, 5)).unwrap();
}

#[test]
fn a_read_error_is_told_and_leaves_the_log_alone() {
    let disk = SimDisk::new();
    let (mut wal, _) = open(&disk);
    wal.append(&[(GROUP, appended(1, 1, &[100]))]).unwrap();
    disk.fail(Operation::Read, 0, std::io::ErrorKind::Other);
    assert!(matches!(wal.reader().read(GROUP, Index(1), Index(1), 1), Err(ReadError::Io { .. })));
    assert_eq!(wal.reader().read(GROUP, Index(1), Index(1), 1).unwrap().len(), 1);
    wal.append(&[(GROUP, appended(1, 2, &[100]))]).unwrap();
}
