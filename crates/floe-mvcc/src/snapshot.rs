//! The store as a stream of bytes, for a member that is too far behind the log: `docs/design/mvcc.md`, "Snapshots".
//!
//! The stream is the tables row by row, not the file: the file is the work of a moment's free pages, this is only what it
//! means. It is read from a transaction of redb, which is copy-on-write, so the writer goes on beside it.

use std::io::{Read, Write};
use std::sync::Arc;

use redb::{
    Database, Durability, Key, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, TableError,
    TableHandle, Value, WriteTransaction,
};

use crate::error::StorageError;
use crate::record::{self, State};
use crate::store;

/// The first bytes of a stream, and its version.
const MAGIC: &[u8; 8] = b"FLOEKV\0\x01";
/// Ends the rows.
const END: u8 = 0;
const META: u8 = 1;
const REVISIONS: u8 = 2;
const LEASES: u8 = 3;
const MEMBERS: u8 = 4;
const ALARMS: u8 = 5;
const SESSIONS: u8 = 6;
const SESSION_REPLIES: u8 = 7;

/// No row is longer: the largest request that can be configured, with what lies around it.
const ROW_BYTES_MAX: u32 = 1 << 30;
/// How much is entered with one transaction of the file: what the cache may hold that is not in the file yet.
const TRANSACTION_BYTES: usize = 8 << 20;

/// The store at one moment; see [`crate::Store::snapshot`].
pub struct Snapshot {
    txn: ReadTransaction,
    state: State,
    /// After the transaction, so that it is dropped later: a database that is closed fails the reads of its transactions.
    _db: Arc<Database>,
}

impl Snapshot {
    pub(crate) fn new(db: &Arc<Database>, state: State) -> Result<Self, StorageError> {
        let txn = db.begin_read().map_err(StorageError::redb)?;
        Ok(Self { txn, state, _db: Arc::clone(db) })
    }

    /// The last log entry that it contains.
    pub fn applied(&self) -> store::Applied {
        store::Applied { term: self.state.term, index: self.state.index }
    }

    /// Writes all of it. `out` should be buffered: most rows are small.
    pub fn write_to(&self, out: &mut dyn Write) -> Result<(), StorageError> {
        self.check_tables()?;
        out.write_all(MAGIC)?;
        // The state of the store's memory: the position may have moved past what the file says.
        write_row(out, META, record::STATE_KEY.as_bytes(), &self.state.encode())?;
        self.write_session_time(out)?;
        self.write_table(out, REVISIONS, record::REVISIONS)?;
        self.write_table(out, LEASES, record::LEASES)?;
        self.write_table(out, MEMBERS, record::MEMBERS)?;
        self.write_table(out, ALARMS, record::ALARMS)?;
        self.write_table(out, SESSIONS, record::SESSIONS)?;
        self.write_table(out, SESSION_REPLIES, record::SESSION_REPLIES)?;
        out.write_all(&[END])?;
        Ok(())
    }

    fn write_session_time(&self, out: &mut dyn Write) -> Result<(), StorageError> {
        let meta = self.txn.open_table(record::META).map_err(StorageError::redb)?;
        match meta.get(record::SESSION_TIME_KEY).map_err(StorageError::redb)? {
            Some(time) => write_row(out, META, record::SESSION_TIME_KEY.as_bytes(), time.value()),
            None => Ok(()),
        }
    }

    fn write_table<K: Key + 'static, V: Value + 'static>(
        &self,
        out: &mut dyn Write,
        tag: u8,
        table: TableDefinition<'_, K, V>,
    ) -> Result<(), StorageError> {
        let table = match self.txn.open_table(table) {
            Ok(table) => table,
            // The tables of sessions come with their first row.
            Err(TableError::TableDoesNotExist(_)) => return Ok(()),
            Err(error) => return Err(StorageError::redb(error)),
        };
        for row in table.iter().map_err(StorageError::redb)? {
            let (key, value) = row.map_err(StorageError::redb)?;
            let (key, value) = (key.value(), value.value());
            write_row(out, tag, K::as_bytes(&key).as_ref(), V::as_bytes(&value).as_ref())?;
        }
        Ok(())
    }

    /// A table that is not written here would be lost on every member that catches up by a snapshot, and nowhere else.
    fn check_tables(&self) -> Result<(), StorageError> {
        let known = [
            record::META.name(),
            record::REVISIONS.name(),
            record::LEASES.name(),
            record::MEMBERS.name(),
            record::ALARMS.name(),
            record::SESSIONS.name(),
            record::SESSION_REPLIES.name(),
        ];
        for table in self.txn.list_tables().map_err(StorageError::redb)? {
            if !known.contains(&table.name()) {
                return Err(StorageError::Invalid("a table that no snapshot would contain"));
            }
        }
        Ok(())
    }
}

fn write_row(out: &mut dyn Write, tag: u8, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    if length(key) > ROW_BYTES_MAX || length(value) > ROW_BYTES_MAX {
        return Err(StorageError::Invalid("a row that is too long for a snapshot"));
    }
    out.write_all(&[tag])?;
    out.write_all(&length(key).to_le_bytes())?;
    out.write_all(&length(value).to_le_bytes())?;
    out.write_all(key)?;
    out.write_all(value)?;
    Ok(())
}

