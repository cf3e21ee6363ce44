//! The bytes of a [`Reply`] as the session table keeps it: `docs/design/sessions.md`, "Replies of the store".
//!
//! A retry is answered from these bytes, on any replica, so they hold all that a client sees: the revision of the header
//! included.

use bytes::Bytes;

use crate::codec::{Input, MAX_DEPTH, write_bytes, write_int, write_uint};
use crate::command::{Outcome, RangeReply, Reply, TxnOpReply, TxnReply};
use crate::error::{ApplyError, MalformedCommand, StorageError};
use crate::kv::KeyValue;

/// The layout that this version writes.
const VERSION: u8 = 1;

const DONE: u8 = 0;
const PUT: u8 = 1;
const DELETE_RANGE: u8 = 2;
const TXN: u8 = 3;
const LEASE_GRANT: u8 = 4;
const ALARM: u8 = 5;
/// Only inside a transaction.
const RANGE: u8 = 9;

const KEY_NOT_FOUND: u8 = 128;
const LEASE_NOT_FOUND: u8 = 129;
const LEASE_EXISTS: u8 = 130;
const COMPACTED: u8 = 131;
const FUTURE_REVISION: u8 = 132;
const NO_SPACE: u8 = 133;
const CORRUPT: u8 = 134;

/// Writes a reply into `out`, which it clears first. None for a refusal by the session table itself, which is no reply
/// of the store and is not kept.
pub(crate) fn write(out: &mut Vec<u8>, reply: &Reply) -> Option<()> {
    out.clear();
    out.push(VERSION);
    write_int(out, reply.revision);
    match &reply.outcome {
        Ok(Outcome::Done) => out.push(DONE),
        Ok(Outcome::Put { prev_kv }) => {
            out.push(PUT);
            write_pairs(out, prev_kv.as_slice());
        }
        Ok(Outcome::DeleteRange { deleted, prev_kvs }) => {
            out.push(DELETE_RANGE);
            write_int(out, *deleted);
            write_pairs(out, prev_kvs);
        }
        Ok(Outcome::Txn(txn)) => {
            out.push(TXN);
            write_txn(out, txn);
        }
        Ok(Outcome::LeaseGranted { id, ttl }) => {
            out.push(LEASE_GRANT);
            write_int(out, *id);
            write_int(out, *ttl);
        }
        Ok(Outcome::Alarm { was_raised }) => {
            out.push(ALARM);
            out.push(u8::from(*was_raised));
        }
        Err(error) => return write_error(out, *error),
    }
    Some(())
}

fn write_error(out: &mut Vec<u8>, error: ApplyError) -> Option<()> {
    out.push(match error {
        ApplyError::KeyNotFound => KEY_NOT_FOUND,
        ApplyError::LeaseNotFound => LEASE_NOT_FOUND,
        ApplyError::LeaseExists => LEASE_EXISTS,
        ApplyError::Compacted { .. } => COMPACTED,
        ApplyError::FutureRevision => FUTURE_REVISION,
        ApplyError::NoSpace => NO_SPACE,
        ApplyError::Corrupt => CORRUPT,
        ApplyError::Malformed | ApplyError::Session(_) | ApplyError::ReplyNotKept => return None,
    });
    if let ApplyError::Compacted { compact_revision } = error {
        write_int(out, compact_revision);
    }
    Some(())
}

fn write_pairs(out: &mut Vec<u8>, pairs: &[KeyValue]) {
    write_uint(out, pairs.len() as u64);
    for pair in pairs {
        write_bytes(out, &pair.key);
        for figure in [pair.create_revision, pair.mod_revision, pair.version] {
            write_int(out, figure);
        }
        write_bytes(out, &pair.value);
        write_int(out, pair.lease);
    }
}

fn write_txn(out: &mut Vec<u8>, txn: &TxnReply) {
    out.push(u8::from(txn.succeeded));
    write_int(out, txn.revision);
    write_uint(out, txn.responses.len() as u64);
    for response in &txn.responses {
        match response {
            TxnOpReply::Range(range) => {
                out.push(RANGE);
                write_int(out, range.revision);
                out.push(u8::from(range.more));
                write_int(out, range.count);
                write_pairs(out, &range.kvs);
            }
            TxnOpReply::Put { revision, prev_kv } => {
                out.push(PUT);
                write_int(out, *revision);
                write_pairs(out, prev_kv.as_slice());
            }
            TxnOpReply::DeleteRange { revision, deleted, prev_kvs } => {
                out.push(DELETE_RANGE);
                write_int(out, *revision);
                write_int(out, *deleted);
                write_pairs(out, prev_kvs);
            }
            TxnOpReply::Txn(txn) => {
                out.push(TXN);
                write_txn(out, txn);
            }
        }
    }
}

