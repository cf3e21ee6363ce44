//! The bytes of a whole table, for snapshots. The format is in `docs/design/sessions.md`.

use crate::id::{ClientId, RequestId, Sequence};
use crate::limits::Limits;
use crate::restore::{Restore, RestoreError};
use crate::table::SessionTable;

const VERSION: u8 = 1;
const KEPT: u8 = 1;
const NOT_KEPT: u8 = 0;

/// The bytes are not a table that this version reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedTable {
    /// The bytes end inside a field, or a length points past the end.
    #[error("the session table ends early")]
    Truncated,
    /// The first byte names a version that this one does not know.
    #[error("the session table has version {0}, which this version does not know")]
    Version(u8),
    /// A client or a sequence is none.
    #[error("the session table names a request that cannot be")]
    Request,
    /// Sessions or replies are not in order, so that one table would have several encodings.
    #[error("the session table is not in order")]
    Order,
    /// A mark has no meaning.
    #[error("the session table holds a mark without a meaning")]
    Mark,
    /// Bytes follow the last session.
    #[error("the session table has bytes after its end")]
    Trailing,
    /// The parts do not make a table.
    #[error("the session table contradicts itself")]
    Parts(#[from] RestoreError),
}

impl SessionTable {
    /// The table as bytes; equal tables have equal ones.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.now_ms.to_le_bytes());
        // Their number is bounded by `Limits::max_sessions`, which is a u32.
        out.extend_from_slice(&(self.sessions.len() as u32).to_le_bytes());
        for (client, session) in &self.sessions {
            out.extend_from_slice(&client.to_u128().to_be_bytes());
            out.extend_from_slice(&session.expires_s.to_le_bytes());
            out.extend_from_slice(&(session.replies.len() as u32).to_le_bytes());
            for (sequence, reply) in &session.replies {
                out.extend_from_slice(&sequence.to_le_bytes());
                match reply {
                    None => out.push(NOT_KEPT),
                    Some(reply) => {
                        out.push(KEPT);
                        // Replies are bounded by `Limits::max_reply_bytes`, which is a u32.
                        out.extend_from_slice(&(reply.len() as u32).to_le_bytes());
                        out.extend_from_slice(reply);
                    }
                }
            }
        }
        out
    }

    /// Reads what [`SessionTable::encode`] wrote. `limits` are those of the state machine's version, as for a new table.
    pub fn decode(bytes: &[u8], limits: Limits) -> Result<Self, MalformedTable> {
        let mut input = Input(bytes);
        match input.array::<1>()? {
            [VERSION] => {}
            [other] => return Err(MalformedTable::Version(other)),
        }
        let mut restore = Restore::new(limits, u64::from_le_bytes(input.array()?));
        let mut before = None;
        for _ in 0..u32::from_le_bytes(input.array()?) {
            let client =
                ClientId::from_u128(u128::from_be_bytes(input.array()?)).ok_or(MalformedTable::Request)?;
            if before.is_some_and(|before| before >= client) {
                return Err(MalformedTable::Order);
            }
            before = Some(client);
            restore.session(client, u64::from_le_bytes(input.array()?))?;
            input.replies(client, &mut restore)?;
        }
        if !input.0.is_empty() {
            return Err(MalformedTable::Trailing);
        }
        Ok(restore.finish()?)
    }
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], MalformedTable> {
        let (array, rest) = self.0.split_first_chunk().ok_or(MalformedTable::Truncated)?;
        self.0 = rest;
        Ok(*array)
    }

    fn slice(&mut self, length: u32) -> Result<&'a [u8], MalformedTable> {
        let (slice, rest) = self.0.split_at_checked(length as usize).ok_or(MalformedTable::Truncated)?;
        self.0 = rest;
        Ok(slice)
    }

    fn replies(&mut self, client: ClientId, restore: &mut Restore) -> Result<(), MalformedTable> {
        let mut before = 0;
        for _ in 0..u32::from_le_bytes(self.array()?) {
            let number = u64::from_le_bytes(self.array()?);
            let sequence = Sequence::new(number).ok_or(MalformedTable::Request)?;
            if number <= before {
                return Err(MalformedTable::Order);
            }
            before = number;
            let reply = match self.array::<1>()? {
                [NOT_KEPT] => None,
                [KEPT] => {
                    let length = u32::from_le_bytes(self.array()?);
                    Some(self.slice(length)?)
                }
                [_] => return Err(MalformedTable::Mark),
            };
            restore.reply(RequestId { client, sequence }, reply)?;
        }
        Ok(())
    }
}
