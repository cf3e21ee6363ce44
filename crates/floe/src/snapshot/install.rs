//! Finishes, at a start, what a crash left of a snapshot that was being put in place of the state machine.
//!
//! The snapshot has the name `installing` from before the state machine is touched until the state machine is durable
//! *and* the log has started anew after it. So whatever of the steps was done, all of them are done again here, and each
//! is idempotent.

use std::io;
use std::path::PathBuf;

use floe_raft::{GroupId, HardState, LogId, Term, Write, WriteId};
use floe_wal::{Disk, RecoveredGroup, Wal};

use crate::error::StartError;
use crate::members::MembersFile;
use crate::snapshot::file::{self, FileError, Sealed};
use crate::snapshot::{Directory, remove};
use crate::state_machine::StateMachine;

/// What is opened when a node starts.
pub(crate) struct Opened<D: Disk> {
    pub(crate) wal: Wal<D>,
    pub(crate) group: RecoveredGroup,
    pub(crate) members: MembersFile,
}

/// Puts the snapshot in place that a crash interrupted, if there is one.
pub(crate) fn finish<D: Disk, M: StateMachine>(
    opened: &mut Opened<D>,
    group: GroupId,
    cluster: u64,
    directory: &Directory,
    machine: &mut M,
) -> Result<(), StartError> {
    let path = directory.installing();
    let failed = |doing: &'static str| {
        let path = path.clone();
        move |error: io::Error| StartError::Io { doing, path, error }
    };
    if !path.try_exists().map_err(failed("cannot look for"))? {
        return Ok(());
    }
    let snapshot = file::verify(&path, cluster).map_err(|error| damaged(path.clone(), error))?;
    let last = snapshot.header.last;
    if machine.applied().index < last.index {
        tracing::info!(%last, "puts a snapshot in place that was there before the node stopped");
        restore(&snapshot, machine)?;
    }
    if !opened.contains(last) {
        let note = opened.members.note(last, &snapshot.header.membership);
        note.map_err(failed("cannot write the members of"))?;
        opened.restart_log(group, last)?;
    }
    let durable = machine.checkpoint().map_err(StartError::StateMachine)?;
    if durable.index >= last.index {
        remove(directory, &path).map_err(failed("cannot remove"))?;
    }
    Ok(())
}

fn restore<M: StateMachine>(snapshot: &Sealed, machine: &mut M) -> Result<(), StartError> {
    let path = snapshot.path.clone();
    let mut body = snapshot.body().map_err(|error| StartError::Io { doing: "cannot read", path, error })?;
    machine.restore(snapshot.header.last, &mut body).map_err(StartError::StateMachine)
}

fn damaged(path: PathBuf, error: FileError) -> StartError {
    match error {
        FileError::Io(error) => StartError::Io { doing: "cannot read", path, error },
        FileError::StateMachine(error) => StartError::StateMachine(error),
        FileError::Damaged(reason) => StartError::Snapshot { path, reason },
    }
}

impl<D: Disk> Opened<D> {
    /// Whether the log holds the entry, or has dropped it as applied.
    fn contains(&self, id: LogId) -> bool {
        id.index <= self.group.base.index || term_at(&self.group, id) == Some(id.term)
    }

    /// The term of the snapshot may not be durable yet. To enter it without a vote is safe: nothing was said in it, for
    /// what is said waits for its term.
    fn restart_log(&mut self, group: GroupId, last: LogId) -> Result<(), StartError> {
        let held = self.group.hard_state;
        let hard_state = (held.term < last.term).then_some(HardState { term: last.term, vote: None });
        let write = Write {
            id: WriteId(0),
            hard_state,
            restart_after: Some(last),
            truncate_from: None,
            entries: Vec::new(),
        };
        self.wal.append(&[(group, write)])?;
        self.group = RecoveredGroup {
            hard_state: hard_state.unwrap_or(held),
            base: last,
            last,
            ..RecoveredGroup::default()
        };
        Ok(())
    }
}

