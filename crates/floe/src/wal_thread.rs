//! The thread that writes the log, and the two that help it.
//!
//! It takes every write that waits, hands them to the log as one, and reports the last one durable: the slower the
//! disk, the larger the groups. A write that fails is never repeated (the kernel may have dropped the pages and
//! report success the second time): the node stops.
//!
//! A disk without room for another segment is no failure: nothing of the log was touched. What waits goes on waiting, and is
//! tried again now and then; to the core it is a disk that hangs, so a leader hands over to somebody whose disk does not.
//! Compactions come first then, because they make room and mostly have a place in the segment that is open.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use floe_raft::{FetchId, Fetched, GroupId, Index, LogId, Membership, Write};
use floe_wal::{Disk, Reader, Wal};

use crate::error::Failure;
use crate::inbox::{Inbox, Input};
use crate::members::MembersFile;
use crate::queue::{Queue, Taken};
use crate::slow::timed;
use crate::status::Live;
use crate::threads::Threads;

/// How long a full disk is left alone. Each attempt at a segment fills what room there is before it fails, and gives it back.
const FULL_DISK_RETRY: Duration = Duration::from_secs(1);

/// Something for the log.
#[derive(Debug)]
pub(crate) enum LogWork {
    /// Make this durable.
    Write(Write),
    /// Drop everything up to and including this entry, where this membership is in force.
    Compact(LogId, Arc<Membership>),
    /// The log is about to start anew after this entry, where this membership is in force: the next write says so.
    Restart(LogId, Arc<Membership>),
}

/// Entries that the core wants to see again.
#[derive(Debug)]
pub(crate) struct FetchWork {
    pub(crate) id: FetchId,
    pub(crate) first: Index,
    pub(crate) last: Index,
    pub(crate) max_bytes: u64,
}

/// The log's threads, as the driver sees them.
pub(crate) struct Log {
    pub(crate) work: Arc<Queue<LogWork>>,
    pub(crate) fetches: Arc<Queue<FetchWork>>,
}

/// Starts the threads.
pub(crate) fn start<D: Disk, R: Send + 'static>(
    threads: &mut Threads,
    (wal, members): (Wal<D>, MembersFile),
    group: GroupId,
    inbox: &Arc<Inbox<R>>,
    live: &Arc<Live>,
) -> std::io::Result<Log> {
    let log = Log { work: Arc::new(Queue::new()), fetches: Arc::new(Queue::new()) };
    let reader = wal.reader();
    let spares = Arc::new(Queue::new());
    let spare_under_way = Arc::new(AtomicBool::new(false));

    let (queue, maker, under_way) = (Arc::clone(&spares), wal.spare_maker(), Arc::clone(&spare_under_way));
    threads.spawn("spare", inbox, move || {
        let mut asked = Vec::new();
        while queue.take(&mut asked, None) != Taken::Closed {
            asked.clear();
            if let Err(error) = maker.make() {
                // Not fatal: the writer makes the segment itself when it needs it, and waits or fails if it really cannot.
                tracing::warn!(%error, "cannot prepare the next segment of the log");
                if error.is_no_space() && queue.take(&mut asked, Some(FULL_DISK_RETRY)) == Taken::Closed {
                    break;
                }
            }
            under_way.store(false, Ordering::Release);
        }
    })?;

    let (queue, fetch_inbox) = (Arc::clone(&log.fetches), Arc::clone(inbox));
    threads.spawn("fetch", inbox, move || {
        let mut fetches = Vec::new();
        while queue.take(&mut fetches, None) != Taken::Closed {
            for FetchWork { id, first, last, max_bytes } in fetches.drain(..) {
                let fetched = fetch(&reader, group, first, last, max_bytes);
                fetch_inbox.report(Input::Fetched { id, fetched });
            }
        }
    })?;

    let writer = Writer {
        wal,
        members,
        group,
        queue: Arc::clone(&log.work),
        spares,
        spare_under_way,
        inbox: Arc::clone(inbox),
        live: Arc::clone(live),
    };
    threads.spawn("wal", inbox, move || writer.run())?;
    Ok(log)
}

