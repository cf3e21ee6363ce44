//! What this member remembers of the disks of the others, so that one which lost what it acknowledged is found out.
//!
//! Every data directory has a number, drawn at random when it is made. A member says its disk's number and how far its
//! log and its term are in every handshake. Whoever hears it knows what that member acknowledged before, and refuses one
//! that comes with another disk, or with less (`docs/design/fencing.md`; reliability W16, W17).
//!
//! ```text
//! magic "FLOEFENC" | version u16 | own disk u64 | count u32
//! | count x (member u64, lost u8, disk u64, term u64, matched u64, committed u64) | crc32c u32 of all before
//! ```
//! Numbers are little endian.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use bytes::{Buf, BufMut, Bytes};
use floe_raft::{Index, NodeId, Term};

use crate::completion::lock;
use crate::handshake::Refusal;

const FILE: &str = "fences";
const TEMPORARY: &str = "fences.tmp";
const MAGIC: &[u8; 8] = b"FLOEFENC";
const VERSION: u16 = 1;
/// Members that are remembered; no cluster has had so many.
const MEMBERS_MAX: usize = 10_000;
const BYTES_MAX: u64 = 1 << 20;

/// What a member says of its disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DiskState {
    /// The number of its data directory; zero from those who have none.
    pub(crate) disk: u64,
    /// Its durable term.
    pub(crate) term: Term,
    /// The last entry that its log, or its state machine, holds durably.
    pub(crate) index: Index,
}

/// What a member's disk must hold, because it said that it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fence {
    pub(crate) disk: u64,
    /// The latest term in which it acknowledged entries,
    pub(crate) term: Term,
    /// up to this one.
    pub(crate) matched: Index,
    /// The last acknowledged one that is known to be committed.
    pub(crate) committed: Index,
}

impl Fence {
    fn of(disk: u64) -> Self {
        Self { disk, term: Term(0), matched: Index::ZERO, committed: Index::ZERO }
    }

    /// Whether the disk lacks something.
    ///
    /// In a later term than the acknowledged one a follower may rightly have dropped what it acknowledged, but never what
    /// was committed. In the same term its log only grows.
    fn is_broken_by(&self, state: &DiskState) -> bool {
        state.term < self.term
            || (state.term == self.term && state.index < self.matched)
            || state.index < self.committed
    }

    fn raise(&mut self, term: Term, matched: Index, committed: Index) -> bool {
        let before = *self;
        (self.term, self.matched) = (self.term, self.matched).max((term, matched));
        self.committed = self.committed.max(committed);
        before != *self
    }
}

/// The memory, shared by the threads of a node.
#[derive(Debug)]
pub(crate) struct Fences {
    directory: PathBuf,
    own: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    remembered: BTreeMap<NodeId, Remembered>,
    is_saved: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remembered {
    Fence(Fence),
    /// The cluster was recovered without it.
    Lost,
}

impl Fences {
    /// Reads the file, or makes it, durably, with a number for this directory.
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        match File::open(directory.join(FILE)) {
            Ok(file) => {
                let mut bytes = Vec::new();
                file.take(BYTES_MAX).read_to_end(&mut bytes)?;
                let (own, remembered) = decode(bytes.into())
                    .map_err(|reason| io::Error::new(io::ErrorKind::InvalidData, reason))?;
                let state = Mutex::new(State { remembered, is_saved: true });
                Ok(Self { directory: directory.to_owned(), own, state })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let own = rand::random::<u64>().max(1);
                let fences = Self { directory: directory.to_owned(), own, state: Mutex::default() };
                fences.save()?;
                Ok(fences)
            }
            Err(error) => Err(error),
        }
    }

    /// The number of this data directory.
    pub(crate) fn own(&self) -> u64 {
        self.own
    }

    /// Why the member must not take part with this disk, if so.
    pub(crate) fn judge(&self, member: NodeId, disk: &DiskState) -> Option<Refusal> {
        match lock(&self.state).remembered.get(&member)? {
            Remembered::Lost => Some(Refusal::Lost),
            Remembered::Fence(fence) if fence.disk != disk.disk => Some(Refusal::OtherDisk),
            Remembered::Fence(fence) if fence.is_broken_by(disk) => Some(Refusal::OldDisk),
            Remembered::Fence(_) => None,
        }
    }

    /// Whether the cluster was recovered without the member.
    pub(crate) fn is_lost(&self, member: NodeId) -> bool {
        lock(&self.state).remembered.get(&member) == Some(&Remembered::Lost)
    }

    /// The member takes part with this disk.
    pub(crate) fn met(&self, member: NodeId, disk: &DiskState) {
        let mut state = lock(&self.state);
        if !state.remembered.contains_key(&member) && state.remembered.len() < MEMBERS_MAX {
            state.remembered.insert(member, Remembered::Fence(Fence::of(disk.disk)));
            state.is_saved = false;
        }
    }

