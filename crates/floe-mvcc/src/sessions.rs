//! The sessions of the store's clients: a command that carries a tag is applied once, and its table is written in the
//! transaction that writes its data.
//!
//! The table is in memory, under a lock that is held for one look; the file has a row for each session and each reply. What
//! a batch changed is written at its end, so a session that is used a hundred times in a batch is written once.

use floe_session::{
    ClientId, Limits, Replayed, RequestId, Restore, RestoreError, Sequence, SessionTable, Tag, Verdict,
};
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableError};

use crate::apply::Batch;
use crate::command::{Command, Reply};
use crate::error::{ApplyError, StorageError};
use crate::record::{self, SESSION_REPLIES, SESSION_TIME_KEY, SESSIONS};
use crate::reply;
use crate::shared::{Shared, lock};

/// The first byte of a reply's row: whether the reply follows.
const KEPT: u8 = 1;
const NOT_KEPT: u8 = 0;

/// A table without sessions. Its bounds decide what commands do, so they are the same for all members for ever.
pub(crate) fn empty() -> SessionTable {
    SessionTable::new(Limits::default()).noting_changes()
}

impl Batch<'_> {
    /// Applies a command unless its request was applied before; then it gives the reply that it gave then.
    pub(crate) fn apply_once(&mut self, tag: &Tag, command: &Command) -> Result<Reply, StorageError> {
        self.has_sessions = true;
        let admitted = {
            let mut sessions = lock(&self.shared.sessions);
            match sessions.admit(tag) {
                Verdict::Apply(admitted) => admitted,
                Verdict::Replay(Replayed::Kept(bytes)) => return reply::read(bytes),
                Verdict::Replay(Replayed::NotKept) => return Ok(self.refuse(ApplyError::ReplyNotKept)),
                Verdict::Refused(refusal) => return Ok(self.refuse(ApplyError::Session(refusal))),
            }
        };
        let reply = self.run(command)?;
        let mut bytes = std::mem::take(&mut self.scratch);
        // Whatever a command that was understood is answered can be written.
        if reply::write(&mut bytes, &reply).is_some() {
            lock(&self.shared.sessions).record(admitted, &bytes);
        }
        self.scratch = bytes;
        Ok(reply)
    }

    fn refuse(&self, error: ApplyError) -> Reply {
        Reply { revision: self.applied.state.revision, outcome: Err(error) }
    }

    /// Writes what the batch changed of the sessions.
    pub(crate) fn write_sessions(&mut self) -> Result<(), StorageError> {
        if !self.has_sessions {
            return Ok(());
        }
        let mut sessions = lock(&self.shared.sessions);
        let changes = sessions.changes();
        let mut meta = self.txn.open_table(record::META).map_err(StorageError::redb)?;
        let now_ms = sessions.now_ms().to_le_bytes();
        meta.insert(SESSION_TIME_KEY, &now_ms[..]).map_err(StorageError::redb)?;
        if !changes.sessions.is_empty() {
            let mut rows = self.txn.open_table(SESSIONS).map_err(StorageError::redb)?;
            for client in changes.sessions {
                match sessions.expires_s(client) {
                    Some(expires_s) => rows.insert(client.to_u128(), expires_s),
                    None => rows.remove(client.to_u128()),
                }
                .map_err(StorageError::redb)?;
            }
        }
        let mut rows = self.txn.open_table(SESSION_REPLIES).map_err(StorageError::redb)?;
        for request in changes.replies {
            let key = (request.client.to_u128(), request.sequence.get());
            self.scratch.clear();
            match sessions.replayed(request) {
                Some(Replayed::Kept(reply)) => {
                    self.scratch.push(KEPT);
                    self.scratch.extend_from_slice(reply);
                    rows.insert(key, &self.scratch[..])
                }
                Some(Replayed::NotKept) => rows.insert(key, &[NOT_KEPT][..]),
                None => rows.remove(key),
            }
            .map_err(StorageError::redb)?;
        }
        Ok(())
    }
}

/// Reads the table that a file holds.
pub(crate) fn load(db: &Database) -> Result<SessionTable, StorageError> {
    let txn = db.begin_read().map_err(StorageError::redb)?;
    let meta = txn.open_table(record::META).map_err(StorageError::redb)?;
    let Some(now_ms) = meta.get(SESSION_TIME_KEY).map_err(StorageError::redb)? else {
        return Ok(empty());
    };
    let now_ms =
        now_ms.value().try_into().map_err(|_| StorageError::Invalid("a session time of the wrong length"))?;
    let mut restore = Restore::new(Limits::default(), u64::from_le_bytes(now_ms));
    restore_rows(&txn, &mut restore)?;
    Ok(restore.finish().map_err(contradiction)?.noting_changes())
}

fn restore_rows(txn: &ReadTransaction, restore: &mut Restore) -> Result<(), StorageError> {
    // The tables come with the first row; a client that was only refused leaves none.
    let sessions = match txn.open_table(SESSIONS) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(()),
        Err(error) => return Err(StorageError::redb(error)),
    };
    for row in sessions.iter().map_err(StorageError::redb)? {
        let (client, expires_s) = row.map_err(StorageError::redb)?;
        restore.session(client_id(client.value())?, expires_s.value()).map_err(contradiction)?;
    }
    let replies = txn.open_table(SESSION_REPLIES).map_err(StorageError::redb)?;
    for row in replies.iter().map_err(StorageError::redb)? {
        let (key, row) = row.map_err(StorageError::redb)?;
        let (client, sequence) = key.value();
        let sequence =
            Sequence::new(sequence).ok_or(StorageError::Invalid("a session's reply without a sequence"))?;
        let reply = match row.value().split_first() {
            Some((&KEPT, reply)) => Some(reply),
            Some((&NOT_KEPT, [])) => None,
            Some(_) | None => return Err(StorageError::Invalid("a session's reply of an unknown kind")),
        };
        let request = RequestId { client: client_id(client)?, sequence };
        restore.reply(request, reply).map_err(contradiction)?;
    }
    Ok(())
}

fn client_id(number: u128) -> Result<ClientId, StorageError> {
    ClientId::from_u128(number).ok_or(StorageError::Invalid("a session whose client is no UUID of version 7"))
}

fn contradiction(_: RestoreError) -> StorageError {
    StorageError::Invalid("sessions and replies that do not belong together")
}

/// The first reply to a request, if this store can show what it tells of. A reply of a batch that is being applied is
/// not given yet: whoever got it could read from this store and miss his own write.
pub(crate) fn replay(shared: &Shared, request: RequestId) -> Result<Option<Reply>, StorageError> {
    // Looked up before the sessions are: the revision may only grow in between.
    let revision = shared.tables().published().revision;
    let reply = match lock(&shared.sessions).replayed(request) {
        Some(Replayed::Kept(bytes)) => reply::read(bytes)?,
        Some(Replayed::NotKept) => Reply { revision, outcome: Err(ApplyError::ReplyNotKept) },
        None => return Ok(None),
    };
    Ok((reply.revision <= revision).then_some(reply))
}

/// A checksum over all sessions, their replies and their time.
pub(crate) fn hash(shared: &Shared) -> u32 {
    crc32c::crc32c(&lock(&shared.sessions).encode())
}
