//! The few calls of etcd's API that the tasks make, each to one named member and with a deadline.

use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use floe_etcd::REQUEST_ID;
use floe_etcd::proto::etcdserverpb::cluster_client::ClusterClient;
use floe_etcd::proto::etcdserverpb::kv_client::KvClient;
use floe_etcd::proto::etcdserverpb::maintenance_client::MaintenanceClient;
use floe_etcd::proto::etcdserverpb::{
    HashKvRequest, Member, MemberAddRequest, MemberListRequest, MemberPromoteRequest, MemberRemoveRequest,
    PutRequest, PutResponse, RangeRequest, StatusRequest, StatusResponse, TxnRequest, TxnResponse,
};
use floe_session::RequestId;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::ledger::Found;

const DIAL_LIMIT: Duration = Duration::from_millis(500);
/// Keys a page of a full read.
const PAGE: i64 = 5_000;

/// A connection to one member. It connects when it is first used, and again after its member was restarted.
#[derive(Clone)]
pub(crate) struct Client {
    channel: Channel,
}

/// Everything that a member holds at one revision.
pub(crate) struct Content {
    pub(crate) revision: i64,
    pub(crate) keys: Vec<Found>,
}

/// A member's hash of everything up to a revision. Two members agree when both numbers are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hash {
    pub(crate) hash: u32,
    pub(crate) compact_revision: i64,
}

impl Client {
    /// A client of the member at `address` (host:port), each of whose calls ends after `limit`.
    pub(crate) fn new(address: &str, limit: Duration) -> Result<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .with_context(|| format!("`{address}` is no address"))?
            .connect_timeout(DIAL_LIMIT)
            .tcp_nodelay(true)
            .timeout(limit);
        Ok(Self { channel: endpoint.connect_lazy() })
    }

    fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone()).max_decoding_message_size(usize::MAX)
    }

    /// Writes a key; the answer is the revision of the write.
    pub(crate) async fn put(&self, key: Bytes, value: Bytes) -> Result<i64, Status> {
        let request = PutRequest { key, value, ..PutRequest::default() };
        let reply = self.kv().put(request).await?.into_inner();
        reply
            .header
            .map(|header| header.revision)
            .ok_or_else(|| Status::data_loss("a reply without a header"))
    }

    /// Puts under a name: done once, whoever is asked and however often.
    pub(crate) async fn put_named(
        &self,
        name: RequestId,
        request: PutRequest,
    ) -> Result<PutResponse, Status> {
        Ok(self.kv().put(named(name, request)?).await?.into_inner())
    }

    /// Runs a transaction under a name.
    pub(crate) async fn txn_named(
        &self,
        name: RequestId,
        request: TxnRequest,
    ) -> Result<TxnResponse, Status> {
        Ok(self.kv().txn(named(name, request)?).await?.into_inner())
    }

    /// Reads a key, linearizable unless `serializable`.
    pub(crate) async fn read(&self, key: Bytes, serializable: bool) -> Result<Option<Found>, Status> {
        let request = RangeRequest { key, serializable, ..RangeRequest::default() };
        let reply = self.kv().range(request).await?.into_inner();
        Ok(reply.kvs.into_iter().next().map(found))
    }

    /// Reads every key, page by page at the revision of the first page.
    pub(crate) async fn content(&self, serializable: bool) -> Result<Content, Status> {
        let mut content = Content { revision: 0, keys: Vec::new() };
        let mut from = Bytes::from_static(b"\0");
        loop {
            let request = RangeRequest {
                key: from,
                range_end: Bytes::from_static(b"\0"),
                revision: content.revision,
                limit: PAGE,
                serializable,
                ..RangeRequest::default()
            };
            let reply = self.kv().range(request).await?.into_inner();
            if content.revision == 0 {
                content.revision = reply.header.map_or(0, |header| header.revision);
            }
            content.keys.extend(reply.kvs.into_iter().map(found));
            match content.keys.last() {
                Some(last) if reply.more => from = [last.key.as_ref(), b"\0"].concat().into(),
                _ => return Ok(content),
            }
        }
    }

    /// Who is in the cluster, as the leader knows it.
    pub(crate) async fn members(&self) -> Result<Vec<Member>, Status> {
        let request = MemberListRequest { linearizable: true };
        Ok(self.cluster().member_list(request).await?.into_inner().members)
    }

    /// Adds a member that will be reached at `peer_url`.
    pub(crate) async fn add_member(&self, peer_url: String, is_learner: bool) -> Result<(), Status> {
        let request = MemberAddRequest { peer_ur_ls: vec![peer_url], is_learner, is_witness: false };
        self.cluster().member_add(request).await.map(drop)
    }

    /// Adds a witness that will be reached at `peer_url`.
    pub(crate) async fn add_witness(&self, peer_url: String) -> Result<(), Status> {
        let request = MemberAddRequest { peer_ur_ls: vec![peer_url], is_learner: false, is_witness: true };
        self.cluster().member_add(request).await.map(drop)
    }

    /// Makes a learner a voter.
    pub(crate) async fn promote_member(&self, id: u64) -> Result<(), Status> {
        self.cluster().member_promote(MemberPromoteRequest { id }).await.map(drop)
    }

    /// Removes a member.
    pub(crate) async fn remove_member(&self, id: u64) -> Result<(), Status> {
        self.cluster().member_remove(MemberRemoveRequest { id }).await.map(drop)
    }

    fn cluster(&self) -> ClusterClient<Channel> {
        ClusterClient::new(self.channel.clone())
    }

    /// The member's own view of itself.
    pub(crate) async fn status(&self) -> Result<StatusResponse, Status> {
        let mut client = MaintenanceClient::new(self.channel.clone());
        Ok(client.status(StatusRequest {}).await?.into_inner())
    }

    /// The member's hash of everything up to `revision`.
    pub(crate) async fn hash_kv(&self, revision: i64) -> Result<Hash, Status> {
        let mut client = MaintenanceClient::new(self.channel.clone());
        let reply = client.hash_kv(HashKvRequest { revision }).await?.into_inner();
        Ok(Hash { hash: reply.hash, compact_revision: reply.compact_revision })
    }
}

fn named<T>(name: RequestId, message: T) -> Result<Request<T>, Status> {
    let value = AsciiMetadataValue::try_from(name.to_string())
        .map_err(|_| Status::internal("a request's name is no metadata"))?;
    let mut request = Request::new(message);
    request.metadata_mut().insert(REQUEST_ID, value);
    Ok(request)
}

fn found(kv: floe_etcd::proto::mvccpb::KeyValue) -> Found {
    Found { key: kv.key, value: kv.value, mod_revision: kv.mod_revision, version: kv.version }
}
