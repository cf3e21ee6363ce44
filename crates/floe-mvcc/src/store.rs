//! The one writer: opens the file, applies batches, makes them durable, and publishes to the readers.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use floe_session::SessionTable;
use redb::{Database, Durability, ReadableDatabase, ReadableTable, WriteTransaction};

use crate::apply::{self, Batch};
use crate::codec;
use crate::command::Reply;
use crate::error::StorageError;
use crate::key_index::KeyIndex;
use crate::lease::Lessor;
use crate::place::{MemoryDisk, Place, Slot};
use crate::reader::Reader;
use crate::record::{self, ROW_OVERHEAD_BYTES, Record, State};
use crate::roster::Roster;
use crate::sessions;
use crate::shared::{Published, Rows, Shared, Tables, lock};
use crate::snapshot::{self, Snapshot};
use crate::watch::QueueLimits;

/// How many keys enter the index while readers wait. About a hundred microseconds.
const KEYS_PER_MERGE: usize = 256;

/// How many rows the sweep after a compaction looks at with each command of a batch: more than one, so that it keeps ahead
/// of whoever writes. A row costs it about what a put costs.
const ROWS_PER_COMMAND: usize = 2;

/// How many rows it looks at with a batch however few commands that has. About a tenth of a millisecond.
const ROWS_PER_BATCH: usize = 16;

/// How many rows it looks at with a checkpoint, which takes longer anyway.
const ROWS_PER_CHECKPOINT: usize = 1024;

/// How much is written before the file's length is looked at again, which is a system call.
const BYTES_PER_MEASURE: u64 = 1 << 20;

/// The last log entry that a store contains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Applied {
    /// Its term; 0 when the store contains none.
    pub term: u64,
    /// Its index; 0 when the store contains none.
    pub index: u64,
}

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// How many bytes of the file to keep in memory. Up to half of it may be changes that are not in the file yet. The
    /// operating system caches the file, too, so a miss costs a copy rather than a disk access while memory lasts.
    pub cache_bytes: usize,
    /// How many events may wait for a watch stream that is not polled. Beyond, its watchers fall behind and are brought
    /// up from the file later.
    pub watch_queue_events: usize,
    /// How many bytes of keys and values may.
    pub watch_queue_bytes: usize,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { cache_bytes: 32 << 20, watch_queue_events: 8192, watch_queue_bytes: 8 << 20 }
    }
}

/// The store's writer. One thread owns it; everybody else reads through [`Store::reader`].
pub struct Store {
    db: Arc<Database>,
    place: Place,
    cache_bytes: usize,
    shared: Arc<Shared>,
    /// What the batches so far have led to.
    state: State,
    /// What survives a crash.
    durable: State,
    /// How much was written since the file's length was last looked at.
    unmeasured_bytes: u64,
    /// Whether a call failed, so that memory may be ahead of the file.
    failed: bool,
}

impl Store {
    /// Opens the file, or creates it, and reads all of it to build the index: about a second for a million changes.
    ///
    /// After a crash the file is as the last checkpoint left it. The host applies the log from [`Store::applied`] on.
    pub fn open(path: &Path, options: StoreOptions) -> Result<Self, StorageError> {
        Self::open_at(Place::Path(path.to_owned()), options)
    }

    /// The same on a disk in memory, for simulated machines.
    pub fn open_in_memory(disk: &MemoryDisk, options: StoreOptions) -> Result<Self, StorageError> {
        Self::open_at(Place::Memory(disk.clone()), options)
    }

    fn open_at(place: Place, options: StoreOptions) -> Result<Self, StorageError> {
        // What a crash left of a snapshot that was being put in place.
        place.remove(Slot::Restoring)?;
        if !place.exists()? {
            make_empty(&place)?;
        }
        let db = place.database(Slot::Store, options.cache_bytes)?;
        let state = initialize(&db)?;
        let limits = QueueLimits { events: options.watch_queue_events, bytes: options.watch_queue_bytes };
        let Loaded { tables, lessor, sessions, roster, row_bytes } = load(&db, state)?;
        let mut store = Self {
            db,
            place,
            cache_bytes: options.cache_bytes,
            shared: Arc::new(Shared::new(tables, lessor, sessions, roster, row_bytes, limits)),
            state,
            durable: state,
            unmeasured_bytes: 0,
            failed: false,
        };
        store.measure()?;
        Ok(store)
    }

