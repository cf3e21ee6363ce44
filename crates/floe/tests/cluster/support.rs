//! Clusters of real nodes in this process: real threads, sockets on loopback, files in temporary directories.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use floe::{
    Applied, Batch, Builder, ChangeError, Handle, Index, LogId, Membership, MembershipChange,
    MembershipOperation, NodeConfig, NodeId, ProposeError, Snapshot, StateMachine, StateMachineError, Term,
};

/// No condition of these tests takes this long unless something is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const CLUSTER: u64 = 0xF10E;

/// A state machine that remembers every command; others look at it through the [`Book`].
pub(crate) struct Recorder {
    book: Book,
    applied: LogId,
    /// Where the state is kept at a checkpoint; without one it lives in memory alone.
    file: Option<PathBuf>,
}

/// The commands that one member has applied, in order.
pub(crate) type Book = Arc<Mutex<Vec<(LogId, Bytes)>>>;

impl Recorder {
    pub(crate) fn in_memory() -> (Self, Book) {
        let book = Book::default();
        (Self { book: Arc::clone(&book), applied: LogId::ZERO, file: None }, book)
    }

    /// Keeps only *how much* was applied, and counts on; a restarted one starts its book empty.
    pub(crate) fn durable(file: PathBuf) -> (Self, Book) {
        let (mut recorder, book) = Self::in_memory();
        if let Ok(bytes) = std::fs::read(&file) {
            let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
            recorder.applied = LogId::new(Term(number(0)), Index(number(8)));
        }
        recorder.file = Some(file);
        (recorder, book)
    }
}

impl StateMachine for Recorder {
    /// How many commands were applied before.
    type Reply = usize;

    fn applied(&self) -> LogId {
        self.applied
    }

    fn apply(&mut self, batch: &Batch) -> Result<Vec<usize>, StateMachineError> {
        let mut book = self.book.lock().expect("not poisoned");
        let mut replies = Vec::new();
        for command in &batch.commands {
            if command.payload.as_ref() == b"break" {
                return Err(StateMachineError::new("asked to break"));
            }
            assert_ne!(command.payload.as_ref(), b"panic", "asked to panic");
            replies.push(book.len());
            book.push((command.id, command.payload.clone()));
        }
        self.applied = batch.last;
        Ok(replies)
    }

    fn checkpoint(&mut self) -> Result<LogId, StateMachineError> {
        let Some(file) = &self.file else { return Ok(LogId::ZERO) };
        let mut bytes = self.applied.term.0.to_le_bytes().to_vec();
        bytes.extend(self.applied.index.0.to_le_bytes());
        std::fs::write(file, bytes).map_err(|error| StateMachineError(error.into()))?;
        Ok(self.applied)
    }

    fn snapshot(&mut self) -> Result<Box<dyn Snapshot>, StateMachineError> {
        Ok(Box::new(Frozen(self.book.lock().expect("not poisoned").clone())))
    }

    fn restore(&mut self, last: LogId, from: &mut dyn Read) -> Result<(), StateMachineError> {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).map_err(|error| StateMachineError(error.into()))?;
        let (mut bytes, mut book) = (Bytes::from(bytes), Vec::new());
        while bytes.has_remaining() {
            let (term, index, length) = (bytes.get_u64(), bytes.get_u64(), bytes.get_u64() as usize);
            book.push((LogId::new(Term(term), Index(index)), bytes.split_to(length)));
        }
        *self.book.lock().expect("not poisoned") = book;
        self.applied = last;
        Ok(())
    }
}

struct Frozen(Vec<(LogId, Bytes)>);

impl Snapshot for Frozen {
    fn write_to(self: Box<Self>, out: &mut dyn Write) -> Result<(), StateMachineError> {
        for (id, payload) in self.0 {
            for number in [id.term.0, id.index.0, payload.len() as u64] {
                out.write_all(&number.to_be_bytes()).map_err(|error| StateMachineError(error.into()))?;
            }
            out.write_all(&payload).map_err(|error| StateMachineError(error.into()))?;
        }
        Ok(())
    }
}

/// One member: running or not.
pub(crate) struct Member {
    pub(crate) id: NodeId,
    pub(crate) address: SocketAddr,
    pub(crate) config: NodeConfig,
    pub(crate) handle: Option<Handle<usize>>,
    pub(crate) book: Book,
    durable: bool,
}

