//! etcd's v3 API on floe and floe-mvcc.
#![forbid(unsafe_code)]

pub mod proto;
