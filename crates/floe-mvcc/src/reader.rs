//! Reads from any thread, beside the writer: ranges, read-only transactions, and what else the store knows.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use floe_session::RequestId;

use crate::command::{MemberInfo, Range, RangeReply, Reply, Txn, TxnReply};
use crate::error::{ReadError, StorageError};
use crate::hash::{self, HashKv};
use crate::key_index::{Place, Visit};
use crate::kv::{KeyRange, KeyValue};
use crate::lease::{LeaseInfo, Lessor};
use crate::range::{self, Collector};
use crate::sessions;
use crate::shared::{Pin, Published, Rows, Shared, Tables, lock};
use crate::txn;
use crate::watch::WatchStream;

/// A handle for reading. Cheap to clone, and free to be used from any thread.
#[derive(Clone)]
pub struct Reader {
    shared: Arc<Shared>,
}

/// How large the store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// The file's length in bytes. It is reused inside, and does not shrink.
    pub total: u64,
    /// About how much of it is in use, in bytes.
    pub in_use: u64,
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The store's revision. 1 when nothing was ever written.
    pub fn revision(&self) -> i64 {
        self.shared.tables().published().revision
    }

    /// The revision compacted at; -1 before the first compaction.
    pub fn compact_revision(&self) -> i64 {
        self.shared.tables().published().compact_revision
    }

    /// Whether a compaction has still rows to remove. It is in force at once; this is only about the space.
    pub fn is_sweeping(&self) -> bool {
        self.shared.tables().published().sweeping
    }

    /// Answers a range request, at one revision however long it takes.
    pub fn range(&self, request: &Range) -> Result<RangeReply, ReadError> {
        let tables = self.shared.tables();
        let mut collector = Collector::new(request);
        let revision;
        let (mut resume, view) = {
            let published = tables.published();
            revision = readable(&published, request.revision)?;
            let ControlFlow::Continue(resume) =
                published.index.look(&request.range, revision, None, &mut collector);
            // The pin, if the rest of the range needs one, must be taken before the index is let go of.
            let pin = resume.is_some().then(|| tables.pin(revision));
            (resume, View::new(&tables, &published, pin))
        };
        while let Some(last) = resume {
            let published = tables.published();
            let ControlFlow::Continue(next) =
                published.index.look(&request.range, revision, Some(&last), &mut collector);
            resume = next;
        }
        Ok(range::answer(request, view.current, collector, |place| view.read(place))?)
    }

    /// Evaluates a transaction that only reads, all of it at one revision.
    pub fn read_txn(&self, txn: &Txn) -> Result<TxnReply, ReadError> {
        txn::read(&View::take(&self.shared.tables()), txn)
    }

    /// A hash over the store's contents up to `revision` (0 for the present one), equal on all replicas and to etcd's.
    pub fn hash_kv(&self, revision: i64) -> Result<HashKv, ReadError> {
        hash::hash_kv(&self.shared.tables(), revision)
    }

    /// The first reply to a request, if it was applied and this store remembers it. Any member may answer a retry by it,
    /// without an entry in the log and without a leader. None says nothing: the request may have been applied all the same.
    pub fn replay(&self, request: RequestId) -> Result<Option<Reply>, ReadError> {
        Ok(sessions::replay(&self.shared, request)?)
    }

    /// The time of the sessions, in milliseconds since 1970: the latest stamp of any tagged command. A proposer's stamp
    /// should not be less.
    pub fn session_time_ms(&self) -> u64 {
        lock(&self.shared.sessions).now_ms()
    }

    /// How many sessions the store remembers.
    pub fn sessions(&self) -> usize {
        lock(&self.shared.sessions).len()
    }

    /// A checksum over all sessions and the replies that they remember: equal on all replicas that applied the same. It
    /// is not part of [`Reader::hash_kv`], which is etcd's.
    pub fn session_hash(&self) -> u32 {
        sessions::hash(&self.shared)
    }

    /// How large the store is.
    pub fn size(&self) -> Size {
        let in_use = self.shared.row_bytes.load(Ordering::Relaxed);
        Size {
            total: self.shared.file_bytes.load(Ordering::Relaxed),
            in_use: u64::try_from(in_use).unwrap_or(0),
        }
    }

    /// How many keys the index holds, those included that were deleted and not yet compacted.
    pub fn keys(&self) -> usize {
        self.shared.tables().published().index.len()
    }

    /// What the members published, by id.
    pub fn members(&self) -> Vec<MemberInfo> {
        let roster = self.shared.roster.read().unwrap_or_else(PoisonError::into_inner);
        roster.members.values().cloned().collect()
    }

    /// The raised alarms: the member, and etcd's number of the alarm.
    pub fn alarms(&self) -> Vec<(u64, i32)> {
        let roster = self.shared.roster.read().unwrap_or_else(PoisonError::into_inner);
        roster.alarms.iter().copied().collect()
    }

    /// A lease and its keys.
    pub fn lease(&self, id: i64) -> Option<LeaseInfo> {
        self.shared.lessor.lease(id)
    }

    /// The ids of all leases, the first to end first.
    pub fn leases(&self) -> Vec<i64> {
        self.shared.lessor.ids()
    }

    /// The leader's count of the leases.
    pub fn lessor(&self) -> &Lessor {
        &self.shared.lessor
    }

    /// Opens a stream of watchers. `wake` is called, from any thread, when [`WatchStream::poll`] has something.
    pub fn watch_stream(&self, wake: Arc<dyn Fn() + Send + Sync>) -> WatchStream {
        WatchStream::new(Arc::clone(&self.shared), wake)
    }
}

