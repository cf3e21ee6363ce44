//! etcd's `Lease` service.
//!
//! Granting and revoking go through the log. Renewing does not: only the leader counts time, so a renewal that arrives
//! elsewhere is passed to it as a question between members. The question and its answer are one byte that says what they
//! are, followed by etcd's own message.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use floe_mvcc::{Command, Outcome, Renewed};
use prost::Message;
use tokio::time::{Instant, sleep};
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use crate::engine::Engine;
use crate::errors::EtcdError;
use crate::proto::etcdserverpb as pb;
use crate::proto::etcdserverpb::lease_server::Lease;
use crate::service::until::Until;
use crate::sessions::request_id;

/// etcd's bound: 285 years, in seconds.
const MAX_TTL: i64 = 9_000_000_000;

/// How long the leader is left alone after it could not answer.
const ASK_PAUSE: Duration = Duration::from_millis(50);

/// How often an expired lease is looked at until its revocation is applied.
const REVOKE_PAUSE: Duration = Duration::from_millis(20);

const ASK_RENEW: u8 = 1;
const ASK_TIME_TO_LIVE: u8 = 2;
const ANSWERED: u8 = 0;
const NOT_PRIMARY: u8 = 1;

/// The service.
pub(crate) struct LeaseService {
    engine: Arc<Engine>,
}

impl LeaseService {
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }
}

#[tonic::async_trait]
impl Lease for LeaseService {
    async fn lease_grant(
        &self,
        request: Request<pb::LeaseGrantRequest>,
    ) -> Result<Response<pb::LeaseGrantResponse>, Status> {
        let name = request_id(request.metadata())?;
        let request = request.into_inner();
        if request.ttl > MAX_TTL {
            return Err(EtcdError::LeaseTtlTooLarge.into());
        }
        let ttl = request.ttl.max(self.engine.config.min_lease_ttl());
        let id = if request.id == 0 { rand::random_range(1..=i64::MAX) } else { request.id };
        let done = self.engine.propose_once(&Command::LeaseGrant { id, ttl }, name).await?;
        // A retry is answered with the lease of the first attempt, not with the id that was just drawn.
        let Outcome::LeaseGranted { id, ttl } = done.outcome else {
            return Err(Status::unknown("the store's answer does not belong to the request"));
        };
        let header = Some(self.engine.header(done.revision));
        Ok(Response::new(pb::LeaseGrantResponse { header, id, ttl, error: String::new() }))
    }

    async fn lease_revoke(
        &self,
        request: Request<pb::LeaseRevokeRequest>,
    ) -> Result<Response<pb::LeaseRevokeResponse>, Status> {
        let name = request_id(request.metadata())?;
        let command = Command::LeaseRevoke { id: request.into_inner().id };
        let done = self.engine.propose_once(&command, name).await?;
        Ok(Response::new(pb::LeaseRevokeResponse { header: Some(self.engine.header(done.revision)) }))
    }

    type LeaseKeepAliveStream = Until<std::pin::Pin<Box<dyn Stream<Item = KeepAliveItem> + Send>>>;

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<pb::LeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        let (metadata, _, requests) = request.into_parts();
        let engine = Arc::clone(&self.engine);
        let answers = requests.then(move |request| {
            let engine = Arc::clone(&engine);
            async move { keep_alive(&engine, request?.id).await }
        });
        let answers: std::pin::Pin<Box<dyn Stream<Item = KeepAliveItem> + Send>> = Box::pin(answers);
        Ok(Response::new(Until::new(Arc::clone(&self.engine), &metadata, answers)))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<pb::LeaseTimeToLiveRequest>,
    ) -> Result<Response<pb::LeaseTimeToLiveResponse>, Status> {
        let request = request.into_inner();
        let mut response: pb::LeaseTimeToLiveResponse =
            ask(&self.engine, ASK_TIME_TO_LIVE, &request, time_to_live_here).await?;
        response.header = Some(self.engine.header_now());
        Ok(Response::new(response))
    }

    async fn lease_leases(
        &self,
        _: Request<pb::LeaseLeasesRequest>,
    ) -> Result<Response<pb::LeaseLeasesResponse>, Status> {
        let leases = self.engine.reader.leases().into_iter().map(|id| pb::LeaseStatus { id }).collect();
        Ok(Response::new(pb::LeaseLeasesResponse { header: Some(self.engine.header_now()), leases }))
    }
}

type KeepAliveItem = Result<pb::LeaseKeepAliveResponse, Status>;

async fn keep_alive(engine: &Arc<Engine>, id: i64) -> KeepAliveItem {
    // The header is taken first: a lease that is revoked at revision 3 must not be seen alive at revision 4.
    let header = Some(engine.header_now());
    let request = pb::LeaseKeepAliveRequest { id };
    let mut response: pb::LeaseKeepAliveResponse = ask(engine, ASK_RENEW, &request, renew_here).await?;
    response.header = header;
    Ok(response)
}