    /// The last log entry that the store contains, in memory.
    pub fn applied(&self) -> Applied {
        Applied { term: self.state.term, index: self.state.index }
    }

    /// The last log entry that it contains after a crash. The log must keep all later ones.
    pub fn durable(&self) -> Applied {
        Applied { term: self.durable.term, index: self.durable.index }
    }

    /// A handle for reading.
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.shared))
    }

    /// Applies commands in log order as one transaction of the file, and shows them to readers and watchers. `last` is
    /// the last log entry of the batch, a command or not. One reply a command, in order.
    ///
    /// A batch is not durable when this returns, because the log is; see [`Store::checkpoint`]. After an error the store
    /// refuses all further calls: open it again.
    pub fn apply(&mut self, commands: &[Bytes], last: Applied) -> Result<Vec<Reply>, StorageError> {
        if commands.is_empty() {
            // Only the position moved. It goes to the file with the next batch or checkpoint: until then a crash makes
            // the host replay entries that are no commands, which changes nothing.
            self.usable()?;
            self.state.term = last.term;
            self.state.index = last.index;
            return Ok(Vec::new());
        }
        self.transact(Durability::None, |batch| {
            batch.sweep(ROWS_PER_BATCH.max(commands.len() * ROWS_PER_COMMAND))?;
            let mut replies = Vec::with_capacity(commands.len());
            for command in commands {
                replies.push(batch.apply(command)?);
            }
            batch.applied.state.term = last.term;
            batch.applied.state.index = last.index;
            Ok(replies)
        })
    }

    /// Makes all that was applied durable, and says up to where that is: the log may drop what lies before. Costs a disk
    /// write in proportion to what changed since the last one; nothing if nothing did.
    pub fn checkpoint(&mut self) -> Result<Applied, StorageError> {
        self.usable()?;
        if self.state != self.durable || self.state.sweep.is_some() {
            self.transact(Durability::Immediate, |batch| batch.sweep(ROWS_PER_CHECKPOINT))?;
            self.durable = self.state;
        }
        Ok(self.durable())
    }

    /// Removes up to about `rows` rows that a compaction left behind. Says whether there are more. Batches and checkpoints
    /// do so by themselves; a host that is idle, or whose client waits for the space, may call this as well.
    pub fn maintain(&mut self, rows: usize) -> Result<bool, StorageError> {
        self.usable()?;
        if self.state.sweep.is_some() && rows > 0 {
            self.transact(Durability::None, |batch| batch.sweep(rows))?;
        }
        Ok(self.state.sweep.is_some())
    }

    /// The state as it is now, to be read by any thread while this one applies more. It keeps the file from reusing what
    /// it has overwritten since, so it should not be kept for long.
    pub fn snapshot(&self) -> Result<Snapshot, StorageError> {
        self.usable()?;
        Snapshot::new(&self.db, self.state)
    }

    /// Replaces the store by what [`Snapshot::write_to`] wrote, which must be a later state of the same history, and makes
    /// it durable. After a crash the store is what it was before, or this, whole.
    ///
    /// Readers that have begun end with the old state. Watchers catch up from the new one, or hear that what they want has
    /// been compacted. `from` is read to its end.
    pub fn restore(&mut self, from: &mut dyn Read) -> Result<Applied, StorageError> {
        self.usable()?;
        self.failed = true;
        self.place.remove(Slot::Restoring)?;
        let db = self.place.database(Slot::Restoring, self.cache_bytes)?;
        initialize(&db)?;
        let state = snapshot::read_into(&db, from)?;
        let Loaded { tables, lessor, sessions, roster, row_bytes } = load(&db, state)?;
        self.place.put_in_place(Slot::Restoring)?;

        let before = self.state.revision;
        self.db = db;
        self.state = state;
        self.durable = state;
        self.shared.replace_tables(tables);
        self.shared.lessor.replace(lessor);
        *lock(&self.shared.sessions) = sessions;
        *self.shared.roster.write().unwrap_or_else(PoisonError::into_inner) = roster;
        self.shared.row_bytes.store(row_bytes, Ordering::Relaxed);
        self.shared.hub.replaced(before, state.revision);
        self.measure()?;
        self.failed = false;
        Ok(self.applied())
    }

    fn usable(&self) -> Result<(), StorageError> {
        if self.failed { Err(StorageError::Failed) } else { Ok(()) }
    }

    /// Runs one transaction of the file and publishes it.
    fn transact<T>(
        &mut self,
        durability: Durability,
        work: impl FnOnce(&mut Batch<'_>) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.usable()?;
        // Set until the end: leases and members change in memory along the way.
        self.failed = true;
        let txn = begin(&self.db, durability)?;
        let mut batch = Batch::new(&self.shared, &txn, self.state)?;
        let result = work(&mut batch)?;
        let applied = batch.finish()?;
        txn.commit().map_err(StorageError::redb)?;
        self.state = applied.state;
        self.unmeasured_bytes += applied.row_bytes.unsigned_abs();
        self.publish(applied)?;
        if self.unmeasured_bytes >= BYTES_PER_MEASURE || matches!(durability, Durability::Immediate) {
            self.measure()?;
        }
        self.failed = false;
        Ok(result)
    }

    fn publish(&self, applied: apply::Applied) -> Result<(), StorageError> {
        let rows = Arc::new(rows(&self.db)?);
        let tables = self.shared.tables();
        let before = tables.published().revision;
        // The changes enter the index first, a few at a time: nobody sees them before the revision says so.
        let mut staged = applied.staged.into_iter();
        loop {
            let mut published = tables.publish();
            let mut merged = 0;
            for (key, staged) in staged.by_ref().take(KEYS_PER_MERGE) {
                for head in staged.heads() {
                    published.index.record(&key, head);
                }
                merged += 1;
            }
            if merged == KEYS_PER_MERGE {
                continue;
            }
            for (key, count) in &applied.swept {
                published.index.drop_oldest(key, *count);
            }
            published.revision = applied.state.revision;
            published.compact_revision = applied.state.compact_revision;
            published.sweeping = applied.state.sweep.is_some();
            let old = std::mem::replace(&mut published.rows, rows);
            drop(published);
            // Its end may free the transaction, which takes a lock of redb's: not under ours.
            drop(old);
            break;
        }
        self.shared.add_row_bytes(applied.row_bytes);
        self.shared.hub.dispatch(before, applied.state.revision, applied.changes);
        Ok(())
    }

    fn measure(&mut self) -> Result<(), StorageError> {
        self.unmeasured_bytes = 0;
        self.shared.file_bytes.store(self.place.len()?, Ordering::Relaxed);
        Ok(())
    }
}

