//! The names of clients and of their requests, and how they are written as text.

use std::fmt;
use std::str::FromStr;

/// A client, named by itself: a UUID of version 7. It holds the time of its birth, by the client's own clock, in
/// milliseconds since 1970, and 74 random bits that make it unique.
///
/// A client makes one when it starts, and never uses it again in another life: sequences that start again under an old
/// id would be answered with the replies of the old ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(u128);

const VERSION_AT: u32 = 76;
const VARIANT_AT: u32 = 62;
const RANDOM_LOW_BITS: u128 = (1 << VARIANT_AT) - 1;
const RANDOM_HIGH_BITS: u128 = 0xfff << 64;

impl ClientId {
    /// An id that was born at `birth_ms`, of which 48 bits are kept. Of `random`, 74 bits are used; they must differ
    /// between any two clients that start in the same millisecond.
    pub const fn new(birth_ms: u64, random: u128) -> Self {
        let birth = (birth_ms as u128 & 0xffff_ffff_ffff) << 80;
        let random = ((random >> 62) << 64) & RANDOM_HIGH_BITS | random & RANDOM_LOW_BITS;
        Self(birth | 7 << VERSION_AT | 0b10 << VARIANT_AT | random)
    }

    /// When it was born, in milliseconds since 1970 by the client's clock.
    pub const fn birth_ms(self) -> u64 {
        (self.0 >> 80) as u64
    }

    /// The UUID as a number, most significant byte first.
    pub const fn to_u128(self) -> u128 {
        self.0
    }

    /// The id with this number; none if it is not a UUID of version 7.
    pub const fn from_u128(number: u128) -> Option<Self> {
        let is_version_7 = number >> VERSION_AT & 0xf == 7;
        let is_rfc_variant = number >> VARIANT_AT & 0b11 == 0b10;
        if is_version_7 && is_rfc_variant { Some(Self(number)) } else { None }
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.0;
        let part = |shift: u32, bits: u32| number >> shift & ((1 << bits) - 1);
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            part(96, 32),
            part(80, 16),
            part(64, 16),
            part(48, 16),
            part(0, 48)
        )
    }
}

impl FromStr for ClientId {
    type Err = InvalidRequestId;

    fn from_str(text: &str) -> Result<Self, InvalidRequestId> {
        let bytes = text.as_bytes();
        let hyphens_stand = bytes.len() == 36 && [8, 13, 18, 23].iter().all(|&at| bytes[at] == b'-');
        if !hyphens_stand {
            return Err(InvalidRequestId::Client);
        }
        let mut number = 0_u128;
        for (at, &byte) in bytes.iter().enumerate() {
            if [8, 13, 18, 23].contains(&at) {
                continue;
            }
            let digit = char::from(byte).to_digit(16).ok_or(InvalidRequestId::Client)?;
            number = number << 4 | u128::from(digit);
        }
        Self::from_u128(number).ok_or(InvalidRequestId::Version)
    }
}

/// The number of a request within its session. A client counts up from 1; it need not be dense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(u64);

impl Sequence {
    /// The first of a session.
    pub const FIRST: Self = Self(1);

    /// The sequence with this number; none for 0, which stands for "not numbered".
    pub const fn new(number: u64) -> Option<Self> {
        if number == 0 { None } else { Some(Self(number)) }
    }

    /// Its number, at least 1.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The one after it.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One request, however often it is sent. As text `CLIENT/SEQUENCE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId {
    /// Who asks.
    pub client: ClientId,
    /// Its how-manieth request.
    pub sequence: Sequence,
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.client, self.sequence)
    }
}

impl FromStr for RequestId {
    type Err = InvalidRequestId;

    fn from_str(text: &str) -> Result<Self, InvalidRequestId> {
        let (client, sequence) = text.split_once('/').ok_or(InvalidRequestId::Form)?;
        let client = client.parse()?;
        // `u64::from_str` takes a plus sign; two spellings of one number are one too many.
        if !sequence.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidRequestId::Sequence);
        }
        let number = sequence.parse().map_err(|_| InvalidRequestId::Sequence)?;
        let sequence = Sequence::new(number).ok_or(InvalidRequestId::Sequence)?;
        Ok(Self { client, sequence })
    }
}

/// Why a text is no request id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequestId {
    /// There is no slash in it.
    #[error("a request id is CLIENT/SEQUENCE, as 0192f0c1-7b3a-7c41-9d52-6f0e4a1b2c3d/1")]
    Form,
    /// What is before the slash is no UUID.
    #[error("the client of a request id is a UUID, as 0192f0c1-7b3a-7c41-9d52-6f0e4a1b2c3d")]
    Client,
    /// It is a UUID of another version.
    #[error("the client of a request id is a UUID of version 7: it must tell when it was made")]
    Version,
    /// What is after the slash is no number from 1 on.
    #[error("the sequence of a request id is a decimal number from 1 to 18446744073709551615")]
    Sequence,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_uuid_of_version_7() {
        // The example of RFC 9562, appendix A.6.
        let id: ClientId = "017F22E2-79B0-7CC3-98C4-DC0C0C07398F".parse().unwrap();
        assert_eq!(id.birth_ms(), 0x017f_22e2_79b0);
        assert_eq!(id.to_string(), "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
        assert_eq!(ClientId::from_u128(id.to_u128()), Some(id));
        assert_eq!(ClientId::new(0x017f_22e2_79b0, 0xcc3 << 62 | 0x18c4_dc0c_0c07_398f), id);
    }

    #[test]
    fn all_random_bits_count_and_no_other() {
        let one = |bit: u32| ClientId::new(7, 1 << bit);
        for bit in 0..74 {
            assert_ne!(one(bit), ClientId::new(7, 0), "bit {bit}");
            assert_eq!(one(bit).birth_ms(), 7);
        }
        assert_eq!(ClientId::new(7, u128::MAX), ClientId::new(7, (1 << 74) - 1));
        assert_eq!(ClientId::new(u64::MAX, 0).birth_ms(), (1 << 48) - 1);
        assert_eq!(
            ClientId::from_u128(ClientId::new(7, u128::MAX).to_u128()),
            Some(ClientId::new(7, u128::MAX))
        );
    }

    #[test]
    fn a_text_is_a_request_id_in_one_spelling_only() {
        let text = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f/42";
        let id: RequestId = text.parse().unwrap();
        assert_eq!((id.to_string().as_str(), id.sequence), (text, Sequence(42)));
        let fails = |text: &str| text.parse::<RequestId>().unwrap_err();
        assert_eq!(fails("017f22e2-79b0-7cc3-98c4-dc0c0c07398f"), InvalidRequestId::Form);
        assert_eq!(fails("017f22e279b07cc398c4dc0c0c07398f/1"), InvalidRequestId::Client);
        assert_eq!(fails("017f22e2-79b0-7cc3-98c4-dc0c0c07398é/1"), InvalidRequestId::Client);
        assert_eq!(fails("+17f22e2-79b0-7cc3-98c4-dc0c0c07398f/1"), InvalidRequestId::Client);
        assert_eq!(fails("017f22e2-79b0-4cc3-98c4-dc0c0c07398f/1"), InvalidRequestId::Version);
        assert_eq!(fails("017f22e2-79b0-7cc3-d8c4-dc0c0c07398f/1"), InvalidRequestId::Version);
        for sequence in ["", "0", "-1", "+1", "1/2", "18446744073709551616", "0x1"] {
            let text = format!("017f22e2-79b0-7cc3-98c4-dc0c0c07398f/{sequence}");
            assert_eq!(fails(&text), InvalidRequestId::Sequence, "{sequence}");
        }
    }
}
