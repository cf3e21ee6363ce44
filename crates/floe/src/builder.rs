//! Puts a node together and starts it.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use bytes::Bytes;
use floe_raft::codec::decode_membership;
use floe_raft::{Config, GroupId, HardState, LogId, Membership, Node, ReadMode, Restored, Write, WriteId};
use floe_wal::{Disk, Options, RecoveredGroup, Wal};
use mio::{Poll, Waker};
use tokio::sync::{oneshot, watch};

use crate::apply_thread::{Applier, ApplyWork, CheckpointPolicy, SnapshotParts};
use crate::clock::Clock;
use crate::completion::completion;
use crate::config::NodeConfig;
use crate::disk::FileDisk;
use crate::driver::{Answerer, Answers, Driver, Limits, LogLimits, Parts, Peers, Publisher, Sender, Workers};
use crate::error::StartError;
use crate::exile::Alone;
use crate::fences::Fences;
use crate::frame;
use crate::handle::{Handle, Shared};
use crate::identity::Identity;
use crate::inbox::Inbox;
use crate::members::MembersFile;
use crate::net::Net;
use crate::queue::Queue;
use crate::snapshot::install::{self, Opened, term_at};
use crate::snapshot::receive::Receiver;
use crate::snapshot::{Directory, make};
use crate::state_machine::StateMachine;
use crate::status::{Leadership, Live};
use crate::threads::Threads;
use crate::trace::{self, Ring, Tracer, World};
use crate::transport::{Transport, WAKER};
use crate::wal_thread;
use crate::witness::Place;

/// The only group of this version; the log and the peer protocol have room for many.
const GROUP: GroupId = GroupId(1);

/// A node before it starts.
pub struct Builder {
    config: NodeConfig,
    listeners: Vec<TcpListener>,
    answerer: Option<Arc<dyn Answerer>>,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Builder {
    /// A node with this configuration.
    pub fn new(config: NodeConfig) -> Self {
        Self { config, listeners: Vec::new(), answerer: None }
    }

    /// Accepts other members on this listener, too: for sockets that were opened by somebody else.
    #[must_use]
    pub fn listener(mut self, listener: TcpListener) -> Self {
        self.listeners.push(listener);
        self
    }

    /// Answers the questions that are asked by [`Handle::ask_leader`] while this member leads.
    ///
    /// The future runs on the runtime of the node's connections: it must not block.
    #[must_use]
    pub fn answer<F, A>(mut self, answer: F) -> Self
    where
        F: Fn(Bytes) -> A + Send + Sync + 'static,
        A: Future<Output = Bytes> + Send + 'static,
    {
        self.answerer = Some(Arc::new(answer));
        self
    }

    /// Opens the log and starts the node. Fails if anything in the data directory does not belong here.
    ///
    /// Reading the log takes a while; it happens on a thread of its own, so this works on any runtime.
    pub async fn start<M: StateMachine>(self, state_machine: M) -> Result<Handle<M::Reply>, StartError> {
        self.start_apart(|builder| builder.start_blocking(state_machine)).await
    }

    /// Starts a witness: a member that votes and keeps of the log all but the commands, without a state machine
    /// (`docs/design/membership.md`). [`NodeConfig::witnesses`] must name it. Its handle refuses proposals and reads; `R`,
    /// what others reply to a proposal, is anything.
    pub async fn start_witness<R: Send + 'static>(self) -> Result<Handle<R>, StartError> {
        self.start_apart(Self::start_witness_blocking).await
    }

