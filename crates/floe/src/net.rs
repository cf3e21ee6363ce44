//! Makes the connections between the members: accepts, dials, shakes hands, and gives what stands to the driver.
//!
//! A tokio runtime on a thread of its own does this, because it is all waiting: for the network, for names, for
//! peers that are down. No message of the protocol passes through it.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use floe_raft::{Membership, NodeId};
use rand::RngExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use crate::completion::lock;
use crate::handshake::{Hello, NotAPeer, Refusal, VERSION, Verdict, Welcome};
use crate::inbox::{Inbox, Input};
use crate::limit::RateLimit;
use crate::transport::{Connected, Direction};

/// A handshake that takes longer is given up.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// A dial that takes longer is given up.
const DIAL_TIMEOUT: Duration = Duration::from_secs(3);
const BACKOFF_MIN: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// Strangers that are shaking hands at one time.
const HANDSHAKES_MAX: usize = 64;
/// Accepted connections that stand at one time; no cluster has so many members.
const ACCEPTED_MAX: usize = 256;
/// A connection that stood for less than this was no success: dialling again waits.
const STABLE: Duration = Duration::from_secs(1);
/// Why a peer refused, in its own words.
const TEXT_BYTES_MAX: usize = 1024;

/// What the tasks of the network share.
pub(crate) struct Net<R> {
    pub(crate) cluster: u64,
    pub(crate) member: NodeId,
    pub(crate) incarnation: u64,
    pub(crate) inbox: Arc<Inbox<R>>,
    pub(crate) membership: watch::Receiver<Arc<Membership>>,
    peers: Mutex<BTreeMap<NodeId, Arc<Peer>>>,
    accepted: Arc<Semaphore>,
    complaints: Mutex<RateLimit>,
}

/// What is remembered of another member.
#[derive(Debug, Default)]
struct Peer {
    /// It has just connected to us, so it is up: dial without waiting.
    nudge: Notify,
    incarnation: Mutex<Option<u64>>,
}

/// Why a dialled connection does not stand.
#[derive(Debug, thiserror::Error)]
enum DialError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("no answer")]
    TimedOut,
    #[error("{0}")]
    NotAPeer(#[from] NotAPeer),
    #[error("it refuses: {0}")]
    Refused(String),
    #[error("it is member {member} of cluster {cluster:x}")]
    Stranger { member: NodeId, cluster: u64 },
}

impl<R: Send + 'static> Net<R> {
    pub(crate) fn new(
        (cluster, member): (u64, NodeId),
        inbox: Arc<Inbox<R>>,
        membership: watch::Receiver<Arc<Membership>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            cluster,
            member,
            incarnation: rand::random(),
            inbox,
            membership,
            peers: Mutex::default(),
            accepted: Arc::new(Semaphore::new(ACCEPTED_MAX)),
            complaints: Mutex::default(),
        })
    }

    /// Runs until `stop` resolves: accepts on the listeners and keeps one dialler for each other member.
    pub(crate) async fn run(
        self: Arc<Self>,
        listeners: Vec<std::net::TcpListener>,
        stop: oneshot::Receiver<()>,
    ) {
        for listener in listeners {
            match TcpListener::from_std(listener) {
                Ok(listener) => drop(tokio::spawn(Arc::clone(&self).accept(listener))),
                Err(error) => tracing::error!(%error, "cannot accept other members"),
            }
        }
        tokio::select! {
            _ = stop => {}
            () = Arc::clone(&self).keep_diallers() => {}
        }
    }

    /// Starts and stops diallers as members and their addresses come and go.
    async fn keep_diallers(self: Arc<Self>) {
        let mut diallers = BTreeMap::<NodeId, (String, AbortHandle)>::new();
        let mut membership = self.membership.clone();
        loop {
            let wanted = self.addresses(&membership.borrow_and_update());
            diallers.retain(|id, (address, task)| {
                let keep = wanted.get(id) == Some(address);
                if !keep {
                    task.abort();
                }
                keep
            });
            for (id, address) in wanted {
                diallers.entry(id).or_insert_with(|| {
                    let task = tokio::spawn(Arc::clone(&self).dial_for_ever(id, address.clone()));
                    (address, task.abort_handle())
                });
            }
            if membership.changed().await.is_err() {
                // The driver is gone; `run` ends by its own signal.
                return std::future::pending().await;
            }
        }
    }

    fn addresses(&self, membership: &Membership) -> BTreeMap<NodeId, String> {
        let others = membership.members().into_iter().filter(|&id| id != self.member);
        let address =
            |id| membership.addresses.get(&id).and_then(|address| std::str::from_utf8(address).ok());
        others.filter_map(|id| Some((id, address(id)?.to_owned()))).collect()
    }

    fn peer(&self, id: NodeId) -> Arc<Peer> {
        Arc::clone(lock(&self.peers).entry(id).or_default())
    }

    /// Notes which process of the peer is talking. If it is another one than before, that one is dead.
    fn note_incarnation(&self, id: NodeId, incarnation: u64) {
        let before = lock(&self.peer(id).incarnation).replace(incarnation);
        if before.is_some_and(|before| before != incarnation) {
            self.inbox.report(Input::PeerGone(id));
        }
    }

    /// Writes one line about a stranger, but not a thousand.
    fn complain(&self, complain: impl FnOnce(u64)) {
        let permit = lock(&self.complaints).permit();
        if let Some(suppressed) = permit {
            complain(suppressed);
        }
    }
}

