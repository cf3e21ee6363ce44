//! A host's disk: the log, as a plain value or as the real log over a simulated disk, and the state machine's last
//! checkpoint.

use std::collections::{BTreeMap, VecDeque};
use std::io;

use floe_raft::codec::decode_membership;
use floe_raft::{
    Entry, Fetched, GroupId, HardState, Index, LogId, Membership, NodeId, Restored, Write, WriteId,
};
use floe_wal::sim::{Operation, SimDisk};
use floe_wal::{AppendError, OpenError, Options, ReadError, Reader, RecoveredGroup, Wal};

use crate::check::{self, Invariant, broken};
use crate::image::LogImage;
use crate::machine::Machine;
use crate::marks::{Mark, Marks};
use crate::mutant::HostMutant;
use crate::plan::HostPlan;
use crate::rng::Rng;

/// The group that worlds of a single group have.
const GROUP: GroupId = GroupId(1);

/// A simulated segment is small, so that a world of a minute goes through many of them.
const SEGMENT_BYTES: u64 = 64 << 10;

/// All that survives a crash of one host.
#[derive(Debug)]
pub(crate) struct Storage {
    node: NodeId,
    /// What is durable, as far as the host was told: what the core may rely on.
    image: LogImage,
    /// The membership in force at the image's base.
    membership: Membership,
    /// The membership that the disk was made with.
    birth: Membership,
    /// The last snapshot that was installed, and its membership: that of the log which starts after it.
    installed: Option<(LogId, Membership)>,
    real: Option<RealLog>,
    checkpoint: Checkpoint,
    /// What a crash caught under way.
    pending: Vec<Write>,
    /// There is no room for more.
    full: bool,
}

/// The state machine's durable state, replaced as a whole.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoint {
    pub(crate) machine: Machine,
    pub(crate) membership: Membership,
}

/// The real log; `None` while the host is down.
#[derive(Debug)]
struct RealLog {
    disk: SimDisk,
    open: Option<(Wal<SimDisk>, Reader<SimDisk>)>,
    #[cfg(feature = "mutants")]
    mutant: Option<floe_wal::Mutant>,
}

/// Whether a fault was put into a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Injected {
    Fault,
    Nothing,
}

/// Why a write is not durable.
#[derive(Debug)]
pub(crate) enum NotWritten {
    /// There is no room for it. Nothing was touched, and it may be tried again.
    Full,
    /// The host must stop.
    Failed(String),
}

impl NotWritten {
    fn of(error: AppendError) -> Self {
        match error {
            AppendError::NoSpace { .. } => Self::Full,
            error => Self::Failed(error.to_string()),
        }
    }
}

impl Storage {
    /// An empty disk of a member of a new group.
    pub(crate) fn new(node: NodeId, membership: &Membership, plan: &HostPlan) -> Self {
        Self {
            node,
            image: LogImage::default(),
            membership: membership.clone(),
            birth: membership.clone(),
            installed: None,
            real: plan.real_log.then(|| RealLog {
                disk: SimDisk::new(),
                open: None,
                #[cfg(feature = "mutants")]
                mutant: plan.log_mutant,
            }),
            checkpoint: Checkpoint { machine: Machine::new(plan.sessions), membership: membership.clone() },
            pending: Vec::new(),
            full: false,
        }
    }

    /// Whether there is room: for another segment of the real log, or for anything in the plain one.
    pub(crate) fn set_full(&mut self, full: bool) {
        self.full = full;
        if let Some(real) = &self.real {
            real.disk.set_space(full.then_some(0));
        }
    }

    pub(crate) fn image(&self) -> &LogImage {
        &self.image
    }

    pub(crate) fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The membership that the log's end says is in force.
    pub(crate) fn membership(&self) -> Membership {
        let latest = self.image.memberships().pop();
        let latest = latest.and_then(|entry| decode_membership(entry.payload).ok());
        latest.unwrap_or_else(|| self.membership.clone())
    }

