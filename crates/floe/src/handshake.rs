//! The first bytes on a connection between two members. Specified in `docs/design/peer-protocol.md`, "Handshake".

use bytes::{Buf, BufMut, Bytes, BytesMut};
use floe_raft::{Index, LogId, Membership, NodeId, Term};

use crate::fences::DiskState;

/// The first bytes of both directions, in every version for ever.
const MAGIC: [u8; 8] = *b"FLOEPEER";
/// The protocol version that this code speaks.
pub(crate) const VERSION: u16 = 1;

/// What the side that dialled says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    /// The version that will be spoken.
    pub(crate) version: u16,
    pub(crate) purpose: Purpose,
    pub(crate) cluster: u64,
    pub(crate) from: NodeId,
    /// Whom the dialler believes to have reached. Zero: whoever it is; the dialler does not want to talk, but to know
    /// who is in the cluster, and the answer is a [`Roster`].
    pub(crate) to: NodeId,
    /// Drawn at random at each start of the process, so that a restart is noticed.
    pub(crate) incarnation: u64,
    /// The length of the address that follows, in bytes: where the dialler can be dialled. A member that was away for
    /// long, or has just joined, knows no address of the member that talks to it, and could not answer.
    pub(crate) address_bytes: u16,
    /// How far its disk is; nothing if it only asks, or sends a snapshot.
    pub(crate) disk: DiskState,
}

/// Who is in the cluster: the answer to the question of a hello without a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Roster {
    /// The last entry that the asked member knows to be committed.
    pub(crate) commit: LogId,
    /// The membership that is in force there, which is committed.
    pub(crate) membership: Membership,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Frames of the peer protocol, in one direction.
    Messages,
    /// One snapshot, from the side that dialled.
    Snapshot,
    /// Something that this version does not know.
    Other,
}

impl Purpose {
    fn code(self) -> u16 {
        match self {
            Self::Messages => 0,
            Self::Snapshot => 1,
            Self::Other => u16::MAX,
        }
    }

    fn from_code(code: u16) -> Self {
        match code {
            0 => Self::Messages,
            1 => Self::Snapshot,
            _ => Self::Other,
        }
    }
}

/// What the other side answers before it reads frames, or closes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Welcome {
    pub(crate) version: u16,
    pub(crate) verdict: Verdict,
    pub(crate) cluster: u64,
    pub(crate) member: NodeId,
    pub(crate) incarnation: u64,
    /// The length of a text for people that follows, in bytes: why the connection is refused, in the words of the
    /// side that refuses, which may be newer than this one.
    pub(crate) text_bytes: u16,
    /// How far its disk is.
    pub(crate) disk: DiskState,
}

/// Whether the connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accepted,
    Refused(Refusal),
}

/// Why a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("it speaks another version of the protocol")]
    Version,
    #[error("it belongs to another cluster")]
    Cluster,
    #[error("it looks for another member")]
    Target,
    #[error("it has the id of this member")]
    Myself,
    #[error("too many connections stand already")]
    Crowded,
    #[error(
        "its disk holds less than what it acknowledged: an old image of it was restored, or writes were lost"
    )]
    OldDisk,
    #[error(
        "it comes with another data directory than before: the one that it had was lost, and with it its votes"
    )]
    OtherDisk,
    #[error("the cluster was recovered without it")]
    Lost,
    #[error("it has a reason that this version does not know")]
    Other,
}

/// What arrived is no handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it does not speak the peer protocol")]
pub(crate) struct NotAPeer;

impl Hello {
    pub(crate) const BYTES: usize = 76;

    pub(crate) fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&self.version.to_le_bytes());
        bytes[10..12].copy_from_slice(&self.address_bytes.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.cluster.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.from.0.to_le_bytes());
        bytes[28..36].copy_from_slice(&self.to.0.to_le_bytes());
        bytes[36..44].copy_from_slice(&self.incarnation.to_le_bytes());
        bytes[44..46].copy_from_slice(&self.purpose.code().to_le_bytes());
        // Bytes 46 and 47 are reserved and zero.
        put_disk(&mut bytes[48..72], &self.disk);
        seal(&mut bytes);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; Self::BYTES]) -> Result<Self, NotAPeer> {
        check(bytes)?;
        Ok(Self {
            version: u16::from_le_bytes([bytes[8], bytes[9]]),
            purpose: Purpose::from_code(u16::from_le_bytes([bytes[44], bytes[45]])),
            cluster: number(bytes, 12),
            from: NodeId(number(bytes, 20)),
            to: NodeId(number(bytes, 28)),
            incarnation: number(bytes, 36),
            address_bytes: u16::from_le_bytes([bytes[10], bytes[11]]),
            disk: read_disk(bytes, 48),
        })
    }

    /// Whether it only wants to know who is in the cluster.
    pub(crate) fn is_question(&self) -> bool {
        self.to == NodeId(0)
    }

    /// Whether this member may talk with the one that says this.
    pub(crate) fn judge(&self, cluster: u64, member: NodeId) -> Verdict {
        if self.version != VERSION || self.purpose == Purpose::Other {
            Verdict::Refused(Refusal::Version)
        } else if self.is_question() {
            // Who joins does not know the cluster's number yet.
            let known = self.cluster == 0 || self.cluster == cluster;
            if known { Verdict::Accepted } else { Verdict::Refused(Refusal::Cluster) }
        } else if self.cluster != cluster {
            Verdict::Refused(Refusal::Cluster)
        } else if self.to != member {
            Verdict::Refused(Refusal::Target)
        } else if self.from == member || self.from.0 == 0 {
            Verdict::Refused(Refusal::Myself)
        } else {
            Verdict::Accepted
        }
    }
}

