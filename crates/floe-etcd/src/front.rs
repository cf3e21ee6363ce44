//! The first thing that sees a request of a client: finds the service by the path, and asks what is asked of all.
//!
//! The services are matched here and not by a general router: a put spends a few microseconds in this process in all, and
//! a router that clones itself, boxes the future and wraps the body costs a noticeable part of that.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::{Request, Response};
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::{Code, Status};

use crate::engine::Engine;
use crate::errors::EtcdError;
use crate::http;
use crate::proto::etcdserverpb::auth_server::AuthServer;
use crate::proto::etcdserverpb::cluster_server::ClusterServer;
use crate::proto::etcdserverpb::kv_server::KvServer;
use crate::proto::etcdserverpb::lease_server::LeaseServer;
use crate::proto::etcdserverpb::maintenance_server::MaintenanceServer;
use crate::proto::etcdserverpb::watch_server::WatchServer;
use crate::proto::health::health_server::HealthServer;
use crate::proto::v3electionpb::election_server::ElectionServer;
use crate::proto::v3lockpb::lock_server::LockServer;
use crate::service::{
    AuthService, ClusterService, ElectionService, HealthService, KvService, LeaseService, LockService,
    MaintenanceService, WatchService,
};
use crate::witness;

/// All services of a member. Cloning it copies handles.
#[derive(Clone)]
pub(crate) enum Front {
    Member(Arc<Services>),
    Witness(Arc<witness::Services>),
}

/// Those of a member with data.
pub(crate) struct Services {
    engine: Arc<Engine>,
    kv: KvServer<KvService>,
    watch: WatchServer<WatchService>,
    lease: LeaseServer<LeaseService>,
    cluster: ClusterServer<ClusterService>,
    maintenance: MaintenanceServer<MaintenanceService>,
    auth: AuthServer<AuthService>,
    election: ElectionServer<ElectionService>,
    lock: LockServer<LockService>,
    health: HealthServer<HealthService>,
    http: Router,
}

impl Services {
    pub(crate) fn new(engine: &Arc<Engine>) -> Self {
        let limit = engine.config.max_message_bytes();
        let shared = || Arc::clone(engine);
        // What the server sends is bounded by what is stored, so only what arrives is limited.
        macro_rules! server {
            ($server:ident, $service:expr) => {
                $server::new($service).max_decoding_message_size(limit).max_encoding_message_size(usize::MAX)
            };
        }
        Self {
            kv: server!(KvServer, KvService::new(shared())),
            watch: server!(WatchServer, WatchService::new(shared())),
            lease: server!(LeaseServer, LeaseService::new(shared())),
            cluster: server!(ClusterServer, ClusterService::new(shared())),
            maintenance: server!(MaintenanceServer, MaintenanceService::new(shared())),
            auth: server!(AuthServer, AuthService::new(shared())),
            election: server!(ElectionServer, ElectionService),
            lock: server!(LockServer, LockService),
            health: server!(HealthServer, HealthService::new(shared())),
            http: http::router(shared()),
            engine: shared(),
        }
    }

    /// What is refused whatever the request says.
    fn refuse(&self, request: &Request<Incoming>) -> Result<(), EtcdError> {
        let headers = request.headers();
        let wants_leader = headers.get("hasleader").is_some_and(|value| value == "true");
        if wants_leader && self.engine.handle.leader().is_none() {
            return Err(EtcdError::NoLeader);
        }
        let version = headers.get("client-api-version");
        if version.is_some_and(|version| std::str::from_utf8(version.as_bytes()).is_err()) {
            return Err(EtcdError::InvalidClientApiVersion);
        }
        if self.engine.handle.is_learner() && !served_by_learners(request.uri().path()) {
            return Err(EtcdError::NotSupportedForLearner);
        }
        Ok(())
    }

    fn call(&self, request: Request<Incoming>) -> Answer {
        let path = request.uri().path();
        let service =
            path.strip_prefix('/').and_then(|path| path.split_once('/')).map(|(service, _)| service);
        macro_rules! grpc {
            ($server:expr) => {{
                if let Err(error) = self.refuse(&request) {
                    return Answer::Ready(Some(error.into()));
                }
                Answer::Grpc($server.clone().call(request.map(Body::new)))
            }};
        }
        match service {
            Some("etcdserverpb.KV") => grpc!(self.kv),
            Some("etcdserverpb.Watch") => grpc!(self.watch),
            Some("etcdserverpb.Lease") => grpc!(self.lease),
            Some("etcdserverpb.Cluster") => grpc!(self.cluster),
            Some("etcdserverpb.Maintenance") => grpc!(self.maintenance),
            Some("etcdserverpb.Auth") => grpc!(self.auth),
            Some("v3electionpb.Election") => grpc!(self.election),
            Some("v3lockpb.Lock") => grpc!(self.lock),
            Some("grpc.health.v1.Health") => grpc!(self.health),
            _ if is_grpc(&request) => {
                let service = service.unwrap_or_default();
                Answer::Ready(Some(Status::unimplemented(format!("unknown service {service}"))))
            }
            _ => {
                let mut router = self.http.clone();
                Answer::Http(Box::pin(async move { router.call(request.map(axum::body::Body::new)).await }))
            }
        }
    }
}

/// What a learner answers, as in etcd: its own state, and reads of its own store (which the service looks at).
fn served_by_learners(path: &str) -> bool {
    matches!(
        path,
        "/etcdserverpb.Maintenance/Status" | "/etcdserverpb.Maintenance/Snapshot" | "/etcdserverpb.KV/Range"
    ) || path.starts_with("/grpc.health.v1.Health/")
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// An answer under way.
pub(crate) enum Answer {
    Ready(Option<Status>),
    Grpc(BoxFuture<Result<Response<Body>, Infallible>>),
    Http(BoxFuture<Result<Response<axum::body::Body>, Infallible>>),
}

impl hyper::service::Service<Request<Incoming>> for Front {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, request: Request<Incoming>) -> Answer {
        match self {
            Self::Member(services) => services.call(request),
            Self::Witness(services) => services.call(request),
        }
    }
}

pub(crate) fn is_grpc(request: &Request<Incoming>) -> bool {
    let kind = request.headers().get(hyper::header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

impl Future for Answer {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            // A future is not polled after it was ready, so the status is there.
            Self::Ready(status) => {
                let status = status.take().unwrap_or_else(|| Status::internal("polled after the answer"));
                Poll::Ready(Ok(status.into_http()))
            }
            Self::Grpc(answer) => answer.as_mut().poll(cx).map_ok(|mut response| {
                rename_oversize(&mut response);
                response
            }),
            Self::Http(answer) => answer.as_mut().poll(cx).map_ok(|response| response.map(Body::new)),
        }
    }
}

/// A message above the limit is refused by tonic as `OutOfRange`; etcd's clients know grpc-go's code and words.
fn rename_oversize(response: &mut Response<Body>) {
    let headers = response.headers_mut();
    let Some(code) = headers.get("grpc-status") else { return };
    if *code != "11" {
        return;
    }
    let status = Status::from_header_map(headers);
    let Some(sizes) = status.as_ref().and_then(|status| {
        let (found, limit) = status.message().split_once(" bytes, the limit is: ")?;
        Some((found.rsplit_once(' ')?.1.to_owned(), limit.strip_suffix(" bytes")?.to_owned()))
    }) else {
        return;
    };
    let message = format!("grpc: received message larger than max ({} vs. {})", sizes.0, sizes.1);
    if Status::new(Code::ResourceExhausted, message).add_header(headers).is_err() {
        headers.insert("grpc-status", HeaderValue::from_static("8"));
    }
}
