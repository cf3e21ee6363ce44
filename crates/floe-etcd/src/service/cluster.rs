//! etcd's `Cluster` service: who belongs to the cluster, and changes of that.
//!
//! Only the leader knows who answers and how far each is, so a change that is asked for elsewhere is passed to it as a
//! question between members: one byte that says so, one for the kind of change, and etcd's own message. The answer is
//! one byte and the list of members, or the error that the client gets.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use floe::{AskError, ChangeError, Membership, MembershipChange, MembershipOperation, NodeId};
use floe_mvcc::{Command, MemberInfo};
use prost::Message;
use sha1::{Digest, Sha1};
use tokio::time::{Instant, sleep};
use tonic::{Code, Request, Response, Status};

use crate::engine::Engine;
use crate::errors::EtcdError;
use crate::proto::etcdserverpb as pb;
use crate::proto::etcdserverpb::cluster_server::Cluster;
use crate::roll::{self, Kind, Limits, Roll};
use crate::sessions::no_request_id;
use crate::url::Url;

/// The first byte of a question of this service.
pub(crate) const ASK_CHANGE: u8 = 3;
/// The first byte of a witness's question, which says who it is and asks who is in the cluster. It cannot publish itself,
/// and has no store to look into. The rest is etcd's message for a member.
pub(crate) const ASK_MEMBERS: u8 = 4;

const ADD: u8 = 1;
const REMOVE: u8 = 2;
const UPDATE: u8 = 3;
const PROMOTE: u8 = 4;

const DONE: u8 = 0;
const NOT_LEADER: u8 = 1;
const REFUSED: u8 = 2;

/// What a client does whose change found no answer.
const INSTEAD: &str = "the list of members tells whether a change was made";

/// How long the leader is left alone after it could not begin a change.
const PAUSE: Duration = Duration::from_millis(20);

/// The service.
pub(crate) struct ClusterService {
    engine: Arc<Engine>,
}

/// A change that a client asks for.
#[derive(Clone, Debug, PartialEq)]
enum Wish {
    Add { id: NodeId, urls: Vec<Url>, kind: Kind },
    Remove { id: NodeId },
    Update { id: NodeId, urls: Vec<Url> },
    Promote { id: NodeId },
}

/// What comes of a wish. Etcd's answers to all changes hold the members; that to an addition the new one, too.
type Outcome = Result<pb::MemberAddResponse, Status>;

impl ClusterService {
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    /// Lets the leader make the change: here if this member leads, through a question to it otherwise. What certainly
    /// did not happen is tried again until the request's time is over.
    async fn change(&self, kind: u8, request: Bytes) -> Outcome {
        let engine = &self.engine;
        let deadline = Instant::now() + engine.config.request_timeout();
        let mut question = BytesMut::with_capacity(2 + request.len());
        question.put_slice(&[ASK_CHANGE, kind]);
        question.put_slice(&request);
        let question = question.freeze();
        loop {
            let outcome = if engine.handle.is_leader() {
                change_here(engine, kind, request.clone()).await
            } else {
                match engine.handle.ask_leader(question.clone()).await {
                    Ok(answer) => read_answer(answer),
                    Err(AskError::NoLeader | AskError::NotLeader | AskError::Busy) => None,
                    Err(AskError::TooLarge) => Some(Err(EtcdError::RequestTooLarge.into())),
                    Err(AskError::Unanswered) => Some(Err(EtcdError::NotCapable.into())),
                    // The leader may have begun it.
                    Err(AskError::TimedOut) => Some(Err(EtcdError::Timeout.into())),
                    Err(AskError::Shutdown) => Some(Err(EtcdError::Stopped.into())),
                }
            };
            if let Some(outcome) = outcome {
                if outcome.is_ok() && !engine.handle.is_leader() {
                    // So that whoever asks this member next hears of the change. If it fails, that may be a moment late.
                    let _ = engine.handle.read().await;
                }
                return outcome;
            }
            if *engine.stopping.borrow() {
                return Err(EtcdError::Stopped.into());
            }
            if Instant::now() >= deadline {
                return Err(EtcdError::Timeout.into());
            }
            sleep(PAUSE).await;
            engine.wait_for_leader().await;
        }
    }
}

/// Answers another member's question for a change. Called on the leader.
pub(crate) async fn answer(engine: &Engine, mut question: Bytes) -> Bytes {
    let outcome = match question.try_get_u8() {
        Ok(kind) => change_here(engine, kind, question).await,
        Err(_) => Some(Err(EtcdError::NotCapable.into())),
    };
    write_answer(outcome)
}