/// The side that dials.
impl<R: Send + 'static> Net<R> {
    /// Keeps one connection to the peer.
    async fn dial_for_ever(self: Arc<Self>, id: NodeId, address: String) {
        let peer = self.peer(id);
        let mut backoff = BACKOFF_MIN;
        let mut reported = false;
        loop {
            let outcome = match timeout(DIAL_TIMEOUT, self.dial(id, &address)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(DialError::TimedOut),
            };
            match outcome {
                Ok(until_closed) => {
                    tracing::info!(peer = %id, %address, "connected");
                    let since = Instant::now();
                    // Resolves, with an error, when the driver drops the connection.
                    let _ = until_closed.await;
                    tracing::info!(peer = %id, %address, "connection lost");
                    if since.elapsed() >= STABLE {
                        (backoff, reported) = (BACKOFF_MIN, false);
                        continue;
                    }
                }
                Err(error) => {
                    if matches!(&error, DialError::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused)
                    {
                        // Its machine answers and says that nobody listens there: the process is dead.
                        self.inbox.report(Input::PeerGone(id));
                    }
                    if !std::mem::replace(&mut reported, true) {
                        tracing::warn!(peer = %id, %address, %error, "cannot connect, trying on");
                    }
                }
            }
            let jitter = rand::rng().random_range(0.5..1.0);
            tokio::select! {
                () = sleep(backoff.mul_f64(jitter)) => backoff = (backoff * 2).min(BACKOFF_MAX),
                () = peer.nudge.notified() => backoff = BACKOFF_MIN,
            }
        }
    }

    /// Connects and shakes hands. What is returned resolves when the connection is closed.
    async fn dial(&self, id: NodeId, address: &str) -> Result<oneshot::Receiver<()>, DialError> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let hello = Hello {
            version: VERSION,
            cluster: self.cluster,
            from: self.member,
            to: id,
            incarnation: self.incarnation,
        };
        stream.write_all(&hello.encode()).await?;
        let mut bytes = [0; Welcome::BYTES];
        stream.read_exact(&mut bytes).await?;
        let welcome = Welcome::decode(&bytes)?;
        let text = read_text(&mut stream, welcome.text_bytes).await?;
        match welcome.verdict {
            Verdict::Accepted => {}
            Verdict::Refused(Refusal::Other) => return Err(DialError::Refused(text)),
            Verdict::Refused(refusal) => return Err(DialError::Refused(refusal.to_string())),
        }
        if welcome.cluster != self.cluster || welcome.member != id {
            return Err(DialError::Stranger { member: welcome.member, cluster: welcome.cluster });
        }
        self.note_incarnation(id, welcome.incarnation);
        self.hand_over(id, Direction::Dialled, stream).map_err(DialError::Io)
    }

    /// Gives the connection to the driver.
    fn hand_over(
        &self,
        peer: NodeId,
        direction: Direction,
        stream: TcpStream,
    ) -> io::Result<oneshot::Receiver<()>> {
        let (closed, until_closed) = oneshot::channel();
        let stream = stream.into_std()?;
        self.inbox.report(Input::Connected(Connected { peer, direction, stream, closed }));
        Ok(until_closed)
    }
}