/// A cluster whose members can be stopped and started.
pub(crate) struct Cluster {
    pub(crate) members: Vec<Member>,
    /// Removed when the test ends.
    pub(crate) dir: tempfile::TempDir,
}

impl Cluster {
    pub(crate) fn start(count: u64) -> Self {
        Self::configured(count, false, |_| {})
    }

    pub(crate) fn configured(count: u64, durable: bool, adjust: impl Fn(&mut NodeConfig)) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let listeners: Vec<_> =
            (0..count).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
        let addresses: Vec<_> =
            listeners.iter().map(|listener| listener.local_addr().expect("an address")).collect();
        let mut members = Vec::new();
        for (id, listener) in (1..=count).zip(listeners) {
            let mut config = NodeConfig::new(NodeId(id), CLUSTER, dir.path().join(id.to_string()));
            config.members = (1..=count).map(NodeId).zip(addresses.iter().map(ToString::to_string)).collect();
            config.segment_bytes = 1 << 20;
            // Far above what a busy machine stalls a thread or a disk for, so that leaders change when a test wants
            // it. First elections and those after a death do not wait for it.
            config.heartbeat_interval = Duration::from_millis(100);
            config.election_timeout = Duration::from_millis(1500);
            adjust(&mut config);
            let address = addresses[id as usize - 1];
            let mut member =
                Member { id: NodeId(id), address, config, handle: None, book: Book::default(), durable };
            member.start_on(listener);
            members.push(member);
        }
        Self { members, dir }
    }

    /// Changes the membership at whoever leads; what certainly did not happen is tried again.
    pub(crate) async fn change(&self, operations: &[MembershipOperation]) -> Membership {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let change = MembershipChange::new(operations.iter().cloned());
            let leader = self.leader().await;
            match self.members[leader].handle().change_membership(change).await {
                Ok(membership) => return membership,
                Err(ChangeError::Invalid(reason)) => panic!("it is not valid: {reason}"),
                Err(error) => {
                    assert!(error.nothing_happened() && Instant::now() < deadline, "{error}");
                    pause().await;
                }
            }
        }
    }

    /// Adds a new member as a learner that is promoted when it is ready, and starts it as `floe serve` would: it asks
    /// where it belongs. Returns its position.
    pub(crate) async fn join(&mut self) -> usize {
        self.join_as(false).await
    }

    /// The same with a witness, which votes from the beginning.
    pub(crate) async fn join_as_witness(&mut self) -> usize {
        self.join_as(true).await
    }

    async fn join_as(&mut self, witness: bool) -> usize {
        let leader = self.leader().await;
        let id = NodeId(self.members.iter().map(|member| member.id.0).max().unwrap_or(0) + 1);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let bytes = Bytes::from(address.to_string());
        self.change(&[match witness {
            true => MembershipOperation::AddWitness { node: id, address: bytes },
            false => MembershipOperation::AddLearner { node: id, address: bytes, auto_promote: true },
        }])
        .await;
        let view = floe::discover(&self.members[leader].address.to_string()).await.expect("it answers");
        assert_eq!((view.cluster, view.member), (CLUSTER, self.members[leader].id));
        assert!(view.membership.contains(id), "the change was committed before");
        let mut config = self.members[leader].config.clone();
        config.id = id;
        config.data_dir = self.dir.path().join(id.0.to_string());
        config.members = [(self.members[leader].id, self.members[leader].address.to_string())].into();
        config.members.insert(id, address.to_string());
        config.witnesses = [id].into_iter().filter(|_| witness).collect();
        config.joined = Some(view.commit);
        let durable = self.members[leader].durable;
        let mut member = Member { id, address, config, handle: None, book: Book::default(), durable };
        member.start_on(listener);
        self.members.push(member);
        self.members.len() - 1
    }

    /// Waits until these are the voters on every running member, and nobody is a learner.
    pub(crate) async fn voters(&self, wanted: &[usize]) {
        let wanted: std::collections::BTreeSet<_> = wanted.iter().map(|&at| self.members[at].id).collect();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let statuses: Vec<_> = self.running().map(|member| member.handle().status()).collect();
            let agreed = statuses.iter().all(|status| {
                status.membership.voters == wanted
                    && !status.membership.is_joint()
                    && status.membership.learners.is_empty()
            });
            if agreed {
                return;
            }
            let seen: Vec<_> = statuses.iter().map(|status| &status.membership).collect();
            assert!(Instant::now() < deadline, "the voters are not {wanted:?}: {seen:?}");
            pause().await;
        }
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.handle.is_some())
    }

    /// Waits until every running member follows the same leader, and returns its position.
    pub(crate) async fn leader(&self) -> usize {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let leaders: Vec<_> = self.running().map(|member| member.handle().leader()).collect();
            let terms: Vec<_> = self.running().map(|member| member.handle().term()).collect();
            if let Some(Some(leader)) = leaders.first()
                && leaders.iter().all(|other| other == &leaders[0])
                && terms.iter().all(|other| other == &terms[0])
                && let Some(position) = self.members.iter().position(|member| member.id == *leader)
                && self.members[position].handle.is_some()
            {
                return position;
            }
            assert!(Instant::now() < deadline, "no leader: {leaders:?} in {terms:?}");
            pause().await;
        }
    }

    /// Waits until every running member with data has applied `count` commands, and checks that they are the same ones.
    pub(crate) async fn agreed(&self, count: usize) -> Vec<(LogId, Bytes)> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let with_data = self.running().filter(|member| !member.config.is_witness());
            let books: Vec<_> =
                with_data.map(|member| member.book.lock().expect("not poisoned").clone()).collect();
            if books.iter().all(|book| book.len() == count) {
                for book in &books {
                    assert!(*book == books[0], "members applied different commands");
                }
                return books[0].clone();
            }
            let counts: Vec<_> = books.iter().map(Vec::len).collect();
            assert!(Instant::now() < deadline, "{counts:?} commands are applied, not {count}");
            pause().await;
        }
    }

    /// Stops everybody properly, all at the same time.
    pub(crate) async fn shutdown(&mut self) {
        let handles: Vec<_> = self.members.iter_mut().filter_map(|member| member.handle.take()).collect();
        let stopping: Vec<_> =
            handles.into_iter().map(|handle| tokio::spawn(async move { handle.shutdown().await })).collect();
        for stopping in stopping {
            stopping.await.expect("no panic");
        }
    }
}