/// The store at one revision.
pub(crate) struct View<'a> {
    tables: &'a Tables,
    /// The store's revision when the view was taken.
    pub(crate) current: i64,
    /// The revision compacted at then.
    pub(crate) compact_revision: i64,
    rows: Arc<Rows>,
    /// Held for what its end does: see [`Tables::pin`].
    _pin: Option<Pin<'a>>,
}

impl<'a> View<'a> {
    /// The store as it is now, held for several looks at any revision that is not compacted.
    pub(crate) fn take(tables: &'a Tables) -> Self {
        let published = tables.published();
        Self::new(tables, &published, Some(tables.pin(published.compact_revision)))
    }

    /// The rows of the view.
    pub(crate) fn rows(&self) -> &Arc<Rows> {
        &self.rows
    }

    fn new(tables: &'a Tables, published: &Published, pin: Option<Pin<'a>>) -> Self {
        Self {
            tables,
            current: published.revision,
            compact_revision: published.compact_revision,
            rows: Arc::clone(&published.rows),
            _pin: pin,
        }
    }

    /// Reads a row that the index named.
    pub(crate) fn read(&self, place: Place) -> Result<KeyValue, StorageError> {
        self.rows.key_value(place)?.ok_or(StorageError::Invalid("the index names a row that is missing"))
    }

    /// Visits the keys of a range at a revision, until the visitor breaks. Lets the writer in between.
    pub(crate) fn visit<V: Visit>(
        &self,
        range: &KeyRange,
        revision: i64,
        visitor: &mut V,
    ) -> ControlFlow<V::Break> {
        let mut resume: Option<Bytes> = None;
        loop {
            resume = self.tables.published().index.look(range, revision, resume.as_deref(), visitor)?;
            if resume.is_none() {
                return ControlFlow::Continue(());
            }
        }
    }
}

/// The revision that a request means, if it can be read.
fn readable(published: &Published, revision: i64) -> Result<i64, ReadError> {
    if revision > published.revision {
        return Err(ReadError::FutureRevision);
    }
    if revision <= 0 {
        return Ok(published.revision);
    }
    if revision < published.compact_revision {
        return Err(ReadError::Compacted { compact_revision: published.compact_revision });
    }
    Ok(revision)
}
