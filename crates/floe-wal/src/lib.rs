//! The durable log of all Raft groups of a process.
//!
//! One log, in segments, takes the entries and the hard states (term and vote) of every group. Whatever waits
//! is written as one *frame* with one sync: group commit across groups. The bytes, the rules of recovery and
//! the argument for them are in `docs/design/wal.md`; the code refers to the rules by number.
//!
//! ```text
//! segment:  header | frame frame frame ...                | gap | identifiers | header
//!                    |                                          ^
//!                    +-- records: hard states, entries, ...     +-- one for each frame, and the second
//!                        each bound to its place, chained           copy of each hard state
//! ```
//!
//! - A frame counts as a whole or not at all, so a term never reaches the disk after an entry of that term.
//! - The identifier of a frame lies megabytes away from it, in the same sync. A torn last frame has none and
//!   is dropped; a damaged frame that has one may have been acknowledged, and is never dropped in silence.
//! - A failed write or sync is final: [`Wal`] takes no more writes.
//!
//! All input and output goes through [`Disk`]. [`sim::SimDisk`] is one in memory that loses power, lies and
//! fails on demand; the host brings the real one. There is no clock, no randomness, no thread and no
//! environment in here.
//!
//! Absent, on purpose: repair of damaged entries from peers (that needs peers), and moving a slow group's
//! entries out of old segments.
#![forbid(unsafe_code)]

mod batch;
mod disk;
mod error;
mod identifier;
mod index;
mod mend;
mod mutant;
mod reader;
mod record;
mod recovery;
mod scan;
mod segment;
pub mod sim;
mod spare;
mod wal;

pub use disk::{Disk, DiskFile};
pub use error::{AppendError, OpenError, ReadError, SpareError};
#[cfg(feature = "mutants")]
pub use mutant::Mutant;
pub use reader::Reader;
pub use spare::SpareMaker;
pub use wal::{Options, RecoveredGroup, Wal};
