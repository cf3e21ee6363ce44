//! What the writer publishes and the readers see: the index, the revision, and a read transaction that holds them.
//!
//! The rules (argued in `docs/design/mvcc.md`, "Agreement of index, file and readers"):
//! - The index may hold changes above the published revision. Every reader filters by the revision that it pinned.
//! - The published read transaction holds every row that the index names at or below the published revision.
//! - Nothing that a reader at or above the compaction needs leaves the index while that reader may come back to it: a
//!   reader that lets go of the index between two looks leaves a [`Pin`], and the sweep waits for pins below it.
//! - A snapshot replaces index and rows together, as one [`Tables`]. Whoever began with the old ones ends with them.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use floe_session::SessionTable;
use redb::{AccessGuard, Database, ReadOnlyTable};

use crate::error::StorageError;
use crate::key_index::{KeyIndex, Place};
use crate::kv::KeyValue;
use crate::lease::Lessor;
use crate::record::{self, Record};
use crate::roster::Roster;
use crate::watch::{Hub, QueueLimits};

/// Locks. A thread that panicked with the lock left data that is still whole: every change under these locks is a
/// sequence of map operations, each complete in itself, and the writer marks its store as failed when one is missing.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A read transaction of one commit. It answers for as long as somebody holds it.
pub(crate) struct Rows {
    table: ReadOnlyTable<u128, &'static [u8]>,
    /// Behind the table, so that it is dropped after it: a database that is closed fails the reads of its transactions,
    /// and the one that a snapshot took the place of is held by its readers alone. None once the writer is gone.
    _db: Option<Arc<Database>>,
}

impl Rows {
    pub(crate) fn new(table: ReadOnlyTable<u128, &'static [u8]>, db: Option<Arc<Database>>) -> Self {
        Self { table, _db: db }
    }

    /// The row's bytes, to be read by [`Record::read`].
    pub(crate) fn row(
        &self,
        place: Place,
    ) -> Result<Option<AccessGuard<'static, &'static [u8]>>, StorageError> {
        self.table.get(record::row_key(place)).map_err(StorageError::redb)
    }

    /// What a put wrote, copied out. None if the row was swept, or is a deletion.
    pub(crate) fn key_value(&self, place: Place) -> Result<Option<KeyValue>, StorageError> {
        let Some(row) = self.row(place)? else {
            return Ok(None);
        };
        Ok(Record::read(record::row_key(place), row.value())?.key_value())
    }

    /// Calls `visit` with a row that is known to be there.
    pub(crate) fn visit(&self, place: Place, visit: impl FnOnce(&Record<'_>)) -> Result<(), StorageError> {
        let row = self.row(place)?.ok_or(StorageError::Invalid("the index names a row that is missing"))?;
        visit(&Record::read(record::row_key(place), row.value())?);
        Ok(())
    }

    /// Calls `visit` for each row of the revisions, in order.
    pub(crate) fn scan(
        &self,
        revisions: RangeInclusive<i64>,
        visit: impl FnMut(&Record<'_>) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        if !revisions.is_empty() {
            let rows = record::first_row(*revisions.start())..=record::last_row(*revisions.end());
            self.scan_rows(rows, usize::MAX, visit)?;
        }
        Ok(())
    }

    /// Calls `visit` for at most `max` rows, in order. Gives the row to go on from, or none at the end.
    pub(crate) fn scan_rows(
        &self,
        rows: RangeInclusive<u128>,
        max: usize,
        mut visit: impl FnMut(&Record<'_>) -> Result<(), StorageError>,
    ) -> Result<Option<u128>, StorageError> {
        for (visited, entry) in self.table.range(rows).map_err(StorageError::redb)?.enumerate() {
            let (row_key, row) = entry.map_err(StorageError::redb)?;
            if visited == max {
                return Ok(Some(row_key.value()));
            }
            visit(&Record::read(row_key.value(), row.value())?)?;
        }
        Ok(None)
    }
}

/// What readers see of the store at one moment.
pub(crate) struct Published {
    pub(crate) index: KeyIndex,
    /// The store's revision.
    pub(crate) revision: i64,
    /// The revision compacted at; -1 before the first compaction.
    pub(crate) compact_revision: i64,
    /// Whether rows and index entries wait to be swept.
    pub(crate) sweeping: bool,
    pub(crate) rows: Arc<Rows>,
}

/// Index and rows of one file, with the readers that still need some of it.
pub(crate) struct Tables {
    published: RwLock<Published>,
    pins: Mutex<BTreeMap<i64, usize>>,
}

impl Tables {
    pub(crate) fn new(published: Published) -> Self {
        Self { published: RwLock::new(published), pins: Mutex::default() }
    }

    /// For a look that is short: whoever holds it keeps the writer from publishing.
    pub(crate) fn published(&self) -> RwLockReadGuard<'_, Published> {
        self.published.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// For the writer alone.
    pub(crate) fn publish(&self) -> RwLockWriteGuard<'_, Published> {
        self.published.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what a reader at `revision` needs in the index until the pin is dropped. To be taken under
    /// [`Tables::published`], with a revision that is not below the compaction.
    pub(crate) fn pin(&self, revision: i64) -> Pin<'_> {
        *lock(&self.pins).entry(revision).or_default() += 1;
        Pin { tables: self, revision }
    }

    /// The lowest revision that a reader still needs.
    pub(crate) fn lowest_pin(&self) -> Option<i64> {
        lock(&self.pins).keys().next().copied()
    }
}

/// The state that the writer, the readers and the watchers share.
pub(crate) struct Shared {
    tables: RwLock<Arc<Tables>>,
    pub(crate) lessor: Lessor,
    /// Held for one look at a time, by the writer and by whoever answers a retry.
    pub(crate) sessions: Mutex<SessionTable>,
    pub(crate) roster: RwLock<Roster>,
    pub(crate) hub: Hub,
    /// The file's length.
    pub(crate) file_bytes: AtomicU64,
    /// What the rows take of it.
    pub(crate) row_bytes: AtomicI64,
}

impl Shared {
    pub(crate) fn new(
        tables: Tables,
        lessor: Lessor,
        sessions: SessionTable,
        roster: Roster,
        row_bytes: i64,
        limits: QueueLimits,
    ) -> Self {
        let hub = Hub::new(tables.published().revision, limits);
        Self {
            tables: RwLock::new(Arc::new(tables)),
            lessor,
            sessions: Mutex::new(sessions),
            roster: RwLock::new(roster),
            hub,
            file_bytes: AtomicU64::new(0),
            row_bytes: AtomicI64::new(row_bytes),
        }
    }

    /// Index and rows as they are now. A request takes them once and stays with them: a snapshot may put others in their
    /// place at any moment.
    pub(crate) fn tables(&self) -> Arc<Tables> {
        Arc::clone(&self.tables.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts others in their place.
    pub(crate) fn replace_tables(&self, tables: Tables) {
        let mut current = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *current, Arc::new(tables));
        drop(current);
        // Its end may free an index of millions of keys: not under the lock that every reader takes.
        drop(old);
    }

    /// Adds to what the rows take.
    pub(crate) fn add_row_bytes(&self, bytes: i64) {
        self.row_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// A reader's hold on the index; see [`Tables::pin`].
pub(crate) struct Pin<'a> {
    tables: &'a Tables,
    revision: i64,
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        let mut pins = lock(&self.tables.pins);
        if let Some(count) = pins.get_mut(&self.revision) {
            *count -= 1;
            if *count == 0 {
                pins.remove(&self.revision);
            }
        }
    }
}
