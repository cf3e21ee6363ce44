//! Nodes as a whole, through the public interface.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, unreachable_pub)]

mod failure;
mod fencing;
mod membership;
mod network;
mod once;
mod proxy;
mod recover;
mod replication;
mod restart;
mod snapshot;
mod support;
mod trace;
mod witness;
