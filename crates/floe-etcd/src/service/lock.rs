//! etcd's `Lock` service, which comes with a later version. Registered, so that clients hear a plain refusal.

use tonic::{Request, Response, Status};

use crate::errors::not_yet;
use crate::proto::v3lockpb as pb;
use crate::proto::v3lockpb::lock_server::Lock;

/// The service.
pub(crate) struct LockService;

#[tonic::async_trait]
impl Lock for LockService {
    async fn lock(&self, _: Request<pb::LockRequest>) -> Result<Response<pb::LockResponse>, Status> {
        Err(not_yet("Lock"))
    }

    async fn unlock(&self, _: Request<pb::UnlockRequest>) -> Result<Response<pb::UnlockResponse>, Status> {
        Err(not_yet("Unlock"))
    }
}