impl Welcome {
    pub(crate) const BYTES: usize = 68;

    pub(crate) fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&self.version.to_le_bytes());
        bytes[10..12].copy_from_slice(&self.verdict.code().to_le_bytes());
        bytes[12..20].copy_from_slice(&self.cluster.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.member.0.to_le_bytes());
        bytes[28..36].copy_from_slice(&self.incarnation.to_le_bytes());
        bytes[36..38].copy_from_slice(&self.text_bytes.to_le_bytes());
        // Bytes 38 and 39 are reserved and zero.
        put_disk(&mut bytes[40..64], &self.disk);
        seal(&mut bytes);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; Self::BYTES]) -> Result<Self, NotAPeer> {
        check(bytes)?;
        Ok(Self {
            version: u16::from_le_bytes([bytes[8], bytes[9]]),
            verdict: Verdict::from_code(u16::from_le_bytes([bytes[10], bytes[11]])),
            cluster: number(bytes, 12),
            member: NodeId(number(bytes, 20)),
            incarnation: number(bytes, 28),
            text_bytes: u16::from_le_bytes([bytes[36], bytes[37]]),
            disk: read_disk(bytes, 40),
        })
    }
}

impl Roster {
    /// The most bytes of a body that is read: a membership of thousands fits.
    pub(crate) const BYTES_MAX: usize = 1 << 20;
    /// Length and checksum of the body.
    pub(crate) const PREFIX: usize = 8;

    pub(crate) fn encode(&self) -> Bytes {
        let mut body = BytesMut::new();
        body.put_u64_le(self.commit.term.0);
        body.put_u64_le(self.commit.index.0);
        floe_raft::codec::encode_membership(&self.membership, &mut body);
        let mut bytes = BytesMut::with_capacity(Self::PREFIX + body.len());
        bytes.put_u32_le(u32::try_from(body.len()).unwrap_or(u32::MAX));
        bytes.put_u32_le(crc32c::crc32c(&body));
        bytes.extend_from_slice(&body);
        bytes.freeze()
    }

    /// How long the body is, and its checksum.
    pub(crate) fn measure(prefix: &[u8; Self::PREFIX]) -> Result<(usize, u32), NotAPeer> {
        let length = u32::from_le_bytes([prefix[0], prefix[1], prefix[2], prefix[3]]) as usize;
        let crc = u32::from_le_bytes([prefix[4], prefix[5], prefix[6], prefix[7]]);
        if length <= Self::BYTES_MAX { Ok((length, crc)) } else { Err(NotAPeer) }
    }

    pub(crate) fn decode(mut body: Bytes, crc: u32) -> Result<Self, NotAPeer> {
        if crc32c::crc32c(&body) != crc || body.len() < 16 {
            return Err(NotAPeer);
        }
        let commit = LogId::new(Term(body.get_u64_le()), Index(body.get_u64_le()));
        let membership = floe_raft::codec::decode_membership(body).map_err(|_| NotAPeer)?;
        Ok(Self { commit, membership })
    }
}

impl Verdict {
    fn code(self) -> u16 {
        match self {
            Self::Accepted => 0,
            Self::Refused(Refusal::Version) => 1,
            Self::Refused(Refusal::Cluster) => 2,
            Self::Refused(Refusal::Target) => 3,
            Self::Refused(Refusal::Myself) => 4,
            Self::Refused(Refusal::Crowded) => 5,
            Self::Refused(Refusal::OldDisk) => 6,
            Self::Refused(Refusal::OtherDisk) => 7,
            Self::Refused(Refusal::Lost) => 8,
            Self::Refused(Refusal::Other) => u16::MAX,
        }
    }

    fn from_code(code: u16) -> Self {
        match code {
            0 => Self::Accepted,
            1 => Self::Refused(Refusal::Version),
            2 => Self::Refused(Refusal::Cluster),
            3 => Self::Refused(Refusal::Target),
            4 => Self::Refused(Refusal::Myself),
            5 => Self::Refused(Refusal::Crowded),
            6 => Self::Refused(Refusal::OldDisk),
            7 => Self::Refused(Refusal::OtherDisk),
            8 => Self::Refused(Refusal::Lost),
            _ => Self::Refused(Refusal::Other),
        }
    }
}

