//! The bytes in the store's file: `docs/design/mvcc.md`, "Tables". Every table, row key and row value is named and
//! encoded here and nowhere else.

use bytes::Bytes;
use redb::TableDefinition;

use crate::codec::write_uint;
use crate::error::StorageError;
use crate::key_index::{Change, Head, Place};
use crate::kv::{Event, KeyValue};

/// The layout that this version reads and writes.
pub(crate) const LAYOUT: u32 = 1;

/// Every change since the compaction, in order: [`row_key`] to [`write_put`] or [`write_tombstone`].
pub(crate) const REVISIONS: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("revisions");
/// [`STATE_KEY`] and [`SESSION_TIME_KEY`].
pub(crate) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// Lease id to its seconds to live.
pub(crate) const LEASES: TableDefinition<'_, i64, i64> = TableDefinition::new("leases");
/// Member id to what it published.
pub(crate) const MEMBERS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("members");
/// Raised alarms: member id, and etcd's number of the alarm.
pub(crate) const ALARMS: TableDefinition<'_, (u64, i32), ()> = TableDefinition::new("alarms");
/// Client id to the second of the log's time in which its session may be forgotten.
pub(crate) const SESSIONS: TableDefinition<'_, u128, u64> = TableDefinition::new("sessions");
/// Client id and sequence to a byte, whether the reply was kept, and the reply.
pub(crate) const SESSION_REPLIES: TableDefinition<'_, (u128, u64), &[u8]> =
    TableDefinition::new("session_replies");
/// The row of [`META`] with the log's time in milliseconds, as 8 bytes; absent until a command carries a tag.
pub(crate) const SESSION_TIME_KEY: &str = "session_time";
/// The row of [`META`] with [`State`].
pub(crate) const STATE_KEY: &str = "state";

/// What a row costs in the file besides its value: its key, its entry in the page, and the page's share of branches.
pub(crate) const ROW_OVERHEAD_BYTES: u64 = 16 + 4 + 2;

const TOMBSTONE: u8 = 1;
const LEASED: u8 = 2;

/// A place as a row key. Its order is that of the places: revisions are positive.
pub(crate) fn row_key(place: Place) -> u128 {
    u128::from(place.revision as u64) << 64 | u128::from(place.sub)
}

/// The place of a row key.
pub(crate) fn place(row_key: u128) -> Place {
    Place { revision: (row_key >> 64) as u64 as i64, sub: row_key as u32 }
}

/// The first row key of a revision.
pub(crate) fn first_row(revision: i64) -> u128 {
    u128::from(revision.max(0) as u64) << 64
}

/// The last row key of a revision.
pub(crate) fn last_row(revision: i64) -> u128 {
    first_row(revision) | u128::from(u64::MAX)
}

/// What a put wrote, borrowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PutRecord<'a> {
    pub(crate) create_revision: i64,
    pub(crate) version: i64,
    pub(crate) lease: i64,
    pub(crate) value: &'a [u8],
}

/// A row of the revision table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) place: Place,
    pub(crate) key: &'a [u8],
    /// None for a deletion.
    pub(crate) put: Option<PutRecord<'a>>,
}

/// Encodes a put's row into `out`, which it clears first.
pub(crate) fn write_put(out: &mut Vec<u8>, revision: i64, key: &[u8], put: &PutRecord<'_>) {
    out.clear();
    out.push(if put.lease == 0 { 0 } else { LEASED });
    write_uint(out, put.version as u64);
    write_uint(out, (revision - put.create_revision) as u64);
    if put.lease != 0 {
        out.extend_from_slice(&put.lease.to_le_bytes());
    }
    write_uint(out, key.len() as u64);
    out.extend_from_slice(key);
    out.extend_from_slice(put.value);
}

/// Encodes a deletion's row into `out`, which it clears first.
pub(crate) fn write_tombstone(out: &mut Vec<u8>, key: &[u8]) {
    out.clear();
    out.push(TOMBSTONE);
    out.extend_from_slice(key);
}

impl<'a> Record<'a> {
    /// Decodes a row.
    pub(crate) fn read(row_key: u128, row: &'a [u8]) -> Result<Self, StorageError> {
        let place = place(row_key);
        let (&kind, rest) = row.split_first().ok_or(StorageError::Invalid("an empty revision"))?;
        match kind {
            TOMBSTONE => Ok(Self { place, key: rest, put: None }),
            0 | LEASED => {
                let (put, key) = read_put(place, kind == LEASED, rest)
                    .ok_or(StorageError::Invalid("a revision that ends early"))?;
                Ok(Self { place, key, put: Some(put) })
            }
            _ => Err(StorageError::Invalid("a revision of an unknown kind")),
        }
    }

