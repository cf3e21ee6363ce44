//! Client connections: accepted in one place, served by several single-threaded runtimes.
//!
//! A connection stays on one runtime for its life, so its requests never wait for another core's lock. It is given to the
//! runtime with the fewest connections. The kernel could spread them over one socket a runtime (`SO_REUSEPORT`), but it
//! does so by a hash of the addresses: eight connections may end six to two, and a second server started on the same port
//! by mistake would get half of the clients instead of an error.

use std::io;
use std::net::{SocketAddr, TcpStream as StdStream};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::config::Config;
use crate::front::Front;

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: i32 = 4096;
/// Connections on their way from the accepting runtime to another one.
const HANDOVER_QUEUE: usize = 1024;
/// How long a plain HTTP client may take for the headers of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// What one request may have in flight towards this server before it is read: a whole request of the default limit.
const STREAM_WINDOW_BYTES: u32 = 2 << 20;
/// The same for all requests of one connection together.
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// What an answer may have waiting in memory for a client that does not read.
const SEND_BUFFER_BYTES: usize = 1 << 20;
/// Requests that a client gave up before they were looked at. Clients that cancel many watches at once are no attack.
const ABANDONED_STREAMS: usize = 1000;

/// A socket that listens at `address`. Fails if anybody else does.
pub(crate) fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A server that is started again must not wait for the old connections' last packets.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// The runtimes that serve clients.
pub(crate) struct Workers {
    /// Ends when the last runtime has.
    done: mpsc::Receiver<()>,
}

/// A runtime as the others see it.
#[derive(Clone)]
struct Worker {
    connections: mpsc::Sender<StdStream>,
    /// Connections that it serves or is about to.
    load: Arc<AtomicUsize>,
}

impl Workers {
    /// Starts the runtimes. They stop when `stopping` turns true: connections are told to go elsewhere, requests under
    /// way may finish within the configured grace, and then the rest is cut.
    pub(crate) fn start(
        config: &Config,
        listeners: Vec<std::net::TcpListener>,
        front: &Front,
        stopping: &watch::Receiver<bool>,
    ) -> io::Result<Self> {
        let count = match config.client_threads {
            0 => thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let (workers, mut inboxes): (Vec<_>, Vec<_>) = (0..count)
            .map(|_| {
                let (connections, inbox) = mpsc::channel(HANDOVER_QUEUE);
                (Worker { connections, load: Arc::default() }, inbox)
            })
            .unzip();
        let (alive, done) = mpsc::channel(1);
        let mut listeners = Some(listeners);
        for (number, inbox) in inboxes.drain(..).enumerate() {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let serving = Serving {
                front: front.clone(),
                http: connection_builder(config),
                stopping: stopping.clone(),
                grace: config.shutdown_grace,
            };
            // The first runtime accepts for all.
            let listeners = listeners.take().unwrap_or_default();
            let load = Arc::clone(&workers[number].load);
            let workers = workers.clone();
            let alive = alive.clone();
            thread::Builder::new().name(format!("floe-client-{number}")).spawn(move || {
                runtime.block_on(async {
                    for listener in listeners {
                        tokio::spawn(accept(listener, workers.clone(), serving.stopping.clone()));
                    }
                    drop(workers);
                    serving.run(inbox, load).await;
                });
                // What is still under way after the grace ends here.
                drop(runtime);
                drop(alive);
            })?;
        }
        Ok(Self { done })
    }

    /// Resolves when all runtimes have stopped.
    pub(crate) async fn stopped(&mut self) {
        // Nothing is ever sent; the channel closes when the last runtime drops its end.
        while self.done.recv().await.is_some() {}
    }
}

/// Resolves when the server begins to stop. The sender is dropped only after it said so.
async fn told_to_stop(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

async fn accept(listener: std::net::TcpListener, workers: Vec<Worker>, mut stopping: watch::Receiver<bool>) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!("cannot accept clients: {error}");
            return;
        }
    };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = told_to_stop(&mut stopping) => return,
        };
        match accepted.and_then(|(stream, _)| stream.into_std()) {
            Ok(stream) => hand_over(stream, &workers),
            // Too many open files, most likely: serving the connections that are there may free some.
            Err(error) => {
                tracing::warn!("a client's connection was not accepted: {error}");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn hand_over(stream: StdStream, workers: &[Worker]) {
    let Some(worker) = workers.iter().min_by_key(|worker| worker.load.load(Ordering::Relaxed)) else {
        return;
    };
    worker.load.fetch_add(1, Ordering::Relaxed);
    let Err(refused) = worker.connections.try_send(stream) else { return };
    worker.load.fetch_sub(1, Ordering::Relaxed);
    match refused {
        TrySendError::Full(_) => tracing::warn!("a client's connection was closed: too many arrive at once"),
        // The server stops; the client finds another.
        TrySendError::Closed(_) => {}
    }
}

fn connection_builder(config: &Config) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(config.grpc_keepalive_interval)
        .keep_alive_timeout(config.grpc_keepalive_timeout)
        .max_concurrent_streams(config.max_concurrent_streams)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(ABANDONED_STREAMS);
    http
}

/// What a runtime needs to serve connections.
struct Serving {
    front: Front,
    http: auto::Builder<TokioExecutor>,
    stopping: watch::Receiver<bool>,
    grace: Duration,
}

/// Gives back a connection's place when it ends, however it ends.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Serving {
    async fn run(self, mut inbox: mpsc::Receiver<StdStream>, load: Arc<AtomicUsize>) {
        let serving = Arc::new(self);
        let mut stopping = serving.stopping.clone();
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                stream = inbox.recv() => {
                    // The senders live in the accepting tasks, which end when the server stops.
                    let Some(stream) = stream else { break };
                    connections.spawn(serve(Arc::clone(&serving), stream, Place(Arc::clone(&load))));
                }
                Some(_) = connections.join_next() => {}
                () = told_to_stop(&mut stopping) => break,
            }
        }
        let all = async { while connections.join_next().await.is_some() {} };
        if timeout(serving.grace, all).await.is_err() {
            tracing::info!("clients' requests were still under way when the server stopped");
        }
    }
}

async fn serve(serving: Arc<Serving>, stream: StdStream, place: Place) {
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    // An answer is one small write; waiting to fill a packet would cost a client 40 ms.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let mut stopping = serving.stopping.clone();
    let mut connection = pin!(serving.http.serve_connection(TokioIo::new(stream), serving.front.clone()));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = told_to_stop(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a client's connection ended: {error}");
    }
    drop(place);
}
