//! One machine of the world: a clock, a disk, and, while its process lives, the real core with the queues of a real
//! driver around it.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use floe_raft::{
    Entry, FetchId, Fetched, Index, Invariants, LogId, Membership, Node, NodeId, ProposalId, ReadId,
    RoleKind, SnapshotOutcome, Term, Write, WriteId,
};

use crate::clock::{Clock, Moment};
use crate::image::LogImage;
use crate::machine::{Effect, Machine, OpId};
use crate::members::WantedChange;
use crate::net::{Packet, SnapshotState, TransferId};
use crate::storage::Storage;
use crate::trace::EventId;

/// A machine.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) id: NodeId,
    pub(crate) clock: Clock,
    pub(crate) storage: Storage,
    /// The process; `None` while it is down.
    pub(crate) life: Option<Life>,
    /// How many processes there were, so that what was meant for one never reaches another.
    pub(crate) lives: LifeId,
    /// The process stands still until then.
    pub(crate) paused_until: Option<Moment>,
    /// The disk is lost, and with it the member.
    pub(crate) wiped: bool,
    /// It was removed and stopped; its id is not used again.
    pub(crate) retired: bool,
    /// It was removed, and is to be stopped.
    pub(crate) leaving: bool,
    /// Disk operations take this many times longer.
    pub(crate) slow: u32,
    /// Disk writes do not end before.
    pub(crate) stalled_until: Moment,
    /// The disk has no room for another segment before.
    pub(crate) full_until: Moment,
    /// When it last learned that its leader is dead.
    pub(crate) evidence_at: Option<Moment>,
    /// The next disk write fails; the process is started again after this long.
    pub(crate) failing: Option<u64>,
    /// The process dies after this many effects, and is started again after this long.
    pub(crate) crash_after: Option<(u32, u64)>,
}

/// Names one life of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LifeId(pub(crate) u32);

/// A process: what a crash destroys.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) node: Node,
    /// The core's own rules, from each turn to the next.
    pub(crate) invariants: Invariants,
    /// Inputs that wait for the next step.
    pub(crate) inbox: Vec<(EventId, Input)>,
    /// A step is due already.
    pub(crate) waking: bool,
    /// When the timer's event is due.
    pub(crate) armed: Option<Moment>,
    /// The log as the core has asked for it to be written, and the hard state.
    pub(crate) log: LogImage,
    /// What the checker was told of the node.
    pub(crate) seen: Seen,
    /// Writes that wait for the disk, and those that it is at.
    pub(crate) writes: Vec<Write>,
    pub(crate) writing: Vec<Write>,
    /// The event that asked for the last of the writes that wait, and of those that the disk is at.
    pub(crate) asked: EventId,
    pub(crate) at_work_for: EventId,
    /// Where the log shall be compacted to when the disk is free.
    pub(crate) compact_to: Option<LogId>,
    pub(crate) machine: Machine,
    /// The membership that is applied.
    pub(crate) applied_membership: Membership,
    pub(crate) jobs: VecDeque<(EventId, Job)>,
    pub(crate) applying: bool,
    /// Bytes applied since the last checkpoint.
    pub(crate) unsaved_bytes: u64,
    /// Commands that are in the log, by index, and who waits for them.
    pub(crate) proposed: BTreeMap<Index, Vec<(Term, OpId)>>,
    pub(crate) forwarded: BTreeMap<ProposalId, OpId>,
    pub(crate) reads: BTreeMap<ReadId, PendingRead>,
    /// Commands applied lately, for those whose place becomes known only afterwards.
    pub(crate) replies: VecDeque<(LogId, OpId, Effect)>,
    /// Snapshots that arrived and that the core has been told of.
    pub(crate) received: BTreeMap<LogId, Received>,
    /// The snapshot under way to each peer.
    pub(crate) transfers: BTreeMap<NodeId, TransferId>,
}

