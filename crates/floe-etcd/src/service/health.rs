//! The standard gRPC health service: this server serves from its start, under the empty name only.

use std::pin::Pin;
use std::sync::Arc;

use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};

use crate::engine::Engine;
use crate::proto::health::health_check_response::ServingStatus;
use crate::proto::health::health_server::Health;
use crate::proto::health::{HealthCheckRequest, HealthCheckResponse};
use crate::service::until::Until;

/// The service.
pub(crate) struct HealthService {
    engine: Arc<Engine>,
}

impl HealthService {
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }
}

type Item = Result<HealthCheckResponse, Status>;

#[tonic::async_trait]
impl Health for HealthService {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !request.into_inner().service.is_empty() {
            return Err(Status::not_found("unknown service"));
        }
        Ok(Response::new(HealthCheckResponse { status: ServingStatus::Serving.into() }))
    }

    type WatchStream = Until<Pin<Box<dyn Stream<Item = Item> + Send>>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (metadata, _, request) = request.into_parts();
        let known = request.service.is_empty();
        let status = if known { ServingStatus::Serving } else { ServingStatus::ServiceUnknown };
        // The status never changes, so the stream stays open with nothing more to say.
        let answers = tokio_stream::once(Ok(HealthCheckResponse { status: status.into() }));
        let answers = answers.chain(tokio_stream::pending());
        let answers: Pin<Box<dyn Stream<Item = Item> + Send>> = Box::pin(answers);
        Ok(Response::new(Until::new(Arc::clone(&self.engine), &metadata, answers)))
    }
}
