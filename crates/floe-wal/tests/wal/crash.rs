//! W19: the power fails after each operation of a life with every kind of work in it, and again after each
//! operation of the recovery.

use floe_raft::{GroupId, Index, LogId, Write};
use floe_wal::sim::{Operation, SimDisk};
use floe_wal::{OpenError, Wal};

use crate::support::{
    GROUP, Model, OPTIONS, appended, hard_state, id, open, reopened, try_open, voted, write,
};

#[derive(Clone)]
enum Step {
    Append(Vec<(GroupId, Write)>),
    Compact(GroupId, LogId),
    MakeSpare,
    Reopen,
}

/// A life: batches of all kinds, new segments, truncation, a snapshot, compaction, recycling, restarts.
fn life() -> Vec<Step> {
    let other = GroupId(2);
    let big = |term, index| Step::Append(vec![(GROUP, appended(term, index, &[2500, 2500]))]);
    let overwrite = Write { truncate_from: Some(Index(5)), ..appended(3, 5, &[100]) };
    let restart = Write { restart_after: Some(id(3, 40)), ..write() };
    vec![
        Step::Append(vec![(GROUP, voted(1, Some(1))), (other, voted(4, None))]),
        big(1, 1),
        big(1, 3),
        Step::MakeSpare,
        big(1, 5),
        Step::Append(vec![(GROUP, Write { hard_state: Some(hard_state(3, Some(2))), ..overwrite })]),
        Step::Reopen,
        big(3, 6),
        Step::Append(vec![(other, appended(4, 1, &[10])), (GROUP, appended(3, 8, &[10, 10]))]),
        Step::Compact(GROUP, id(3, 6)),
        Step::MakeSpare,
        big(3, 10),
        big(3, 12),
        big(3, 14),
        Step::Compact(GROUP, id(3, 13)),
        Step::Compact(other, id(4, 1)),
        Step::MakeSpare,
        big(3, 16),
        Step::Append(vec![(GROUP, restart)]),
        big(3, 41),
        Step::MakeSpare,
        big(3, 43),
        Step::Reopen,
        Step::Append(vec![(
            other,
            Write { hard_state: Some(hard_state(9, Some(1))), ..appended(9, 2, &[7]) },
        )]),
    ]
}

/// What the host knows when the power fails.
#[derive(Default)]
struct Lived {
    acknowledged: Model,
    /// With the step that was under way.
    attempted: Model,
    finished: bool,
}

/// Lives until the end or until the disk fails.
fn live(disk: &SimDisk) -> Lived {
    let mut lived = Lived::default();
    let Ok((mut wal, _)) = try_open(disk) else { return lived };
    for step in life() {
        let done = match &step {
            Step::Append(batch) => {
                lived.attempted.append(batch);
                wal.append(batch).is_ok()
            }
            Step::Compact(group, base) => {
                lived.attempted.compact(*group, *base);
                wal.compact(*group, *base).is_ok()
            }
            Step::MakeSpare => wal.spare_maker().make().is_ok(),
            Step::Reopen => match try_open(disk) {
                Ok((reopened, _)) => {
                    wal = reopened;
                    true
                }
                Err(_) => false,
            },
        };
        if !done {
            return lived;
        }
        lived.acknowledged = lived.attempted.clone();
    }
    lived.finished = true;
    lived
}

/// Opens what a crash left, checks that it is what it may be, and tells what it is.
fn check_recovery(disk: &SimDisk, lived: &Lived, case: &str) -> Model {
    let (wal, groups) = match try_open(disk) {
        Ok(opened) => opened,
        Err(OpenError::Corrupt { undecided: true, .. }) => {
            assert!(lived.attempted != lived.acknowledged, "{case}: nothing was under way");
            let (wal, groups) = Wal::open_discarding_undecided(disk.clone(), OPTIONS).unwrap();
            assert_eq!(Model::of(&wal, &groups).trimmed(), lived.acknowledged.trimmed(), "{case}");
            (wal, groups)
        }
        Err(error) => panic!("{case}: {error}"),
    };
    let found = Model::of(&wal, &groups).trimmed();
    let expected = [lived.acknowledged.trimmed(), lived.attempted.trimmed()];
    assert!(expected.contains(&found), "{case}: found {found:?}, expected one of {expected:?}");
    found
}

