//! Snapshots as the driver sees them: which peer needs one, which file serves, what arrived, what is being put in place.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use floe_raft::{Envelope, Index, LogId, Membership, Message, NodeId, SnapshotOutcome, Term, Time};

use crate::apply_thread::ApplyWork;
use crate::error::{Failure, ProposeError, UnknownCause};
use crate::fences::DiskState;
use crate::handshake::{Hello, Purpose, VERSION};
use crate::inbox::{Inbox, Input};
use crate::snapshot::make::Made;
use crate::snapshot::receive::Arrival;
use crate::snapshot::send::{Control, SendError, Transfer};
use crate::wal_thread::LogWork;

use super::Driver;

/// How long the core waits before it asks again for a snapshot that broke on its way. The peer has what arrived.
const BROKEN_RETRY: Duration = Duration::from_millis(200);
/// And for one that could not be made, or whose peer cannot be found.
const FAILED_RETRY: Duration = Duration::from_secs(5);
/// How long a file that nobody is being sent is kept for whom the transfer broke.
const KEPT: Duration = Duration::from_secs(60);

/// What a transfer says first of this member.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender {
    pub(crate) cluster: u64,
    pub(crate) member: NodeId,
    pub(crate) incarnation: u64,
    pub(crate) bytes_per_second: u64,
}

/// The state of both directions.
pub(super) struct Snapshots {
    sender: Sender,
    /// Peers that wait for a file, with the entry that it must contain.
    waiting: BTreeMap<NodeId, (Term, Index)>,
    /// The newest file.
    made: Option<Arc<Made>>,
    making: bool,
    /// When the file goes, unless somebody is sent it.
    kept_until: Option<Time>,
    active: BTreeMap<NodeId, Active>,
    /// When the core hears that a transfer failed.
    failed: BTreeMap<NodeId, Time>,
    /// What came and is not decided on.
    arrivals: Vec<Arrival>,
    /// What takes the place of the state machine, until the log is durable after it.
    installing: Option<Installing>,
}

struct Active {
    control: Arc<Control>,
    thread: JoinHandle<()>,
}

struct Installing {
    last: LogId,
    membership: Arc<Membership>,
    /// The write that restarts the log was given out.
    restarted: bool,
}

impl Snapshots {
    pub(super) fn new(sender: Sender) -> Self {
        Self {
            sender,
            waiting: BTreeMap::new(),
            made: None,
            making: false,
            kept_until: None,
            active: BTreeMap::new(),
            failed: BTreeMap::new(),
            arrivals: Vec::new(),
            installing: None,
        }
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.failed.values().copied().chain(self.kept_until).min()
    }

    /// The last entry of a snapshot that somebody is being sent, or would go on with: who has it needs what follows.
    pub(super) fn held(&self) -> Option<Index> {
        self.made.as_ref().map(|made| made.0.header.last.index)
    }

    /// Ends every transfer and forgets what came.
    pub(super) fn stop(&mut self) {
        for active in self.active.values() {
            active.control.cancel();
        }
        for active in std::mem::take(&mut self.active).into_values() {
            // A panic was reported as a failed transfer.
            let _ = active.thread.join();
        }
        self.arrivals.clear();
        self.made = None;
    }
}

/// Reports a transfer when its thread ends, by a panic too.
struct Report<R> {
    inbox: Arc<Inbox<R>>,
    to: NodeId,
    outcome: Option<Result<LogId, SendError>>,
}

impl<R> Drop for Report<R> {
    fn drop(&mut self) {
        let outcome =
            self.outcome.take().unwrap_or(Err(SendError::Io(io::Error::other("its thread panicked"))));
        self.inbox.report(Input::SnapshotSent { to: self.to, outcome });
    }
}

