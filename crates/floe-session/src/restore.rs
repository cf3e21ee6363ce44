//! Builds a table from what was stored of one.

use crate::id::{ClientId, RequestId};
use crate::limits::Limits;
use crate::session::{REPLY_BYTES, SESSION_BYTES, Session};
use crate::table::SessionTable;

/// A table in the making: all sessions, then their replies, then [`Restore::finish`].
#[derive(Debug)]
pub struct Restore {
    table: SessionTable,
}

/// What was stored is not a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// A session or a reply comes twice.
    #[error("a session or a reply is there twice")]
    Twice,
    /// A reply belongs to no session.
    #[error("a reply belongs to no session")]
    Orphan,
    /// A session has no reply, which none ever had.
    #[error("a session is without replies")]
    Empty,
    /// Replies of a session lie further apart than its window.
    #[error("the replies of a session do not fit into its window")]
    Window,
}

impl Restore {
    /// A table at `now_ms`, without sessions so far.
    pub fn new(limits: Limits, now_ms: u64) -> Self {
        let mut table = SessionTable::new(limits);
        table.now_ms = now_ms;
        Self { table }
    }

    /// Adds a session, with what [`SessionTable::expires_s`] said.
    pub fn session(&mut self, client: ClientId, expires_s: u64) -> Result<(), RestoreError> {
        let session = Session { expires_s, replies: Vec::new() };
        if self.table.sessions.insert(client, session).is_some() {
            return Err(RestoreError::Twice);
        }
        self.table.expiries.insert((expires_s, client));
        self.table.bytes += SESSION_BYTES;
        Ok(())
    }

    /// Adds a reply; none for one that was not kept.
    pub fn reply(&mut self, request: RequestId, reply: Option<&[u8]>) -> Result<(), RestoreError> {
        let session = self.table.sessions.get_mut(&request.client).ok_or(RestoreError::Orphan)?;
        let sequence = request.sequence.get();
        let at = session.replies.partition_point(|(present, _)| *present < sequence);
        if session.replies.get(at).is_some_and(|(present, _)| *present == sequence) {
            return Err(RestoreError::Twice);
        }
        if session.replies.is_empty() {
            session.replies.reserve_exact(1);
        }
        session.replies.insert(at, (sequence, reply.map(Into::into)));
        self.table.bytes += REPLY_BYTES + reply.map_or(0, |reply| reply.len() as u64);
        let lowest = session.replies.first().map_or(0, |(lowest, _)| *lowest);
        if session.highest() - lowest >= u64::from(self.table.limits.window) {
            return Err(RestoreError::Window);
        }
        Ok(())
    }

    /// The table.
    pub fn finish(self) -> Result<SessionTable, RestoreError> {
        if self.table.sessions.values().any(|session| session.replies.is_empty()) {
            return Err(RestoreError::Empty);
        }
        Ok(self.table)
    }
}