impl Member {
    pub(crate) fn handle(&self) -> &Handle<usize> {
        self.handle.as_ref().expect("it runs")
    }

    /// Starts a stopped member on its old address.
    pub(crate) fn restart(&mut self) {
        let listener = TcpListener::bind(self.address).expect("its own port");
        self.start_on(listener);
    }

    fn start_on(&mut self, listener: TcpListener) {
        let (recorder, book) = if self.durable {
            Recorder::durable(self.config.data_dir.with_extension("state"))
        } else {
            Recorder::in_memory()
        };
        let id = self.id;
        self.book = book;
        if self.config.is_witness() {
            let builder = Builder::new(self.config.clone()).listener(listener);
            self.handle = Some(builder.start_witness_blocking().expect("it starts"));
            return;
        }
        let builder =
            Builder::new(self.config.clone()).listener(listener).answer(move |question| async move {
                let mut answer = format!("{id} answers ").into_bytes();
                answer.extend_from_slice(&question);
                answer.into()
            });
        self.handle = Some(builder.start_blocking(recorder).expect("it starts"));
    }

    /// From its next start on the member's state lives in memory alone.
    pub(crate) fn forget_state(&mut self) {
        self.durable = false;
    }

    /// Stops the member without a handover, as if it had died (but with its files written).
    pub(crate) async fn stop_abruptly(&mut self) {
        let stopped = self.handle().stopped();
        self.handle = None;
        stopped.await;
    }
}

/// Proposes until it is applied; what certainly did not happen is tried again.
pub(crate) async fn propose(handle: &Handle<usize>, payload: Bytes) -> Result<Applied<usize>, ProposeError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match handle.propose(payload.clone()).await {
            Err(error) if error.nothing_happened() && Instant::now() < deadline => pause().await,
            outcome => return outcome,
        }
    }
}

/// Between two looks at a condition.
pub(crate) async fn pause() {
    tokio::time::sleep(Duration::from_millis(2)).await;
}