/// Makes the file of an empty store. It gets its name when it is whole: a process that dies while it makes it would leave
/// what can neither be opened nor, since it might be all of somebody's data, be made again.
fn make_empty(place: &Place) -> Result<(), StorageError> {
    place.remove(Slot::Beginning)?;
    let db = place.database(Slot::Beginning, 0)?;
    initialize(&db)?;
    drop(db);
    Ok(place.put_in_place(Slot::Beginning)?)
}

pub(crate) fn begin(db: &Database, durability: Durability) -> Result<WriteTransaction, StorageError> {
    let mut txn = db.begin_write().map_err(StorageError::redb)?;
    match durability {
        Durability::None => txn.set_durability(Durability::None).map_err(StorageError::redb)?,
        // Without it, a start after a crash would walk the whole file.
        _ => txn.set_quick_repair(true),
    }
    Ok(txn)
}

impl Drop for Store {
    /// Closes the file for all who do not read at this moment: with the writer gone nobody will ever see anything new
    /// through a reader, and a server that has stopped must not keep its file from being opened again because somebody
    /// still holds a handle.
    fn drop(&mut self) {
        let Ok(txn) = self.db.begin_read() else { return };
        let Ok(table) = txn.open_table(record::REVISIONS) else { return };
        let closed = Arc::new(Rows::new(table, None));
        let open = std::mem::replace(&mut self.shared.tables().publish().rows, closed);
        // Not under the lock: it may be the last, and then the file is closed here.
        drop(open);
    }
}