fn fetch<D: Disk>(reader: &Reader<D>, group: GroupId, first: Index, last: Index, max_bytes: u64) -> Fetched {
    match reader.read(group, first, last, max_bytes) {
        Ok(entries) if entries.is_empty() => Fetched::Failed,
        Ok(entries) => Fetched::Entries(entries),
        Err(floe_wal::ReadError::Compacted) => Fetched::Compacted,
        Err(error) => {
            tracing::error!(%first, %last, %error, "cannot read the log");
            Fetched::Failed
        }
    }
}

struct Writer<D: Disk, R> {
    wal: Wal<D>,
    members: MembersFile,
    group: GroupId,
    queue: Arc<Queue<LogWork>>,
    spares: Arc<Queue<()>>,
    spare_under_way: Arc<AtomicBool>,
    inbox: Arc<Inbox<R>>,
    live: Arc<Live>,
}

/// What is not done yet.
#[derive(Default)]
struct Waiting {
    batch: Vec<(GroupId, Write)>,
    /// Where the log is about to start anew, until that is noted.
    restart: Option<(LogId, Arc<Membership>)>,
    /// It is noted, and the batch starts the log anew: an older place must not be noted over it.
    is_restart_noted: bool,
    compact: Option<(LogId, Arc<Membership>)>,
    /// The disk is full, and is not tried again before.
    full_until: Option<Instant>,
}

/// Why something that waits is not done.
enum Trouble {
    /// The disk is full. Nothing of the log was touched.
    Full(String),
    Failed(Failure),
}

impl Waiting {
    fn add(&mut self, work: LogWork, group: GroupId) {
        match work {
            LogWork::Write(write) => self.batch.push((group, write)),
            LogWork::Compact(base, membership) => self.compact = Some((base, membership)),
            LogWork::Restart(base, membership) => self.restart = Some((base, membership)),
        }
    }
}

impl<D: Disk, R> Writer<D, R> {
    fn run(mut self) {
        let mut work = Vec::new();
        let mut waiting = Waiting::default();
        loop {
            let patience = waiting.full_until.map(|until| until.saturating_duration_since(Instant::now()));
            if self.queue.take(&mut work, patience) == Taken::Closed {
                break;
            }
            for work in work.drain(..) {
                waiting.add(work, self.group);
            }
            if waiting.full_until.is_some_and(|until| Instant::now() < until) {
                continue;
            }
            match self.work(&mut waiting) {
                Ok(()) => {
                    if waiting.full_until.take().is_some() {
                        tracing::info!("the log's disk has space again");
                    }
                }
                Err(Trouble::Full(reason)) => {
                    if waiting.full_until.is_none() {
                        tracing::error!(%reason, "the log's disk is full; writes wait until it has space");
                    }
                    self.live.log_full.fetch_add(1, Ordering::Relaxed);
                    waiting.full_until = Some(Instant::now() + FULL_DISK_RETRY);
                    continue;
                }
                Err(Trouble::Failed(failure)) => {
                    self.inbox.report(Input::Failed(failure));
                    break;
                }
            }
            if self.wal.wants_spare() && !self.spare_under_way.swap(true, Ordering::AcqRel) {
                self.spares.push(());
            }
        }
        self.spares.close();
    }

    fn work(&mut self, waiting: &mut Waiting) -> Result<(), Trouble> {
        if let Some((base, membership)) = &waiting.restart {
            self.note(*base, membership)?;
            waiting.restart = None;
            waiting.is_restart_noted = true;
        }
        // What waited for room may find it in segments that the log needs no more.
        let makes_room = waiting.full_until.is_some() && !waiting.is_restart_noted;
        if makes_room && waiting.compact.is_some() {
            self.compact(&mut waiting.compact)?;
            if let Err(error) = self.wal.spare_maker().make() {
                tracing::debug!(%error, "no segment is free yet");
            }
        }
        self.write(&mut waiting.batch)?;
        waiting.is_restart_noted = false;
        self.compact(&mut waiting.compact)
    }