/// Lets the leader answer: here if this member leads, through a question to it otherwise. Both may be tried again, since
/// neither renewing twice nor looking twice does harm.
async fn ask<Q, A, F>(
    engine: &Arc<Engine>,
    kind: u8,
    question: &Q,
    here: impl Fn(Arc<Engine>, Q) -> F,
) -> Result<A, Status>
where
    Q: Message + Clone,
    A: Message + Default,
    F: Future<Output = Option<A>>,
{
    let deadline = Instant::now() + engine.config.request_timeout();
    loop {
        let answer = if engine.handle.is_leader() {
            here(Arc::clone(engine), question.clone()).await
        } else {
            ask_leader(engine, kind, question).await
        };
        if let Some(answer) = answer {
            return Ok(answer);
        }
        if *engine.stopping.borrow() {
            return Err(EtcdError::Stopped.into());
        }
        if Instant::now() >= deadline {
            return Err(EtcdError::Timeout.into());
        }
        sleep(ASK_PAUSE).await;
    }
}

async fn ask_leader<A: Message + Default>(engine: &Engine, kind: u8, question: &impl Message) -> Option<A> {
    let answer = engine.handle.ask_leader(message(kind, question)).await.ok()?;
    match answer.split_first() {
        Some((&ANSWERED, answer)) => A::decode(answer).ok(),
        _ => None,
    }
}

fn message(kind: u8, body: &impl Message) -> Bytes {
    let mut bytes = BytesMut::with_capacity(1 + body.encoded_len());
    bytes.put_u8(kind);
    // A `BytesMut` grows as needed, so there is always room.
    body.encode(&mut bytes).expect("a growing buffer has room");
    bytes.freeze()
}

/// Answers a question that another member asked of the leader.
pub(crate) async fn answer(engine: Arc<Engine>, question: Bytes) -> Bytes {
    let answer = match question.split_first() {
        Some((&ASK_RENEW, request)) => match pb::LeaseKeepAliveRequest::decode(request) {
            Ok(request) => renew_here(engine, request).await.map(|answer| message(ANSWERED, &answer)),
            Err(_) => None,
        },
        Some((&ASK_TIME_TO_LIVE, request)) => match pb::LeaseTimeToLiveRequest::decode(request) {
            Ok(request) => time_to_live_here(engine, request).await.map(|answer| message(ANSWERED, &answer)),
            Err(_) => None,
        },
        _ => None,
    };
    answer.unwrap_or_else(|| Bytes::from_static(&[NOT_PRIMARY]))
}

/// Confirms that this member leads and has applied everything, so that a lease it does not find does not exist. A leader
/// that was paused or cut off learns here that it is none any more (etcd-io/etcd#15247).
async fn confirm_leadership(engine: &Engine) -> Option<()> {
    engine.handle.read().await.ok()?;
    engine.handle.is_leader().then_some(())
}

/// Renews on the leader. None if this member cannot say. A lease that does not exist has a TTL of 0, which is no error.
async fn renew_here(
    engine: Arc<Engine>,
    request: pb::LeaseKeepAliveRequest,
) -> Option<pb::LeaseKeepAliveResponse> {
    confirm_leadership(&engine).await?;
    let deadline = Instant::now() + engine.config.request_timeout();
    let lessor = engine.reader.lessor();
    let ttl = loop {
        match lessor.renew(engine.clock.now_ms(), request.id) {
            Renewed::Renewed { ttl } => break ttl,
            Renewed::NotFound => break 0,
            Renewed::NotPrimary => return None,
            // Too late: the client is told when the lease's keys are gone, not before.
            Renewed::Expired if Instant::now() < deadline => sleep(REVOKE_PAUSE).await,
            Renewed::Expired => return None,
        }
    };
    Some(pb::LeaseKeepAliveResponse { header: None, id: request.id, ttl })
}

/// Looks at a lease on the leader. None if this member cannot say. A lease that does not exist has a TTL of -1, which
/// is no error.
async fn time_to_live_here(
    engine: Arc<Engine>,
    request: pb::LeaseTimeToLiveRequest,
) -> Option<pb::LeaseTimeToLiveResponse> {
    confirm_leadership(&engine).await?;
    let remaining_ms = engine.reader.lessor().remaining_ms(engine.clock.now_ms(), request.id);
    let Some((remaining_ms, lease)) = remaining_ms.zip(engine.reader.lease(request.id)) else {
        return Some(pb::LeaseTimeToLiveResponse { id: request.id, ttl: -1, ..Default::default() });
    };
    Some(pb::LeaseTimeToLiveResponse {
        header: None,
        id: request.id,
        ttl: (remaining_ms / 1000).max(0),
        granted_ttl: lease.ttl,
        keys: if request.keys { lease.keys } else { Vec::new() },
    })
}