    pub(crate) fn set_checkpoint(&mut self, checkpoint: Checkpoint) {
        self.checkpoint = checkpoint;
    }

    /// A snapshot is durable; the log will be restarted after it.
    pub(crate) fn install(&mut self, checkpoint: Checkpoint) {
        self.installed = Some((checkpoint.machine.applied(), checkpoint.membership.clone()));
        self.checkpoint = checkpoint;
    }

    /// The next sync fails, if there is a real disk for it to fail on.
    pub(crate) fn fail_sync(&mut self) -> Injected {
        match &self.real {
            Some(RealLog { disk, open: Some(_), .. }) => {
                disk.fail(Operation::Sync, 0, io::ErrorKind::Other);
                Injected::Fault
            }
            Some(_) | None => Injected::Nothing,
        }
    }

    /// Makes a batch of writes durable.
    pub(crate) fn write(&mut self, batch: &[Write], mutant: Option<HostMutant>) -> Result<(), NotWritten> {
        match &mut self.real {
            Some(real) => real.append(batch)?,
            None if self.full => return Err(NotWritten::Full),
            None => {}
        }
        for write in batch {
            let done = match mutant {
                Some(mutant) => write_wrongly(&mut self.image, write, mutant),
                None => self.image.write(write),
            };
            done.map_err(|reason| NotWritten::Failed(reason.to_string()))?;
        }
        self.follow_restart();
        Ok(())
    }

    /// The log may start after the snapshot now, whether or not the host was told before a crash that it does.
    fn follow_restart(&mut self) {
        if let Some((_, membership)) = self.installed.take_if(|(last, _)| *last == self.image.base) {
            self.membership = membership;
        }
    }

    /// Drops the log's entries up to and including `base`, as far as the checkpoint allows. Returns the new base.
    pub(crate) fn compact(&mut self, base: LogId) -> Result<Option<LogId>, NotWritten> {
        if base.index <= self.image.base.index || !self.image.contains(base) {
            return Ok(None);
        }
        let dropped = self.image.memberships();
        let dropped = dropped.iter().rev().find(|entry| entry.id.index <= base.index);
        if let Some(membership) = dropped.and_then(|entry| decode_membership(entry.payload.clone()).ok()) {
            self.membership = membership;
        }
        if let Some(RealLog { open: Some((wal, _)), .. }) = &mut self.real {
            wal.compact(GROUP, base).map_err(NotWritten::of)?;
            // What it frees is a segment for what waits.
            prepare_spare(wal)?;
        }
        self.image.compact(base);
        Ok(Some(base))
    }

    /// Reads entries for the core.
    pub(crate) fn fetch(&self, first: Index, last: Index, max_bytes: u64) -> Fetched {
        if let Some(RealLog { open: Some((_, reader)), .. }) = &self.real {
            return match reader.read(GROUP, first, last, max_bytes) {
                Ok(entries) => Fetched::Entries(entries),
                Err(ReadError::Compacted) => Fetched::Compacted,
                Err(_) => Fetched::Failed,
            };
        }
        if first <= self.image.base.index {
            return Fetched::Compacted;
        }
        let mut bytes = 0;
        let mut entries: Vec<Entry> = Vec::new();
        for index in first.0..=last.0 {
            let Some(entry) = self.image.entry(Index(index)) else { break };
            bytes += entry.cost();
            if bytes > max_bytes && !entries.is_empty() {
                break;
            }
            entries.push(entry.clone());
        }
        if entries.is_empty() { Fetched::Failed } else { Fetched::Entries(entries) }
    }

    /// The power fails while `writing` is under way: of that, some writes from the front become durable.
    pub(crate) fn crash(&mut self, writing: Vec<Write>, rng: &mut Rng) {
        self.pending = writing;
        if let Some(real) = &mut self.real {
            real.crash(&self.pending, rng);
            return;
        }
        let survivors = rng.below(self.pending.len() as u64 + 1) as usize;
        let survivors = if self.full { 0 } else { survivors };
        for write in &self.pending[..survivors] {
            if self.image.write(write).is_err() {
                break;
            }
        }
        self.pending.clear();
    }

