//! Watches: a hub that the writer hands each batch's changes to, and streams that clients poll.
//!
//! A watcher is *in sync* when all changes up to the hub's revision that it wants are delivered or queued, and *behind*
//! otherwise. The writer only ever appends to bounded queues. Whoever is behind - it began in the past, or its stream was
//! not polled while the queue was full - is brought up from the revision table by its own stream's
//! [`WatchStream::poll`], on its own thread, so a slow client costs the writer nothing (etcd #18109).

mod hub;
mod registry;
mod stream;

pub(crate) use hub::{Changed, Hub, QueueLimits};
pub use stream::WatchStream;

use crate::kv::{Event, KeyRange, KeyValue};

/// A watcher to be created.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchSpec {
    /// The id that the stream's answers carry; 0 to be given one, from 0 upward.
    pub id: i64,
    /// Which keys.
    pub range: KeyRange,
    /// The first revision to be delivered; 0 for the one after the present. May lie ahead.
    pub start_revision: i64,
    /// Deliver the pair before each change, too.
    pub prev_kv: bool,
    /// Leave puts out.
    pub no_put: bool,
    /// Leave deletions out.
    pub no_delete: bool,
}

/// A watcher that was created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchCreated {
    /// Its id on the stream.
    pub id: i64,
    /// The store's revision as it was created.
    pub revision: i64,
}

/// Events of one watcher. All its events of a revision are in one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchBatch {
    /// The watcher.
    pub id: i64,
    /// The revision of the last event; the store's when there is none.
    pub revision: i64,
    /// In order.
    pub events: Vec<WatchEvent>,
    /// Set when what the watcher wants next has been compacted: the revision compacted at. The watcher is gone.
    pub compacted: Option<i64>,
}

/// An event with what a watcher may have asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchEvent {
    /// The change.
    pub event: Event,
    /// The pair before it: if asked for, the key existed, and it was not compacted since.
    pub prev_kv: Option<KeyValue>,
}
