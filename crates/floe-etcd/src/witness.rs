//! A witness as clients see it: a member that votes and holds no data, so that it answers who and how it is, who else
//! is in the cluster, and to everything else where to go instead.
//!
//! It has no store and cannot propose, so it asks the leader to make its name known, and keeps the list of members
//! that comes back: with it a client that is sent away is told where the leader is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use bytes::{BufMut, BytesMut};
use floe::{AskError, Handle, NodeId};
use floe_mvcc::Reply;
use hyper::Request;
use hyper::body::Incoming;
use prost::Message;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::{Grpc, UnaryService};
use tonic::{Response, Status};
use tonic_prost::ProstCodec;

use crate::config::{Config, Identity};
use crate::errors::EtcdError;
use crate::front::{Answer, is_grpc};
use crate::http;
use crate::proto::etcdserverpb as pb;
use crate::proto::health::health_check_response::ServingStatus;
use crate::proto::health::{HealthCheckRequest, HealthCheckResponse};
use crate::roll::Roll;
use crate::service::{ASK_MEMBERS, read_answer};
use crate::version;

/// How often the leader is asked who is in the cluster, besides after each change of leadership.
const REFRESH: Duration = Duration::from_secs(10);
/// How long the leader is left alone after it could not answer.
const PAUSE: Duration = Duration::from_millis(50);

/// A running witness.
pub(crate) struct Witness {
    pub(crate) config: Config,
    pub(crate) identity: Identity,
    pub(crate) handle: Handle<Reply>,
    /// Turns true when the server stops.
    pub(crate) stopping: watch::Receiver<bool>,
    /// Its name and client URLs, as it makes them known.
    own: pb::Member,
    /// The members as the leader listed them last.
    known: Mutex<Vec<pb::Member>>,
}

impl Witness {
    pub(crate) fn new(
        config: Config,
        identity: Identity,
        handle: Handle<Reply>,
        stopping: watch::Receiver<bool>,
        client_urls: Vec<String>,
    ) -> Self {
        let own = pb::Member {
            id: identity.member,
            name: config.name.clone(),
            client_ur_ls: client_urls,
            is_witness: true,
            ..pb::Member::default()
        };
        Self { config, identity, handle, stopping, own, known: Mutex::default() }
    }

    fn header(&self) -> pb::ResponseHeader {
        pb::ResponseHeader {
            cluster_id: self.identity.cluster,
            member_id: self.identity.member,
            revision: 0,
            raft_term: self.handle.term().0,
        }
    }

    fn known(&self) -> Vec<pb::Member> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks the leader who is in the cluster, and makes this member known by the way.
    async fn ask(&self) -> Result<Vec<pb::Member>, Status> {
        let mut question = BytesMut::with_capacity(1 + self.own.encoded_len());
        question.put_u8(ASK_MEMBERS);
        // A `BytesMut` grows as needed, so there is always room.
        self.own.encode(&mut question).expect("a growing buffer has room");
        let question = question.freeze();
        let deadline = Instant::now() + self.config.request_timeout();
        loop {
            let outcome = match self.handle.ask_leader(question.clone()).await {
                Ok(answer) => read_answer(answer),
                Err(AskError::NoLeader | AskError::NotLeader | AskError::Busy) => None,
                Err(AskError::Shutdown) => return Err(EtcdError::Stopped.into()),
                Err(AskError::TimedOut | AskError::Unanswered | AskError::TooLarge) => {
                    return Err(EtcdError::Timeout.into());
                }
            };
            match outcome {
                Some(Ok(answer)) => {
                    self.known.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&answer.members);
                    return Ok(answer.members);
                }
                Some(Err(status)) => return Err(status),
                None if *self.stopping.borrow() => return Err(EtcdError::Stopped.into()),
                None if Instant::now() >= deadline => return Err(EtcdError::NoLeader.into()),
                None => sleep(PAUSE).await,
            }
        }
    }

    /// Keeps the list of the members fresh, and says so when it is there for the first time: this member is known by its
    /// name then.
    pub(crate) async fn keep_known(self: Arc<Self>, ready: watch::Sender<bool>) {
        let mut leadership = self.handle.leadership();
        while !*self.stopping.borrow() {
            leadership.mark_unchanged();
            match self.ask().await {
                Ok(_) => {
                    ready.send_replace(true);
                    // An end of the wait in any way leads to another question.
                    let _ = timeout(REFRESH, leadership.changed()).await;
                }
                Err(status) => tracing::debug!("this witness is not known yet: {}", status.message()),
            }
            sleep(PAUSE).await;
        }
    }

    /// What clients hear who want more than a witness has.
    fn refusal(&self) -> Status {
        let mut text =
            "floe: this member is a witness, which holds no data and answers no requests".to_owned();
        match self.handle.leader() {
            Some(leader) => text.push_str(&format!("; the leader is {}", self.description(leader))),
            None => text.push_str(", and it knows no leader"),
        }
        Status::unavailable(text)
    }

    fn description(&self, member: NodeId) -> String {
        let id = format!("{:x}", member.0);
        match self.known().into_iter().find(|known| known.id == member.0) {
            Some(known) if known.client_ur_ls.is_empty() => format!("{} ({id})", known.name),
            Some(known) => format!("{} ({id}) at {}", known.name, known.client_ur_ls.join(",")),
            None => id,
        }
    }

    /// From this member alone. It has no revision and no store.
    fn status(&self) -> pb::StatusResponse {
        let status = self.handle.status();
        let complaint = status.leader.is_none().then(|| EtcdError::NoLeader.message().to_owned());
        pb::StatusResponse {
            header: Some(self.header()),
            version: version::SERVER.into(),
            leader: status.leader.map_or(0, |leader| leader.0),
            raft_index: status.commit.0,
            raft_term: status.term.0,
            raft_applied_index: status.applied.0,
            errors: complaint.into_iter().collect(),
            storage_version: version::STORAGE.into(),
            downgrade_info: Some(pb::DowngradeInfo::default()),
            is_witness: true,
            ..pb::StatusResponse::default()
        }
    }

    /// Confirmed by the leader if that is asked for; otherwise what this member's log says, with the names that are known.
    async fn members(&self, linearizable: bool) -> Result<pb::MemberListResponse, Status> {
        let members = if linearizable {
            self.ask().await?
        } else {
            let mut members = Roll::new(&self.handle.status(), Vec::new()).list();
            let known = self.known();
            for member in &mut members {
                if let Some(known) = known.iter().find(|known| known.id == member.id) {
                    member.name.clone_from(&known.name);
                    member.client_ur_ls.clone_from(&known.client_ur_ls);
                }
            }
            members
        };
        Ok(pb::MemberListResponse { header: Some(self.header()), members })
    }
}

