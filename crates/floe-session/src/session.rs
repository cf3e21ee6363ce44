//! One session: when it ends, and the replies in its window.

/// What is remembered of a request that was applied: its reply, or none if that was not kept.
pub(crate) type Reply = Option<Box<[u8]>>;

/// The state of one session. It holds at least one reply: that of its highest sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    /// When it may be forgotten, in whole seconds of the log's time, so that it rarely changes.
    pub(crate) expires_s: u64,
    /// Ascending by sequence. All lie less than a window below the last.
    pub(crate) replies: Vec<(u64, Reply)>,
}

/// What a session takes without its replies: two entries of B-trees, half of which are empty in the worst case.
pub(crate) const SESSION_BYTES: u64 = 256;
/// What a reply takes besides its bytes.
pub(crate) const REPLY_BYTES: u64 = 64;
/// Replies up to this length are kept even when there is little room.
pub(crate) const SMALL_REPLY_BYTES: usize = 64;

/// How a sequence relates to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// Applied, and this is the place of its reply.
    Known(usize),
    /// Never applied.
    New,
    /// Below the window.
    Below,
}

impl Session {
    pub(crate) fn highest(&self) -> u64 {
        self.replies.last().map_or(0, |(sequence, _)| *sequence)
    }

    pub(crate) fn position(&self, sequence: u64, window: u32) -> Position {
        match self.replies.binary_search_by_key(&sequence, |(sequence, _)| *sequence) {
            Ok(at) => Position::Known(at),
            Err(_) if self.highest().saturating_sub(sequence) >= u64::from(window) => Position::Below,
            Err(_) => Position::New,
        }
    }

    /// Adds a reply that is not there yet, and gives those that fall out of the window.
    pub(crate) fn insert(&mut self, sequence: u64, reply: Reply, window: u32) -> Vec<(u64, Reply)> {
        let at = self.replies.partition_point(|(present, _)| *present < sequence);
        if self.replies.is_empty() {
            // Most sessions of a command line hold one reply for their whole life.
            self.replies.reserve_exact(1);
        }
        self.replies.insert(at, (sequence, reply));
        let lowest = self.highest().saturating_sub(u64::from(window) - 1);
        let gone = self.replies.partition_point(|(present, _)| *present < lowest);
        self.replies.drain(..gone).collect()
    }
}

/// What a reply takes in memory.
pub(crate) fn reply_bytes(reply: &Reply) -> u64 {
    REPLY_BYTES + reply.as_ref().map_or(0, |reply| reply.len() as u64)
}
