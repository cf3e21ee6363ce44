//! What a model is made of: the group at the beginning, what may happen to it, and what must come of it.

use std::time::Duration;

use bytes::Bytes;
use floe_raft::{
    Config, Entry, EntryKind, HardState, Index, Lease, LogId, Membership, MembershipOperation, NodeId, Term,
};

use crate::canonical::HEARTBEAT;
use crate::disk::Disk;
use crate::model::{Group, State};

/// What may still happen. A model is finite because these run out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Left {
    /// Timeouts of those who do not lead.
    pub(crate) fires: u8,
    /// Timeouts of leaders.
    pub(crate) beats: u8,
    pub(crate) crashes: u8,
    pub(crate) proposals: u8,
    pub(crate) changes: u8,
    pub(crate) reads: u8,
    /// Handovers that are asked for.
    pub(crate) handovers: u8,
    /// Heartbeat intervals that pass, where time counts.
    pub(crate) ticks: u8,
}

/// Something that must be reached.
pub(crate) type Reach = (&'static str, fn(&Group, &State) -> bool);

/// A model.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// In a sentence.
    pub(crate) about: &'static str,
    /// Those who are members at birth; there are three nodes.
    pub(crate) voters: u64,
    /// Those of the members that are witnesses.
    pub(crate) witnesses: &'static [u64],
    /// Those that are dead from the beginning.
    pub(crate) dead: &'static [u64],
    /// There is a clock, the same for all: timers fire when they are due or later, voters promise, and leaders have
    /// leases. Elsewhere timers fire at any time, and nothing depends on how long anything takes.
    pub(crate) timed: bool,
    /// Ask before campaigning, and refuse candidates while a leader is heard. Without them more can go wrong.
    pub(crate) gates: bool,
    /// Writes take a step of their own to become durable, and are lost in a crash.
    pub(crate) holds_writes: bool,
    /// Each append carries one entry.
    pub(crate) single_entries: bool,
    /// The first node leads from the beginning, in term 1.
    pub(crate) elected: bool,
    /// What happens first, each the beginning of an action's text.
    pub(crate) prologue: &'static [&'static str],
    /// No node enters a later term.
    pub(crate) term: Term,
    pub(crate) left: Left,
    /// What the operator does to the membership.
    pub(crate) change: Option<MembershipOperation>,
    /// Whom the operator would have lead.
    pub(crate) heir: NodeId,
    /// The terms of the entries on each disk at the beginning, and term and vote; nothing for empty disks.
    pub(crate) start: &'static [(&'static [u64], u64, u64)],
    pub(crate) reaches: &'static [Reach],
    /// Old bugs that a search of this model finds.
    pub(crate) finds: &'static [&'static str],
    /// The old bug that is put back.
    #[cfg(feature = "mutants")]
    pub(crate) mutant: Option<floe_raft::Mutant>,
}

const NODES: u64 = 3;

impl Scenario {
    /// Three voters with empty disks, and nothing that may happen.
    pub(crate) fn plain() -> Self {
        Self {
            name: "",
            about: "",
            voters: 3,
            witnesses: &[],
            dead: &[],
            timed: false,
            gates: false,
            holds_writes: false,
            single_entries: false,
            elected: false,
            prologue: &[],
            term: Term(2),
            left: Left::default(),
            change: None,
            heir: NodeId(2),
            start: &[],
            reaches: &[],
            finds: &[],
            #[cfg(feature = "mutants")]
            mutant: None,
        }
    }

    /// The configuration of a node.
    pub(crate) fn config(&self, id: NodeId) -> Config {
        Config {
            witness: self.witnesses.contains(&id.0),
            lease: self.timed.then_some(Lease { drift_margin: Duration::from_nanos(HEARTBEAT / 2) }),
            heartbeat_interval: Duration::from_nanos(HEARTBEAT),
            election_timeout: Duration::from_nanos(2 * HEARTBEAT),
            pre_vote: self.gates,
            check_quorum: self.gates,
            append_bytes: if self.single_entries { 1 } else { 1 << 20 },
            #[cfg(feature = "mutants")]
            mutant: self.mutant,
            ..Config::new(id)
        }
    }

    /// The membership at birth.
    pub(crate) fn birth(&self) -> Membership {
        let witnesses = self.witnesses.iter().copied().map(NodeId).collect();
        Membership { witnesses, ..Membership::of_voters((1..=self.voters).map(NodeId)) }
    }

    /// The disks at the beginning.
    pub(crate) fn disks(&self) -> Vec<(NodeId, Disk)> {
        let disk = |node: u64| {
            let at = usize::try_from(node - 1).unwrap_or(usize::MAX);
            let Some((terms, term, vote)) = self.start.get(at) else { return Disk::default() };
            let hard_state = HardState { term: Term(*term), vote: Some(NodeId(*vote)) };
            let entries = (1..).zip(*terms).map(|(index, term)| Entry {
                id: LogId::new(Term(*term), Index(index)),
                kind: EntryKind::Noop,
                payload: Bytes::new(),
            });
            Disk::new(hard_state, entries.collect())
        };
        (1..=NODES).map(|node| (NodeId(node), disk(node))).collect()
    }
}
