//! A real server on real sockets, driven by the generated client: what etcd's clients rely on, line by line.
#![allow(clippy::unwrap_used)]

mod cluster;
mod harness;
mod http;
mod kv;
mod lease;
mod live;
mod maintenance;
mod members;
mod sessions;
mod txn;
mod watch;
mod witness;
