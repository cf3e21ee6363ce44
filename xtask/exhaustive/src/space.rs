//! Every state of every node that was ever seen, once, and what each input makes of it.
//!
//! A group of three has millions of states, its nodes have thousands each: the same few, combined. So the real core
//! runs once for each pair of a node's state and an input, and what came of it is remembered. A state of the group is
//! three pointers and a set of messages, cheap enough to keep millions of.

use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use floe_raft::{Entry, EntryKind, Envelope, Index, NodeId, RoleKind, Term};

use crate::canonical::Fnv;
use crate::disk::Disk;
use crate::host::{Host, Input, Outcome};
use crate::laws::{Claim, Law, Mark, MarkKind};
use crate::scenario::Scenario;

/// What the laws see of a node.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) term: Term,
    pub(crate) role: RoleKind,
    pub(crate) commit: Index,
    pub(crate) written: Vec<Mark>,
    pub(crate) durable: Vec<Mark>,
    /// Writes under way.
    pub(crate) pending: usize,
    /// Where time counts, for how long from now on a leader may count on being alone, in nanoseconds.
    pub(crate) lease: u64,
}

/// One state of one node.
pub(crate) struct Local {
    pub(crate) digest: u64,
    pub(crate) seen: Seen,
    host: Host,
    steps: Mutex<HashMap<u64, Option<Arc<Step>>>>,
}

/// One message.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) digest: u64,
    pub(crate) claim: Claim,
    pub(crate) envelope: Envelope,
}

/// What an input does to a node.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) next: Arc<Local>,
    pub(crate) sent: Box<[Arc<Packet>]>,
    pub(crate) reads: Box<[Option<Index>]>,
    pub(crate) broken: Option<Law>,
}

/// The states and messages of one model.
pub(crate) struct Space {
    pub(crate) scenario: Scenario,
    locals: Mutex<HashMap<u128, Arc<Local>>>,
    packets: Mutex<HashMap<u128, Arc<Packet>>>,
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.seen.fmt(f)
    }
}

impl PartialEq for Local {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl PartialEq for Packet {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

/// A thread that panicked held no half-made state: what is behind the locks is only ever added to.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Space {
    pub(crate) fn new(scenario: Scenario) -> Self {
        Self { scenario, locals: Mutex::default(), packets: Mutex::default() }
    }

    /// A node as it starts, and what it says at once.
    pub(crate) fn start(&self, id: NodeId, disk: Disk) -> anyhow::Result<(Arc<Local>, Vec<Arc<Packet>>)> {
        let (host, outcome) = Host::start(&self.scenario, id, disk)?;
        let sent = outcome.sent.into_iter().map(|envelope| self.packet(envelope)).collect();
        Ok((self.local(host), sent))
    }

    /// What an input makes of a node's state; `None` when it cannot happen, changes nothing, or leads out of bounds.
    pub(crate) fn step(&self, local: &Local, input: &Input<'_>, key: u64) -> Option<Arc<Step>> {
        if let Some(known) = locked(&local.steps).get(&key) {
            return known.clone();
        }
        let step = self.make(local, input).map(Arc::new);
        locked(&local.steps).entry(key).or_insert(step).clone()
    }

    fn make(&self, local: &Local, input: &Input<'_>) -> Option<Step> {
        let mut host = local.host.clone();
        let outcome = catch_unwind(AssertUnwindSafe(|| host.step(&self.scenario, input)));
        let Ok(outcome) = outcome else {
            // The state is the one before: what the node is now is nobody's business.
            let next = self.local(local.host.clone());
            return Some(Step { next, sent: [].into(), reads: [].into(), broken: Some(Law::Panicked) });
        };
        let Outcome { sent, reads, broken } = outcome?;
        if host.node.term() > self.scenario.term {
            return None;
        }
        let next = self.local(host);
        if next.digest == local.digest && sent.is_empty() && reads.is_empty() && broken.is_none() {
            return None;
        }
        let sent = sent.into_iter().map(|envelope| self.packet(envelope)).collect();
        Some(Step { next, sent, reads: reads.into(), broken })
    }

    fn local(&self, host: Host) -> Arc<Local> {
        let digest = host.digest(self.scenario.timed);
        if let Some(known) = locked(&self.locals).get(&digest) {
            return Arc::clone(known);
        }
        let seen = Seen {
            term: host.node.term(),
            role: host.node.status().role,
            commit: host.node.commit(),
            written: self.marks(&host.disk.written),
            durable: self.marks(&host.disk.durable),
            pending: host.disk.pending.len(),
            lease: host.node.lease_until().map_or(0, |until| until.0.saturating_sub(host.now.0)),
        };
        let local = Local { digest: folded(digest), seen, host, steps: Mutex::default() };
        Arc::clone(locked(&self.locals).entry(digest).or_insert_with(|| Arc::new(local)))
    }

    fn packet(&self, envelope: Envelope) -> Arc<Packet> {
        let mut hasher = Fnv::new();
        hasher.write(format!("{envelope:?}").as_bytes());
        let digest = hasher.finish();
        let make = || Packet { digest: folded(digest), claim: Claim::of(&envelope), envelope };
        Arc::clone(locked(&self.packets).entry(digest).or_insert_with(|| Arc::new(make())))
    }

    /// Entries as the laws see them. A witness has no commands, and so where there is one nobody has: term and index have
    /// to tell them apart.
    fn marks(&self, entries: &[Entry]) -> Vec<Mark> {
        let has_witness = !self.scenario.witnesses.is_empty();
        let mark = |entry: &Entry| {
            let mut hasher = Fnv::new();
            let is_blind = has_witness && matches!(entry.kind, EntryKind::Command | EntryKind::Witnessed);
            if !is_blind {
                hasher.write(&entry.payload);
            }
            let kind = if is_blind { MarkKind::Command } else { entry.kind.into() };
            Mark { id: entry.id, kind, digest: folded(hasher.finish()) }
        };
        entries.iter().map(mark).collect()
    }

    /// How many states of nodes, messages, and runs of the core there were.
    pub(crate) fn sizes(&self) -> (usize, usize, usize) {
        let locals = locked(&self.locals);
        let steps = locals.values().map(|local| locked(&local.steps).len()).sum();
        (locals.len(), locked(&self.packets).len(), steps)
    }
}

impl Drop for Space {
    /// States point at those that follow them, often in circles.
    fn drop(&mut self) {
        for local in locked(&self.locals).values() {
            locked(&local.steps).clear();
        }
    }
}

/// Half as long a digest. The low bits of FNV depend on the low bits of the input alone, so that they are mixed.
fn folded(digest: u128) -> u64 {
    let folded = (digest >> 64) as u64 ^ digest as u64;
    let mixed = (folded ^ (folded >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}