#[test]
fn the_power_may_fail_after_any_operation() {
    for changes in 0.. {
        for seed in 0..6 {
            let disk = SimDisk::new();
            disk.fail_power_after(changes);
            let lived = live(&disk);
            if seed == 0 {
                disk.crash_losing_all();
            } else {
                disk.crash(changes * 100 + seed);
            }
            let found = check_recovery(&disk, &lived, &format!("power failed after {changes}, seed {seed}"));
            disk.crash_losing_all();
            assert_eq!(reopened(&disk), found, "what was told is durable");
            if lived.finished {
                assert_eq!(found, lived.acknowledged.trimmed());
                assert!(changes > 100, "{changes} places to fail");
                return;
            }
        }
    }
}

#[test]
fn the_power_may_fail_again_after_any_operation_of_the_recovery() {
    let mut nested = 0;
    for changes in (0..).step_by(3) {
        let disk = SimDisk::new();
        disk.fail_power_after(changes);
        let lived = live(&disk);
        if lived.finished {
            break;
        }
        disk.crash(changes);
        if try_open(&disk.duplicate()).is_err() {
            continue;
        }
        let direct = reopened(&disk.duplicate());
        for recovery_changes in 0.. {
            let again = disk.duplicate();
            again.fail_power_after(recovery_changes);
            let opened = try_open(&again).is_ok();
            again.crash(changes + recovery_changes * 7);
            let case = format!("power failed after {changes}, and {recovery_changes} into the recovery");
            assert_eq!(check_recovery(&again, &lived, &case), direct, "{case}");
            if opened {
                break;
            }
            nested += 1;
        }
    }
    assert!(nested > 100, "{nested} places to fail in recoveries");
}

#[test]
fn recovery_makes_no_identifier_durable_before_its_frame() {
    // The frame was written and its identifier was not; the process ends, the frame is in the page cache
    // alone. If the next process wrote frame and identifier in one sync, and the power failed in it, the
    // identifier could be all that is there: a log that cannot be opened, over a batch that was never
    // acknowledged.
    let disk = SimDisk::new();
    let (mut wal, _) = open(&disk);
    let first = [(GROUP, appended(1, 1, &[600]))];
    let second = [(GROUP, appended(1, 2, &[1500]))];
    wal.append(&first).unwrap();
    disk.fail(Operation::Write, 1, std::io::ErrorKind::Other);
    assert!(wal.append(&second).unwrap_err().is_fatal());
    disk.restart();
    let mut without = Model::default();
    without.append(&first);
    let mut with = without.clone();
    with.append(&second);
    for changes in 0..8 {
        for seed in 0..40 {
            let copy = disk.duplicate();
            copy.fail_power_after(changes);
            let _ = try_open(&copy);
            copy.crash(seed * 8 + changes);
            let found = reopened(&copy);
            assert!(found == without || found == with, "{changes}, {seed}");
        }
    }
}

#[test]
fn a_damaged_vote_survives_a_crash_while_it_is_mended() {
    let disk = SimDisk::new();
    let (mut wal, _) = open(&disk);
    let batch = [(GROUP, voted(5, Some(2)))];
    wal.append(&batch).unwrap();
    wal.append(&[(GROUP, appended(5, 1, &[10]))]).unwrap();
    disk.flip_bit("0000000000000001.log", 4096 + 512 + 40 + 60, 1);
    for changes in 0..8 {
        for seed in 0..20 {
            let copy = disk.duplicate();
            copy.fail_power_after(changes);
            let _ = try_open(&copy);
            copy.crash(seed);
            assert_eq!(reopened(&copy).group(GROUP).hard_state, hard_state(5, Some(2)));
        }
    }
}