/// Sending.
impl<R: Send + 'static> Driver<R> {
    /// A peer needs entries that are dropped here.
    pub(super) fn send_snapshot(&mut self, now: Time, to: NodeId, term: Term, at_least: Index) {
        if let Some(active) = self.snapshots.active.get(&to) {
            // Elected again while the file is under way: its end reports for this term.
            active.control.term.store(term.0, Ordering::Release);
            return;
        }
        self.snapshots.waiting.insert(to, (term, at_least));
        self.start_transfers(now);
    }

    /// Starts what waits, if the file serves; has one made if not.
    fn start_transfers(&mut self, now: Time) {
        let first = self.compaction.cut();
        for (to, (term, at_least)) in std::mem::take(&mut self.snapshots.waiting) {
            let needed = at_least.max(first);
            let made = self.snapshots.made.as_ref().filter(|made| made.0.header.last.index >= needed);
            if let Some(made) = made.map(Arc::clone) {
                if self.start_transfer(to, term, made).is_err() {
                    self.snapshots.failed.insert(to, now.plus(FAILED_RETRY));
                }
                continue;
            }
            self.snapshots.waiting.insert(to, (term, at_least));
            if !std::mem::replace(&mut self.snapshots.making, true) {
                self.apply_work.push(ApplyWork::Freeze);
            }
        }
    }

    fn start_transfer(&mut self, to: NodeId, term: Term, made: Arc<Made>) -> io::Result<()> {
        let last = made.0.header.last;
        let address =
            self.parts.peers.address(to).map(ToOwned::to_owned).ok_or(io::ErrorKind::AddrNotAvailable)?;
        let Sender { cluster, member, incarnation, bytes_per_second } = self.snapshots.sender;
        let hello = Hello {
            version: VERSION,
            purpose: Purpose::Snapshot,
            cluster,
            from: member,
            to,
            incarnation,
            address_bytes: 0,
            // The term and log move while it is sent; the peer has met this disk on the connection for messages.
            disk: DiskState::default(),
        };
        let control = Control::new(term);
        let live = self.parts.publisher.live();
        let transfer =
            Transfer { to, address, hello, made, control: Arc::clone(&control), bytes_per_second, live };
        let report = Report { inbox: Arc::clone(&self.parts.inbox), to, outcome: None };
        let span = tracing::Span::current();
        let thread = std::thread::Builder::new().name("floe-send".into()).spawn(move || {
            // Taken whole: it reports when it is dropped.
            let mut report = report;
            report.outcome = Some(span.in_scope(|| transfer.run()));
            // Before the report: whoever removes the file next is the last to hold it.
            drop(transfer);
        })?;
        self.snapshots.kept_until = None;
        self.snapshots.active.insert(to, Active { control, thread });
        self.parts.tracer.note("snapshot-sent", Some(to), Some(("last", last)));
        Ok(())
    }

    /// A file was made, or could not be.
    pub(super) fn snapshot_made(&mut self, now: Time, made: Result<Made, String>) {
        self.snapshots.making = false;
        match made {
            Ok(made) if made.0.header.membership.voters.is_empty() => {
                // A member that has not learned who belongs to the group yet has nothing to pass on.
                self.fail_waiting(now);
            }
            Ok(made) => {
                self.snapshots.made = Some(Arc::new(made));
                self.snapshots.kept_until = Some(now.plus(KEPT));
                let newest = self.snapshots.held().unwrap_or_default();
                self.start_transfers(now);
                // Frozen before the log was cut once more, or before the core's wish: then another is on its way.
                tracing::debug!(index = %newest, "made a snapshot");
            }
            Err(error) => {
                tracing::error!(error, "cannot make a snapshot");
                self.fail_waiting(now);
            }
        }
    }

    fn fail_waiting(&mut self, now: Time) {
        for to in std::mem::take(&mut self.snapshots.waiting).into_keys() {
            self.snapshots.failed.insert(to, now.plus(FAILED_RETRY));
        }
    }

    /// A transfer ended.
    pub(super) fn snapshot_sent(&mut self, now: Time, to: NodeId, outcome: Result<LogId, SendError>) {
        if let Some(active) = self.snapshots.active.remove(&to) {
            // Its last act was this report.
            let _ = active.thread.join();
        }
        if self.snapshots.active.is_empty() {
            self.snapshots.kept_until = Some(now.plus(KEPT));
        }
        let installed = outcome.as_ref().ok().map(|id| ("last", *id));
        self.parts.tracer.note("snapshot-done", Some(to), installed);
        match outcome {
            Ok(id) => {
                tracing::info!(%to, last = %id, "a snapshot is installed");
                self.parts.publisher.live().snapshots_sent.fetch_add(1, Ordering::Relaxed);
                self.parts.node.handle_snapshot_sent(now, to, SnapshotOutcome::Installed(id));
            }
            Err(SendError::Cancelled) => {
                self.parts.node.handle_snapshot_sent(now, to, SnapshotOutcome::Failed);
            }
            Err(error) => {
                if let Some(suppressed) = self.complaints.permit() {
                    tracing::warn!(%to, %error, suppressed, "the transfer of a snapshot failed, trying on");
                }
                self.snapshots.failed.insert(to, now.plus(BROKEN_RETRY));
            }
        }
    }

    /// This member does not lead any more: what is on its way is for its successor to send.
    pub(super) fn stop_transfers(&mut self) {
        self.snapshots.waiting.clear();
        for active in self.snapshots.active.values() {
            active.control.cancel();
        }
    }

    /// Does what is due.
    pub(super) fn expire_snapshots(&mut self, now: Time) {
        for (to, _) in self.snapshots.failed.extract_if(.., |_, at| *at <= now) {
            self.parts.node.handle_snapshot_sent(now, to, SnapshotOutcome::Failed);
        }
        if self.snapshots.kept_until.is_some_and(|until| until <= now) {
            self.snapshots.kept_until = None;
            if self.snapshots.active.is_empty() && self.snapshots.waiting.is_empty() {
                self.snapshots.made = None;
            }
        }
    }
}