    /// The member acknowledged, in that term, that its log holds everything up to `matched` durably.
    pub(crate) fn acknowledged(&self, member: NodeId, term: Term, matched: Index, committed: Index) {
        let mut state = lock(&self.state);
        if let Some(Remembered::Fence(fence)) = state.remembered.get_mut(&member)
            && fence.raise(term, matched, committed.min(matched))
        {
            state.is_saved = false;
        }
    }

    /// What others should know, too.
    pub(crate) fn list(&self) -> Vec<(NodeId, Fence)> {
        let state = lock(&self.state);
        let fence = |(id, remembered): (&NodeId, &Remembered)| match remembered {
            Remembered::Fence(fence) => Some((*id, *fence)),
            Remembered::Lost => None,
        };
        state.remembered.iter().filter_map(fence).collect()
    }

    /// Takes over what another member knows. Says why this one must not take part, if it is told so of itself.
    pub(crate) fn merge(&self, own: NodeId, disk: &DiskState, known: &[(NodeId, Fence)]) -> Option<Refusal> {
        let mut refusal = None;
        let mut state = lock(&self.state);
        for (member, fence) in known {
            if *member == own {
                if fence.disk != disk.disk {
                    refusal = Some(Refusal::OtherDisk);
                } else if fence.is_broken_by(disk) {
                    refusal = Some(Refusal::OldDisk);
                }
                continue;
            }
            let has_room = state.remembered.len() < MEMBERS_MAX;
            let is_new = match state.remembered.get_mut(member) {
                // Of two disks under one id this member has met one; it stays with that.
                Some(Remembered::Fence(mine)) if mine.disk == fence.disk => {
                    mine.raise(fence.term, fence.matched, fence.committed)
                }
                Some(Remembered::Fence(_) | Remembered::Lost) => false,
                None if has_room => {
                    state.remembered.insert(*member, Remembered::Fence(*fence));
                    true
                }
                None => false,
            };
            state.is_saved &= !is_new;
        }
        refusal
    }

    /// The cluster goes on without these members, for good.
    pub(crate) fn note_lost(&self, members: impl IntoIterator<Item = NodeId>) -> io::Result<()> {
        {
            let mut state = lock(&self.state);
            for member in members {
                state.remembered.insert(member, Remembered::Lost);
                state.is_saved = false;
            }
        }
        self.save()
    }

    /// Writes the file if anything is new, so that it is either whole or as it was. One thread at a time calls this.
    pub(crate) fn save(&self) -> io::Result<()> {
        let bytes = {
            let mut state = lock(&self.state);
            if std::mem::replace(&mut state.is_saved, true) {
                return Ok(());
            }
            encode(self.own, &state.remembered)
        };
        let temporary = self.directory.join(TEMPORARY);
        let mut file = File::create(&temporary)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, self.directory.join(FILE))?;
        File::open(&self.directory)?.sync_all()
    }
}

fn encode(own: u64, remembered: &BTreeMap<NodeId, Remembered>) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.put_u16_le(VERSION);
    bytes.put_u64_le(own);
    bytes.put_u32_le(remembered.len() as u32);
    for (member, remembered) in remembered {
        bytes.put_u64_le(member.0);
        match remembered {
            Remembered::Fence(fence) => {
                bytes.put_u8(0);
                fence.encode(&mut bytes);
            }
            Remembered::Lost => {
                bytes.put_u8(1);
                Fence::of(0).encode(&mut bytes);
            }
        }
    }
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

fn decode(mut bytes: Bytes) -> Result<(u64, BTreeMap<NodeId, Remembered>), &'static str> {
    let short = |_| "the file of fences is too short";
    if bytes.len() < MAGIC.len() + 18 || bytes[..MAGIC.len()] != *MAGIC {
        return Err("the file of fences is none");
    }
    let mut crc = bytes.split_off(bytes.len() - 4);
    if crc.try_get_u32_le().map_err(short)? != crc32c::crc32c(&bytes) {
        return Err("the checksum of the file of fences does not match");
    }
    bytes.advance(MAGIC.len());
    if bytes.try_get_u16_le().map_err(short)? != VERSION {
        return Err("the file of fences was written by a newer version");
    }
    let own = bytes.try_get_u64_le().map_err(short)?;
    let count = bytes.try_get_u32_le().map_err(short)?;
    let mut remembered = BTreeMap::new();
    for _ in 0..count {
        let member = NodeId(bytes.try_get_u64_le().map_err(short)?);
        let lost = bytes.try_get_u8().map_err(short)?;
        let fence = Fence::decode(&mut bytes).ok_or("the file of fences is too short")?;
        let entry = match lost {
            0 => Remembered::Fence(fence),
            1 => Remembered::Lost,
            _ => return Err("the file of fences has a record of an unknown kind"),
        };
        remembered.insert(member, entry);
    }
    if bytes.is_empty() { Ok((own, remembered)) } else { Err("the file of fences is too long") }
}

