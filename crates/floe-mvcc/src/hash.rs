//! HashKV: a checksum over the store's contents, for replicas to prove that they are equal.
//!
//! It is computed over what etcd would have in its file, in etcd's encoding, so that a floe and an etcd with the same
//! history give the same number. What a compaction has superseded is left out whether or not the sweep was there yet.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;

use crate::codec::write_uint;
use crate::error::{ReadError, StorageError};
use crate::key_index::{Change, Head, Place};
use crate::kv::KeyRange;
use crate::reader::View;
use crate::record::{self, Record};
use crate::shared::{Rows, Tables};

/// The name of etcd's table, which its hash begins with.
const SEED: &[u8] = b"key";

/// How many rows to look up in the index before the writer is let in.
const ROWS_PER_LOOK: usize = 512;

/// A hash over the contents of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashKv {
    /// CRC-32C.
    pub hash: u32,
    /// The revision compacted at; -1 before the first compaction. Hashes of different ones cannot be compared.
    pub compact_revision: i64,
    /// The revision that the hash goes up to.
    pub hash_revision: i64,
}

pub(crate) fn hash_kv(tables: &Tables, revision: i64) -> Result<HashKv, ReadError> {
    let view = View::take(tables);
    let compact_revision = view.compact_revision;
    if revision > view.current {
        return Err(ReadError::FutureRevision);
    }
    if revision > 0 && revision < compact_revision {
        return Err(ReadError::Compacted { compact_revision });
    }
    let hash_revision = if revision <= 0 { view.current } else { revision };
    // Of the rows at or below the compaction, etcd counts those that are newest at the revision - but if no key is alive
    // there, all that its sweep has left, which are those that were alive at the compaction.
    let newest_at = if any_alive(&view, hash_revision) { hash_revision } else { compact_revision };
    let mut hasher = Hasher { hash: crc32c::crc32c(SEED), scratch: Vec::new() };
    let mut next = Some(0);
    while let Some(from) = next {
        let kept =
            kept_rows(tables, view.rows(), from..=record::last_row(compact_revision), newest_at, &mut next)?;
        for place in kept {
            view.rows().visit(place, |record| hasher.add(record))?;
        }
    }
    view.rows().scan(compact_revision.max(0) + 1..=hash_revision, |record| {
        hasher.add(record);
        Ok(())
    })?;
    Ok(HashKv { hash: hasher.hash, compact_revision, hash_revision })
}

fn any_alive(view: &View<'_>, revision: i64) -> bool {
    let walk = view.visit(&KeyRange::all(), revision, &mut |_: &[u8], change: Change, _: &Head| {
        if change.tombstone { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    walk.is_break()
}

/// Which of the next rows hold a key's newest put at `newest_at`. Sets `next` to the row to go on from.
fn kept_rows(
    tables: &Tables,
    rows: &Arc<Rows>,
    range: std::ops::RangeInclusive<u128>,
    newest_at: i64,
    next: &mut Option<u128>,
) -> Result<Vec<Place>, StorageError> {
    let mut looked = Vec::new();
    *next = rows.scan_rows(range, ROWS_PER_LOOK, |record| {
        looked.push((record.place, Bytes::copy_from_slice(record.key)));
        Ok(())
    })?;
    let published = tables.published();
    let is_kept = |place: Place, key: &[u8]| {
        let change = published.index.history(key).and_then(|history| history.at(newest_at));
        change.is_some_and(|change| change.place == place && !change.tombstone)
    };
    looked.retain(|(place, key)| is_kept(*place, key));
    Ok(looked.into_iter().map(|(place, _)| place).collect())
}

struct Hasher {
    hash: u32,
    scratch: Vec<u8>,
}

impl Hasher {
    /// Adds a row as etcd has it: the revision as 17 bytes, one more for a deletion, and the pair as protobuf.
    fn add(&mut self, record: &Record<'_>) {
        let out = &mut self.scratch;
        out.clear();
        out.extend_from_slice(&record.place.revision.to_be_bytes());
        out.push(b'_');
        out.extend_from_slice(&u64::from(record.place.sub).to_be_bytes());
        if record.put.is_none() {
            out.push(b't');
        }
        write_field_bytes(out, 1, record.key);
        if let Some(put) = &record.put {
            write_field_int(out, 2, put.create_revision);
            write_field_int(out, 3, record.place.revision);
            write_field_int(out, 4, put.version);
            write_field_bytes(out, 5, put.value);
            write_field_int(out, 6, put.lease);
        }
        self.hash = crc32c::crc32c_append(self.hash, out);
    }
}

fn write_field_bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    if !bytes.is_empty() {
        out.push(field << 3 | 2);
        write_uint(out, bytes.len() as u64);
        out.extend_from_slice(bytes);
    }
}

fn write_field_int(out: &mut Vec<u8>, field: u8, figure: i64) {
    if figure != 0 {
        out.push(field << 3);
        write_uint(out, figure as u64);
    }
}