/// Enters what [`Snapshot::write_to`] wrote into an empty file, durably.
pub(crate) fn read_into(db: &Database, from: &mut dyn Read) -> Result<State, StorageError> {
    let mut magic = [0; MAGIC.len()];
    from.read_exact(&mut magic)?;
    if magic != *MAGIC {
        return Err(StorageError::Invalid("a snapshot of another version, or none"));
    }
    let mut rows = Rows { from, tag: END, key: Vec::new(), value: Vec::new() };
    if !rows.next()? || rows.tag != META || rows.key != record::STATE_KEY.as_bytes() {
        return Err(StorageError::Invalid("a snapshot that does not begin with its state"));
    }
    let state = State::decode(&rows.value)?;
    let mut more = rows.next()?;
    while more {
        // The state row is not there yet: until the last transaction the file is one of an empty store.
        let txn = store::begin(db, Durability::None)?;
        more = read_some(&txn, &mut rows)?;
        txn.commit().map_err(StorageError::redb)?;
    }
    if rows.from.read(&mut [0])? != 0 {
        return Err(StorageError::Invalid("a snapshot with bytes after its end"));
    }
    let txn = store::begin(db, Durability::Immediate)?;
    {
        let mut meta = txn.open_table(record::META).map_err(StorageError::redb)?;
        meta.insert(record::STATE_KEY, &state.encode()[..]).map_err(StorageError::redb)?;
    }
    txn.commit().map_err(StorageError::redb)?;
    Ok(state)
}

/// Enters as many rows as one transaction should hold. Says whether there are more.
fn read_some(txn: &WriteTransaction, rows: &mut Rows<'_>) -> Result<bool, StorageError> {
    let mut revisions = txn.open_table(record::REVISIONS).map_err(StorageError::redb)?;
    let mut leases = txn.open_table(record::LEASES).map_err(StorageError::redb)?;
    let mut members = txn.open_table(record::MEMBERS).map_err(StorageError::redb)?;
    let mut alarms = txn.open_table(record::ALARMS).map_err(StorageError::redb)?;
    let mut sessions = txn.open_table(record::SESSIONS).map_err(StorageError::redb)?;
    let mut replies = txn.open_table(record::SESSION_REPLIES).map_err(StorageError::redb)?;
    let mut bytes = 0;
    while bytes < TRANSACTION_BYTES {
        let (key, value) = (&rows.key[..], &rows.value[..]);
        match rows.tag {
            REVISIONS => {
                let key = u128::from_le_bytes(fixed(key)?);
                // Before it is entered: it comes from another machine, and is read a thousand times from now on.
                record::Record::read(key, value)?;
                drop(revisions.insert(key, value).map_err(StorageError::redb)?);
            }
            LEASES => {
                let (id, ttl) = (i64::from_le_bytes(fixed(key)?), i64::from_le_bytes(fixed(value)?));
                leases.insert(id, ttl).map_err(StorageError::redb)?;
            }
            MEMBERS => {
                drop(members.insert(u64::from_le_bytes(fixed(key)?), value).map_err(StorageError::redb)?);
            }
            ALARMS => {
                let (member, alarm) =
                    key.split_at_checked(8).ok_or(StorageError::Invalid("a short alarm"))?;
                let key = (u64::from_le_bytes(fixed(member)?), i32::from_le_bytes(fixed(alarm)?));
                alarms.insert(key, ()).map_err(StorageError::redb)?;
            }
            META if key == record::SESSION_TIME_KEY.as_bytes() => {
                let mut meta = txn.open_table(record::META).map_err(StorageError::redb)?;
                meta.insert(record::SESSION_TIME_KEY, value).map_err(StorageError::redb)?;
            }
            SESSIONS => {
                let (client, expires_s) =
                    (u128::from_le_bytes(fixed(key)?), u64::from_le_bytes(fixed(value)?));
                sessions.insert(client, expires_s).map_err(StorageError::redb)?;
            }
            SESSION_REPLIES => {
                let (client, sequence) =
                    key.split_at_checked(16).ok_or(StorageError::Invalid("a short name of a reply"))?;
                let key = (u128::from_le_bytes(fixed(client)?), u64::from_le_bytes(fixed(sequence)?));
                replies.insert(key, value).map_err(StorageError::redb)?;
            }
            _ => return Err(StorageError::Invalid("a row of an unknown table in a snapshot")),
        }
        bytes += rows.key.len() + rows.value.len();
        if !rows.next()? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A number of a row.
fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], StorageError> {
    bytes.try_into().map_err(|_| StorageError::Invalid("a number of the wrong length in a snapshot"))
}

/// The rows of a stream, one at a time.
struct Rows<'a> {
    from: &'a mut dyn Read,
    tag: u8,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Rows<'_> {
    /// Reads the next row. False at the end.
    fn next(&mut self) -> Result<bool, StorageError> {
        let mut tag = [0];
        self.from.read_exact(&mut tag)?;
        self.tag = tag[0];
        if self.tag == END {
            return Ok(false);
        }
        let mut lengths = [0; 8];
        self.from.read_exact(&mut lengths)?;
        let [key, value] = [&lengths[..4], &lengths[4..]].map(fixed);
        read_bytes(self.from, u32::from_le_bytes(key?), &mut self.key)?;
        read_bytes(self.from, u32::from_le_bytes(value?), &mut self.value)?;
        Ok(true)
    }
}

/// Reads so many bytes. The room grows with what really comes.
fn read_bytes(from: &mut dyn Read, length: u32, into: &mut Vec<u8>) -> Result<(), StorageError> {
    if length > ROW_BYTES_MAX {
        return Err(StorageError::Invalid("a row that is too long in a snapshot"));
    }
    into.clear();
    if from.take(u64::from(length)).read_to_end(into)? < length as usize {
        return Err(StorageError::Invalid("a snapshot that ends early"));
    }
    Ok(())
}
