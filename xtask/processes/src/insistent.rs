//! A client that names its requests and tries them on one member after another until somebody answers.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use floe_etcd::proto::etcdserverpb::{PutRequest, PutResponse, TxnRequest, TxnResponse};
use floe_session::{ClientId, RequestId, Sequence};
use tokio::time::sleep;
use tonic::{Code, Status};

use crate::client::Client;

/// How long it insists: longer than any cluster of these tasks is without a majority.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(10);

/// A client's identity: its id, and how far it has counted.
pub(crate) struct Insistent {
    id: ClientId,
    next: Sequence,
}

impl Insistent {
    pub(crate) fn new() -> Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
        let birth_ms = u64::try_from(now.as_millis()).context("the clock is far ahead")?;
        Ok(Self { id: ClientId::new(birth_ms, rand::random()), next: Sequence::FIRST })
    }

    /// The name of the next request.
    pub(crate) fn name(&mut self) -> RequestId {
        let name = RequestId { client: self.id, sequence: self.next };
        self.next = self.next.next();
        name
    }
}

/// Puts under a name. Tries the members in turn, beginning with the first.
pub(crate) async fn put(members: &[Client], name: RequestId, request: &PutRequest) -> Result<PutResponse> {
    let begun = Instant::now();
    for member in members.iter().cycle() {
        match member.put_named(name, request.clone()).await {
            Ok(reply) => return Ok(reply),
            Err(status) => pause(name, begun, status).await?,
        }
    }
    bail!("there is no member to ask")
}

/// Runs a transaction under a name. Tries the members in turn, beginning with the first.
pub(crate) async fn txn(members: &[Client], name: RequestId, request: &TxnRequest) -> Result<TxnResponse> {
    let begun = Instant::now();
    for member in members.iter().cycle() {
        match member.txn_named(name, request.clone()).await {
            Ok(reply) => return Ok(reply),
            Err(status) => pause(name, begun, status).await?,
        }
    }
    bail!("there is no member to ask")
}

/// Waits a moment if another try may succeed.
async fn pause(name: RequestId, begun: Instant, status: Status) -> Result<()> {
    if !may_pass(status.code()) {
        return Err(status).with_context(|| format!("{name} is refused"));
    }
    if begun.elapsed() > PATIENCE {
        return Err(status).with_context(|| format!("{name}: nobody answers"));
    }
    sleep(PAUSE).await;
    Ok(())
}

/// None of these says that the write did not happen or cannot.
fn may_pass(code: Code) -> bool {
    matches!(code, Code::Unavailable | Code::Unknown | Code::Cancelled | Code::DeadlineExceeded)
}
