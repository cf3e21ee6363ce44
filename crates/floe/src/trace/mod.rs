//! The history of a running member, as lines of the format in `docs/design/trace.md`: into a file, and into memory for those
//! who ask for the last of it.
//!
//! The driver tells the [`Tracer`] what happens; the tracer decides what is written, and never waits: a line that finds no
//! room is counted and forgotten. While there is neither a file nor somebody who asks, the driver looks at one number a
//! turn, and nothing is made.

mod entries;
mod file;
mod ring;
mod sample;
mod tracer;

use std::path::PathBuf;

pub(crate) use file::start;
pub(crate) use ring::Ring;
pub use ring::TracePage;
pub(crate) use tracer::{Tracer, World};

/// What is written of a member's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceConfig {
    /// The file, made new at each start; one that is there is kept beside it with `.old` at the end of its name. Without
    /// a file nothing is written.
    pub file: Option<PathBuf>,
    /// One in so many requests, entries and heartbeats is written; 1 is everything. Never zero.
    pub sample: u64,
}

impl Default for TraceConfig {
    /// No file, and one in a hundred for those who ask.
    fn default() -> Self {
        Self { file: None, sample: 100 }
    }
}
