//! The thread that writes the log, and the two that help it.
//!
//! It takes every write that waits, hands them to the log as one, and reports the last one durable: the slower the
//! disk, the larger the groups. A write that fails is never repeated (the kernel may have dropped the pages and
//! report success the second time): the node stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use floe_raft::{FetchId, Fetched, GroupId, Index, LogId, Write};
use floe_wal::{Disk, Reader, Wal};

use crate::error::Failure;
use crate::inbox::{Inbox, Input};
use crate::queue::{Queue, Taken};
use crate::status::Live;
use crate::threads::Threads;

/// Something for the log.
#[derive(Debug)]
pub(crate) enum LogWork {
    /// Make this durable.
    Write(Write),
    /// Drop everything up to and including this entry.
    Compact(LogId),
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
    wal: Wal<D>,
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
                // Not fatal: the writer makes the segment itself when it needs it, and fails if it really cannot.
                tracing::warn!(%error, "cannot prepare the next segment of the log");
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
    group: GroupId,
    queue: Arc<Queue<LogWork>>,
    spares: Arc<Queue<()>>,
    spare_under_way: Arc<AtomicBool>,
    inbox: Arc<Inbox<R>>,
    live: Arc<Live>,
}

impl<D: Disk, R> Writer<D, R> {
    fn run(mut self) {
        let mut work = Vec::new();
        let mut batch = Vec::new();
        while self.queue.take(&mut work, None) != Taken::Closed {
            let mut compact = None;
            for work in work.drain(..) {
                match work {
                    LogWork::Write(write) => batch.push((self.group, write)),
                    LogWork::Compact(base) => compact = Some(base),
                }
            }
            if let Err(failure) = self.write(&mut batch).and_then(|()| self.compact(compact)) {
                self.inbox.report(Input::Failed(failure));
                break;
            }
            if self.wal.wants_spare() && !self.spare_under_way.swap(true, Ordering::AcqRel) {
                self.spares.push(());
            }
        }
        self.spares.close();
    }

    fn write(&mut self, batch: &mut Vec<(GroupId, Write)>) -> Result<(), Failure> {
        let Some(last) = batch.last().map(|(_, write)| write.id) else { return Ok(()) };
        let start = Instant::now();
        let written = self.wal.append(batch);
        batch.clear();
        self.live.log_sync.record(start.elapsed());
        written.map_err(failed)?;
        self.inbox.report(Input::Persisted(last));
        Ok(())
    }

    fn compact(&mut self, base: Option<LogId>) -> Result<(), Failure> {
        let Some(base) = base else { return Ok(()) };
        self.wal.compact(self.group, base).map_err(failed)?;
        self.inbox.report(Input::Compacted(base));
        Ok(())
    }
}

/// The error with everything that caused it: the disk's own words matter most.
fn failed(error: floe_wal::AppendError) -> Failure {
    let mut reason = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        reason.push_str(": ");
        reason.push_str(&error.to_string());
        cause = error.source();
    }
    Failure::Log { reason }
}