    fn write(&mut self, batch: &mut Vec<(GroupId, Write)>) -> Result<(), Trouble> {
        let Some(last) = batch.last().map(|(_, write)| write.id) else { return Ok(()) };
        let start = Instant::now();
        timed("writing the log", || self.wal.append(batch)).map_err(trouble)?;
        self.live.log_sync.record(start.elapsed());
        batch.clear();
        self.inbox.report(Input::Persisted(last));
        Ok(())
    }

    /// Keeps the membership that the log will not name any more.
    fn note(&mut self, base: LogId, membership: &Membership) -> Result<(), Trouble> {
        self.members.note(base, membership).map_err(|error| match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Trouble::Full(error.to_string()),
            _ => {
                let doing = "cannot write the members";
                Trouble::Failed(Failure::Io { doing, error: Arc::new(error) })
            }
        })
    }

    fn compact(&mut self, waiting: &mut Option<(LogId, Arc<Membership>)>) -> Result<(), Trouble> {
        let Some((base, membership)) = waiting else { return Ok(()) };
        let base = *base;
        self.note(base, membership)?;
        timed("cutting the log", || self.wal.compact(self.group, base)).map_err(trouble)?;
        *waiting = None;
        self.inbox.report(Input::Compacted(base));
        Ok(())
    }
}

