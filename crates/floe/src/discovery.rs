//! Asks a member, from outside of its cluster, who is in it: what somebody needs to know who joins, or who was away so
//! long that it may have been removed. Specified in `docs/design/peer-protocol.md`, "Question".

use std::io;
use std::time::Duration;

use floe_raft::{LogId, Membership, NodeId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::error::DiscoverError;
use crate::fences::DiskState;
use crate::handshake::{Hello, NotAPeer, Purpose, Refusal, Roster, VERSION, Verdict, Welcome};

/// A member that takes longer is asked in vain.
const PATIENCE: Duration = Duration::from_secs(3);
/// Why a peer refused, in its own words.
const TEXT_BYTES_MAX: usize = 1024;

/// A cluster as one of its members knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterView {
    /// The cluster.
    pub cluster: u64,
    /// The member that answered.
    pub member: NodeId,
    /// The last entry that it knows to be committed; zero when it has not heard of any since its start.
    pub commit: LogId,
    /// The membership in force at that entry. Without voters when the member does not know any that is committed.
    pub membership: Membership,
}

/// Asks the member at `address` (`host:port`) who is in its cluster. It answers by what it knows itself, which may be
/// old: of several answers the one with the latest [`ClusterView::commit`] counts.
///
/// Must be called on a tokio runtime.
pub async fn discover(address: &str) -> Result<ClusterView, DiscoverError> {
    ask(address, 0).await
}

/// The same for who knows the cluster: members of others refuse.
pub(crate) async fn ask(address: &str, cluster: u64) -> Result<ClusterView, DiscoverError> {
    match timeout(PATIENCE, ask_for_ever(address, cluster)).await {
        Ok(answer) => answer,
        Err(_) => Err(DiscoverError::TimedOut),
    }
}

async fn ask_for_ever(address: &str, cluster: u64) -> Result<ClusterView, DiscoverError> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let nobody = NodeId(0);
    let hello = Hello {
        version: VERSION,
        purpose: Purpose::Messages,
        cluster,
        from: nobody,
        to: nobody,
        incarnation: 0,
        address_bytes: 0,
        disk: DiskState::default(),
    };
    stream.write_all(&hello.encode()).await?;
    let mut bytes = [0; Welcome::BYTES];
    stream.read_exact(&mut bytes).await?;
    let welcome = Welcome::decode(&bytes).map_err(not_a_peer)?;
    let text = read_text(&mut stream, welcome.text_bytes).await?;
    match welcome.verdict {
        Verdict::Accepted => {}
        Verdict::Refused(Refusal::Other) => return Err(DiscoverError::Refused(text)),
        Verdict::Refused(refusal) => return Err(DiscoverError::Refused(refusal.to_string())),
    }
    let mut prefix = [0; Roster::PREFIX];
    stream.read_exact(&mut prefix).await?;
    let (length, crc) = Roster::measure(&prefix).map_err(not_a_peer)?;
    let mut body = Vec::new();
    (&mut stream).take(length as u64).read_to_end(&mut body).await?;
    let Roster { commit, membership } = Roster::decode(body.into(), crc).map_err(not_a_peer)?;
    Ok(ClusterView { cluster: welcome.cluster, member: welcome.member, commit, membership })
}

fn not_a_peer(NotAPeer: NotAPeer) -> DiscoverError {
    DiscoverError::NotAPeer
}

/// Reads the text that follows a welcome.
pub(crate) async fn read_text(stream: &mut TcpStream, bytes: u16) -> io::Result<String> {
    let mut text = vec![0; usize::from(bytes).min(TEXT_BYTES_MAX)];
    stream.read_exact(&mut text).await?;
    let text = String::from_utf8_lossy(&text);
    // It goes into a log: no control characters of strangers.
    Ok(text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect())
}
