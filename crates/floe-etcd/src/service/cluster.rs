//! etcd's `Cluster` service. Changing the membership comes with a later version; listing it is here.

use std::sync::Arc;

use floe::NodeId;
use tonic::{Request, Response, Status};

use crate::engine::Engine;
use crate::errors::not_yet;
use crate::proto::etcdserverpb as pb;
use crate::proto::etcdserverpb::cluster_server::Cluster;

/// The service.
pub(crate) struct ClusterService {
    engine: Arc<Engine>,
}

impl ClusterService {
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    /// Who belongs to the cluster and where is in the log; what members call themselves and where clients find them is
    /// in the store, once they have started.
    fn members(&self) -> Vec<pb::Member> {
        let membership = self.engine.handle.status().membership;
        let published = self.engine.reader.members();
        let member = |id: NodeId| {
            let info = published.iter().find(|info| info.id == id.0);
            pb::Member {
                id: id.0,
                name: info.map(|info| info.name.clone()).unwrap_or_default(),
                peer_ur_ls: self.peer_urls(id, membership.addresses.get(&id)),
                client_ur_ls: info.map(|info| info.client_urls.clone()).unwrap_or_default(),
                is_learner: membership.learners.contains(&id),
            }
        };
        membership.members().into_iter().map(member).collect()
    }

    fn peer_urls(&self, id: NodeId, address: Option<&bytes::Bytes>) -> Vec<String> {
        match (self.engine.identity.members.get(&id.0), address) {
            (Some(urls), _) => urls.iter().map(ToString::to_string).collect(),
            (None, Some(address)) => vec![format!("http://{}", String::from_utf8_lossy(address))],
            (None, None) => Vec::new(),
        }
    }
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
        // As in etcd: the headers of this service carry no revision.
        let header = Some(self.engine.header(0));
        Ok(Response::new(pb::MemberListResponse { header, members: self.members() }))
    }

    async fn member_add(
        &self,
        _: Request<pb::MemberAddRequest>,
    ) -> Result<Response<pb::MemberAddResponse>, Status> {
        Err(not_yet("MemberAdd"))
    }

    async fn member_remove(
        &self,
        _: Request<pb::MemberRemoveRequest>,
    ) -> Result<Response<pb::MemberRemoveResponse>, Status> {
        Err(not_yet("MemberRemove"))
    }

    async fn member_update(
        &self,
        _: Request<pb::MemberUpdateRequest>,
    ) -> Result<Response<pb::MemberUpdateResponse>, Status> {
        Err(not_yet("MemberUpdate"))
    }

    async fn member_promote(
        &self,
        _: Request<pb::MemberPromoteRequest>,
    ) -> Result<Response<pb::MemberPromoteResponse>, Status> {
        Err(not_yet("MemberPromote"))
    }
}
