//! The slots of the identifier region: what was written where, far away from it, so that a torn write is told
//! from damage (Alagappan et al., FAST'18), and the second copies of the hard states.

use bytes::{Buf, BufMut};
use floe_raft::{GroupId, HardState, NodeId, Term};

use crate::segment::{Binding, SLOT_BYTES};

const FRAME: u8 = 1;
const HARD_STATE: u8 = 2;
const SEAL: u8 = 3;

/// One slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// A frame was written here.
    Frame(Identifier),
    /// The second copy of a hard state of the next frame in the region.
    HardState { group: GroupId, hard_state: HardState },
    /// The segment ended with this frame and its successor is durable. The length is zero, the offset is the
    /// end.
    Seal(Identifier),
}

/// What identifies a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identifier {
    pub(crate) number: u64,
    pub(crate) offset: u32,
    pub(crate) length: u32,
    pub(crate) checksum: u32,
}

impl Slot {
    pub(crate) fn encode(&self, binding: Binding, offset: u64) -> [u8; SLOT_BYTES as usize] {
        let mut bytes = [0; SLOT_BYTES as usize];
        let mut out = &mut bytes[4..];
        match self {
            Self::Frame(identifier) => put_identifier(&mut out, FRAME, identifier),
            Self::Seal(identifier) => put_identifier(&mut out, SEAL, identifier),
            Self::HardState { group, hard_state } => {
                out.put_u8(HARD_STATE);
                out.put_u8(u8::from(hard_state.vote.is_some()));
                out.put_u16_le(0);
                out.put_u64_le(group.0);
                out.put_u64_le(hard_state.term.0);
                out.put_u64_le(hard_state.vote.map_or(0, |node| node.0));
            }
        }
        let checksum = binding.checksum(offset, &bytes[4..]);
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// `None` if nothing of this segment was written here, or it is damaged. `bytes` is one slot.
    pub(crate) fn decode(bytes: &[u8], binding: Binding, offset: u64) -> Option<Self> {
        let mut input = bytes;
        if input.get_u32_le() != binding.checksum(offset, &bytes[4..]) {
            return None;
        }
        let kind = input.get_u8();
        let has_vote = input.get_u8() == 1;
        input.advance(2);
        match kind {
            FRAME => Some(Self::Frame(identifier_in(input))),
            SEAL => Some(Self::Seal(identifier_in(input))),
            HARD_STATE => {
                let group = GroupId(input.get_u64_le());
                let term = Term(input.get_u64_le());
                let vote = NodeId(input.get_u64_le());
                Some(Self::HardState {
                    group,
                    hard_state: HardState { term, vote: has_vote.then_some(vote) },
                })
            }
            _ => None,
        }
    }
}

fn put_identifier(out: &mut impl BufMut, kind: u8, identifier: &Identifier) {
    out.put_u8(kind);
    out.put_u8(0);
    out.put_u16_le(0);
    out.put_u64_le(identifier.number);
    out.put_u32_le(identifier.offset);
    out.put_u32_le(identifier.length);
    out.put_u32_le(identifier.checksum);
}

fn identifier_in(mut input: &[u8]) -> Identifier {
    Identifier {
        number: input.get_u64_le(),
        offset: input.get_u32_le(),
        length: input.get_u32_le(),
        checksum: input.get_u32_le(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_verifies_in_its_place_alone() {
        let identifier = Identifier { number: 9, offset: 4096, length: 512, checksum: 77 };
        let hard_state = HardState { term: Term(4), vote: Some(NodeId(2)) };
        let slots = [
            Slot::Frame(identifier),
            Slot::Seal(identifier),
            Slot::HardState { group: GroupId(3), hard_state },
        ];
        let binding = Binding::new(1, 2, 3);
        for slot in slots {
            let bytes = slot.encode(binding, 64);
            assert_eq!(Slot::decode(&bytes, binding, 64), Some(slot));
            assert_eq!(Slot::decode(&bytes, binding, 96), None);
            assert_eq!(Slot::decode(&bytes, Binding::new(1, 2, 4), 64), None);
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes;
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(Slot::decode(&flipped, binding, 64), None);
            }
        }
        assert_eq!(Slot::decode(&[0; 32], binding, 64), None);
    }
}
