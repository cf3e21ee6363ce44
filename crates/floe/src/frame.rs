//! The units of the peer protocol after the handshake. Specified in `docs/design/peer-protocol.md`, "Frames".
//!
//! ```text
//! length u32 | crc32c u32 | kind u8 | group u64 | body
//! ```
//! `length` counts what follows the checksum, which covers the same bytes. Numbers are little endian.

use bytes::{Buf, Bytes};
use floe_raft::{Envelope, GroupId, Index, NodeId};

use crate::fences::Fence;

/// The largest `length`. A command of the largest size and a full queue of forwarded ones both fit.
pub(crate) const LENGTH_MAX: usize = 64 << 20;
/// `length` and checksum.
pub(crate) const PREFIX: usize = 8;
/// `kind` and group.
const HEAD: usize = 9;

/// What a frame carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A message of the protocol core.
    Raft(Envelope),
    /// A question of the application to the leader.
    Ask { id: u64, question: Bytes },
    /// The answer to the question of that id.
    Answer { id: u64, answer: Answer },
    /// Every member holds the log durably up to this index: what is before it may be dropped once it is in a
    /// durable checkpoint.
    Floor { index: Index },
    /// What the sender remembers of the members' disks.
    Fences { fences: Vec<(NodeId, Fence)> },
    /// The leader is about to hand over: pass no more commands on to it.
    Pause { token: u64 },
    /// The sender passes no more commands on; all that it did stand before this on the connection.
    Paused { token: u64 },
}

/// What became of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Answered(Bytes),
    NotLeader,
    Busy,
    Unanswered,
}

/// Why a connection is closed: no correct peer sends this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Garbage {
    #[error("a frame of {0} bytes")]
    Length(usize),
    #[error("a frame with a wrong checksum")]
    Checksum,
    #[error("a frame of the unknown kind {0}")]
    Kind(u8),
    #[error("a frame whose body cannot be understood")]
    Body,
    #[error("a message under another sender's or receiver's name")]
    Name,
}

const RAFT: u8 = 1;
const ASK: u8 = 2;
const ANSWER: u8 = 3;
const FLOOR: u8 = 4;
const PAUSE: u8 = 5;
const PAUSED: u8 = 6;
const FENCES: u8 = 7;

/// Appends the frame to `out`. Returns false, leaving `out` as it was, if the frame would be too long.
pub(crate) fn encode(group: GroupId, frame: &Frame, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    out.extend([0; PREFIX]);
    out.push(match frame {
        Frame::Raft(_) => RAFT,
        Frame::Ask { .. } => ASK,
        Frame::Answer { .. } => ANSWER,
        Frame::Floor { .. } => FLOOR,
        Frame::Pause { .. } => PAUSE,
        Frame::Paused { .. } => PAUSED,
        Frame::Fences { .. } => FENCES,
    });
    out.extend(group.0.to_le_bytes());
    match frame {
        Frame::Raft(envelope) => floe_raft::codec::encode_envelope(envelope, out),
        Frame::Ask { id, question } => {
            out.extend(id.to_le_bytes());
            out.extend_from_slice(question);
        }
        Frame::Answer { id, answer } => {
            out.extend(id.to_le_bytes());
            match answer {
                Answer::Answered(answer) => {
                    out.push(0);
                    out.extend_from_slice(answer);
                }
                Answer::NotLeader => out.push(1),
                Answer::Busy => out.push(2),
                Answer::Unanswered => out.push(3),
            }
        }
        Frame::Floor { index } => out.extend(index.0.to_le_bytes()),
        Frame::Fences { fences } => {
            for (member, fence) in fences {
                out.extend(member.0.to_le_bytes());
                fence.encode(out);
            }
        }
        Frame::Pause { token } | Frame::Paused { token } => out.extend(token.to_le_bytes()),
    }
    let length = out.len() - start - PREFIX;
    if length > LENGTH_MAX {
        out.truncate(start);
        return false;
    }
    let crc = crc32c::crc32c(&out[start + PREFIX..]);
    out[start..start + 4].copy_from_slice(&(length as u32).to_le_bytes());
    out[start + 4..start + PREFIX].copy_from_slice(&crc.to_le_bytes());
    true
}

/// How many bytes the frame at the beginning of `bytes` takes, prefix included; `None` if even the prefix is not
/// there yet.
pub(crate) fn measure(bytes: &[u8]) -> Result<Option<usize>, Garbage> {
    let Some(length) = bytes.get(..4) else { return Ok(None) };
    let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
    if (HEAD..=LENGTH_MAX).contains(&length) {
        Ok(Some(PREFIX + length))
    } else {
        Err(Garbage::Length(length))
    }
}