/// Reads what [`write`] wrote. It comes from the store's own file, so whatever is wrong with it is wrong with that.
pub(crate) fn read(bytes: &[u8]) -> Result<Reply, StorageError> {
    // One copy, of which the reply's keys and values are slices.
    let bytes = Bytes::copy_from_slice(bytes);
    let mut input = Input::new(&bytes);
    let reply = input.reply().map_err(|_| StorageError::Invalid("a session's reply that cannot be read"))?;
    if !input.is_at_end() {
        return Err(StorageError::Invalid("a session's reply that does not end"));
    }
    Ok(reply)
}

impl Input<'_> {
    fn reply(&mut self) -> Result<Reply, MalformedCommand> {
        let version = self.byte()?;
        if version != VERSION {
            return Err(MalformedCommand::Version(version));
        }
        let revision = self.int()?;
        let outcome = match self.byte()? {
            DONE => Ok(Outcome::Done),
            PUT => Ok(Outcome::Put { prev_kv: self.pair()? }),
            DELETE_RANGE => Ok(Outcome::DeleteRange { deleted: self.int()?, prev_kvs: self.pairs()? }),
            TXN => Ok(Outcome::Txn(self.txn_reply(MAX_DEPTH)?)),
            LEASE_GRANT => Ok(Outcome::LeaseGranted { id: self.int()?, ttl: self.int()? }),
            ALARM => Ok(Outcome::Alarm { was_raised: self.flag()? }),
            KEY_NOT_FOUND => Err(ApplyError::KeyNotFound),
            LEASE_NOT_FOUND => Err(ApplyError::LeaseNotFound),
            LEASE_EXISTS => Err(ApplyError::LeaseExists),
            COMPACTED => Err(ApplyError::Compacted { compact_revision: self.int()? }),
            FUTURE_REVISION => Err(ApplyError::FutureRevision),
            NO_SPACE => Err(ApplyError::NoSpace),
            CORRUPT => Err(ApplyError::Corrupt),
            _ => return Err(MalformedCommand::Unknown("reply")),
        };
        Ok(Reply { revision, outcome })
    }

    fn key_value(&mut self) -> Result<KeyValue, MalformedCommand> {
        Ok(KeyValue {
            key: self.bytes()?,
            create_revision: self.int()?,
            mod_revision: self.int()?,
            version: self.int()?,
            value: self.bytes()?,
            lease: self.int()?,
        })
    }

    fn pairs(&mut self) -> Result<Vec<KeyValue>, MalformedCommand> {
        self.list(Self::key_value)
    }

    fn pair(&mut self) -> Result<Option<KeyValue>, MalformedCommand> {
        Ok(self.pairs()?.pop())
    }

    fn txn_reply(&mut self, depth: usize) -> Result<TxnReply, MalformedCommand> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(MalformedCommand::TooDeep);
        };
        let succeeded = self.flag()?;
        let revision = self.int()?;
        let responses = self.list(|input| input.txn_op_reply(depth))?;
        Ok(TxnReply { succeeded, responses, revision })
    }

    fn txn_op_reply(&mut self, depth: usize) -> Result<TxnOpReply, MalformedCommand> {
        Ok(match self.byte()? {
            RANGE => {
                let (revision, more, count) = (self.int()?, self.flag()?, self.int()?);
                TxnOpReply::Range(RangeReply { revision, kvs: self.pairs()?, more, count })
            }
            PUT => TxnOpReply::Put { revision: self.int()?, prev_kv: self.pair()? },
            DELETE_RANGE => TxnOpReply::DeleteRange {
                revision: self.int()?,
                deleted: self.int()?,
                prev_kvs: self.pairs()?,
            },
            TXN => TxnOpReply::Txn(self.txn_reply(depth)?),
            _ => return Err(MalformedCommand::Unknown("reply")),
        })
    }
}
