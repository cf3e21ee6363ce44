//! Compaction: at once for every reader, and bit by bit in the file.
//!
//! The command sets the compaction revision, and from then on nobody may read below it. Removing what lies there is the
//! sweep: it follows the changes between the previous compaction and this one, because only a key that changed there can
//! have something to remove, and it does a bounded amount at a time, within transactions that are made anyway. It goes
//! in the table's order, so most of what it removes lies side by side: removing rows all over the table costs twenty
//! times as much. Its position is in the state row, so a restart goes on where the file is.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use bytes::Bytes;
use redb::ReadableTable;

use crate::apply::Batch;
use crate::error::{ApplyError, StorageError};
use crate::record::{self, ROW_OVERHEAD_BYTES, Record};

impl Batch<'_> {
    /// Puts a compaction in force.
    pub(crate) fn compact(&mut self, revision: i64) -> Result<(), ApplyError> {
        let state = &mut self.applied.state;
        if revision <= state.compact_revision {
            return Err(ApplyError::Compacted { compact_revision: state.compact_revision });
        }
        if revision > state.revision {
            return Err(ApplyError::FutureRevision);
        }
        // Deletions exactly at the previous compaction outlived it and go now, so the sweep begins with that revision;
        // earlier, if the sweep after it is not even there yet.
        let first = record::first_row(state.compact_revision);
        state.sweep = Some(state.sweep.map_or(first, |sweep| sweep.min(first)));
        state.compact_revision = revision;
        Ok(())
    }

    /// Looks at the next `budget` rows and removes what must go. To be called before the first command of a batch, when
    /// the compaction is the one that readers see: a reader that still needs what goes has pinned it, and a later one is
    /// refused.
    pub(crate) fn sweep(&mut self, budget: usize) -> Result<(), StorageError> {
        let Some(from) = self.applied.state.sweep else {
            return Ok(());
        };
        let target = self.applied.state.compact_revision;
        if self.tables.lowest_pin().is_some_and(|pinned| pinned < target) {
            return Ok(());
        }
        let look = self.look(from, target, budget)?;
        let mut gone = Vec::new();
        let mut swept = BTreeMap::<Bytes, usize>::new();
        {
            let published = self.tables.published();
            for (row_key, key) in look.rows {
                let Some(history) = published.index.history(&key) else {
                    continue;
                };
                // The index still names what an earlier row of this look has removed.
                let swept = swept.entry(key).or_default();
                let before = gone.len();
                let places = history.swept_by(record::place(row_key), target).skip(*swept);
                gone.extend(places.map(record::row_key));
                *swept += gone.len() - before;
            }
        }
        gone.sort_unstable();
        self.remove(&gone, from..=look.last)?;
        self.applied.swept = swept.into_iter().filter(|&(_, count)| count > 0).collect();
        self.applied.state.sweep = look.next;
        Ok(())
    }

    /// Removes rows, in order; those in `walked`, which are many and side by side, in one pass over their pages.
    fn remove(&mut self, gone: &[u128], walked: RangeInclusive<u128>) -> Result<(), StorageError> {
        let mut removed = 0;
        let (scattered, dense) = gone.split_at(gone.partition_point(|row_key| row_key < walked.start()));
        for row_key in scattered {
            if let Some(row) = self.rows.remove(row_key).map_err(StorageError::redb)? {
                removed += row.value().len() as u64 + ROW_OVERHEAD_BYTES;
            }
        }
        let mut dense = dense.iter().peekable();
        let stays = |row_key: u128, row: &[u8]| {
            let goes = dense.next_if(|&&gone| gone == row_key).is_some();
            if goes {
                removed += row.len() as u64 + ROW_OVERHEAD_BYTES;
            }
            !goes
        };
        self.rows.retain_in(walked, stays).map_err(StorageError::redb)?;
        self.applied.row_bytes -= removed as i64;
        Ok(())
    }

    fn look(&self, from: u128, target: i64, budget: usize) -> Result<Look, StorageError> {
        let mut rows = Vec::new();
        let mut last = from;
        for entry in self.rows.range(from..=record::last_row(target)).map_err(StorageError::redb)? {
            let (row_key, row) = entry.map_err(StorageError::redb)?;
            let row_key = row_key.value();
            if rows.len() == budget {
                return Ok(Look { rows, last, next: Some(row_key) });
            }
            let key = Bytes::copy_from_slice(Record::read(row_key, row.value())?.key);
            rows.push((row_key, key));
            last = row_key;
        }
        Ok(Look { rows, last, next: None })
    }
}

/// What the sweep looked at.
struct Look {
    /// Rows and their keys.
    rows: Vec<(u128, Bytes)>,
    /// The last of them.
    last: u128,
    /// The row after them, if the sweep has one left.
    next: Option<u128>,
}
