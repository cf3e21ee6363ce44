//! What a command carries so that a session can be kept: the request's name, and the time by the proposer's clock.

use crate::id::{ClientId, RequestId, Sequence};

/// Goes with a command through the log. 32 bytes, which the carrier's own layout versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// The request that the command is an attempt at.
    pub request: RequestId,
    /// When it was proposed, in milliseconds since 1970, by the clock of the member that did. A host makes it not less
    /// than [`crate::SessionTable::now_ms`], by whatever time has passed since it saw that, so that the log's time
    /// goes on even if a clock was set back.
    pub stamp_ms: u64,
}

impl Tag {
    /// How many bytes one takes.
    pub const BYTES: usize = 32;

    /// The client's id most significant byte first, then sequence and stamp, little-endian.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..16].copy_from_slice(&self.request.client.to_u128().to_be_bytes());
        bytes[16..24].copy_from_slice(&self.request.sequence.get().to_le_bytes());
        bytes[24..].copy_from_slice(&self.stamp_ms.to_le_bytes());
        bytes
    }

    /// Reads what [`Tag::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Result<Self, InvalidTag> {
        let (client, rest) = bytes.split_first_chunk::<16>().ok_or(InvalidTag)?;
        let (sequence, stamp) = rest.split_first_chunk::<8>().ok_or(InvalidTag)?;
        let (stamp, _) = stamp.split_first_chunk::<8>().ok_or(InvalidTag)?;
        let client = ClientId::from_u128(u128::from_be_bytes(*client)).ok_or(InvalidTag)?;
        let sequence = Sequence::new(u64::from_le_bytes(*sequence)).ok_or(InvalidTag)?;
        Ok(Self { request: RequestId { client, sequence }, stamp_ms: u64::from_le_bytes(*stamp) })
    }
}

/// The bytes name no client of version 7, or no sequence from 1 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tag names no request")]
pub struct InvalidTag;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_reads_as_it_was_written_and_nothing_else_does() {
        let request = RequestId { client: ClientId::new(1_700_000_000_000, 99), sequence: Sequence::FIRST };
        let tag = Tag { request, stamp_ms: 1_700_000_000_123 };
        let bytes = tag.to_bytes();
        assert_eq!(Tag::from_bytes(&bytes), Ok(tag));
        let mut no_sequence = bytes;
        no_sequence[16] = 0;
        assert_eq!(Tag::from_bytes(&no_sequence), Err(InvalidTag));
        let mut no_version = bytes;
        no_version[6] &= 0x0f;
        assert_eq!(Tag::from_bytes(&no_version), Err(InvalidTag));
    }
}
