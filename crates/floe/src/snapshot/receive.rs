//! Receives snapshots: one at a time, whoever sent it, each on a thread of its own.
//!
//! What has arrived of a file stays on the disk under the file's hash until another one is offered, so a transfer that
//! breaks goes on where it was, after a restart of either side as well.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use floe_raft::{LogId, Membership, NodeId, Term};

use crate::completion::lock;
use crate::inbox::{Inbox, Input};
use crate::snapshot::Directory;
use crate::snapshot::file::{self, FileError, Hash};
use crate::snapshot::wire::{self, Frame, Offer, Refusal};
use crate::status::Live;

/// A sender that says or takes nothing for so long is gone.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked whether a file is put in place that came on a connection which is gone.
const LOOK: Duration = Duration::from_millis(100);
/// How often the sender is shown that this side works.
const WORKING: Duration = Duration::from_secs(1);
/// So much is written between two syncs: a larger one would keep the log's own waiting.
const SYNC_BYTES: u64 = 8 << 20;

/// The receiving side of a node.
pub(crate) struct Receiver<R> {
    cluster: u64,
    directory: Directory,
    inbox: Arc<Inbox<R>>,
    live: Arc<Live>,
    current: Mutex<Current>,
    /// Files that the driver may ask for.
    wanted: Arc<Mutex<BTreeSet<Hash>>>,
}

#[derive(Default)]
struct Current {
    stopped: bool,
    exchange: Option<(TcpStream, JoinHandle<()>)>,
}

/// A whole snapshot, for the driver. When it is dropped without [`Arrival::installed`], the sender hears that nobody
/// wants it.
pub(crate) struct Arrival {
    pub(crate) from: NodeId,
    /// The term that the sender leads in.
    pub(crate) term: Term,
    pub(crate) last: LogId,
    pub(crate) membership: Membership,
    pub(crate) path: PathBuf,
    done: mpsc::Sender<()>,
    _wanted: Wanted,
}

impl Arrival {
    /// Its last entry is in the state machine, and the log is durable from there.
    pub(crate) fn installed(self) {
        // The connection may be gone; the sender asks again then, and hears at once that nothing is needed.
        let _ = self.done.send(());
    }
}

/// Shows the sender now and then that this side works.
struct Alive<'a> {
    stream: &'a mut TcpStream,
    shown: Instant,
}

impl Alive<'_> {
    fn show(&mut self) -> io::Result<()> {
        if self.shown.elapsed() < WORKING {
            return Ok(());
        }
        self.shown = Instant::now();
        network(wire::write(self.stream, &Frame::Working))
    }
}

/// Keeps a file from being removed when another one is offered.
struct Wanted {
    hash: Hash,
    all: Arc<Mutex<BTreeSet<Hash>>>,
}

impl Drop for Wanted {
    fn drop(&mut self) {
        lock(&self.all).remove(&self.hash);
    }
}