impl Fence {
    /// Disk, term, matched and committed, eight bytes each.
    pub(crate) fn encode(&self, out: &mut impl BufMut) {
        for number in [self.disk, self.term.0, self.matched.0, self.committed.0] {
            out.put_u64_le(number);
        }
    }

    /// Reads what [`Self::encode`] wrote.
    pub(crate) fn decode(bytes: &mut Bytes) -> Option<Self> {
        let mut number = || bytes.try_get_u64_le().ok();
        let (disk, term, matched, committed) = (number()?, number()?, number()?, number()?);
        Some(Self { disk, term: Term(term), matched: Index(matched), committed: Index(committed) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: NodeId = NodeId(2);

    fn disk(disk: u64, term: u64, index: u64) -> DiskState {
        DiskState { disk, term: Term(term), index: Index(index) }
    }

    #[test]
    fn what_was_acknowledged_must_be_there_in_the_same_term_and_what_is_committed_for_ever() {
        let dir = tempfile::tempdir().expect("a directory");
        let fences = Fences::open(dir.path()).expect("made");
        assert_eq!(fences.judge(PEER, &disk(7, 0, 0)), None, "nothing is known of it");
        fences.met(PEER, &disk(7, 0, 0));
        fences.acknowledged(PEER, Term(3), Index(100), Index(90));
        assert_eq!(fences.judge(PEER, &disk(7, 3, 100)), None);
        assert_eq!(fences.judge(PEER, &disk(7, 3, 99)), Some(Refusal::OldDisk));
        assert_eq!(
            fences.judge(PEER, &disk(7, 2, 200)),
            Some(Refusal::OldDisk),
            "it forgot a term, and a vote"
        );
        // A leader of term 4 may have overwritten 91 to 100, which are not known to be committed.
        assert_eq!(fences.judge(PEER, &disk(7, 4, 90)), None);
        assert_eq!(fences.judge(PEER, &disk(7, 4, 89)), Some(Refusal::OldDisk));
        assert_eq!(fences.judge(PEER, &disk(8, 9, 999)), Some(Refusal::OtherDisk));
        // An acknowledgement that was on its way for long changes nothing.
        fences.acknowledged(PEER, Term(2), Index(500), Index(0));
        assert_eq!(fences.judge(PEER, &disk(7, 3, 100)), None);
    }

    #[test]
    fn the_memory_survives_and_goes_round() {
        let dir = tempfile::tempdir().expect("a directory");
        let fences = Fences::open(dir.path()).expect("made");
        fences.met(PEER, &disk(7, 0, 0));
        fences.acknowledged(PEER, Term(3), Index(100), Index(100));
        fences.note_lost([NodeId(5)]).expect("written");
        let own = fences.own();
        let again = Fences::open(dir.path()).expect("read");
        assert_eq!(again.own(), own);
        assert_eq!(again.judge(PEER, &disk(7, 3, 99)), Some(Refusal::OldDisk));
        assert_eq!(again.judge(NodeId(5), &disk(1, 9, 9)), Some(Refusal::Lost));

        let other_dir = tempfile::tempdir().expect("a directory");
        let other = Fences::open(other_dir.path()).expect("made");
        assert_ne!(other.own(), own);
        let known = again.list();
        assert_eq!(known.len(), 1, "who is lost is each member's own knowledge");
        assert_eq!(other.merge(NodeId(1), &disk(other.own(), 9, 999), &known), None);
        assert_eq!(other.judge(PEER, &disk(7, 3, 99)), Some(Refusal::OldDisk));
        // Told of itself, a member knows that its disk is an old one, or not the one that it had.
        assert_eq!(other.merge(PEER, &disk(7, 3, 100), &known), None);
        assert_eq!(other.merge(PEER, &disk(7, 3, 99), &known), Some(Refusal::OldDisk));
        assert_eq!(other.merge(PEER, &disk(8, 3, 100), &known), Some(Refusal::OtherDisk));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let remembered =
            [(PEER, Remembered::Fence(Fence::of(7))), (NodeId(3), Remembered::Lost)].into_iter().collect();
        let whole = encode(9, &remembered);
        assert_eq!(decode(whole.clone().into()), Ok((9, remembered)));
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(flipped.into()).is_err(), "bit {bit}");
        }
        for length in 0..whole.len() {
            assert!(decode(whole[..length].to_vec().into()).is_err(), "length {length}");
        }
    }
}