/// Answers a witness: makes its name and client URLs known, and lists the members. Called on the leader.
pub(crate) async fn answer_witness(engine: &Engine, question: Bytes) -> Bytes {
    let outcome = match pb::Member::decode(question) {
        Ok(witness) => introduce(engine, witness).await,
        Err(_) => Some(Err(EtcdError::NotCapable.into())),
    };
    write_answer(outcome)
}

async fn introduce(engine: &Engine, witness: pb::Member) -> Option<Outcome> {
    // Everything that was committed before is known here then, and so is whether this member leads.
    if engine.handle.read().await.is_err() || !engine.handle.is_leader() {
        return None;
    }
    let info = MemberInfo { id: witness.id, name: witness.name, client_urls: witness.client_ur_ls };
    let is_member = engine.handle.status().membership.is_witness(NodeId(info.id));
    if is_member
        && !engine.reader.members().contains(&info)
        && let Err(status) = engine.propose(&Command::PublishMember(info)).await
    {
        return Some(Err(status));
    }
    let members = Roll::new(&engine.handle.status(), engine.reader.members()).list();
    Some(Ok(pb::MemberAddResponse { header: Some(engine.header(0)), member: None, members }))
}

fn write_answer(outcome: Option<Outcome>) -> Bytes {
    let mut bytes = BytesMut::new();
    match outcome {
        Some(Ok(response)) => {
            bytes.put_u8(DONE);
            // A `BytesMut` grows as needed, so there is always room.
            response.encode(&mut bytes).expect("a growing buffer has room");
        }
        None => bytes.put_u8(NOT_LEADER),
        Some(Err(status)) => {
            bytes.put_slice(&[REFUSED, i32::from(status.code()) as u8]);
            bytes.put_slice(status.message().as_bytes());
        }
    }
    bytes.freeze()
}

/// Reads what the leader answered. `None`: that member did not lead, and nothing happened.
pub(crate) fn read_answer(mut answer: Bytes) -> Option<Result<pb::MemberAddResponse, Status>> {
    // A leader that is only starting has nobody to answer yet.
    let Ok(first) = answer.try_get_u8() else { return None };
    match first {
        DONE => Some(pb::MemberAddResponse::decode(answer).map_err(|_| EtcdError::NotCapable.into())),
        REFUSED => {
            let code = Code::from(i32::from(answer.try_get_u8().unwrap_or_default()));
            Some(Err(Status::new(code, String::from_utf8_lossy(&answer))))
        }
        NOT_LEADER => None,
        _ => Some(Err(EtcdError::NotCapable.into())),
    }
}

/// Makes a change as the leader. `None`: this member does not lead, and nothing happened.
async fn change_here(engine: &Engine, kind: u8, request: Bytes) -> Option<Outcome> {
    match Wish::read(kind, request) {
        Ok(wish) => fulfil(engine, &wish).await,
        Err(error) => Some(Err(error.into())),
    }
}

async fn fulfil(engine: &Engine, wish: &Wish) -> Option<Outcome> {
    let start = Instant::now();
    let deadline = start + engine.config.request_timeout();
    // A new leader has not heard everybody yet.
    let patience = start + Duration::from_millis(2 * engine.config.election_timeout_ms);
    loop {
        // Everything that was committed before is known here then, and so is whether this member leads.
        if engine.handle.read().await.is_err() || !engine.handle.is_leader() {
            return None;
        }
        let roll = Roll::new(&engine.handle.status(), engine.reader.members());
        if let Err(reason) = wish.check_kind(&roll) {
            return Some(Err(Status::failed_precondition(format!("floe: {reason}"))));
        }
        let change = match wish.check(&roll, engine.config.membership_limits()) {
            Err(EtcdError::Unhealthy) if Instant::now() < patience => {
                sleep(PAUSE).await;
                continue;
            }
            Err(error) => return Some(Err(error.into())),
            Ok(None) => return Some(Ok(wish.done(engine, &roll))),
            Ok(Some(operation)) => {
                MembershipChange { operations: vec![operation], forced: !engine.config.strict_reconfig_check }
            }
        };
        let error = match engine.handle.change_membership(change).await {
            Ok(membership) => {
                log_change(wish, &membership);
                return Some(Ok(wish.done(engine, &roll.with(membership))));
            }
            Err(error) => error,
        };
        let refused = match error {
            ChangeError::NotLeader { .. } | ChangeError::Lost => return None,
            ChangeError::Pending | ChangeError::Busy if Instant::now() < deadline => {
                sleep(PAUSE).await;
                continue;
            }
            ChangeError::Unhealthy { .. } if Instant::now() < patience => {
                sleep(PAUSE).await;
                continue;
            }
            ChangeError::Pending | ChangeError::Busy => EtcdError::TooManyRequests,
            ChangeError::NotCaughtUp { .. } | ChangeError::Silent { .. } => EtcdError::LearnerNotReady,
            ChangeError::Unhealthy { .. } => EtcdError::Unhealthy,
            ChangeError::Invalid(reason) if wish.concerns_witnesses(&roll) => {
                return Some(Err(Status::failed_precondition(format!("floe: {reason}"))));
            }
            // The last voter, which only force could remove: then, nobody would be left.
            ChangeError::Invalid(_) => EtcdError::MemberNotEnoughStarted,
            ChangeError::Shutdown => EtcdError::Stopped,
            ChangeError::Unknown(_) => EtcdError::TimeoutDueToLeaderFail,
        };
        return Some(Err(refused.into()));
    }
}