async fn read_text(stream: &mut TcpStream, bytes: u16) -> io::Result<String> {
    let mut text = vec![0; usize::from(bytes).min(TEXT_BYTES_MAX)];
    stream.read_exact(&mut text).await?;
    let text = String::from_utf8_lossy(&text);
    // It goes into a log: no control characters of strangers.
    Ok(text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect())
}

/// The side that accepts.
impl<R: Send + 'static> Net<R> {
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        loop {
            match listener.accept().await {
                Ok((stream, address)) => {
                    // Without a permit the stranger is dropped: better than a queue of them.
                    let Ok(permit) = Arc::clone(&handshakes).try_acquire_owned() else { continue };
                    let net = Arc::clone(&self);
                    tokio::spawn(async move {
                        match timeout(HANDSHAKE_TIMEOUT, net.welcome(stream, address)).await {
                            Ok(Ok(())) => {}
                            Ok(Err(error)) => net.complain(|suppressed| {
                                tracing::warn!(%address, %error, suppressed, "refused a connection");
                            }),
                            Err(_) => net.complain(|suppressed| {
                                tracing::warn!(%address, suppressed, "refused a connection: it says nothing");
                            }),
                        }
                        drop(permit);
                    });
                }
                Err(error) => {
                    // Out of descriptors, most likely. Trying again at once would only spin.
                    self.complain(
                        |suppressed| tracing::warn!(%error, suppressed, "cannot accept a connection"),
                    );
                    sleep(BACKOFF_MAX).await;
                }
            }
        }
    }

    /// Shakes hands with whoever dialled.
    async fn welcome(&self, mut stream: TcpStream, address: SocketAddr) -> Result<(), WelcomeError> {
        stream.set_nodelay(true)?;
        let mut bytes = [0; Hello::BYTES];
        stream.read_exact(&mut bytes).await?;
        let hello = Hello::decode(&bytes)?;
        let mut verdict = hello.judge(self.cluster, self.member);
        let standing = Arc::clone(&self.accepted).try_acquire_owned();
        if verdict == Verdict::Accepted && standing.is_err() {
            verdict = Verdict::Refused(Refusal::Crowded);
        }
        let text = match verdict {
            Verdict::Accepted => String::new(),
            Verdict::Refused(refusal) => refusal.to_string(),
        };
        let welcome = Welcome {
            version: VERSION,
            verdict,
            cluster: self.cluster,
            member: self.member,
            incarnation: self.incarnation,
            text_bytes: text.len() as u16,
        };
        let mut answer = welcome.encode().to_vec();
        answer.extend(text.as_bytes());
        if let Verdict::Refused(refusal) = verdict {
            stream.write_all(&answer).await?;
            return Err(WelcomeError::Refused { refusal, from: hello.from, cluster: hello.cluster });
        }
        self.note_incarnation(hello.from, hello.incarnation);
        stream.write_all(&answer).await?;
        tracing::debug!(peer = %hello.from, %address, "accepted");
        let until_closed = self.hand_over(hello.from, Direction::Accepted, stream)?;
        tokio::spawn(async move {
            let _ = until_closed.await;
            drop(standing);
        });
        self.peer(hello.from).nudge.notify_waiters();
        Ok(())
    }
}

/// Why an accepted connection does not stand.
#[derive(Debug, thiserror::Error)]
enum WelcomeError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    NotAPeer(#[from] NotAPeer),
    #[error("{refusal} (member {from} of cluster {cluster:x})")]
    Refused { refusal: Refusal, from: NodeId, cluster: u64 },
}
