//! Makes the connections between the members: accepts, dials, shakes hands, and gives what stands to the driver.
//!
//! A tokio runtime on a thread of its own does this, because it is all waiting: for the network, for names, for
//! peers that are down. No message of the protocol passes through it.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use floe_raft::NodeId;
use rand::RngExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use crate::completion::lock;
use crate::contacts::{Contacts, Guests, to_dial};
use crate::discovery::read_text;
use crate::error::Failure;
use crate::exile::{Alone, watch_for_removal};
use crate::fences::{DiskState, Fences};
use crate::handshake::{Hello, NotAPeer, Purpose, Refusal, Roster, VERSION, Verdict, Welcome};
use crate::inbox::{Inbox, Input};
use crate::limit::RateLimit;
use crate::snapshot::receive::Receiver;
use crate::status::Live;
use crate::transport::{Connected, Direction};

/// A handshake that takes longer is given up.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a member may be unreachable without a warning: the members of a cluster are never started, or started again,
/// in the same moment.
const UNREMARKABLE: Duration = Duration::from_secs(3);
/// A dial that takes longer is given up.
const DIAL_TIMEOUT: Duration = Duration::from_secs(3);
const BACKOFF_MIN: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// Strangers that are shaking hands at one time.
const HANDSHAKES_MAX: usize = 64;
/// Accepted connections that stand at one time; no cluster has so many members.
const ACCEPTED_MAX: usize = 256;
/// A member that is refused for its disk so often without a break believes it.
const FENCED_MAX: u32 = 5;
/// A connection that stood for less than this was no success: dialling again waits.
const STABLE: Duration = Duration::from_secs(1);
/// Where a peer says that it can be dialled.
const ADDRESS_BYTES_MAX: usize = 1024;

/// What the tasks of the network share.
pub(crate) struct Net<R> {
    pub(crate) cluster: u64,
    pub(crate) member: NodeId,
    pub(crate) incarnation: u64,
    pub(crate) inbox: Arc<Inbox<R>>,
    pub(crate) live: Arc<Live>,
    pub(crate) contacts: watch::Receiver<Arc<Contacts>>,
    pub(crate) guests: watch::Sender<Guests>,
    peers: Mutex<BTreeMap<NodeId, Arc<Peer>>>,
    accepted: Arc<Semaphore>,
    snapshots: Arc<Receiver<R>>,
    fences: Arc<Fences>,
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
    #[error("it refuses this member: {0}")]
    Fenced(Refusal),
    #[error("this member refuses it: {0}")]
    NotTrusted(Refusal),
    #[error("it is member {member} of cluster {cluster:x}")]
    Stranger { member: NodeId, cluster: u64 },
}

