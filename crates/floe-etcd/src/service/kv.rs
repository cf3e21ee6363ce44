//! etcd's `KV` service: range, put, delete, txn, compaction.

use std::pin::Pin;
use std::sync::Arc;

use floe_mvcc::{Command, Outcome};
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use crate::convert;
use crate::engine::{Engine, unreadable};
use crate::errors::EtcdError;
use crate::proto::etcdserverpb as pb;
use crate::proto::etcdserverpb::kv_server::Kv;
use crate::service::range_stream;
use crate::sessions::request_id;
use crate::validate;

/// The service.
pub(crate) struct KvService {
    engine: Arc<Engine>,
}

impl KvService {
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }
}

/// The store answered a command with the outcome of another kind. Both sides are in this process, so it is a bug.
fn mismatch() -> Status {
    Status::unknown("the store's answer does not belong to the request")
}

#[tonic::async_trait]
impl Kv for KvService {
    async fn range(&self, request: Request<pb::RangeRequest>) -> Result<Response<pb::RangeResponse>, Status> {
        let request = request.into_inner();
        if !request.serializable && self.engine.handle.is_learner() {
            return Err(EtcdError::NotSupportedForLearner.into());
        }
        validate::range(&request)?;
        if !request.serializable {
            self.engine.linearize().await?;
        }
        let reply = self.engine.reader.range(&convert::range(request)).map_err(unreadable)?;
        let header = self.engine.header(reply.revision);
        Ok(Response::new(convert::range_response(header, reply)))
    }

    type RangeStreamStream = Pin<Box<dyn Stream<Item = Result<pb::RangeStreamResponse, Status>> + Send>>;

    async fn range_stream(
        &self,
        request: Request<pb::RangeRequest>,
    ) -> Result<Response<Self::RangeStreamStream>, Status> {
        let request = request.into_inner();
        range_stream::check(&request)?;
        if !request.serializable {
            self.engine.linearize().await?;
        }
        let chunks = range_stream::chunks(Arc::clone(&self.engine), convert::range(request));
        Ok(Response::new(Box::pin(chunks)))
    }

    async fn put(&self, request: Request<pb::PutRequest>) -> Result<Response<pb::PutResponse>, Status> {
        let id = request_id(request.metadata())?;
        let request = request.into_inner();
        validate::put(&request)?;
        let done = self.engine.propose_once(&Command::Put(convert::put(request)), id).await?;
        let Outcome::Put { prev_kv } = done.outcome else { return Err(mismatch()) };
        Ok(Response::new(pb::PutResponse {
            header: Some(self.engine.header(done.revision)),
            prev_kv: prev_kv.map(convert::key_value),
        }))
    }

    async fn delete_range(
        &self,
        request: Request<pb::DeleteRangeRequest>,
    ) -> Result<Response<pb::DeleteRangeResponse>, Status> {
        let id = request_id(request.metadata())?;
        let request = request.into_inner();
        validate::delete_range(&request)?;
        let command = Command::DeleteRange(convert::delete_range(request));
        let done = self.engine.propose_once(&command, id).await?;
        let Outcome::DeleteRange { deleted, prev_kvs } = done.outcome else { return Err(mismatch()) };
        Ok(Response::new(pb::DeleteRangeResponse {
            header: Some(self.engine.header(done.revision)),
            deleted,
            prev_kvs: convert::key_values(prev_kvs),
        }))
    }

    async fn txn(&self, request: Request<pb::TxnRequest>) -> Result<Response<pb::TxnResponse>, Status> {
        let id = request_id(request.metadata())?;
        let request = request.into_inner();
        validate::txn(&request, self.engine.config.max_txn_ops)?;
        if convert::is_read_only(&request) {
            if !convert::is_serializable(&request) {
                self.engine.linearize().await?;
            }
            let reply = self.engine.reader.read_txn(&convert::txn(request)).map_err(unreadable)?;
            let header = self.engine.header(reply.revision);
            return Ok(Response::new(convert::txn_response(header, reply)));
        }
        let done = self.engine.propose_once(&Command::Txn(convert::txn(request)), id).await?;
        let Outcome::Txn(reply) = done.outcome else { return Err(mismatch()) };
        Ok(Response::new(convert::txn_response(self.engine.header(done.revision), reply)))
    }

    async fn compact(
        &self,
        request: Request<pb::CompactionRequest>,
    ) -> Result<Response<pb::CompactionResponse>, Status> {
        let id = request_id(request.metadata())?;
        let request = request.into_inner();
        let done = self.engine.propose_once(&Command::Compact { revision: request.revision }, id).await?;
        if request.physical {
            self.engine.swept().await?;
        }
        Ok(Response::new(pb::CompactionResponse { header: Some(self.engine.header(done.revision)) }))
    }
}
