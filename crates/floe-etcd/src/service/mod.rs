//! etcd's services, one file each.

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
pub(crate) use cluster::ClusterService;
pub(crate) use election::ElectionService;
pub(crate) use health::HealthService;
pub(crate) use kv::KvService;
pub(crate) use lease::{LeaseService, answer as answer_lease_question};
pub(crate) use lock::LockService;
pub(crate) use maintenance::MaintenanceService;
pub(crate) use watch::WatchService;
