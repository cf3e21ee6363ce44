//! Sends a snapshot to one peer, on a thread and a connection of its own.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use floe_raft::{LogId, NodeId, Term};

use crate::completion::lock;
use crate::handshake::{Hello, NotAPeer, Verdict, Welcome};
use crate::snapshot::make::Made;
use crate::snapshot::wire::{self, CHUNK_BYTES, Frame, Offer, Refusal};
use crate::status::Live;

const DIAL_TIMEOUT: Duration = Duration::from_secs(3);
/// A peer that says or takes nothing for so long is gone. It says something every second while it works.
const PATIENCE: Duration = Duration::from_secs(10);

/// One transfer.
pub(crate) struct Transfer {
    pub(crate) to: NodeId,
    pub(crate) address: String,
    pub(crate) hello: Hello,
    pub(crate) made: Arc<Made>,
    pub(crate) control: Arc<Control>,
    pub(crate) bytes_per_second: u64,
    pub(crate) live: Arc<Live>,
}

/// How the driver reaches a transfer.
#[derive(Debug, Default)]
pub(crate) struct Control {
    /// The term that the leader leads in; it may be elected again while the file is under way.
    pub(crate) term: AtomicU64,
    state: Mutex<State>,
    cancelled: Condvar,
}

#[derive(Debug, Default)]
struct State {
    cancelled: bool,
    stream: Option<TcpStream>,
}

/// Why a transfer ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    NotAPeer(#[from] NotAPeer),
    #[error("its address has no host")]
    NoHost,
    #[error("it refuses the connection: {0:?}")]
    NotWelcome(Verdict),
    #[error("it refuses the snapshot: {0}")]
    Refused(Refusal),
    #[error("it answers what was not asked")]
    Confused,
    #[error("this member leads no more, or stops")]
    Cancelled,
}

impl Control {
    pub(crate) fn new(term: Term) -> Arc<Self> {
        Arc::new(Self { term: AtomicU64::new(term.0), ..Self::default() })
    }

    /// Ends the transfer as soon as its thread notices, which is at once.
    pub(crate) fn cancel(&self) {
        let mut state = lock(&self.state);
        state.cancelled = true;
        if let Some(stream) = &state.stream {
            // Fails when the other end has closed it.
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(state);
        self.cancelled.notify_all();
    }

    fn connected(&self, stream: &TcpStream) -> Result<(), SendError> {
        let mut state = lock(&self.state);
        if state.cancelled {
            return Err(SendError::Cancelled);
        }
        state.stream = Some(stream.try_clone()?);
        Ok(())
    }

    fn is_cancelled(&self) -> bool {
        lock(&self.state).cancelled
    }

    /// Waits, unless the transfer is cancelled.
    fn pause(&self, pause: Duration) -> Result<(), SendError> {
        let state = lock(&self.state);
        let waited = self.cancelled.wait_timeout_while(state, pause, |state| !state.cancelled);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.cancelled { Err(SendError::Cancelled) } else { Ok(()) }
    }
}

impl Transfer {
    /// Sends what the peer lacks and waits until it is installed there.
    pub(crate) fn run(&self) -> Result<LogId, SendError> {
        let outcome = self.exchange();
        if self.control.is_cancelled() { Err(SendError::Cancelled) } else { outcome }
    }

    fn exchange(&self) -> Result<LogId, SendError> {
        let mut stream = self.dial()?;
        let sealed = &self.made.0;
        let (last, size) = (sealed.header.last, sealed.size);
        wire::write(&mut stream, &Frame::Offer(Offer { last, size, hash: sealed.hash }))?;
        let offset = match wire::read(&mut stream)? {
            Frame::Resume { offset } if offset <= size => offset,
            Frame::Refused(refusal) => return Err(SendError::Refused(refusal)),
            _ => return Err(SendError::Confused),
        };
        if offset > 0 && offset < size {
            self.live.snapshots_resumed.fetch_add(1, Ordering::Relaxed);
        }
        tracing::info!(to = %self.to, %last, bytes = size, from = offset, "sends a snapshot");
        self.send_from(&mut stream, offset)?;
        wire::write(&mut stream, &Frame::Finish { term: Term(self.control.term.load(Ordering::Acquire)) })?;
        loop {
            match wire::read(&mut stream)? {
                Frame::Working => {}
                Frame::Installed => return Ok(last),
                Frame::Refused(refusal) => return Err(SendError::Refused(refusal)),
                _ => return Err(SendError::Confused),
            }
        }
    }

    fn dial(&self) -> Result<TcpStream, SendError> {
        let mut outcome = Err(SendError::NoHost);
        let addresses = self.address.split(',').map(|address| address.to_socket_addrs());
        for address in addresses.flatten().flatten() {
            match TcpStream::connect_timeout(&address, DIAL_TIMEOUT) {
                Ok(stream) => return self.shake_hands(stream),
                Err(error) => outcome = Err(error.into()),
            }
        }
        outcome
    }

    fn shake_hands(&self, mut stream: TcpStream) -> Result<TcpStream, SendError> {
        self.control.connected(&stream)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        io::Write::write_all(&mut stream, &self.hello.encode())?;
        let mut bytes = [0; Welcome::BYTES];
        stream.read_exact(&mut bytes)?;
        let welcome = Welcome::decode(&bytes)?;
        let right = welcome.cluster == self.hello.cluster && welcome.member == self.to;
        if welcome.verdict == Verdict::Accepted && right {
            Ok(stream)
        } else {
            Err(SendError::NotWelcome(welcome.verdict))
        }
    }

    /// Sends the file's bytes from there on, no faster than allowed.
    fn send_from(&self, stream: &mut TcpStream, offset: u64) -> Result<(), SendError> {
        let sealed = &self.made.0;
        let mut file = File::open(&sealed.path)?;
        file.seek(SeekFrom::Start(offset))?;
        let (start, mut at) = (Instant::now(), offset);
        let mut chunk = vec![0; CHUNK_BYTES];
        while at < sealed.size {
            let room = CHUNK_BYTES.min(usize::try_from(sealed.size - at).unwrap_or(usize::MAX));
            chunk.resize(room, 0);
            file.read_exact(&mut chunk)?;
            let frame = Frame::Chunk { offset: at, bytes: std::mem::take(&mut chunk) };
            wire::write(stream, &frame)?;
            if let Frame::Chunk { bytes, .. } = frame {
                chunk = bytes;
            }
            at += room as u64;
            self.live.snapshot_bytes_sent.fetch_add(room as u64, Ordering::Relaxed);
            let allowed_ns =
                u128::from(at - offset) * 1_000_000_000 / u128::from(self.bytes_per_second.max(1));
            let due = Duration::from_nanos(u64::try_from(allowed_ns).unwrap_or(u64::MAX));
            if let Some(early) = due.checked_sub(start.elapsed()) {
                self.control.pause(early)?;
            }
        }
        Ok(())
    }
}
