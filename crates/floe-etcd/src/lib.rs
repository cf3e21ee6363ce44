//! etcd's v3 API on floe and floe-mvcc: a key-value server that etcd's own clients, etcdctl and Kubernetes use
//! unchanged.
//!
//! A request comes in on one of the client threads ([`Server`] starts one a core), is checked, and becomes either a read
//! of the store on that very thread or a command that floe replicates. The protobuf types of etcd end here: the crates
//! below know floe-mvcc's own.
//!
//! What is absent still: authentication, TLS, snapshots, the JSON gateway, elections and locks. Their
//! calls are answered with `Unimplemented`, never with a success that nothing stands behind.
#![forbid(unsafe_code)]

mod background;
mod config;
mod convert;
mod engine;
mod errors;
mod front;
mod http;
mod join;
mod listener;
mod live;
mod machine;
pub mod proto;
mod roll;
mod server;
mod service;
mod sessions;
mod url;
mod validate;
pub mod version;
mod witness;

pub use config::{ClusterState, Config, ConfigError, Identity};
pub use errors::EtcdError;
pub use join::JoinError;
pub use server::{Server, StartError};
pub use sessions::{REQUEST_ID, TIME_MS};
pub use url::{Url, UrlError};