/// What was last observed of a node, so that only changes are checked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) term: Term,
    pub(crate) leads: bool,
    pub(crate) commit: Index,
    /// The end of its log.
    pub(crate) last: LogId,
}

/// A read under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingRead {
    pub(crate) op: OpId,
    /// When.
    pub(crate) at: Moment,
    /// What was committed when it was asked for.
    pub(crate) floor: Index,
}

/// A snapshot that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) state: Rc<SnapshotState>,
    pub(crate) from: NodeId,
    pub(crate) transfer: TransferId,
}

/// Something that a process has to tell its core.
#[derive(Debug)]
pub(crate) enum Input {
    Packet(Packet),
    Timeout,
    Persisted(WriteId),
    Fetched(FetchId, Fetched),
    Applied(Index),
    Compacted(LogId),
    SnapshotSent(NodeId, SnapshotOutcome),
    PeerGone(NodeId),
    Operation(OpId),
    Transfer(NodeId),
    Change(WantedChange),
}

/// Work for the state machine, done in order.
#[derive(Debug)]
pub(crate) enum Job {
    Apply(Vec<Entry>),
    Install(Received),
    /// A witness is told where its log begins anew.
    Place(LogId, Membership),
}

/// The end of a log that nobody has looked at.
const UNSEEN: LogId = LogId { term: Term(u64::MAX), index: Index(u64::MAX) };

/// How many replies to applied commands are kept.
const REPLIES: usize = 512;

impl Life {
    pub(crate) fn new(node: Node, storage: &Storage) -> Self {
        let checkpoint = storage.checkpoint();
        let commit = checkpoint.machine.applied().index;
        // What is in force was not compared yet with what the log says, even if there is no log.
        let seen = Seen { term: node.term(), leads: false, commit, last: UNSEEN };
        Self {
            seen,
            node,
            invariants: Invariants::default(),
            inbox: Vec::new(),
            waking: false,
            armed: None,
            log: storage.image().clone(),
            writes: Vec::new(),
            writing: Vec::new(),
            asked: EventId(0),
            at_work_for: EventId(0),
            compact_to: None,
            machine: checkpoint.machine.clone(),
            applied_membership: checkpoint.membership.clone(),
            jobs: VecDeque::new(),
            applying: false,
            unsaved_bytes: 0,
            proposed: BTreeMap::new(),
            forwarded: BTreeMap::new(),
            reads: BTreeMap::new(),
            replies: VecDeque::new(),
            received: BTreeMap::new(),
            transfers: BTreeMap::new(),
        }
    }

    pub(crate) fn keep_reply(&mut self, id: LogId, op: OpId, effect: Effect) {
        if self.replies.len() == REPLIES {
            self.replies.pop_front();
        }
        self.replies.push_back((id, op, effect));
    }

    /// The reply to the command at `id`, while it is remembered.
    pub(crate) fn reply_at(&self, id: LogId) -> Option<(OpId, Effect)> {
        let place = self.replies.binary_search_by_key(&id.index, |(known, _, _)| known.index).ok()?;
        let (known, op, effect) = self.replies[place];
        (known == id).then_some((op, effect))
    }
}

impl Host {
    pub(crate) fn is_paused(&self) -> bool {
        self.paused_until.is_some()
    }

    /// Whether its process lives and believes to lead.
    pub(crate) fn leads(&self) -> bool {
        self.life.as_ref().is_some_and(|life| life.node.is_leader())
    }

    /// The log of the leader of `term`, if this host is that leader.
    pub(crate) fn log_as_leader(&self, term: Term) -> Option<&LogImage> {
        let life = self.life.as_ref()?;
        (life.node.is_leader() && life.node.term() == term).then_some(&life.log)
    }

    /// Its role and term.
    pub(crate) fn standing(&self) -> Option<(RoleKind, Term)> {
        let life = self.life.as_ref()?;
        let status = life.node.status();
        Some((status.role, life.node.term()))
    }
}