/// Receiving.
impl<R: Send + 'static> Driver<R> {
    /// A whole snapshot came; the core decides whether anybody needs it.
    pub(super) fn snapshot_arrived(&mut self, now: Time, arrival: Arrival) {
        let message = Message::Snapshot { last: arrival.last, membership: arrival.membership.clone() };
        let (from, term, to) = (arrival.from, arrival.term, self.parts.node.id());
        self.snapshots.arrivals.push(arrival);
        self.parts.node.handle_message(now, Envelope { from, to, term, message });
    }

    /// The core wants the state machine to become what came.
    pub(super) fn install_snapshot(&mut self, last: LogId, membership: Membership) -> Result<(), Failure> {
        let membership = Arc::new(membership);
        if self.parts.limits.witness {
            // There is no state to put in place. The place itself is durable with the log that begins after it.
            self.apply_work.push(ApplyWork::Place { last, membership: Arc::clone(&membership) });
        } else {
            let Some(arrival) = self.snapshots.arrivals.iter().find(|arrival| arrival.last == last) else {
                return Err(Failure::Snapshot { reason: format!("none that ends with {last} is here") });
            };
            self.apply_work.push(ApplyWork::Install { received: arrival.path.clone() });
        }
        self.snapshots.installing = Some(Installing { last, membership, restarted: false });
        self.given = last;
        // Whether these are in it nobody can say, and they are never applied one by one here.
        for (_, proposer) in self.proposals.take_through(last.index) {
            proposer.refuse(ProposeError::Unknown(UnknownCause::LeaderChanged), &mut self.wakes);
        }
        Ok(())
    }

    /// The state machine has become it.
    pub(super) fn snapshot_installed(&mut self, now: Time, last: LogId) {
        self.parts.tracer.note("snapshot-installed", None, Some(("last", last)));
        self.applied(now, last.index);
    }

    /// The log starts anew: what is in force there must be kept before the log says so.
    pub(super) fn note_restart(&mut self, base: LogId) {
        if let Some(installing) = &mut self.snapshots.installing
            && installing.last == base
        {
            installing.restarted = true;
            self.log_work.push(LogWork::Restart(base, Arc::clone(&installing.membership)));
        }
    }

    /// Tells senders what became of what they sent, at the end of a turn.
    pub(super) fn settle_snapshots(&mut self) {
        let node = &self.parts.node;
        let reached = node.durable().min(node.applied());
        if let Some(Installing { last, restarted: true, .. }) = &self.snapshots.installing
            && reached >= last.index
        {
            self.snapshots.installing = None;
            self.apply_work.push(ApplyWork::LogRestarted);
        }
        let undecided = self.snapshots.installing.is_some();
        for arrival in std::mem::take(&mut self.snapshots.arrivals) {
            if arrival.last.index <= reached {
                arrival.installed();
            } else if undecided {
                self.snapshots.arrivals.push(arrival);
            }
        }
    }
}