    async fn start_apart<R: Send + 'static>(
        self,
        start: impl FnOnce(Self) -> Result<Handle<R>, StartError> + Send + 'static,
    ) -> Result<Handle<R>, StartError> {
        let (done, started) = completion();
        let path = self.config.data_dir.clone();
        // All threads of the node log in the caller's span, which names the member where a process has several.
        let span = tracing::Span::current();
        let spawned = std::thread::Builder::new().name("floe-start".into()).spawn(move || {
            done.complete_now(span.in_scope(|| start(self)));
        });
        let doing = "cannot start a thread to open";
        if let Err(error) = spawned {
            return Err(StartError::Io { doing, path, error });
        }
        let panicked = || StartError::Io { doing, path, error: io::Error::other("it panicked") };
        started.await.unwrap_or_else(|| Err(panicked()))
    }

    /// The same as [`Self::start`] for callers without a runtime. Blocks while the log is read.
    pub fn start_blocking<M: StateMachine>(self, state_machine: M) -> Result<Handle<M::Reply>, StartError> {
        if self.config.is_witness() {
            return Err(StartError::Config("a witness has no state machine".into()));
        }
        self.start_with(|_| state_machine)
    }

    /// The same as [`Self::start_witness`] for callers without a runtime.
    pub fn start_witness_blocking<R: Send + 'static>(self) -> Result<Handle<R>, StartError> {
        if !self.config.is_witness() {
            return Err(StartError::Config(
                "the configuration does not name this member as a witness".into(),
            ));
        }
        self.start_with(Place::new)
    }

    /// `state_machine` is given where the log begins.
    fn start_with<M: StateMachine>(
        self,
        state_machine: impl FnOnce(LogId) -> M,
    ) -> Result<Handle<M::Reply>, StartError> {
        let Self { config, mut listeners, answerer } = self;
        validate(&config)?;
        let (mut opened, identity, log_bytes) = open(&config)?;
        let mut state_machine = state_machine(opened.group.base);
        let failed = |error| StartError::Io {
            doing: "cannot open the snapshots in",
            path: config.data_dir.clone(),
            error,
        };
        let directory = Directory::open(&config.data_dir).map_err(failed)?;
        let fences = Fences::open(&config.data_dir).map_err(failed)?;
        install::finish(&mut opened, GROUP, config.cluster, &directory, &mut state_machine)?;
        for &address in &config.listen {
            let listener = TcpListener::bind(address);
            listeners.push(listener.map_err(|error| StartError::Listen { address, error })?);
        }
        let Opened { wal, group, members } = opened;
        let membership = members.at(group.base.index).cloned().unwrap_or_else(|| identity.membership());
        let applied_membership = membership_at(&group, &membership, state_machine.applied())?;
        let restored = restore(group, membership, state_machine.applied())?;
        let clock = Clock::new();
        let node = Node::new(clock.now(), rand::random(), core_config(&config), restored)?;
        let failed = |error| StartError::Io {
            doing: "cannot get threads or sockets for",
            path: config.data_dir.clone(),
            error,
        };
        let past = Past {
            identity,
            given: state_machine.applied(),
            applied_membership,
            directory,
            fences: Arc::new(fences),
            log_bytes,
        };
        assemble(&config, listeners, answerer, state_machine, (wal, members), node, clock, past)
            .map_err(failed)
    }
}

/// Refuses what cannot work.
fn validate(config: &NodeConfig) -> Result<(), StartError> {
    let check = |ok: bool, reason: &str| {
        if ok { Ok(()) } else { Err(StartError::Config(reason.into())) }
    };
    core_config(config).validate()?;
    check(config.queued_max > 0, "no request may wait")?;
    check(
        config.queued_bytes_max.saturating_add(config.command_bytes_max) <= FORWARDED_BYTES_MAX,
        "the queue and the largest command together exceed 60 MiB, which is what one message can carry",
    )?;
    check(config.trace.sample > 0, "one in zero events of the trace cannot be written")?;
    check(!config.checkpoint_interval.is_zero(), "the checkpoint interval is zero")
}

/// A follower passes on a whole queue in one frame; this leaves room for what is around the commands.
const FORWARDED_BYTES_MAX: u64 = (frame::LENGTH_MAX - (4 << 20)) as u64;

fn core_config(config: &NodeConfig) -> Config {
    let mut core = Config::new(config.id);
    core.heartbeat_interval = config.heartbeat_interval;
    core.election_timeout = config.election_timeout;
    core.priority = config.priority;
    core.command_bytes = config.command_bytes_max;
    core.lease = config.lease;
    core.witness = config.is_witness();
    core
}