fn log_change(wish: &Wish, membership: &Membership) {
    let voters: Vec<String> = membership.voters.iter().map(|id| format!("{:x}", id.0)).collect();
    tracing::info!(?wish, voters = voters.join(","), "changed the membership");
}

impl Wish {
    fn read(kind: u8, request: Bytes) -> Result<Self, EtcdError> {
        let malformed = |_| EtcdError::NotCapable;
        Ok(match kind {
            ADD => {
                let request = pb::MemberAddRequest::decode(request).map_err(malformed)?;
                let urls = urls(&request.peer_ur_ls)?;
                let kind = match (request.is_learner, request.is_witness) {
                    (false, false) => Kind::Voter,
                    (true, false) => Kind::Learner,
                    (false, true) => Kind::Witness,
                    // It has no data to learn with.
                    (true, true) => return Err(EtcdError::NotCapable),
                };
                Self::Add { id: new_id(&urls), urls, kind }
            }
            REMOVE => {
                let request = pb::MemberRemoveRequest::decode(request).map_err(malformed)?;
                Self::Remove { id: NodeId(request.id) }
            }
            UPDATE => {
                let request = pb::MemberUpdateRequest::decode(request).map_err(malformed)?;
                Self::Update { id: NodeId(request.id), urls: urls(&request.peer_ur_ls)? }
            }
            PROMOTE => {
                let request = pb::MemberPromoteRequest::decode(request).map_err(malformed)?;
                Self::Promote { id: NodeId(request.id) }
            }
            _ => return Err(EtcdError::NotCapable),
        })
    }

    /// Whether a member of that kind makes sense here.
    fn check_kind(&self, roll: &Roll) -> Result<(), &'static str> {
        match self {
            Self::Add { kind: Kind::Witness, .. } => roll.check_witness(),
            Self::Add { .. } | Self::Remove { .. } | Self::Update { .. } | Self::Promote { .. } => Ok(()),
        }
    }

    /// Whether the core may have refused it for the witnesses that there are, or would be.
    fn concerns_witnesses(&self, roll: &Roll) -> bool {
        matches!(self, Self::Add { kind: Kind::Witness, .. }) || roll.has_witnesses()
    }

    /// What to do to the membership, if it may be done; nothing, if all is as it is wished already.
    fn check(&self, roll: &Roll, limits: Limits) -> Result<Option<MembershipOperation>, EtcdError> {
        Ok(match self {
            Self::Add { id, urls, kind } => {
                roll.check_add(urls, *kind == Kind::Learner, limits)?;
                Some(roll::addition(*id, urls, *kind))
            }
            Self::Remove { id } => {
                roll.check_remove(*id, limits)?;
                Some(MembershipOperation::Remove { node: *id })
            }
            Self::Update { id, urls } => {
                let address = roll::address(urls);
                roll.check_update(*id, urls)?
                    .then_some(MembershipOperation::UpdateAddress { node: *id, address })
            }
            Self::Promote { id } => {
                roll.check_promote(*id, limits)?;
                Some(MembershipOperation::Promote { node: *id })
            }
        })
    }

    fn done(&self, engine: &Engine, roll: &Roll) -> pb::MemberAddResponse {
        let member = match self {
            Self::Add { id, .. } => Some(roll.member(*id)),
            Self::Remove { .. } | Self::Update { .. } | Self::Promote { .. } => None,
        };
        // As in etcd: the headers of this service carry no revision.
        pb::MemberAddResponse { header: Some(engine.header(0)), member, members: roll.list() }
    }
}

fn urls(texts: &[String]) -> Result<Vec<Url>, EtcdError> {
    let mut urls = texts.iter().map(|text| text.parse()).collect::<Result<Vec<Url>, _>>();
    if let Ok(urls) = &mut urls {
        urls.sort_by_key(ToString::to_string);
    }
    urls.ok().filter(|urls| !urls.is_empty()).ok_or(EtcdError::MemberBadUrls)
}