    /// What a process finds on this disk when it starts, or nothing if it cannot start because the disk is full. `tail`
    /// limits how many of the newest entries it is handed.
    pub(crate) fn restore(
        &mut self,
        tail: usize,
        mutant: Option<HostMutant>,
        marks: &mut Marks,
    ) -> Result<Option<Restored>, Box<check::Violation>> {
        if let Some(real) = &mut self.real {
            let found = real.open(self.node, !self.pending.is_empty(), marks)?;
            let Some(found) = found else { return Ok(None) };
            check::recovers(self.node, &self.image, &self.pending, &found)?;
            self.image = found;
            self.pending.clear();
        }
        self.follow_restart();
        self.spoil(mutant);
        if !self.finish_install(marks)? {
            return Ok(None);
        }
        let Self { image, membership, checkpoint, .. } = self;
        let newest = image.entries.len().saturating_sub(tail);
        Ok(Some(Restored {
            hard_state: image.hard_state,
            base: image.base,
            terms: image.terms(),
            last: image.last(),
            tail: image.entries.range(newest..).cloned().collect(),
            membership: if mutant == Some(HostMutant::ForgetMembership) {
                self.birth.clone()
            } else {
                membership.clone()
            },
            memberships: image.memberships(),
            applied: checkpoint.machine.applied().index,
        }))
    }

    /// A snapshot was installed, and the log was not restarted after it before the crash: that is done now.
    /// False if there is no room for it.
    fn finish_install(&mut self, marks: &mut Marks) -> Result<bool, Box<check::Violation>> {
        let applied = self.checkpoint.machine.applied();
        if applied.index <= self.image.base.index || self.image.contains(applied) {
            return Ok(true);
        }
        // The term of the snapshot may not be durable either. To enter it without a vote is safe: nothing was said
        // in it, for what is said waits for its term.
        let held = self.image.hard_state;
        let hard_state = (held.term < applied.term).then_some(HardState { term: applied.term, vote: None });
        marks.reach(Mark::InstallFinishedAtRestart);
        self.installed = Some((applied, self.checkpoint.membership.clone()));
        let restart = Write {
            id: WriteId(0),
            hard_state,
            restart_after: Some(applied),
            truncate_from: None,
            entries: Vec::new(),
        };
        match self.write(&[restart], None) {
            Ok(()) => Ok(true),
            Err(NotWritten::Full) => Ok(false),
            Err(NotWritten::Failed(reason)) => {
                Err(broken(Invariant::Restarts, format!("n{}: {reason}", self.node)))
            }
        }
    }

    /// What a host that breaks its contract does to its own disk.
    fn spoil(&mut self, mutant: Option<HostMutant>) {
        match mutant {
            Some(HostMutant::ForgetVote) => self.image.hard_state.vote = None,
            Some(HostMutant::ForgetHardState) => {
                let term = self.image.last().term;
                self.image.hard_state = HardState { term, vote: None };
            }
            Some(HostMutant::LoseTail) => {
                self.image.entries.pop_back();
            }
            _ => {}
        }
    }
}

/// What a host that breaks its contract makes of a write.
fn write_wrongly(image: &mut LogImage, write: &Write, mutant: HostMutant) -> Result<(), &'static str> {
    let mut wrong = write.clone();
    if mutant == HostMutant::SplitHardState && !wrong.entries.is_empty() {
        wrong.hard_state = None;
    }
    let old = if mutant == HostMutant::KeepTail && wrong.truncate_from.is_some() {
        image.entries.clone()
    } else {
        VecDeque::new()
    };
    image.write(&wrong)?;
    let end = image.last().index;
    image.entries.extend(old.into_iter().filter(|entry| entry.id.index > end));
    Ok(())
}