    /// The row as the index sees it.
    pub(crate) fn head(&self) -> Head {
        let change = Change {
            place: self.place,
            tombstone: self.put.is_none(),
            leased: self.put.is_some_and(|put| put.lease != 0),
        };
        let (create_revision, version) = self.put.map_or((0, 0), |put| (put.create_revision, put.version));
        Head { change, create_revision, version }
    }

    /// Copies the row out; none for a deletion.
    pub(crate) fn key_value(&self) -> Option<KeyValue> {
        self.put.map(|put| KeyValue {
            key: Bytes::copy_from_slice(self.key),
            create_revision: put.create_revision,
            mod_revision: self.place.revision,
            version: put.version,
            value: Bytes::copy_from_slice(put.value),
            lease: put.lease,
        })
    }

    /// Copies the row out as a watcher sees it.
    pub(crate) fn event(&self) -> Event {
        self.key_value().map_or_else(
            || {
                let key = Bytes::copy_from_slice(self.key);
                Event::Delete(KeyValue { key, mod_revision: self.place.revision, ..KeyValue::default() })
            },
            Event::Put,
        )
    }
}

fn read_put(place: Place, leased: bool, row: &[u8]) -> Option<(PutRecord<'_>, &[u8])> {
    let (version, row) = read_uint(row)?;
    let (age, row) = read_uint(row)?;
    let (lease, row) = if leased {
        let (lease, row) = row.split_first_chunk()?;
        (i64::from_le_bytes(*lease), row)
    } else {
        (0, row)
    };
    let (key_len, row) = read_uint(row)?;
    let (key, value) = row.split_at_checked(usize::try_from(key_len).ok()?)?;
    let create_revision = place.revision.checked_sub(i64::try_from(age).ok()?)?;
    Some((PutRecord { create_revision, version: i64::try_from(version).ok()?, lease, value }, key))
}

fn read_uint(mut row: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = row.split_first()?;
        row = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some((value, row));
        }
    }
    None
}

/// The row of [`META`]: what the file contains, written in the transaction that made it so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// The term of the last log entry applied.
    pub(crate) term: u64,
    /// Its index.
    pub(crate) index: u64,
    /// The store's revision.
    pub(crate) revision: i64,
    /// The revision compacted at; -1 before the first compaction.
    pub(crate) compact_revision: i64,
    /// The first row that the sweep after the compaction has not looked at yet; none when it is through.
    pub(crate) sweep: Option<u128>,
}

impl State {
    const BYTES: usize = 4 + 4 * 8 + 1 + 16;

    /// The state of an empty store. etcd counts from 1, so the first write is revision 2.
    pub(crate) fn empty() -> Self {
        Self { term: 0, index: 0, revision: 1, compact_revision: -1, sweep: None }
    }

    /// The row's bytes.
    pub(crate) fn encode(&self) -> [u8; Self::BYTES] {
        let mut out = [0; Self::BYTES];
        out[..4].copy_from_slice(&LAYOUT.to_le_bytes());
        out[4..12].copy_from_slice(&self.term.to_le_bytes());
        out[12..20].copy_from_slice(&self.index.to_le_bytes());
        out[20..28].copy_from_slice(&self.revision.to_le_bytes());
        out[28..36].copy_from_slice(&self.compact_revision.to_le_bytes());
        out[36] = u8::from(self.sweep.is_some());
        out[37..].copy_from_slice(&self.sweep.unwrap_or(0).to_le_bytes());
        out
    }

    /// Reads the row.
    pub(crate) fn decode(row: &[u8]) -> Result<Self, StorageError> {
        let (layout, rest) =
            row.split_first_chunk().ok_or(StorageError::Invalid("a state row that ends early"))?;
        let found = u32::from_le_bytes(*layout);
        if found != LAYOUT {
            return Err(StorageError::Layout { found, supported: LAYOUT });
        }
        Self::fields(rest).ok_or(StorageError::Invalid("a state row of the wrong length"))
    }

    fn fields(row: &[u8]) -> Option<Self> {
        let (term, row) = row.split_first_chunk()?;
        let (index, row) = row.split_first_chunk()?;
        let (revision, row) = row.split_first_chunk()?;
        let (compact_revision, row) = row.split_first_chunk()?;
        let (sweeping, row) = row.split_first()?;
        let sweep = u128::from_le_bytes(row.try_into().ok()?);
        Some(Self {
            term: u64::from_le_bytes(*term),
            index: u64::from_le_bytes(*index),
            revision: i64::from_le_bytes(*revision),
            compact_revision: i64::from_le_bytes(*compact_revision),
            sweep: (*sweeping == 1).then_some(sweep),
        })
    }
}