/// The first eight bytes of a SHA-1 over the sorted peer URLs and the time, as in etcd. Nanoseconds where etcd has
/// seconds: an id stands for one disk, so one that is added, removed and added again must get another.
fn new_id(urls: &[Url]) -> NodeId {
    let mut hash = Sha1::new();
    for url in urls {
        hash.update(url.to_string());
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    hash.update(now.as_nanos().to_string());
    let bytes = hash.finalize();
    let mut id = [0; 8];
    id.copy_from_slice(&bytes[..8]);
    // Zero stands for nobody.
    NodeId(u64::from_be_bytes(id).max(1))
}

#[tonic::async_trait]
impl Cluster for ClusterService {
    async fn member_list(
        &self,
        request: Request<pb::MemberListRequest>,
    ) -> Result<Response<pb::MemberListResponse>, Status> {
        if request.into_inner().linearizable {
            self.engine.linearize().await?;
        }
        let members = Roll::new(&self.engine.handle.status(), self.engine.reader.members()).list();
        Ok(Response::new(pb::MemberListResponse { header: Some(self.engine.header(0)), members }))
    }

    async fn member_add(
        &self,
        request: Request<pb::MemberAddRequest>,
    ) -> Result<Response<pb::MemberAddResponse>, Status> {
        no_request_id(request.metadata(), INSTEAD)?;
        let mut response = self.change(ADD, request.into_inner().encode_to_vec().into()).await?;
        response.header = Some(self.engine.header(0));
        Ok(Response::new(response))
    }

    async fn member_remove(
        &self,
        request: Request<pb::MemberRemoveRequest>,
    ) -> Result<Response<pb::MemberRemoveResponse>, Status> {
        no_request_id(request.metadata(), INSTEAD)?;
        let members = self.change(REMOVE, request.into_inner().encode_to_vec().into()).await?.members;
        let header = Some(self.engine.header(0));
        Ok(Response::new(pb::MemberRemoveResponse { header, members }))
    }

    async fn member_update(
        &self,
        request: Request<pb::MemberUpdateRequest>,
    ) -> Result<Response<pb::MemberUpdateResponse>, Status> {
        no_request_id(request.metadata(), INSTEAD)?;
        let members = self.change(UPDATE, request.into_inner().encode_to_vec().into()).await?.members;
        let header = Some(self.engine.header(0));
        Ok(Response::new(pb::MemberUpdateResponse { header, members }))
    }

    async fn member_promote(
        &self,
        request: Request<pb::MemberPromoteRequest>,
    ) -> Result<Response<pb::MemberPromoteResponse>, Status> {
        no_request_id(request.metadata(), INSTEAD)?;
        let members = self.change(PROMOTE, request.into_inner().encode_to_vec().into()).await?.members;
        let header = Some(self.engine.header(0));
        Ok(Response::new(pb::MemberPromoteResponse { header, members }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_reaches_the_client_as_the_leader_meant_it() {
        let mut bytes = vec![REFUSED, i32::from(Code::FailedPrecondition) as u8];
        bytes.extend(b"etcdserver: Peer URLs already exists");
        let status = read_answer(bytes.into()).expect("an answer").expect_err("a refusal");
        assert_eq!(
            (status.code(), status.message()),
            (Code::FailedPrecondition, "etcdserver: Peer URLs already exists")
        );
        assert!(read_answer(Bytes::from_static(&[NOT_LEADER])).is_none());
        assert!(read_answer(Bytes::new()).is_none());
        assert!(read_answer(Bytes::from_static(&[77])).expect("an answer").is_err());
    }

    #[test]
    fn an_id_is_never_given_twice() {
        let urls = [Url::loopback(2380)];
        assert_ne!(new_id(&urls), new_id(&urls));
    }

    #[test]
    fn wishes_without_sense_are_refused() {
        let add = |urls: &[&str]| {
            let peer_ur_ls = urls.iter().map(ToString::to_string).collect();
            let request = pb::MemberAddRequest { peer_ur_ls, ..Default::default() };
            Wish::read(ADD, request.encode_to_vec().into())
        };
        assert_eq!(add(&[]), Err(EtcdError::MemberBadUrls));
        assert_eq!(add(&["foo"]), Err(EtcdError::MemberBadUrls));
        assert!(add(&["http://a:1"]).is_ok());
        assert_eq!(Wish::read(99, Bytes::new()), Err(EtcdError::NotCapable));
        assert_eq!(Wish::read(REMOVE, Bytes::from_static(b"\xff")), Err(EtcdError::NotCapable));
    }
}