impl<R: Send + 'static> Receiver<R> {
    pub(crate) fn new(
        cluster: u64,
        directory: Directory,
        inbox: Arc<Inbox<R>>,
        live: Arc<Live>,
    ) -> Arc<Self> {
        let (current, wanted) = (Mutex::default(), Arc::default());
        Arc::new(Self { cluster, directory, inbox, live, current, wanted })
    }

    /// Takes a connection on which both sides have said who they are. It takes the place of an older one, which its
    /// sender must have given up, or which is a deposed leader's.
    pub(crate) fn accept(self: &Arc<Self>, from: NodeId, stream: TcpStream) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let other = stream.try_clone()?;
        let mut current = lock(&self.current);
        if current.stopped {
            return Ok(());
        }
        let before = current.exchange.take();
        if let Some((stream, _)) = &before {
            // Fails when it is closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
        let receiver = Arc::clone(self);
        let span = tracing::Span::current();
        let thread = thread::Builder::new().name("floe-receive".into()).spawn(move || {
            if let Some((_, thread)) = before {
                // Only one may write the files. A panic of the other has nothing to tell this one.
                let _ = thread.join();
            }
            span.in_scope(|| receiver.receive(from, stream));
        })?;
        current.exchange = Some((other, thread));
        Ok(())
    }

    /// Ends what is under way, and takes nothing more.
    pub(crate) fn stop(&self) {
        let exchange = {
            let mut current = lock(&self.current);
            current.stopped = true;
            current.exchange.take()
        };
        if let Some((stream, thread)) = exchange {
            let _ = stream.shutdown(Shutdown::Both);
            let _ = thread.join();
        }
    }

    fn receive(&self, from: NodeId, mut stream: TcpStream) {
        let refusal = match self.exchange(from, &mut stream) {
            Ok(()) => return,
            Err(FileError::Io(error)) if is_of_network(&error) => {
                tracing::info!(%from, %error, "the transfer of a snapshot broke; it can go on where it stopped");
                return;
            }
            Err(FileError::Damaged(reason)) => {
                tracing::warn!(%from, reason, "a snapshot that arrived is damaged; it is asked for again");
                Refusal::Damaged
            }
            Err(error) => {
                tracing::error!(%from, %error, "cannot keep a snapshot that arrives");
                Refusal::Disk
            }
        };
        // The connection may be what failed.
        let _ = wire::write(&mut stream, &Frame::Refused(refusal));
    }

    fn exchange(&self, from: NodeId, stream: &mut TcpStream) -> Result<(), FileError> {
        let Frame::Offer(offer) = network(wire::read(stream))? else { return Err(confused()) };
        let path = self.directory.received(&offer.hash);
        // While the driver has it, its file may have the name of one that is put in place; it is as good as here.
        let is_pending = self.is_wanted(&offer.hash);
        let is_here = is_pending || self.contains(offer.last) || path.try_exists()?;
        if is_here {
            network(wire::write(stream, &Frame::Resume { offset: offer.size }))?;
        } else {
            self.fill(stream, offer)?;
        }
        let Frame::Finish { term } = network(wire::read(stream))? else { return Err(confused()) };
        if is_pending {
            return self.await_other(stream, offer);
        }
        if self.contains(offer.last) {
            network(wire::write(stream, &Frame::Installed))?;
            return Ok(());
        }
        let partial = self.directory.partial(&offer.hash);
        let found = if is_here { path.clone() } else { partial };
        let mut alive = Alive { stream, shown: Instant::now() };
        let sealed = match file::verify_with(&found, self.cluster, || alive.show()) {
            Ok(sealed) if sealed.hash == offer.hash && sealed.header.last == offer.last => sealed,
            Err(FileError::Io(error)) => return Err(FileError::Io(error)),
            outcome => {
                std::fs::remove_file(&found)?;
                return Err(outcome.err().unwrap_or(FileError::Damaged("it is not what was offered")));
            }
        };
        if !is_here {
            std::fs::rename(&found, &path)?;
            self.directory.sync()?;
        }
        let refusal =
            self.hand_over(from, term, (sealed.header.last, sealed.header.membership), offer, path, stream)?;
        if let Some(refusal) = refusal {
            network(wire::write(stream, &Frame::Refused(refusal)))?;
        }
        Ok(())
    }

    /// Waits for what becomes of the same file that came on an earlier connection.
    fn await_other(&self, stream: &mut TcpStream, offer: Offer) -> Result<(), FileError> {
        while self.is_wanted(&offer.hash) {
            network(wire::write(stream, &Frame::Working))?;
            thread::sleep(LOOK);
        }
        if !self.contains(offer.last) {
            return Ok(network(wire::write(stream, &Frame::Refused(Refusal::Unwanted)))?);
        }
        network(wire::write(stream, &Frame::Installed))?;
        Ok(remove_if_there(&self.directory.received(&offer.hash))?)
    }

    fn is_wanted(&self, hash: &Hash) -> bool {
        lock(&self.wanted).contains(hash)
    }

    /// Gives the file to the driver and waits for what becomes of it.
    fn hand_over(
        &self,
        from: NodeId,
        term: Term,
        (last, membership): (LogId, Membership),
        offer: Offer,
        path: PathBuf,
        stream: &mut TcpStream,
    ) -> Result<Option<Refusal>, FileError> {
        lock(&self.wanted).insert(offer.hash);
        let wanted = Wanted { hash: offer.hash, all: Arc::clone(&self.wanted) };
        let (done, outcome) = mpsc::channel();
        let arrival = Arrival { from, term, last, membership, path: path.clone(), done, _wanted: wanted };
        self.inbox.report(Input::SnapshotArrived(arrival));
        loop {
            match outcome.recv_timeout(WORKING) {
                Ok(()) => {
                    network(wire::write(stream, &Frame::Installed))?;
                    remove_if_there(&path)?;
                    return Ok(None);
                }
                Err(RecvTimeoutError::Timeout) => network(wire::write(stream, &Frame::Working))?,
                Err(RecvTimeoutError::Disconnected) => return Ok(Some(Refusal::Unwanted)),
            }
        }
    }

    /// Whether nothing of a snapshot that ends there is needed.
    fn contains(&self, last: LogId) -> bool {
        let reaches = |value: &std::sync::atomic::AtomicU64| value.load(Ordering::Acquire) >= last.index.0;
        reaches(&self.live.applied) && reaches(&self.live.durable)
    }

    /// Asks for what is missing of the file and writes it.
    fn fill(&self, stream: &mut TcpStream, offer: Offer) -> Result<(), FileError> {
        let own = self.directory.partial(&offer.hash);
        let keep: Vec<PathBuf> = {
            let wanted = lock(&self.wanted);
            wanted.iter().map(|hash| self.directory.received(hash)).chain([own.clone()]).collect()
        };
        self.directory.remove_all(|name| {
            (name.starts_with("partial-") || name.starts_with("received-"))
                && keep.iter().all(|kept| kept.file_name().is_none_or(|kept| kept != name))
        })?;
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&own)?;
        let mut at = file.metadata()?.len();
        if at > offer.size {
            file.set_len(0)?;
            at = 0;
        }
        file.seek(SeekFrom::Start(at))?;
        network(wire::write(stream, &Frame::Resume { offset: at }))?;
        let mut synced = at;
        while at < offer.size {
            let Frame::Chunk { offset, bytes } = network(wire::read(stream))? else { return Err(confused()) };
            if offset != at || bytes.is_empty() || bytes.len() as u64 > offer.size - at {
                return Err(confused());
            }
            file.write_all(&bytes)?;
            at += bytes.len() as u64;
            self.live.snapshot_bytes_received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            if at - synced >= SYNC_BYTES {
                file.sync_data()?;
                synced = at;
            }
        }
        sync(&file)
    }
}

