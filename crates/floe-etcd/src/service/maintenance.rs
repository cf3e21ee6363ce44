//! etcd's `Maintenance` service: status, hashes, alarms, leadership.

use std::sync::Arc;

use floe::{CheckpointError, NodeId, TransferError};
use floe_mvcc::{Command, Outcome, RequestId};
use tokio_stream::Empty;
use tonic::{Request, Response, Status};

use crate::engine::{Engine, unreadable};
use crate::errors::{EtcdError, not_yet};
use crate::proto::etcdserverpb as pb;
use crate::proto::etcdserverpb::alarm_request::AlarmAction;
use crate::proto::etcdserverpb::maintenance_server::Maintenance;
use crate::sessions::{no_request_id, request_id};
use crate::version;

/// The service.
pub(crate) struct MaintenanceService {
    engine: Arc<Engine>,
}

impl MaintenanceService {
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    /// Raises or clears an alarm through the log. Clearing answers with the alarm only if there was one.
    async fn change_alarm(
        &self,
        request: pb::AlarmRequest,
        raise: bool,
        name: Option<RequestId>,
    ) -> Result<Vec<pb::AlarmMember>, Status> {
        let alarm = request.alarm();
        if alarm == pb::AlarmType::None {
            return Ok(Vec::new());
        }
        let command = Command::Alarm { member: request.member_id, alarm: alarm.into(), raise };
        let done = self.engine.propose_once(&command, name).await?;
        let tell = raise || done.outcome == (Outcome::Alarm { was_raised: true });
        let member = pb::AlarmMember { member_id: request.member_id, alarm: alarm.into() };
        Ok(if tell { vec![member] } else { Vec::new() })
    }

    async fn list_alarms(&self, kind: pb::AlarmType) -> Result<Vec<pb::AlarmMember>, Status> {
        self.engine.linearize().await?;
        let wanted = |alarm: i32| kind == pb::AlarmType::None || alarm == i32::from(kind);
        let alarms = self.engine.reader.alarms().into_iter().filter(|(_, alarm)| wanted(*alarm));
        Ok(alarms.map(|(member_id, alarm)| pb::AlarmMember { member_id, alarm }).collect())
    }

    /// What is wrong with this member, in the words of etcd.
    fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        if self.engine.handle.leader().is_none() {
            complaints.push(EtcdError::NoLeader.message().to_owned());
        }
        for (member, alarm) in self.engine.reader.alarms() {
            let name = pb::AlarmType::try_from(alarm).map_or("UNKNOWN", |alarm| alarm.as_str_name());
            complaints.push(format!("memberID:{member} alarm:{name}"));
        }
        complaints
    }
}

#[tonic::async_trait]
impl Maintenance for MaintenanceService {
    async fn alarm(&self, request: Request<pb::AlarmRequest>) -> Result<Response<pb::AlarmResponse>, Status> {
        let name = request_id(request.metadata())?;
        let request = request.into_inner();
        let alarms = match request.action() {
            AlarmAction::Get => self.list_alarms(request.alarm()).await?,
            AlarmAction::Activate => self.change_alarm(request, true, name).await?,
            AlarmAction::Deactivate => self.change_alarm(request, false, name).await?,
        };
        Ok(Response::new(pb::AlarmResponse { header: Some(self.engine.header_now()), alarms }))
    }

    /// From this member alone, so that it is answered without a quorum, too.
    async fn status(&self, _: Request<pb::StatusRequest>) -> Result<Response<pb::StatusResponse>, Status> {
        let status = self.engine.handle.status();
        let size = self.engine.reader.size();
        Ok(Response::new(pb::StatusResponse {
            header: Some(self.engine.header_now()),
            version: version::SERVER.into(),
            db_size: size.total.cast_signed(),
            leader: status.leader.map_or(0, |leader| leader.0),
            raft_index: status.commit.0,
            raft_term: status.term.0,
            raft_applied_index: status.applied.0,
            errors: self.complaints(),
            db_size_in_use: size.in_use.cast_signed(),
            is_learner: self.engine.handle.is_learner(),
            storage_version: version::STORAGE.into(),
            db_size_quota: self.engine.config.quota().map_or(-1, u64::cast_signed),
            downgrade_info: Some(pb::DowngradeInfo::default()),
            is_witness: false,
        }))
    }

    /// The store uses freed room again by itself and writes never wait for it. What is left to do is to make durable what
    /// is here, so that the log need not hold it, and a restart need not apply it again.
    async fn defragment(
        &self,
        _: Request<pb::DefragmentRequest>,
    ) -> Result<Response<pb::DefragmentResponse>, Status> {
        match self.engine.handle.checkpoint().await {
            Ok(_) => Ok(Response::new(pb::DefragmentResponse { header: None })),
            Err(CheckpointError::Busy) => Err(EtcdError::TooManyRequests.into()),
            Err(CheckpointError::Shutdown) => Err(EtcdError::Stopped.into()),
        }
    }

    /// For tests only, as in etcd. Covers the keys and the sessions, which is what members must agree on when they have
    /// applied the same.
    async fn hash(&self, _: Request<pb::HashRequest>) -> Result<Response<pb::HashResponse>, Status> {
        let reader = &self.engine.reader;
        let hash = reader.hash_kv(0).map_err(unreadable)?.hash.rotate_left(16) ^ reader.session_hash();
        Ok(Response::new(pb::HashResponse { header: Some(self.engine.header_now()), hash }))
    }

    async fn hash_kv(
        &self,
        request: Request<pb::HashKvRequest>,
    ) -> Result<Response<pb::HashKvResponse>, Status> {
        let hash = self.engine.reader.hash_kv(request.into_inner().revision).map_err(unreadable)?;
        Ok(Response::new(pb::HashKvResponse {
            header: Some(self.engine.header_now()),
            hash: hash.hash,
            compact_revision: hash.compact_revision,
            hash_revision: hash.hash_revision,
        }))
    }

    type SnapshotStream = Empty<Result<pb::SnapshotResponse, Status>>;

    async fn snapshot(
        &self,
        _: Request<pb::SnapshotRequest>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        Err(not_yet("Snapshot"))
    }

    async fn move_leader(
        &self,
        request: Request<pb::MoveLeaderRequest>,
    ) -> Result<Response<pb::MoveLeaderResponse>, Status> {
        no_request_id(request.metadata(), "the status of a member tells who leads")?;
        let target = NodeId(request.into_inner().target_id);
        if !self.engine.handle.is_leader() {
            return Err(EtcdError::NotLeader.into());
        }
        let done = Response::new(pb::MoveLeaderResponse { header: None });
        if target == self.engine.handle.id() {
            return Ok(done);
        }
        match self.engine.handle.transfer_leadership(target).await {
            Ok(()) => Ok(done),
            Err(TransferError::NotLeader { .. }) => Err(EtcdError::NotLeader.into()),
            Err(TransferError::BadTarget(_)) => Err(EtcdError::BadLeaderTransferee.into()),
            Err(TransferError::Busy) => Err(EtcdError::TooManyRequests.into()),
            Err(TransferError::TimedOut) => Err(EtcdError::Timeout.into()),
            Err(TransferError::Shutdown) => Err(EtcdError::Stopped.into()),
        }
    }

    async fn downgrade(
        &self,
        _: Request<pb::DowngradeRequest>,
    ) -> Result<Response<pb::DowngradeResponse>, Status> {
        Err(not_yet("Downgrade"))
    }
}