fn rows(db: &Arc<Database>) -> Result<Rows, StorageError> {
    let txn = db.begin_read().map_err(StorageError::redb)?;
    Ok(Rows::new(txn.open_table(record::REVISIONS).map_err(StorageError::redb)?, Some(Arc::clone(db))))
}

/// Makes sure that all tables are there, and reads the state row.
fn initialize(db: &Database) -> Result<State, StorageError> {
    let txn = begin(db, Durability::Immediate)?;
    let state = {
        let mut meta = txn.open_table(record::META).map_err(StorageError::redb)?;
        let found = meta.get(record::STATE_KEY).map_err(StorageError::redb)?;
        match found.map(|row| State::decode(row.value())).transpose()? {
            Some(state) => return Ok(state),
            None => {
                let state = State::empty();
                meta.insert(record::STATE_KEY, &state.encode()[..]).map_err(StorageError::redb)?;
                state
            }
        }
    };
    txn.open_table(record::REVISIONS).map_err(StorageError::redb)?;
    txn.open_table(record::LEASES).map_err(StorageError::redb)?;
    txn.open_table(record::MEMBERS).map_err(StorageError::redb)?;
    txn.open_table(record::ALARMS).map_err(StorageError::redb)?;
    txn.commit().map_err(StorageError::redb)?;
    Ok(state)
}

/// What is in memory of a file.
struct Loaded {
    tables: Tables,
    lessor: Lessor,
    sessions: SessionTable,
    roster: Roster,
    row_bytes: i64,
}

/// Builds all that is in memory from the file.
fn load(db: &Arc<Database>, state: State) -> Result<Loaded, StorageError> {
    let rows = Arc::new(rows(db)?);
    let txn = db.begin_read().map_err(StorageError::redb)?;
    let lessor = Lessor::default();
    for entry in
        txn.open_table(record::LEASES).map_err(StorageError::redb)?.iter().map_err(StorageError::redb)?
    {
        let (id, ttl) = entry.map_err(StorageError::redb)?;
        lessor.grant(id.value(), ttl.value());
    }
    let mut roster = Roster::default();
    for entry in
        txn.open_table(record::MEMBERS).map_err(StorageError::redb)?.iter().map_err(StorageError::redb)?
    {
        let (id, row) = entry.map_err(StorageError::redb)?;
        let member = codec::read_member(&Bytes::copy_from_slice(row.value()))
            .map_err(|_| StorageError::Invalid("a member that cannot be read"))?;
        roster.members.insert(id.value(), member);
    }
    for entry in
        txn.open_table(record::ALARMS).map_err(StorageError::redb)?.iter().map_err(StorageError::redb)?
    {
        let (alarm, _) = entry.map_err(StorageError::redb)?;
        roster.alarms.insert(alarm.value());
    }
    let mut index = KeyIndex::default();
    let mut row_bytes = 0;
    let mut leased = BTreeMap::new();
    for entry in
        txn.open_table(record::REVISIONS).map_err(StorageError::redb)?.iter().map_err(StorageError::redb)?
    {
        let (row_key, row) = entry.map_err(StorageError::redb)?;
        let record = Record::read(row_key.value(), row.value())?;
        if record.place.revision > state.revision {
            return Err(StorageError::Invalid("a revision above the store's"));
        }
        index.record(record.key, record.head());
        row_bytes += (row.value().len() as u64 + ROW_OVERHEAD_BYTES) as i64;
        match record.put.map_or(0, |put| put.lease) {
            0 if leased.is_empty() => {}
            0 => {
                leased.remove(record.key);
            }
            lease => {
                leased.insert(Bytes::copy_from_slice(record.key), lease);
            }
        }
    }
    for (key, lease) in leased {
        lessor.attach(&key, lease);
    }
    let published = Published {
        index,
        revision: state.revision,
        compact_revision: state.compact_revision,
        sweeping: state.sweep.is_some(),
        rows,
    };
    Ok(Loaded { tables: Tables::new(published), lessor, sessions: sessions::load(db)?, roster, row_bytes })
}
