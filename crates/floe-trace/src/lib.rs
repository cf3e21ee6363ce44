//! The words of a trace: how what happened becomes a line of JSON, the same in a simulated world and on a real server.
//!
//! `docs/design/trace.md` is the format. An event is described once, field by field, to a [`Fields`]; a [`Line`] is the
//! reader that writes JSON, and the simulator has another one that hashes. What both kinds of traces say of messages and
//! writes is in `words.rs`; who may say what, and when, is theirs.

#![forbid(unsafe_code)]

mod line;
mod words;

pub use line::{Fields, Line, quote};
pub use words::{
    describe_entries, describe_envelope, describe_hard_state, describe_write, message_name, role_name,
};

/// The version of the format.
pub const TRACE_VERSION: u64 = 1;