/// Opens identity and log. Says, too, about how many bytes the log has.
fn open(config: &NodeConfig) -> Result<(Opened<FileDisk>, Identity, u64), StartError> {
    let failed = |doing, path: &Path| {
        let path = path.to_owned();
        move |error| StartError::Io { doing, path, error }
    };
    let log_dir = config.data_dir.join("log");
    fs::create_dir_all(&config.data_dir).map_err(failed("cannot make", &config.data_dir))?;
    let disk = match FileDisk::open(&log_dir) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            return Err(StartError::InUse { path: config.data_dir.clone() });
        }
        outcome => outcome.map_err(failed("cannot open", &log_dir))?,
    };
    let files = disk.list().map_err(failed("cannot list", &log_dir))?;
    let segments = files.iter().filter(|file| file.ends_with(".log")).count() as u64;
    let has_log = segments > 0;
    // The last one is as long as the others, however little is in it.
    let log_bytes = segments.saturating_sub(1).saturating_mul(config.segment_bytes);
    let mut identity = Identity::establish(config, has_log)?;
    let options =
        Options { segment_bytes: config.segment_bytes, ..Options::new(config.cluster, config.id.0) };
    let (mut wal, mut groups) = Wal::open(disk, options)?;
    if !has_log {
        begin_log(&mut wal)?;
    }
    identity.note_log(&config.data_dir)?;
    let members = MembersFile::open(&config.data_dir)
        .map_err(failed("cannot read the members in", &config.data_dir))?;
    let group = groups.remove(&GROUP).unwrap_or_default();
    Ok((Opened { wal, group, members }, identity, log_bytes))
}

/// Makes the first file of the log durable, with a hard state that says nothing, so that a log that is absent later on
/// is known to be lost.
fn begin_log(wal: &mut Wal<FileDisk>) -> Result<(), StartError> {
    let write = Write {
        id: WriteId(0),
        hard_state: Some(HardState::default()),
        restart_after: None,
        truncate_from: None,
        entries: Vec::new(),
    };
    Ok(wal.append(&[(GROUP, write)])?)
}

/// What the core is told of the past.
fn restore(group: RecoveredGroup, membership: Membership, applied: LogId) -> Result<Restored, StartError> {
    if applied.index < group.base.index {
        return Err(StartError::StateMachineBehind { applied, base: group.base });
    }
    if applied.index > group.last.index || term_at(&group, applied) != Some(applied.term) {
        return Err(StartError::StateMachineAhead { applied, last: group.last });
    }
    Ok(Restored {
        hard_state: group.hard_state,
        base: group.base,
        terms: group.terms,
        last: group.last,
        tail: group.tail,
        membership,
        memberships: group.memberships,
        applied: applied.index,
    })
}

/// The membership in force at an entry of the log.
fn membership_at(group: &RecoveredGroup, base: &Membership, at: LogId) -> Result<Membership, StartError> {
    let entry = group.memberships.iter().rev().find(|entry| entry.id.index <= at.index);
    match entry {
        None => Ok(base.clone()),
        Some(entry) => decode_membership(entry.payload.clone())
            .map_err(|_| StartError::Config(format!("the membership at {} cannot be read", entry.id))),
    }
}

/// What a member remembers at its start, besides its log.
struct Past {
    identity: Identity,
    /// What the state machine contains.
    given: LogId,
    /// In force at that entry.
    applied_membership: Membership,
    directory: Directory,
    fences: Arc<Fences>,
    /// How long the log is, about.
    log_bytes: u64,
}