fn put_disk(bytes: &mut [u8], disk: &DiskState) {
    bytes[..8].copy_from_slice(&disk.disk.to_le_bytes());
    bytes[8..16].copy_from_slice(&disk.term.0.to_le_bytes());
    bytes[16..24].copy_from_slice(&disk.index.0.to_le_bytes());
}

fn read_disk(bytes: &[u8], at: usize) -> DiskState {
    let (disk, term, index) = (number(bytes, at), number(bytes, at + 8), number(bytes, at + 16));
    DiskState { disk, term: Term(term), index: Index(index) }
}

fn number(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

/// Writes the checksum of everything before it into the last four bytes.
fn seal(bytes: &mut [u8]) {
    let (body, crc) = bytes.split_at_mut(bytes.len() - 4);
    crc.copy_from_slice(&crc32c::crc32c(body).to_le_bytes());
}

fn check(bytes: &[u8]) -> Result<(), NotAPeer> {
    let (body, crc) = bytes.split_at(bytes.len() - 4);
    if body[..8] == MAGIC && crc == crc32c::crc32c(body).to_le_bytes() { Ok(()) } else { Err(NotAPeer) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: Hello = Hello {
        version: VERSION,
        purpose: Purpose::Snapshot,
        cluster: 5,
        from: NodeId(1),
        to: NodeId(2),
        incarnation: u64::MAX - 1,
        address_bytes: 14,
        disk: DiskState { disk: 3, term: Term(4), index: Index(5) },
    };

    #[test]
    fn hello_and_welcome_survive_the_wire_and_every_flipped_bit_is_noticed() {
        let bytes = HELLO.encode();
        assert_eq!(Hello::decode(&bytes), Ok(HELLO));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Hello::decode(&flipped), Err(NotAPeer), "bit {bit}");
        }
        for code in (0..=8).chain([u16::MAX]) {
            let verdict = Verdict::from_code(code);
            assert_eq!(verdict.code(), code);
            let welcome = Welcome {
                version: 1,
                verdict,
                cluster: 5,
                member: NodeId(2),
                incarnation: 7,
                text_bytes: 9,
                disk: HELLO.disk,
            };
            assert_eq!(Welcome::decode(&welcome.encode()), Ok(welcome));
        }
    }

    #[test]
    fn strangers_are_told_apart() {
        let judge = |hello: Hello| hello.judge(5, NodeId(2));
        assert_eq!(judge(HELLO), Verdict::Accepted);
        assert_eq!(judge(Hello { version: 2, ..HELLO }), Verdict::Refused(Refusal::Version));
        assert_eq!(judge(Hello { purpose: Purpose::Other, ..HELLO }), Verdict::Refused(Refusal::Version));
        assert_eq!(judge(Hello { cluster: 6, ..HELLO }), Verdict::Refused(Refusal::Cluster));
        assert_eq!(judge(Hello { to: NodeId(3), ..HELLO }), Verdict::Refused(Refusal::Target));
        assert_eq!(judge(Hello { from: NodeId(2), ..HELLO }), Verdict::Refused(Refusal::Myself));
        // A question is for anybody of the cluster, from anybody, members included.
        let question = Hello { to: NodeId(0), ..HELLO };
        assert_eq!(judge(Hello { from: NodeId(2), ..question }), Verdict::Accepted);
        assert_eq!(judge(Hello { cluster: 0, from: NodeId(0), ..question }), Verdict::Accepted);
        assert_eq!(judge(Hello { cluster: 6, ..question }), Verdict::Refused(Refusal::Cluster));
    }

    #[test]
    fn a_roster_survives_the_wire_and_nothing_else_does() {
        let mut membership = Membership::of_voters([NodeId(1), NodeId(7)]);
        membership.addresses.insert(NodeId(7), Bytes::from_static(b"h7:1,h7:2"));
        let roster = Roster { commit: LogId::new(Term(3), Index(90)), membership };
        let bytes = roster.encode();
        let prefix: [u8; Roster::PREFIX] = bytes[..Roster::PREFIX].try_into().expect("eight bytes");
        let (length, crc) = Roster::measure(&prefix).expect("a length");
        let body = bytes.slice(Roster::PREFIX..);
        assert_eq!(length, body.len());
        assert_eq!(Roster::decode(body.clone(), crc), Ok(roster));
        for cut in 0..body.len() {
            assert_eq!(Roster::decode(body.slice(..cut), crc), Err(NotAPeer));
            assert_eq!(Roster::decode(body.slice(..cut), crc32c::crc32c(&body[..cut])), Err(NotAPeer));
        }
        assert_eq!(Roster::measure(&[0xff; Roster::PREFIX]), Err(NotAPeer));
    }
}