/// Reads one whole frame, as measured by [`measure`]. Payloads are slices of it.
pub(crate) fn decode(mut bytes: Bytes) -> Result<(GroupId, Frame), Garbage> {
    if bytes.len() < PREFIX + HEAD {
        return Err(Garbage::Length(bytes.len()));
    }
    bytes.advance(4);
    if bytes.get_u32_le() != crc32c::crc32c(&bytes) {
        return Err(Garbage::Checksum);
    }
    let kind = bytes.get_u8();
    let group = GroupId(bytes.get_u64_le());
    let frame = match kind {
        RAFT => Frame::Raft(floe_raft::codec::decode_envelope(bytes).map_err(|_| Garbage::Body)?),
        ASK => Frame::Ask { id: bytes.try_get_u64_le().map_err(|_| Garbage::Body)?, question: bytes },
        ANSWER => {
            let id = bytes.try_get_u64_le().map_err(|_| Garbage::Body)?;
            let answer = match bytes.try_get_u8() {
                Ok(0) => Answer::Answered(bytes),
                Ok(1) => Answer::NotLeader,
                Ok(2) => Answer::Busy,
                Ok(3) => Answer::Unanswered,
                Ok(_) | Err(_) => return Err(Garbage::Body),
            };
            Frame::Answer { id, answer }
        }
        FLOOR => Frame::Floor { index: Index(bytes.try_get_u64_le().map_err(|_| Garbage::Body)?) },
        PAUSE => Frame::Pause { token: bytes.try_get_u64_le().map_err(|_| Garbage::Body)? },
        PAUSED => Frame::Paused { token: bytes.try_get_u64_le().map_err(|_| Garbage::Body)? },
        FENCES => Frame::Fences { fences: fences(bytes).ok_or(Garbage::Body)? },
        kind => return Err(Garbage::Kind(kind)),
    };
    Ok((group, frame))
}

fn fences(mut bytes: Bytes) -> Option<Vec<(NodeId, Fence)>> {
    let mut fences = Vec::new();
    while !bytes.is_empty() {
        let member = NodeId(bytes.try_get_u64_le().ok()?);
        fences.push((member, Fence::decode(&mut bytes)?));
    }
    Some(fences)
}

#[cfg(test)]
mod tests {
    use floe_raft::{Entry, EntryKind, LogId, Message, Term};

    use super::*;

    fn frames() -> Vec<Frame> {
        let id = LogId::new(Term(3), Index(9));
        let entry = Entry { id, kind: EntryKind::Command, payload: Bytes::from_static(b"a command") };
        let append = Message::Append { prev: LogId::ZERO, entries: vec![entry], commit: Index(8) };
        let envelope = Envelope { from: NodeId(1), to: NodeId(2), term: Term(3), message: append };
        vec![
            Frame::Raft(envelope),
            Frame::Ask { id: 7, question: Bytes::from_static(b"who") },
            Frame::Answer { id: 7, answer: Answer::Answered(Bytes::from_static(b"me")) },
            Frame::Answer { id: 8, answer: Answer::NotLeader },
            Frame::Answer { id: 9, answer: Answer::Busy },
            Frame::Answer { id: 10, answer: Answer::Unanswered },
            Frame::Floor { index: Index(77) },
            Frame::Fences {
                fences: vec![(
                    NodeId(3),
                    Fence { disk: 1, term: Term(2), matched: Index(3), committed: Index(2) },
                )],
            },
            Frame::Pause { token: 5 },
            Frame::Paused { token: u64::MAX },
        ]
    }

    #[test]
    fn every_frame_survives_the_wire() {
        let mut out = Vec::new();
        for frame in frames() {
            assert!(encode(GroupId(4), &frame, &mut out));
        }
        let mut bytes = Bytes::from(out);
        for frame in frames() {
            let length = measure(&bytes).expect("a frame").expect("whole");
            assert_eq!(decode(bytes.split_to(length)), Ok((GroupId(4), frame)));
        }
        assert!(bytes.is_empty());
    }

    #[test]
    fn every_flipped_bit_is_noticed_and_no_length_is_believed() {
        for frame in frames() {
            let mut whole = Vec::new();
            assert!(encode(GroupId(1), &frame, &mut whole));
            for bit in 32..whole.len() * 8 {
                let mut flipped = whole.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(decode(flipped.into()), Err(Garbage::Checksum), "bit {bit}");
            }
        }
        assert_eq!(measure(&u32::MAX.to_le_bytes()), Err(Garbage::Length(u32::MAX as usize)));
        assert_eq!(measure(&[8, 0, 0, 0]), Err(Garbage::Length(8)));
        assert_eq!(measure(&[9, 0, 0]), Ok(None));
    }

    #[test]
    fn a_frame_that_is_too_long_is_not_begun() {
        let mut out = vec![1, 2, 3];
        let question = Bytes::from(vec![0; LENGTH_MAX]);
        assert!(!encode(GroupId(1), &Frame::Ask { id: 1, question }, &mut out));
        assert_eq!(out, [1, 2, 3]);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, kind in 0_u8..8) {
            // A right checksum in front, so that the bodies are reached.
            let mut frame = vec![kind];
            frame.extend(&bytes);
            let mut whole = (frame.len() as u32).to_le_bytes().to_vec();
            whole.extend(crc32c::crc32c(&frame).to_le_bytes());
            whole.extend(frame);
            let _ = measure(&whole);
            let _ = decode(whole.into());
        }
    }
}