#[allow(clippy::too_many_arguments, reason = "everything that a node is made of meets here, once")]
fn assemble<M: StateMachine>(
    config: &NodeConfig,
    listeners: Vec<TcpListener>,
    answerer: Option<Arc<dyn Answerer>>,
    state_machine: M,
    log: (Wal<FileDisk>, MembersFile),
    node: Node,
    clock: Clock,
    past: Past,
) -> io::Result<Handle<M::Reply>> {
    let (poll, inbox) = inbox(config)?;
    let live = Arc::new(Live::new(config.id, config.cluster, node.membership().clone()));
    let leadership = first_leadership(&node, &live);
    let (leadership, leadership_seen) = watch::channel(leadership);
    let (wanted, contacts) = watch::channel(Arc::default());
    let (stopped, stopped_seen) = watch::channel(None);

    let mut threads = Threads::default();
    let log = wal_thread::start(&mut threads, log, GROUP, &inbox, &live)?;
    let Past { identity, given, applied_membership, directory, fences, log_bytes } = past;
    let parts = (Arc::clone(&inbox), Arc::clone(&live));
    let apply =
        start_apply(&mut threads, config, state_machine, applied_membership, (&directory, &fences), parts)?;

    let (tracer, ring) = start_trace(&mut threads, config, given, clock, &inbox)?;
    let incarnation = rand::random();
    let receiver = Receiver::new(config.cluster, directory, Arc::clone(&inbox), Arc::clone(&live));
    let stop_receiver = stopper(&receiver);
    let (own, shared) = ((config.cluster, incarnation), (receiver, Arc::clone(&fences)));
    let net = Net::new(own, Arc::clone(&inbox), Arc::clone(&live), contacts, shared);
    let alone = Alone {
        leadership: leadership_seen.clone(),
        election_timeout: config.election_timeout,
        joined: identity.joined.unwrap_or(LogId::ZERO),
    };
    let (runtime, stop_net) = start_net(&mut threads, net, listeners, alone)?;
    let answers = Answers::new(answerer, runtime, Arc::clone(&inbox));

    let driver = Driver::new(Parts {
        node,
        clock,
        transport: Transport::new(config.id, GROUP, poll.registry().try_clone()?, Arc::clone(&live)),
        poll,
        inbox: Arc::clone(&inbox),
        log,
        apply,
        answers,
        publisher: Publisher::new(Arc::clone(&live), leadership, config.heartbeat_interval),
        peers: Peers::new(config.id, identity.members.clone(), identity.joined, wanted),
        given,
        workers: Workers { threads, stop_net, stop_receiver, stopped, seal: seal(identity, config) },
        sender: sender(config, incarnation),
        fences,
        tracer,
        limits: limits(config, log_bytes),
    });
    start_driver(driver)?;
    Ok(Handle::new(Shared {
        inbox,
        live,
        leadership: leadership_seen,
        stopped: stopped_seen,
        command_bytes_max: config.command_bytes_max,
        question_bytes_max: config.command_bytes_max,
        trace: ring,
        clock,
        witness: config.is_witness(),
    }))
}

/// What the driver sleeps on, and the queue that wakes it.
fn inbox<R>(config: &NodeConfig) -> io::Result<(Poll, Arc<Inbox<R>>)> {
    let poll = Poll::new()?;
    let waker = Waker::new(poll.registry(), WAKER)?;
    Ok((poll, Arc::new(Inbox::new(waker, config.queued_max, config.queued_bytes_max))))
}

fn start_driver<R: Send + 'static>(driver: Driver<R>) -> io::Result<()> {
    let span = tracing::Span::current();
    let run = move || span.in_scope(|| driver.run());
    std::thread::Builder::new().name("floe-driver".into()).spawn(run).map(drop)
}

/// Publishes what the node is before its first turn: handshakes may come before that.
fn first_leadership(node: &Node, live: &Live) -> Leadership {
    let leadership = Leadership { role: floe_raft::RoleKind::Follower, term: node.term(), leader: None };
    live.set_leadership(leadership);
    live.applied.store(node.applied().0, Ordering::Release);
    live.durable.store(node.durable().0, Ordering::Release);
    live.disk_term.store(node.term().0, Ordering::Release);
    leadership
}

