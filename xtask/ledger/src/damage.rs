//! Looking for bugs that only show on damaged disks, which the simulated worlds do not have: a log is written, one bit or
//! one sector of it is damaged, and it is opened again.
//!
//! Two rules hold of a log that is opened after that. Either it holds all that was acknowledged, or it says that it does
//! not: nothing is dropped in silence. And whatever single bit it is, term and vote are not lost, since there are two
//! copies of them.

use std::collections::BTreeMap;

use bytes::Bytes;
use floe_raft::{Entry, EntryKind, GroupId, HardState, Index, LogId, NodeId, Term, Write, WriteId};
use floe_wal::sim::SimDisk;
use floe_wal::{Mutant, OpenError, Options, RecoveredGroup, Wal};

const GROUP: GroupId = GroupId(1);
/// Small segments: the batches of a seed stay within the first, and most of its used bytes matter.
const SEGMENT_BYTES: u64 = 64 << 10;
const SECTOR: usize = 512;

/// The rule that a log with this bug breaks when it is damaged as the seed says; `None` if it holds.
pub(crate) fn broken_rule(mutant: Option<Mutant>, seed: u64) -> Option<String> {
    let mut random = Random(seed);
    let disk = SimDisk::new();
    let options = Options { segment_bytes: SEGMENT_BYTES, mutant, ..Options::new(0xc1, 0x3e) };
    let written = match write(&disk, &options, &mut random) {
        Ok(written) => written,
        Err(reason) => return Some(reason),
    };
    let (file, bit) = damage(&disk, &mut random)?;
    let what = if bit { "one bit" } else { "one sector" };
    match Wal::open(disk, options) {
        Ok((_, groups)) if groups.get(&GROUP) == Some(&written) => None,
        Ok((_, groups)) => {
            let last = groups.get(&GROUP).map_or(LogId::ZERO, |group| group.last);
            Some(format!(
                "nothing is dropped in silence: {what} of {file} is damaged, and the log that ended at {} opens and \
                 ends at {last}",
                written.last
            ))
        }
        Err(OpenError::HardStateLost { .. }) if bit => Some(format!(
            "one copy of term and vote is enough: {what} of {file} is damaged, and they are lost"
        )),
        Err(_) => None,
    }
}

/// Writes some batches; what a log holds of them when it is opened undamaged.
fn write(disk: &SimDisk, options: &Options, random: &mut Random) -> Result<RecoveredGroup, String> {
    let wrong = |error: &dyn std::error::Error| format!("the log cannot be written: {error}");
    let (mut wal, _) = Wal::open(disk.clone(), options.clone()).map_err(|error| wrong(&error))?;
    let mut index = Index::ZERO;
    for batch in 1..=random.below(12) + 2 {
        let term = Term(1 + batch / 3);
        let entries: Vec<Entry> = (0..=random.below(3))
            .map(|_| {
                index = index.next();
                let payload = Bytes::from(vec![random.below(255) as u8 + 1; random.below(900) as usize]);
                Entry { id: LogId::new(term, index), kind: EntryKind::Command, payload }
            })
            .collect();
        let voted = HardState { term, vote: Some(NodeId(1 + random.below(3))) };
        let hard_state = (batch == 1 || random.below(2) == 0).then_some(voted);
        let write =
            Write { id: WriteId(batch), hard_state, restart_after: None, truncate_from: None, entries };
        wal.append(&[(GROUP, write)]).map_err(|error| wrong(&error))?;
    }
    drop(wal);
    let whole = disk.duplicate();
    let options = Options { mutant: None, ..options.clone() };
    let opened: Result<(_, BTreeMap<GroupId, RecoveredGroup>), _> = Wal::open(whole, options);
    let (_, mut groups) = opened.map_err(|error| wrong(&error))?;
    groups.remove(&GROUP).ok_or_else(|| "the log is empty".to_owned())
}

/// Damages one bit or one sector among those that were written; the file, and whether it was a bit.
fn damage(disk: &SimDisk, random: &mut Random) -> Option<(String, bool)> {
    let file = disk.names().into_iter().find(|name| name.ends_with(".log"))?;
    let bytes = disk.contents(&file)?;
    let used: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
    let at = *used.get(random.below(used.len() as u64) as usize)?;
    let is_bit = random.below(2) == 0;
    if is_bit {
        disk.flip_bit(&file, at as u64, random.below(8) as u8);
    } else {
        disk.damage(&file, |bytes| {
            let start = at / SECTOR * SECTOR;
            bytes[start..start + SECTOR].fill(0);
        });
    }
    Some((file, is_bit))
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_log_is_whole_or_refused_and_keeps_its_vote() {
        for seed in 1..=500 {
            assert_eq!(broken_rule(None, seed), None, "seed {seed}");
        }
    }
}