impl<R: Send + 'static> Net<R> {
    pub(crate) fn new(
        (cluster, incarnation): (u64, u64),
        inbox: Arc<Inbox<R>>,
        live: Arc<Live>,
        contacts: watch::Receiver<Arc<Contacts>>,
        (snapshots, fences): (Arc<Receiver<R>>, Arc<Fences>),
    ) -> Arc<Self> {
        Arc::new(Self {
            cluster,
            member: live.id(),
            incarnation,
            inbox,
            live,
            contacts,
            guests: watch::Sender::default(),
            peers: Mutex::default(),
            accepted: Arc::new(Semaphore::new(ACCEPTED_MAX)),
            snapshots,
            fences,
            complaints: Mutex::default(),
        })
    }

    /// Runs until `stop` resolves: accepts on the listeners, keeps one dialler for each other member, and looks whether
    /// this member was removed when it is alone for long.
    pub(crate) async fn run(
        self: Arc<Self>,
        listeners: Vec<std::net::TcpListener>,
        alone: Alone,
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
            () = watch_for_removal(Arc::clone(&self), alone) => {}
        }
    }

    /// Starts and stops diallers as members and their addresses come and go.
    async fn keep_diallers(self: Arc<Self>) {
        let mut diallers = BTreeMap::<NodeId, (Vec<String>, AbortHandle)>::new();
        let (mut contacts, mut guests) = (self.contacts.clone(), self.guests.subscribe());
        loop {
            let wanted = {
                let guests = guests.borrow_and_update().clone();
                to_dial(&contacts.borrow_and_update(), &guests, self.member)
            };
            diallers.retain(|id, (addresses, task)| {
                let keep = wanted.get(id) == Some(addresses);
                if !keep {
                    task.abort();
                    if !wanted.contains_key(id) {
                        self.inbox.report(Input::Unwanted(*id));
                    }
                }
                keep
            });
            for (id, addresses) in wanted {
                diallers.entry(id).or_insert_with(|| {
                    let task = tokio::spawn(Arc::clone(&self).dial_for_ever(id, addresses.clone()));
                    (addresses, task.abort_handle())
                });
            }
            tokio::select! {
                changed = contacts.changed() => if changed.is_err() {
                    // The driver is gone; `run` ends by its own signal.
                    return std::future::pending().await;
                },
                // The sender lives as long as `self`.
                _ = guests.changed() => {}
            }
        }
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

    /// How far the disk of this member is. Read anew for each handshake: what is said must not be older than what was
    /// acknowledged before.
    fn disk(&self) -> DiskState {
        self.live.disk_state(self.fences.own())
    }

    /// Who is in the cluster, as far as this member knows.
    fn roster(&self) -> Bytes {
        let standing = self.live.standing();
        Roster { commit: standing.commit, membership: standing.membership.as_ref().clone() }.encode()
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
    /// Keeps one connection to the peer, which is reached at one of the addresses.
    async fn dial_for_ever(self: Arc<Self>, id: NodeId, addresses: Vec<String>) {
        let peer = self.peer(id);
        let mut next = 0;
        let mut backoff = BACKOFF_MIN;
        let mut reported = false;
        let mut failing_since: Option<Instant> = None;
        let mut fenced = 0;
        loop {
            let address = &addresses[next % addresses.len()];
            let outcome = match timeout(DIAL_TIMEOUT, self.dial(id, address)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(DialError::TimedOut),
            };
            match outcome {
                Ok(until_closed) => {
                    tracing::info!(peer = %id, %address, "connected");
                    failing_since = None;
                    fenced = 0;
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
                    let refused = matches!(&error, DialError::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused);
                    if refused && addresses.len() == 1 {
                        // Its machine answers and says that nobody listens there: the process is dead. With several
                        // addresses it may listen at another of them.
                        self.inbox.report(Input::PeerGone(id));
                    }
                    next += 1;
                    fenced = self.count_fenced(fenced, &error);
                    let failing = failing_since.get_or_insert_with(Instant::now).elapsed();
                    if failing < UNREMARKABLE {
                        tracing::debug!(peer = %id, %address, %error, "cannot connect, trying on");
                    } else if !std::mem::replace(&mut reported, true) {
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

    /// Counts how often a peer has refused this member for its disk, one time after another. What a handshake says may be
    /// overtaken by an acknowledgement on an older connection, and look like less; the next one is newer. So one
    /// refusal proves nothing, and this many do.
    fn count_fenced(&self, before: u32, error: &DialError) -> u32 {
        let DialError::Fenced(refusal) = error else { return 0 };
        if before + 1 == FENCED_MAX {
            let reason = refusal.to_string();
            self.inbox.report(Input::Failed(Failure::Fenced { reason }));
        }
        before + 1
    }

    /// Connects and shakes hands. What is returned resolves when the connection is closed.
    async fn dial(&self, id: NodeId, address: &str) -> Result<oneshot::Receiver<()>, DialError> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let own = Arc::clone(&self.contacts.borrow());
        let address = if own.own.len() <= ADDRESS_BYTES_MAX { own.own.as_bytes() } else { &[] };
        let hello = Hello {
            version: VERSION,
            purpose: Purpose::Messages,
            cluster: self.cluster,
            from: self.member,
            to: id,
            incarnation: self.incarnation,
            address_bytes: address.len() as u16,
            disk: self.disk(),
        };
        let mut bytes = hello.encode().to_vec();
        if !address.is_empty() {
            bytes.extend(address);
            bytes.extend(crc32c::crc32c(address).to_le_bytes());
        }
        stream.write_all(&bytes).await?;
        let mut bytes = [0; Welcome::BYTES];
        stream.read_exact(&mut bytes).await?;
        let welcome = Welcome::decode(&bytes)?;
        let text = read_text(&mut stream, welcome.text_bytes).await?;
        match welcome.verdict {
            Verdict::Accepted => {}
            Verdict::Refused(Refusal::Other) => return Err(DialError::Refused(text)),
            Verdict::Refused(refusal @ (Refusal::OldDisk | Refusal::OtherDisk | Refusal::Lost)) => {
                return Err(DialError::Fenced(refusal));
            }
            Verdict::Refused(refusal) => return Err(DialError::Refused(refusal.to_string())),
        }
        if welcome.cluster != self.cluster || welcome.member != id {
            return Err(DialError::Stranger { member: welcome.member, cluster: welcome.cluster });
        }
        if let Some(refusal) = self.fences.judge(id, &welcome.disk) {
            return Err(DialError::NotTrusted(refusal));
        }
        self.fences.met(id, &welcome.disk);
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

    /// Why the member that dialled must not take part, if so.
    fn distrust(&self, hello: &Hello) -> Option<Refusal> {
        match hello.purpose {
            _ if hello.is_question() => None,
            Purpose::Messages => self.fences.judge(hello.from, &hello.disk),
            Purpose::Snapshot | Purpose::Other => self.fences.is_lost(hello.from).then_some(Refusal::Lost),
        }
    }

    /// Shakes hands with whoever dialled.
    async fn welcome(
        self: &Arc<Self>,
        mut stream: TcpStream,
        address: SocketAddr,
    ) -> Result<(), WelcomeError> {
        stream.set_nodelay(true)?;
        let mut bytes = [0; Hello::BYTES];
        stream.read_exact(&mut bytes).await?;
        let hello = Hello::decode(&bytes)?;
        let guest_address = read_address(&mut stream, hello.address_bytes).await?;
        let mut verdict = hello.judge(self.cluster, self.member);
        if verdict == Verdict::Accepted
            && let Some(refusal) = self.distrust(&hello)
        {
            verdict = Verdict::Refused(refusal);
        }
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
            disk: self.disk(),
        };
        let mut answer = welcome.encode().to_vec();
        answer.extend(text.as_bytes());
        if let Verdict::Refused(refusal) = verdict {
            stream.write_all(&answer).await?;
            return Err(WelcomeError::Refused { refusal, from: hello.from, cluster: hello.cluster });
        }
        if hello.is_question() {
            answer.extend(self.roster());
            stream.write_all(&answer).await?;
            return Ok(());
        }
        self.note_incarnation(hello.from, hello.incarnation);
        stream.write_all(&answer).await?;
        if hello.purpose == Purpose::Snapshot {
            tracing::debug!(peer = %hello.from, %address, "accepted for a snapshot");
            return Ok(self.snapshots.accept(hello.from, stream.into_std()?)?);
        }
        self.fences.met(hello.from, &hello.disk);
        tracing::debug!(peer = %hello.from, %address, "accepted");
        let until_closed = self.hand_over(hello.from, Direction::Accepted, stream)?;
        self.guests.send_if_modified(|guests| guests.came(hello.from, &guest_address));
        let net = Arc::clone(self);
        tokio::spawn(async move {
            let _ = until_closed.await;
            net.guests.send_if_modified(|guests| guests.left(hello.from));
            drop(standing);
        });
        self.peer(hello.from).nudge.notify_waiters();
        Ok(())
    }
}

/// Reads where the dialler says that it can be dialled.
async fn read_address(stream: &mut TcpStream, bytes: u16) -> Result<String, WelcomeError> {
    let bytes = usize::from(bytes);
    if bytes == 0 {
        return Ok(String::new());
    }
    if bytes > ADDRESS_BYTES_MAX {
        return Err(NotAPeer.into());
    }
    let mut text = vec![0; bytes + 4];
    stream.read_exact(&mut text).await?;
    let crc = text.split_off(bytes);
    if crc != crc32c::crc32c(&text).to_le_bytes() {
        return Err(NotAPeer.into());
    }
    // It is dialled and logged, nothing else.
    let address = String::from_utf8(text).map_err(|_| NotAPeer)?;
    if address.contains(char::is_control) { Err(NotAPeer.into()) } else { Ok(address) }
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
