//! One member: opens the store, joins the cluster, serves clients, and stops.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use floe::{Builder, Handle, Lease, NodeConfig, NodeId, Stopped, TraceConfig};
use floe_mvcc::{MemberInfo, Reply, StorageError, Store, StoreOptions};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;

use crate::background;
use crate::config::{Config, ConfigError, Identity};
use crate::engine::{Clock, Engine};
use crate::front::{Front, Services};
use crate::join::{self, JoinError};
use crate::listener::{self, Workers};
use crate::machine::Machine;
use crate::service;
use crate::sessions::Stamps;
use crate::url::Url;
use crate::witness::{self, Witness};

/// The store's file in the data directory.
const STORE_FILE: &str = "store.redb";

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The member cannot join the cluster that runs.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// An address cannot be listened on.
    #[error("cannot listen on {url}: {error}")]
    Listen {
        /// The address.
        url: Url,
        /// What the system said.
        error: io::Error,
    },
    /// The data directory cannot be made.
    #[error("cannot use the data directory {}: {error}", path.display())]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The data directory is that of a member with another name.
    #[error(
        "data directory {} belongs to member {found} ({member:x}) of cluster {cluster:x}, and this start is of {name}; \
         give --name {found} if it is meant",
        path.display()
    )]
    OtherName {
        /// The directory.
        path: PathBuf,
        /// The name of its member.
        found: String,
        /// The id of its member.
        member: u64,
        /// The cluster.
        cluster: u64,
        /// The name that was given.
        name: String,
    },
    /// The store cannot be opened.
    #[error("cannot open the store {}: {error}", path.display())]
    Store {
        /// Its file.
        path: PathBuf,
        /// Why. What is below it (a lock, a disk) is the part that helps.
        #[source]
        error: StorageError,
    },
    /// The replicated log cannot be started.
    #[error(transparent)]
    Node(#[from] floe::StartError),
    /// The threads that serve clients cannot be started.
    #[error("cannot start the client threads: {0}")]
    Threads(io::Error),
}

/// What a member is made of.
enum Kind {
    /// It has a store.
    WithData(Arc<Engine>),
    /// It only votes.
    Witness(Arc<Witness>),
}

/// A running member.
pub struct Server {
    kind: Kind,
    client_urls: Vec<Url>,
    stop: watch::Sender<bool>,
    ready: watch::Receiver<bool>,
    workers: Mutex<Workers>,
    background: Mutex<Vec<JoinHandle<()>>>,
}

