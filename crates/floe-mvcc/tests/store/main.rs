//! The store through its public interface: against a naive model, against etcd's rules line by line, through crashes and
//! under load.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;
mod concurrent;
mod crash;
mod hash;
mod lease;
mod model;
mod properties;
mod range;
mod sessions;
mod snapshot;
mod txn;
mod watch;
mod watch_properties;
mod writes;