/// Makes the next segment, if one is wanted. That there is no room for it is no matter before it is needed.
fn prepare_spare(wal: &Wal<SimDisk>) -> Result<(), NotWritten> {
    if !wal.wants_spare() {
        return Ok(());
    }
    match wal.spare_maker().make() {
        Err(error) if !error.is_no_space() => Err(NotWritten::Failed(error.to_string())),
        Ok(()) | Err(_) => Ok(()),
    }
}

impl RealLog {
    fn append(&mut self, batch: &[Write]) -> Result<(), NotWritten> {
        let Some((wal, _)) = &mut self.open else {
            return Err(NotWritten::Failed("the log is not open".to_string()));
        };
        let batch: Vec<(GroupId, Write)> = batch.iter().map(|write| (GROUP, write.clone())).collect();
        wal.append(&batch).map_err(NotWritten::of)?;
        prepare_spare(wal)
    }

    /// Cuts the power in the middle of the write, or fails one of its operations, and loses what was not synced.
    fn crash(&mut self, writing: &[Write], rng: &mut Rng) {
        if !writing.is_empty() && self.open.is_some() {
            if rng.chance(250_000) {
                let operation = if rng.coin() { Operation::Sync } else { Operation::Write };
                self.disk.fail(operation, rng.below(2), io::ErrorKind::Other);
            } else {
                self.disk.fail_power_after(rng.below(8));
            }
            // Whether it fails is for the disk to say; a write that nobody was told of may be there or not.
            let _ = self.append(writing);
        }
        self.open = None;
        self.disk.crash(rng.number());
    }

    /// Opens the log; nothing if there is no room to. When a write was `interrupted`, and the log cannot tell whether it was acknowledged, somebody who
    /// knows that it was not lets it be dropped, as an operator would; nobody may when no write was under way.
    fn open(
        &mut self,
        node: NodeId,
        interrupted: bool,
        marks: &mut Marks,
    ) -> Result<Option<LogImage>, Box<check::Violation>> {
        self.open = None;
        let options = Options {
            segment_bytes: SEGMENT_BYTES,
            #[cfg(feature = "mutants")]
            mutant: self.mutant,
            ..Options::new(1, node.0)
        };
        let opened = match Wal::open(self.disk.clone(), options.clone()) {
            Err(OpenError::Corrupt { undecided: true, .. }) if interrupted => {
                marks.reach(Mark::LogUndecided);
                Wal::open_discarding_undecided(self.disk.clone(), options)
            }
            opened => opened,
        };
        let (wal, mut groups): (_, BTreeMap<GroupId, RecoveredGroup>) = match opened {
            Ok(opened) => opened,
            Err(OpenError::NoSpace { .. }) => return Ok(None),
            Err(error) => {
                let what = format!("n{node} cannot open its log: {error}");
                return Err(broken(Invariant::LogIsWhole, what));
            }
        };
        let reader = wal.reader();
        let group = groups.remove(&GROUP).unwrap_or_default();
        let mut image = LogImage { base: group.base, hard_state: group.hard_state, ..LogImage::default() };
        while image.last().index < group.last.index {
            let first = image.last().index.next();
            let entries = reader.read(GROUP, first, group.last.index, u64::MAX).map_err(|error| {
                broken(
                    Invariant::LogIsWhole,
                    format!("n{node} cannot read entry {first} of its log: {error}"),
                )
            })?;
            image.entries.extend(entries);
        }
        let agrees = image.last() == group.last
            && image.terms() == group.terms
            && image.memberships() == group.memberships
            && group.tail.iter().rev().eq(image.entries.iter().rev().take(group.tail.len()));
        if !agrees {
            return Err(broken(
                Invariant::LogIsWhole,
                format!("n{node} recovers a log whose summary is not that of its entries"),
            ));
        }
        self.open = Some((wal, reader));
        Ok(Some(image))
    }
}
