//! etcd's `Election` service, which comes with a later version. Registered, so that clients hear a plain refusal.

use tokio_stream::Empty;
use tonic::{Request, Response, Status};

use crate::errors::not_yet;
use crate::proto::v3electionpb as pb;
use crate::proto::v3electionpb::election_server::Election;

/// The service.
pub(crate) struct ElectionService;

#[tonic::async_trait]
impl Election for ElectionService {
    async fn campaign(
        &self,
        _: Request<pb::CampaignRequest>,
    ) -> Result<Response<pb::CampaignResponse>, Status> {
        Err(not_yet("Campaign"))
    }

    async fn proclaim(
        &self,
        _: Request<pb::ProclaimRequest>,
    ) -> Result<Response<pb::ProclaimResponse>, Status> {
        Err(not_yet("Proclaim"))
    }

    async fn leader(&self, _: Request<pb::LeaderRequest>) -> Result<Response<pb::LeaderResponse>, Status> {
        Err(not_yet("Leader"))
    }

    async fn resign(&self, _: Request<pb::ResignRequest>) -> Result<Response<pb::ResignResponse>, Status> {
        Err(not_yet("Resign"))
    }

    type ObserveStream = Empty<Result<pb::LeaderResponse, Status>>;

    async fn observe(&self, _: Request<pb::LeaderRequest>) -> Result<Response<Self::ObserveStream>, Status> {
        Err(not_yet("Observe"))
    }
}
