//! etcd's services, one file each.

use std::sync::Arc;

use bytes::Bytes;

use crate::engine::Engine;

mod auth;
mod cluster;
mod election;
mod health;
mod kv;
mod lease;
mod lock;
mod maintenance;
mod range_stream;
mod until;
mod watch;

pub(crate) use auth::AuthService;
pub(crate) use cluster::{ASK_MEMBERS, ClusterService, read_answer};
pub(crate) use election::ElectionService;
pub(crate) use health::HealthService;
pub(crate) use kv::KvService;
pub(crate) use lease::LeaseService;
pub(crate) use lock::LockService;
pub(crate) use maintenance::MaintenanceService;
pub(crate) use watch::WatchService;

/// Answers a question of another member; its first byte says which service it is for. An empty answer is none.
pub(crate) async fn answer(engine: Arc<Engine>, question: Bytes) -> Bytes {
    match question.first() {
        Some(&cluster::ASK_CHANGE) => cluster::answer(&engine, question.slice(1..)).await,
        Some(&ASK_MEMBERS) => cluster::answer_witness(&engine, question.slice(1..)).await,
        Some(_) | None => lease::answer(engine, question).await,
    }
}
