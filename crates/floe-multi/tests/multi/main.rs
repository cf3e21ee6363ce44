//! The machine with many groups, through its public interface.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod alone;
mod coalesce;
mod faults;
mod idle;
mod wake;
mod world;
