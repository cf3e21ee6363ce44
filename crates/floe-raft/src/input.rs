//! What a host says to the core: how to read, and what became of work that the core asked for.

use crate::entry::Entry;
use crate::id::LogId;

/// How a read is to be confirmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadMode {
    /// By a round of heartbeats that starts after the read was asked for. Depends on no clock.
    #[default]
    Index,
    /// At once, if the leader holds a lease ([`crate::Lease`]); otherwise as `Index`. Right as long as no two clocks of
    /// the group differ in their rate by more than the configured margin covers.
    Lease,
}

/// The answer to [`crate::Effect::Fetch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// The entries from the first one asked for, without a gap; at least one, perhaps fewer than asked for.
    Entries(Vec<Entry>),
    /// The first entry asked for is compacted.
    Compacted,
    /// The log could not be read. The core asks again later and never sends or applies anything in its place.
    Failed,
}

/// What became of a snapshot that [`crate::Effect::SendSnapshot`] asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotOutcome {
    /// The peer holds it durably; this is the last entry that it contains.
    Installed(LogId),
    /// It did not arrive whole. The core probes the peer again.
    Failed,
}