/// The term of the log's entry at the index of `id`, if the log holds one there.
pub(crate) fn term_at(group: &RecoveredGroup, id: LogId) -> Option<Term> {
    if id.index == group.base.index {
        return Some(group.base.term);
    }
    if id.index < group.base.index || id.index > group.last.index {
        return None;
    }
    group.terms.iter().rev().find(|run| run.index <= id.index).map(|run| run.term)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use floe_raft::{Entry, EntryKind, Index, Membership, NodeId};
    use floe_wal::Options;
    use floe_wal::sim::SimDisk;

    use super::*;
    use crate::error::StateMachineError;
    use crate::snapshot::file::Header;
    use crate::state_machine::{Batch, Snapshot};

    const GROUP: GroupId = GroupId(1);
    const CLUSTER: u64 = 7;

    /// What is on the disk of a state machine, and what it does with it.
    #[derive(Debug)]
    struct Machine {
        applied: LogId,
        durable: bool,
        state: String,
    }

    impl StateMachine for Machine {
        type Reply = ();

        fn applied(&self) -> LogId {
            self.applied
        }

        fn apply(&mut self, _batch: &Batch) -> Result<Vec<()>, StateMachineError> {
            Err(StateMachineError::new("nothing is applied here"))
        }

        fn checkpoint(&mut self) -> Result<LogId, StateMachineError> {
            Ok(if self.durable { self.applied } else { LogId::ZERO })
        }

        fn snapshot(&mut self) -> Result<Box<dyn Snapshot>, StateMachineError> {
            Err(StateMachineError::new("nothing is frozen here"))
        }

        fn restore(&mut self, last: LogId, from: &mut dyn Read) -> Result<(), StateMachineError> {
            self.state.clear();
            from.read_to_string(&mut self.state).map_err(|error| StateMachineError(error.into()))?;
            self.applied = last;
            Ok(())
        }
    }

    fn id(term: u64, index: u64) -> LogId {
        LogId::new(Term(term), Index(index))
    }

    fn write(id: u64) -> Write {
        Write {
            id: WriteId(id),
            hard_state: None,
            restart_after: None,
            truncate_from: None,
            entries: Vec::new(),
        }
    }

    /// How far the process came before it died, each step with all before it.
    #[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
    enum Step {
        Named,
        StateReplaced,
        MembersNoted,
        LogRestarted,
    }

    struct Bed {
        dir: tempfile::TempDir,
        disk: SimDisk,
        machine: Machine,
    }

    /// Dies after `step` of putting a snapshot up to 5@50 in place of a log with entries 1 to 9 of term 4.
    fn died_after(step: Step, durable: bool) -> Bed {
        let dir = tempfile::tempdir().expect("a directory");
        let directory = Directory::open(dir.path()).expect("a directory");
        let membership = Membership::of_voters((1..=4).map(NodeId));
        let header = Header { cluster: CLUSTER, last: id(5, 50), membership: membership.clone() };
        file::write(directory.installing(), header, |out| {
            out.write_all(b"new").map_err(|error| StateMachineError(error.into()))
        })
        .expect("written");
        let disk = SimDisk::new();
        let options = Options { segment_bytes: 1 << 20, ..Options::new(CLUSTER, 1) };
        let (mut wal, _) = Wal::open(disk.clone(), options).expect("an empty log");
        let entry = |index| Entry { id: id(4, index), kind: EntryKind::Noop, payload: bytes::Bytes::new() };
        let hard_state = Some(HardState { term: Term(4), vote: Some(NodeId(2)) });
        let first = Write { hard_state, entries: (1..=9).map(entry).collect(), ..write(1) };
        wal.append(&[(GROUP, first)]).expect("written");
        let mut machine = Machine { applied: id(4, 9), durable, state: "old".to_owned() };
        if step >= Step::StateReplaced && durable {
            machine.state = "new".to_owned();
            machine.applied = id(5, 50);
        }
        if !durable {
            machine.applied = LogId::ZERO;
        }
        if step >= Step::MembersNoted {
            let mut members = MembersFile::open(dir.path()).expect("none yet");
            members.note(id(5, 50), &membership).expect("noted");
        }
        if step >= Step::LogRestarted {
            let hard_state = Some(HardState { term: Term(5), vote: None });
            let restart = Write { hard_state, restart_after: Some(id(5, 50)), ..write(2) };
            wal.append(&[(GROUP, restart)]).expect("written");
        }
        drop(wal);
        Bed { dir, disk, machine }
    }

    impl Bed {
        fn start(&mut self) -> Result<(RecoveredGroup, MembersFile), StartError> {
            let directory = Directory::open(self.dir.path()).expect("a directory");
            let options = Options { segment_bytes: 1 << 20, ..Options::new(CLUSTER, 1) };
            let (wal, mut groups) = Wal::open(self.disk.clone(), options).expect("the log");
            let members = MembersFile::open(self.dir.path()).expect("read");
            let mut opened = Opened { wal, group: groups.remove(&GROUP).expect("the group"), members };
            finish(&mut opened, GROUP, CLUSTER, &directory, &mut self.machine)?;
            Ok((opened.group, opened.members))
        }

        fn is_installing(&self) -> bool {
            Directory::open(self.dir.path()).expect("a directory").installing().exists()
        }
    }

    #[test]
    fn a_start_finishes_it_whatever_was_done_before() {
        for step in [Step::Named, Step::StateReplaced, Step::MembersNoted, Step::LogRestarted] {
            for durable in [true, false] {
                let mut bed = died_after(step, durable);
                for start in 0..3 {
                    let (group, members) = bed.start().expect("finished");
                    let at = format!("{step:?}, durable {durable}, start {start}");
                    assert_eq!((group.base, group.last), (id(5, 50), id(5, 50)), "{at}");
                    assert_eq!(group.hard_state, HardState { term: Term(5), vote: None }, "{at}");
                    assert_eq!(members.at(Index(50)).expect("noted").voters.len(), 4, "{at}");
                    assert_eq!((bed.machine.applied, &bed.machine.state[..]), (id(5, 50), "new"), "{at}");
                    assert_eq!(bed.is_installing(), !durable, "{at}");
                    if !durable {
                        // The process dies, and with it what was in memory.
                        bed.machine = Machine { applied: LogId::ZERO, durable, state: String::new() };
                    }
                }
            }
        }
    }

    #[test]
    fn a_vote_of_a_later_term_is_kept() {
        let mut bed = died_after(Step::Named, true);
        let options = Options { segment_bytes: 1 << 20, ..Options::new(CLUSTER, 1) };
        let (mut wal, _) = Wal::open(bed.disk.clone(), options).expect("the log");
        let later = HardState { term: Term(6), vote: Some(NodeId(3)) };
        wal.append(&[(GROUP, Write { hard_state: Some(later), ..write(2) })]).expect("written");
        drop(wal);
        let (group, _) = bed.start().expect("finished");
        assert_eq!(group.hard_state, later);
    }

    #[test]
    fn a_damaged_one_is_refused_by_name() {
        let mut bed = died_after(Step::Named, true);
        let path = Directory::open(bed.dir.path()).expect("a directory").installing();
        let mut bytes = std::fs::read(&path).expect("read");
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(&path, bytes).expect("written");
        let Err(refused) = bed.start() else { panic!("it starts") };
        assert!(matches!(refused, StartError::Snapshot { .. }), "{refused}");
        assert_eq!(bed.machine.state, "old");
    }
}
