//! How long sessions are kept, and how much they may take.

/// The bounds of a [`crate::SessionTable`]. They decide verdicts, so they are part of the state machine: all replicas
/// must have the same, and a change of them is a change of version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a session is kept after its last request that was applied. This is the promise: a retry within it gets
    /// the first reply.
    pub retention_ms: u64,
    /// How young an unknown id must be to open a session. Longer than any client takes from making its id to the end of
    /// its first request, clock differences included.
    pub fresh_ms: u64,
    /// How far in the future an id may be born: how much a client's clock may be ahead. A session of such an id stays
    /// that much longer.
    pub ahead_ms: u64,
    /// How many replies a session remembers: how many requests a client may have under way. At least 1.
    pub window: u32,
    /// How many sessions there may be.
    pub max_sessions: u32,
    /// How many bytes of memory they may take before no new one is opened. Twice as many are never exceeded by more than
    /// one small reply.
    pub max_bytes: u64,
    /// Longer replies are not kept: a retry is told that its request was applied, and no more.
    pub max_reply_bytes: u32,
}

impl Default for Limits {
    /// Ten minutes, five of them to open; 64 requests under way; 100,000 sessions in 64 MiB.
    fn default() -> Self {
        Self {
            retention_ms: 600_000,
            fresh_ms: 300_000,
            ahead_ms: 300_000,
            window: 64,
            max_sessions: 100_000,
            max_bytes: 64 << 20,
            max_reply_bytes: 256 << 10,
        }
    }
}