/// The error with everything that caused it: the disk's own words matter most.
fn trouble(error: floe_wal::AppendError) -> Trouble {
    let mut reason = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        reason.push_str(": ");
        reason.push_str(&error.to_string());
        cause = error.source();
    }
    match error {
        floe_wal::AppendError::NoSpace { .. } => Trouble::Full(reason),
        floe_wal::AppendError::Poisoned
        | floe_wal::AppendError::Io { .. }
        | floe_wal::AppendError::TooLarge { .. }
        | floe_wal::AppendError::Refused { .. } => Trouble::Failed(Failure::Log { reason }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use floe_raft::{Entry, EntryKind, NodeId, Term, WriteId};
    use floe_wal::Options;
    use floe_wal::sim::{Operation, SimDisk};
    use mio::{Events, Poll, Token, Waker};

    use super::*;

    const GROUP: GroupId = GroupId(1);

    /// A log on a disk that can fail, and the driver's end of it.
    struct Bench {
        _dir: tempfile::TempDir,
        disk: SimDisk,
        poll: Poll,
        inbox: Arc<Inbox<()>>,
        log: Log,
        threads: Threads,
        live: Arc<Live>,
    }

    impl Bench {
        fn new() -> Self {
            let disk = SimDisk::new();
            let options = Options { segment_bytes: 1 << 20, ..Options::new(7, 1) };
            let (wal, _) = Wal::open(disk.clone(), options).expect("an empty log");
            let poll = Poll::new().expect("a poll");
            let waker = Waker::new(poll.registry(), Token(0)).expect("a waker");
            let inbox = Arc::new(Inbox::new(waker, 8, 1 << 20));
            let live = Arc::new(Live::new(NodeId(1), 7, Membership::default()));
            let mut threads = Threads::default();
            let dir = tempfile::tempdir().expect("a directory");
            let members = MembersFile::open(dir.path()).expect("none yet");
            let log = start(&mut threads, (wal, members), GROUP, &inbox, &live).expect("threads");
            Self { _dir: dir, disk, poll, inbox, log, threads, live }
        }

        fn write(&self, id: u64) {
            self.write_bytes(id, 9);
        }

        fn write_bytes(&self, id: u64, bytes: usize) {
            let entry = Entry {
                id: LogId::new(Term(1), Index(id)),
                kind: EntryKind::Command,
                payload: Bytes::from(vec![b'x'; bytes]),
            };
            let entries = vec![entry];
            let write = Write {
                id: WriteId(id),
                hard_state: None,
                restart_after: None,
                truncate_from: None,
                entries,
            };
            self.log.work.push(LogWork::Write(write));
        }

        /// Sleeps as the driver does until something is reported.
        fn reports(&mut self) -> Vec<Input<()>> {
            let mut inputs = Vec::new();
            while inputs.is_empty() {
                if self.inbox.prepare_sleep(true) {
                    let patience = Duration::from_secs(10);
                    self.poll.poll(&mut Events::with_capacity(8), Some(patience)).expect("polled");
                }
                self.inbox.take(&mut inputs);
            }
            inputs
        }

        /// The last write that is reported durable, once that is `last` or later. Reports come in order.
        fn durable_after(&mut self, mut durable: u64, last: u64) -> u64 {
            while durable < last {
                for report in self.reports() {
                    let Input::Persisted(write) = report else { panic!("only reports of writes") };
                    assert!(write.0 > durable);
                    durable = write.0;
                }
            }
            durable
        }

        fn stop(mut self) {
            self.log.work.close();
            self.log.fetches.close();
            self.threads.join_all();
        }
    }

    #[test]
    fn writes_that_wait_are_reported_durable_by_the_last_and_can_be_fetched() {
        let mut bench = Bench::new();
        for id in 1..=100 {
            bench.write(id);
        }
        let mut durable = WriteId(0);
        while durable < WriteId(100) {
            for report in bench.reports() {
                let Input::Persisted(write) = report else { panic!("only reports of writes") };
                assert!(write > durable);
                durable = write;
            }
        }
        assert!(bench.live.status().counters.log_sync.count() <= 100);
        let (id, first, last) = (FetchId(5), Index(10), Index(20));
        bench.log.fetches.push(FetchWork { id, first, last, max_bytes: 1 << 20 });
        let Some(Input::Fetched { id: FetchId(5), fetched: Fetched::Entries(entries) }) =
            bench.reports().pop()
        else {
            panic!("entries")
        };
        assert!(entries.iter().map(|entry| entry.id.index.0).eq(10..=20));
        bench.stop();
    }

    #[test]
    fn a_full_disk_is_waited_for_and_nothing_is_lost() {
        let mut bench = Bench::new();
        // The log has one segment, and there is no room for another.
        bench.disk.set_space(Some(1 << 20));
        for id in 1..=8 {
            bench.write_bytes(id, 100_000);
        }
        let mut durable = bench.durable_after(0, 8);
        bench.write_bytes(9, 500_000);
        bench.write(10);
        let deadline = Instant::now() + Duration::from_secs(10);
        while bench.live.status().counters.log_full == 0 {
            assert!(Instant::now() < deadline, "the disk is not said to be full");
            std::thread::yield_now();
        }
        assert!(bench.inbox.prepare_sleep(true), "nothing was reported while the disk was full");
        bench.disk.set_space(None);
        durable = bench.durable_after(durable, 10);
        assert_eq!(durable, 10);
        bench.stop();
    }

    #[test]
    fn a_full_disk_finds_room_in_what_is_compacted() {
        let mut bench = Bench::new();
        bench.disk.set_space(Some(2 << 20));
        // One after another: what waits together is one batch, and no batch is spread over segments.
        for id in 1..=16 {
            bench.write_bytes(id, 100_000);
            assert_eq!(bench.durable_after(id - 1, id), id);
        }
        bench.write_bytes(17, 500_000);
        let deadline = Instant::now() + Duration::from_secs(10);
        while bench.live.status().counters.log_full == 0 {
            assert!(Instant::now() < deadline, "the disk is not said to be full");
            std::thread::yield_now();
        }
        let base = LogId::new(Term(1), Index(15));
        bench.log.work.push(LogWork::Compact(base, Arc::new(Membership::of_voters([NodeId(1)]))));
        let mut reports = bench.reports();
        while reports.len() < 2 {
            reports.extend(bench.reports());
        }
        assert!(matches!(reports[..], [Input::Compacted(_), Input::Persisted(WriteId(17))]));
        bench.stop();
    }

    #[test]
    fn a_write_that_fails_is_reported_once_and_never_tried_again() {
        let mut bench = Bench::new();
        bench.write(1);
        assert!(matches!(bench.reports()[..], [Input::Persisted(WriteId(1))]));
        bench.disk.fail(Operation::Sync, 0, ErrorKind::Other);
        bench.write(2);
        let Some(Input::Failed(Failure::Log { reason })) = bench.reports().pop() else { panic!("a failure") };
        assert!(!reason.is_empty());
        bench.write(3);
        bench.threads.join("wal");
        assert!(bench.inbox.prepare_sleep(true), "nothing was reported after the failure");
        bench.stop();
    }
}