impl Server {
    /// Starts a member. Must be called on a tokio runtime, on which the member's own tasks run; clients have runtimes of
    /// their own. Returns when clients can connect; whether their requests are answered depends on there being a leader,
    /// see [`Server::wait_ready`].
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let (identity, joined) = join::identity(&config).await?;
        let mut node = node_config(&config, &identity)?;
        node.joined = joined;
        let mut listeners = Vec::new();
        for url in &config.listen_client_urls {
            let listen = |error| StartError::Listen { url: url.clone(), error };
            listeners.push(listener::listen(url.resolve().map_err(listen)?).map_err(listen)?);
        }
        if config.is_witness() {
            return Self::start_witness(config, identity, node, listeners).await;
        }
        Self::start_with_data(config, identity, node, listeners).await
    }

    async fn start_with_data(
        config: Config,
        identity: Identity,
        node: NodeConfig,
        listeners: Vec<TcpListener>,
    ) -> Result<Self, StartError> {
        let client_urls = advertised(&config, &listeners);
        let store = open_store(&config)?;
        let reader = store.reader();
        join::check_name(&config, &identity, &reader.members())?;
        let late: Arc<OnceLock<Weak<Engine>>> = Arc::default();
        let answerer = Arc::clone(&late);
        let handle = Builder::new(node)
            .answer(move |question| answer(answerer.get().and_then(Weak::upgrade), question))
            .start(Machine::new(store))
            .await?;
        let (stop, stopping) = watch::channel(false);
        let info = MemberInfo {
            id: identity.member,
            name: config.name.clone(),
            client_urls: client_urls.iter().map(ToString::to_string).collect(),
        };
        let engine = Arc::new(Engine {
            config,
            identity,
            handle,
            reader,
            stopping,
            clock: Clock::start(),
            stamps: Stamps::start(),
        });
        // Weak: the node keeps what answers, and must not keep itself alive through it.
        late.get_or_init(|| Arc::downgrade(&engine));
        let front = Front::Member(Arc::new(Services::new(&engine)));
        let workers = Workers::start(&engine.config, listeners, &front, &engine.stopping);
        let workers = Mutex::new(workers.map_err(StartError::Threads)?);
        let (publish, ready) = watch::channel(false);
        let background = Mutex::new(vec![
            tokio::spawn(background::publish(Arc::clone(&engine), info, publish)),
            tokio::spawn(background::expire_leases(Arc::clone(&engine))),
            tokio::spawn(background::forget_removed(Arc::clone(&engine))),
        ]);
        Ok(Self { kind: Kind::WithData(engine), client_urls, stop, ready, workers, background })
    }

    async fn start_witness(
        config: Config,
        identity: Identity,
        node: NodeConfig,
        listeners: Vec<TcpListener>,
    ) -> Result<Self, StartError> {
        let client_urls = advertised(&config, &listeners);
        let handle = Builder::new(node).start_witness().await?;
        let (stop, stopping) = watch::channel(false);
        let urls = client_urls.iter().map(ToString::to_string).collect();
        let witness = Arc::new(Witness::new(config, identity, handle, stopping, urls));
        let front = Front::Witness(Arc::new(witness::Services::new(&witness)));
        let workers = Workers::start(&witness.config, listeners, &front, &witness.stopping);
        let workers = Mutex::new(workers.map_err(StartError::Threads)?);
        let (publish, ready) = watch::channel(false);
        let background = Mutex::new(vec![tokio::spawn(Arc::clone(&witness).keep_known(publish))]);
        Ok(Self { kind: Kind::Witness(witness), client_urls, stop, ready, workers, background })
    }

    /// Where clients reach this member, with the ports that were taken.
    pub fn client_urls(&self) -> &[Url] {
        &self.client_urls
    }

    /// Who this member is.
    pub fn identity(&self) -> &Identity {
        match &self.kind {
            Kind::WithData(engine) => &engine.identity,
            Kind::Witness(witness) => &witness.identity,
        }
    }

    /// The member of the cluster below: status and leadership.
    pub fn handle(&self) -> &Handle<Reply> {
        match &self.kind {
            Kind::WithData(engine) => &engine.handle,
            Kind::Witness(witness) => &witness.handle,
        }
    }

    /// Resolves when the member belongs to a cluster with a leader and is known to it by its name. From then on requests
    /// are answered. Never resolves if the server stops first.
    pub async fn wait_ready(&self) {
        if self.ready.clone().wait_for(|ready| *ready).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Resolves when the member below has stopped, and says why: because it was asked to, or because it cannot go on, as
    /// after a failed disk. The process should end then.
    pub async fn stopped(&self) -> Stopped {
        self.handle().stopped().await
    }

    /// Stops: clients are sent elsewhere, requests under way may finish, leadership is handed over, everything is made
    /// durable. Nothing listens and no file is open afterwards.
    pub async fn shutdown(&self) {
        self.stop.send_replace(true);
        self.workers.lock().await.stopped().await;
        for task in self.background.lock().await.drain(..) {
            task.abort();
            // Ends with the news of its abortion; what matters is that it holds the store no more.
            let _ = task.await;
        }
        self.handle().shutdown().await;
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match &self.kind {
            Kind::WithData(engine) => &engine.config.name,
            Kind::Witness(witness) => &witness.config.name,
        };
        f.debug_struct("Server").field("name", name).finish_non_exhaustive()
    }
}

async fn answer(engine: Option<Arc<Engine>>, question: Bytes) -> Bytes {
    match engine {
        Some(engine) => service::answer(engine, question).await,
        // Between the start of the node and that of the services nobody can be answered; an empty answer is none.
        None => Bytes::new(),
    }
}

/// The URLs to advertise, with the ports that were really taken where the configuration left them open.
fn advertised(config: &Config, listeners: &[TcpListener]) -> Vec<Url> {
    let taken =
        listeners.first().and_then(|listener| listener.local_addr().ok()).map_or(0, |address| address.port());
    let urls = config.advertise_client_urls.iter();
    urls.map(|url| if url.port() == 0 { url.with_port(taken) } else { url.clone() }).collect()
}

fn open_store(config: &Config) -> Result<Store, StartError> {
    let path = config.data_dir.clone();
    if let Err(error) = std::fs::create_dir_all(&path) {
        return Err(StartError::DataDir { path, error });
    }
    let path = path.join(STORE_FILE);
    Store::open(&path, StoreOptions::default()).map_err(|error| StartError::Store { path, error })
}

fn node_config(config: &Config, identity: &Identity) -> Result<NodeConfig, StartError> {
    let mut node = NodeConfig::new(NodeId(identity.member), identity.cluster, &config.data_dir);
    for url in &config.listen_peer_urls {
        let address: Result<SocketAddr, io::Error> = url.resolve();
        node.listen.push(address.map_err(|error| StartError::Listen { url: url.clone(), error })?);
    }
    node.members = identity.addresses();
    node.witnesses = identity.witnesses.iter().copied().map(NodeId).collect();
    node.snapshot_log_bytes = config.snapshot_log_bytes;
    node.snapshot_trailing_bytes = config.snapshot_trailing_bytes;
    node.snapshot_bytes_per_second = config.snapshot_bytes_per_second;
    node.trace = TraceConfig { file: config.trace_file.clone(), sample: config.trace_sample };
    node.heartbeat_interval = Duration::from_millis(config.heartbeat_interval_ms);
    node.election_timeout = Duration::from_millis(config.election_timeout_ms);
    node.lease = config.lease_drift_ms.map(|ms| Lease { drift_margin: Duration::from_millis(ms) });
    // The edge refuses what is too large with the text that clients know, so the log must take all that passes it.
    node.command_bytes_max = node.command_bytes_max.max(config.max_message_bytes() as u64);
    Ok(node)
}