/// What a witness serves.
pub(crate) struct Services {
    witness: Arc<Witness>,
    http: Router,
}

impl Services {
    pub(crate) fn new(witness: &Arc<Witness>) -> Self {
        let described = Arc::clone(witness);
        let http = http::witness_router(Arc::new(move || described.refusal().message().to_owned()));
        Self { witness: Arc::clone(witness), http }
    }

    pub(crate) fn call(&self, request: Request<Incoming>) -> Answer {
        let call = match request.uri().path() {
            "/etcdserverpb.Maintenance/Status" => Call::Status,
            "/etcdserverpb.Cluster/MemberList" => Call::Members,
            "/grpc.health.v1.Health/Check" => Call::Health,
            _ if is_grpc(&request) => return Answer::Ready(Some(self.witness.refusal())),
            _ => {
                let mut router = self.http.clone();
                let call = async move { router.call(request.map(axum::body::Body::new)).await };
                return Answer::Http(Box::pin(call));
            }
        };
        let (limit, witness) = (self.witness.config.max_message_bytes(), Arc::clone(&self.witness));
        Answer::Grpc(Box::pin(async move {
            let request = request.map(Body::new);
            Ok(match call {
                Call::Status => unary(OwnStatus(witness), limit, request).await,
                Call::Members => unary(Members(witness), limit, request).await,
                Call::Health => unary(Health, limit, request).await,
            })
        }))
    }
}

/// What clients may ask of a witness.
#[derive(Clone, Copy)]
enum Call {
    Status,
    Members,
    Health,
}

/// Serves one call whose request and answer are one message each.
async fn unary<S, Q, A>(service: S, limit: usize, request: Request<Body>) -> hyper::Response<Body>
where
    S: UnaryService<Q, Response = A>,
    Q: Message + Default + Send + 'static,
    A: Message + Send + 'static,
{
    let codec = ProstCodec::<A, Q>::default();
    Grpc::new(codec).max_decoding_message_size(limit).unary(service, request).await
}

type Served<A> = std::pin::Pin<Box<dyn Future<Output = Result<Response<A>, Status>> + Send>>;

struct OwnStatus(Arc<Witness>);

impl UnaryService<pb::StatusRequest> for OwnStatus {
    type Response = pb::StatusResponse;
    type Future = Served<pb::StatusResponse>;

    fn call(&mut self, _: tonic::Request<pb::StatusRequest>) -> Self::Future {
        let status = self.0.status();
        Box::pin(async move { Ok(Response::new(status)) })
    }
}

struct Members(Arc<Witness>);

impl UnaryService<pb::MemberListRequest> for Members {
    type Response = pb::MemberListResponse;
    type Future = Served<pb::MemberListResponse>;

    fn call(&mut self, request: tonic::Request<pb::MemberListRequest>) -> Self::Future {
        let (witness, linearizable) = (Arc::clone(&self.0), request.into_inner().linearizable);
        Box::pin(async move { witness.members(linearizable).await.map(Response::new) })
    }
}

/// A witness serves nobody, so that whoever spreads clients by health leaves it out.
struct Health;

impl UnaryService<HealthCheckRequest> for Health {
    type Response = HealthCheckResponse;
    type Future = Served<HealthCheckResponse>;

    fn call(&mut self, request: tonic::Request<HealthCheckRequest>) -> Self::Future {
        let known = request.into_inner().service.is_empty();
        Box::pin(async move {
            if !known {
                return Err(Status::not_found("unknown service"));
            }
            Ok(Response::new(HealthCheckResponse { status: ServingStatus::NotServing.into() }))
        })
    }
}