/// Starts the threads of the state machine. Returns the way to it.
fn start_apply<M: StateMachine>(
    threads: &mut Threads,
    config: &NodeConfig,
    state_machine: M,
    membership: Membership,
    (directory, fences): (&Directory, &Arc<Fences>),
    (inbox, live): (Arc<Inbox<M::Reply>>, Arc<Live>),
) -> io::Result<Arc<Queue<ApplyWork<M::Reply>>>> {
    let (apply, frozen) = (Arc::new(Queue::new()), Arc::new(Queue::new()));
    let policy = CheckpointPolicy { interval: config.checkpoint_interval, bytes: config.checkpoint_bytes };
    let snapshots = SnapshotParts {
        directory: directory.clone(),
        cluster: config.cluster,
        frozen: Arc::clone(&frozen),
        membership: Arc::new(membership),
        installing: directory.installing().try_exists()?.then(|| state_machine.applied()),
        fences: Arc::clone(fences),
    };
    let applier =
        Applier::new(state_machine, Arc::clone(&apply), Arc::clone(&inbox), live, policy, snapshots);
    let (maker_directory, maker_inbox) = (directory.clone(), Arc::clone(&inbox));
    threads.spawn("freeze", &inbox, move || make::run(&maker_directory, &frozen, &maker_inbox))?;
    threads.spawn("apply", &inbox, move || applier.run())?;
    Ok(apply)
}

/// Starts the thread of the trace's file, if there is one to write.
fn start_trace<R: Send + 'static>(
    threads: &mut Threads,
    config: &NodeConfig,
    applied: LogId,
    clock: Clock,
    inbox: &Arc<Inbox<R>>,
) -> io::Result<(Tracer, Arc<Ring>)> {
    let file = config.trace.file.as_deref().map(|path| trace::start(threads, inbox, path)).transpose()?;
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let ring = Arc::new(Ring::new(u64::try_from(since_1970.as_micros()).unwrap_or_default()));
    let world = World {
        own: config.id,
        applied,
        heartbeat: config.heartbeat_interval,
        election: config.election_timeout,
        sample: config.trace.sample,
    };
    Ok((Tracer::new(world, Arc::clone(&ring), file, clock.now()), ring))
}

fn limits(config: &NodeConfig, log_bytes: u64) -> Limits {
    Limits {
        witness: config.is_witness(),
        election_timeout: config.election_timeout,
        read_mode: if config.lease.is_some() { ReadMode::Lease } else { ReadMode::Index },
        command_bytes_max: config.command_bytes_max,
        applying_bytes_max: core_config(config).apply_bytes / 2,
        log: LogLimits {
            bytes: config.snapshot_log_bytes,
            trailing_bytes: config.snapshot_trailing_bytes,
            bytes_at_start: log_bytes,
        },
    }
}

fn sender(config: &NodeConfig, incarnation: u64) -> Sender {
    let (cluster, member) = (config.cluster, config.id);
    Sender { cluster, member, incarnation, bytes_per_second: config.snapshot_bytes_per_second }
}

/// Starts the thread of the connections. Returns its runtime, and what ends it.
fn start_net<R: Send + 'static>(
    threads: &mut Threads,
    net: Arc<Net<R>>,
    listeners: Vec<TcpListener>,
    alone: Alone,
) -> io::Result<(tokio::runtime::Handle, Option<oneshot::Sender<()>>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let handle = runtime.handle().clone();
    for listener in &listeners {
        listener.set_nonblocking(true)?;
    }
    let (stop_net, stop) = oneshot::channel();
    let inbox = Arc::clone(&net.inbox);
    threads.spawn("net", &inbox, move || {
        runtime.block_on(net.run(listeners, alone, stop));
        // Without waiting for a name server that does not answer.
        runtime.shutdown_background();
    })?;
    Ok((handle, Some(stop_net)))
}

/// What ends the receiving of snapshots.
fn stopper<R: Send + 'static>(receiver: &Arc<Receiver<R>>) -> Option<Box<dyn FnOnce() + Send>> {
    let receiver = Arc::clone(receiver);
    Some(Box::new(move || receiver.stop()))
}

/// What writes on the data directory that its member was removed.
fn seal(mut identity: Identity, config: &NodeConfig) -> Box<dyn FnOnce() + Send> {
    let dir = config.data_dir.clone();
    Box::new(move || {
        if let Err(error) = identity.note_removed(&dir) {
            tracing::error!(%error, "cannot note in the data directory that its member was removed");
        }
    })
}