fn sync(file: &File) -> Result<(), FileError> {
    Ok(file.sync_all()?)
}

fn remove_if_there(path: &std::path::Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

/// An error of the connection, told apart from one of the disk.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct OfNetwork(io::Error);

fn network<T>(outcome: io::Result<T>) -> io::Result<T> {
    outcome.map_err(|error| io::Error::new(error.kind(), OfNetwork(error)))
}

fn is_of_network(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<OfNetwork>())
}

fn confused() -> FileError {
    let error = io::Error::new(io::ErrorKind::InvalidData, "the sender says what nobody asked for");
    FileError::Io(io::Error::new(error.kind(), OfNetwork(error)))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use floe_raft::Index;
    use mio::{Poll, Token, Waker};

    use super::*;
    use crate::snapshot::file::{Header, Sealed};

    const CLUSTER: u64 = 7;

    struct Bed {
        dir: tempfile::TempDir,
        _poll: Poll,
        inbox: Arc<Inbox<()>>,
        live: Arc<Live>,
        receiver: Arc<Receiver<()>>,
        sealed: Sealed,
    }

    impl Bed {
        fn new() -> Self {
            let dir = tempfile::tempdir().expect("a directory");
            let header = Header {
                cluster: CLUSTER,
                last: LogId::new(Term(2), Index(50)),
                membership: Membership::of_voters([NodeId(1)]),
            };
            let sealed = file::write(dir.path().join("sent"), header, |out| {
                out.write_all(&[5; 100_000]).map_err(|error| crate::error::StateMachineError(error.into()))
            });
            let poll = Poll::new().expect("a poll");
            let waker = Waker::new(poll.registry(), Token(0)).expect("a waker");
            let inbox = Arc::new(Inbox::new(waker, 8, 1 << 20));
            let live = Arc::new(Live::new(NodeId(2), CLUSTER, Membership::default()));
            let directory = Directory::open(dir.path()).expect("a directory");
            let receiver = Receiver::new(CLUSTER, directory, Arc::clone(&inbox), Arc::clone(&live));
            Self { dir, _poll: poll, inbox, live, receiver, sealed: sealed.expect("written") }
        }

        /// A connection to the receiver on which the file is offered, and from where on it wants it.
        fn offer(&self) -> (TcpStream, u64) {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let mut sender =
                TcpStream::connect(listener.local_addr().expect("an address")).expect("connected");
            let (stream, _) = listener.accept().expect("accepted");
            self.receiver.accept(NodeId(1), stream).expect("a thread");
            let Sealed { header, size, hash, .. } = &self.sealed;
            let offer = Offer { last: header.last, size: *size, hash: *hash };
            wire::write(&mut sender, &Frame::Offer(offer)).expect("written");
            let Frame::Resume { offset } = wire::read(&mut sender).expect("an answer") else {
                panic!("it does not say from where on")
            };
            (sender, offset)
        }

        fn send(&self, sender: &mut TcpStream, range: std::ops::Range<usize>) {
            let bytes = std::fs::read(&self.sealed.path).expect("read")[range.clone()].to_vec();
            wire::write(sender, &Frame::Chunk { offset: range.start as u64, bytes }).expect("written");
        }

        fn finish(sender: &mut TcpStream) {
            wire::write(sender, &Frame::Finish { term: Term(3) }).expect("written");
        }

        fn arrival(&self) -> Arrival {
            let mut inputs = Vec::new();
            loop {
                self.inbox.take(&mut inputs);
                match inputs.pop() {
                    Some(Input::SnapshotArrived(arrival)) => return arrival,
                    Some(_) => panic!("something else was reported"),
                    None => thread::yield_now(),
                }
            }
        }

        /// The last word of the receiver.
        fn outcome(sender: &mut TcpStream) -> Frame {
            loop {
                match wire::read(sender).expect("an answer") {
                    Frame::Working => {}
                    outcome => return outcome,
                }
            }
        }

        fn reach(&self, index: u64) {
            self.live.applied.store(index, Ordering::Release);
            self.live.durable.store(index, Ordering::Release);
        }
    }

    #[test]
    fn a_transfer_goes_on_where_it_broke_and_its_outcome_is_told() {
        let bed = Bed::new();
        let (mut sender, offset) = bed.offer();
        assert_eq!(offset, 0);
        bed.send(&mut sender, 0..30_000);
        drop(sender);
        // The next connection is served when the one before has ended.
        let (mut sender, offset) = bed.offer();
        assert_eq!(offset, 30_000);
        let size = bed.sealed.size as usize;
        bed.send(&mut sender, 30_000..size);
        Bed::finish(&mut sender);
        let arrival = bed.arrival();
        assert_eq!((arrival.last, arrival.term), (bed.sealed.header.last, Term(3)));
        bed.reach(50);
        arrival.installed();
        assert_eq!(Bed::outcome(&mut sender), Frame::Installed);
        assert_eq!(bed.offer().1, bed.sealed.size, "nothing is needed any more");
        bed.receiver.stop();
    }

    #[test]
    fn what_is_being_put_in_place_is_not_sent_again() {
        for installed in [true, false] {
            let bed = Bed::new();
            let (mut sender, _) = bed.offer();
            bed.send(&mut sender, 0..bed.sealed.size as usize);
            Bed::finish(&mut sender);
            let arrival = bed.arrival();
            // As the state machine's thread does; and then the connection breaks.
            let directory = Directory::open(bed.dir.path()).expect("a directory");
            directory.begin_install(&arrival.path).expect("renamed");
            drop(sender);
            let (mut sender, offset) = bed.offer();
            assert_eq!(offset, bed.sealed.size);
            Bed::finish(&mut sender);
            assert_eq!(wire::read(&mut sender).expect("an answer"), Frame::Working);
            if installed {
                bed.reach(50);
                arrival.installed();
                assert_eq!(Bed::outcome(&mut sender), Frame::Installed);
            } else {
                drop(arrival);
                assert_eq!(Bed::outcome(&mut sender), Frame::Refused(Refusal::Unwanted));
            }
            bed.receiver.stop();
        }
    }

    #[test]
    fn a_file_whose_bytes_were_changed_on_the_disk_is_refused_and_asked_for_again() {
        let bed = Bed::new();
        let (mut sender, _) = bed.offer();
        bed.send(&mut sender, 0..60_000);
        drop(sender);
        let partial = bed.receiver.directory.partial(&bed.sealed.hash);
        let (mut sender, offset) = bed.offer();
        assert_eq!(offset, 60_000);
        let mut bytes = std::fs::read(&partial).expect("read");
        bytes[50_000] ^= 1;
        // In place: the receiver has the file open.
        OpenOptions::new().write(true).open(&partial).expect("opened").write_all(&bytes).expect("written");
        bed.send(&mut sender, 60_000..bed.sealed.size as usize);
        Bed::finish(&mut sender);
        assert_eq!(Bed::outcome(&mut sender), Frame::Refused(Refusal::Damaged));
        assert_eq!(bed.offer().1, 0);
        bed.receiver.stop();
    }
}
