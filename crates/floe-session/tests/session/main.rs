//! What a host of sessions sees: verdicts, memory, and what survives a snapshot.
#![allow(clippy::unwrap_used, reason = "a test that unwraps says where it failed and why")]

mod bounds;
mod model;
mod rules;
mod snapshots;
