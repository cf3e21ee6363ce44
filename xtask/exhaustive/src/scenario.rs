//! The models: which groups are explored, how far, and what each must find and come by.

use std::time::Duration;

use bytes::Bytes;
use floe_raft::{
    Config, Entry, EntryKind, HardState, Index, LogId, Membership, MembershipOperation, NodeId, Term,
};

use crate::canonical::HEARTBEAT;
use crate::disk::Disk;
use crate::laws::reached;
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
    /// What the operator does.
    pub(crate) change: Option<MembershipOperation>,
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
const ENTRY: Reach = ("an entry is committed", |_, state| reached::entry(state));
const COMMIT: Reach = ("a command is committed", |_, state| reached::commit(state));
const SUCCESSION: Reach = ("a later leader leads after a commit", |_, state| reached::succession(state));
const TWO_TERMS: Reach = ("entries of two terms are committed", |_, state| reached::two_terms(state));
const CHANGE: Reach = ("a change of the membership is committed", |_, state| reached::change(state));
const READ: Reach = ("a read is served after a commit", |_, state| reached::read(state));
const PULLED: Reach = ("a refuser tells what it has more", |_, state| reached::pulled(state));
const TWO_LEADERS: Reach = ("two nodes believe that they lead", |_, state| reached::two_leaders(state));

/// Every model, in the order in which they run.
pub(crate) fn all() -> Vec<Scenario> {
    [elections(), logs(), pulls(), changes()].into_iter().flatten().collect()
}

/// Who leads.
fn elections() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "votes",
            about: "elections alone, with writes that take their time and crashes that lose them",
            holds_writes: true,
            left: Left { fires: 2, crashes: 1, ..Left::default() },
            reaches: &[TWO_LEADERS],
            finds: &["vote-before-disk"],
            ..Scenario::plain()
        },
        Scenario {
            name: "gates",
            about: "elections with PreVote and CheckQuorum",
            gates: true,
            left: Left { fires: 2, beats: 1, crashes: 1, ..Left::default() },
            reaches: &[ENTRY],
            ..Scenario::plain()
        },
    ]
}

/// What is committed, and what is read.
fn logs() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "commands",
            about: "a leader, two commands, two elections and a crash",
            elected: true,
            term: Term(3),
            left: Left { fires: 2, proposals: 2, crashes: 1, ..Left::default() },
            reaches: &[COMMIT, SUCCESSION, TWO_TERMS, TWO_LEADERS],
            ..Scenario::plain()
        },
        Scenario {
            name: "disks",
            about: "a command and an election, with writes that take their time and crashes that lose them",
            holds_writes: true,
            elected: true,
            left: Left { fires: 1, proposals: 1, crashes: 1, ..Left::default() },
            reaches: &[COMMIT, SUCCESSION],
            finds: &["count-before-disk"],
            ..Scenario::plain()
        },
        Scenario {
            name: "figure-8",
            about: "figure 8 of the paper: an entry of an old term on a majority",
            single_entries: true,
            term: Term(4),
            left: Left { fires: 2, ..Left::default() },
            start: &[(&[1], 2, 2), (&[2], 2, 2), (&[], 2, 2)],
            reaches: &[TWO_TERMS, SUCCESSION],
            finds: &["commit-old-terms"],
            ..Scenario::plain()
        },
        Scenario {
            name: "reads",
            about: "a read anywhere, among a command and an election",
            elected: true,
            left: Left { fires: 1, beats: 1, proposals: 1, reads: 1, crashes: 1, ..Left::default() },
            reaches: &[COMMIT, SUCCESSION, READ],
            ..Scenario::plain()
        },
    ]
}

/// Who pulls what it lacks from its refusers. Elections in all other models do so, too; here the logs differ from the
/// beginning.
fn pulls() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "pulls",
            about: "logs of three terms, and elections that pull from one another",
            single_entries: true,
            gates: true,
            term: Term(5),
            left: Left { fires: 3, crashes: 1, ..Left::default() },
            start: &[(&[1, 1, 1], 3, 2), (&[1, 2], 3, 2), (&[1, 3], 3, 3)],
            reaches: &[PULLED],
            ..Scenario::plain()
        },
        Scenario {
            name: "late-pull",
            about: "an answer to a pull is on its way while the asker's log goes on and is committed",
            gates: true,
            term: Term(4),
            left: Left { fires: 1, beats: 1, crashes: 1, ..Left::default() },
            start: &[(&[1], 2, 3), (&[1], 2, 3), (&[1, 1, 1], 2, 3)],
            prologue: &[
                "n1 timer",
                "n1@3 -> n3 PreVote",
                "n3@2 -> n1 PreVoteReply",
                "n1@2 -> n3 Pull",
                "n2 timer",
                "n2@3 -> n1 PreVote",
                "n1@3 -> n2 PreVoteReply",
                "n2@3 -> n1 Vote",
                "n1@3 -> n2 VoteReply",
                "n2@3 -> n1 Append",
                "n1@3 -> n2 AppendOk",
            ],
            reaches: &[ENTRY],
            finds: &["pull-unchecked"],
            ..Scenario::plain()
        },
        Scenario {
            name: "pulled-ack",
            about: "a voter acknowledges an old entry and then pulls another in its place",
            single_entries: true,
            gates: true,
            term: Term(5),
            left: Left { beats: 1, ..Left::default() },
            start: &[(&[], 2, 3), (&[1], 2, 3), (&[2], 2, 3)],
            prologue: &[
                "n2 timer",
                "n2@3 -> n1 PreVote",
                "n1@3 -> n2 PreVoteReply",
                "n2@3 -> n1 Vote",
                "n1@3 -> n2 VoteReply",
                "n2@3 -> n1 Append",
                "n1@3 -> n2 AppendReject",
                "n2@3 -> n1 Append { prev: LogId { term: Term(0)",
                "n1@3 -> n2 AppendOk",
                "n1 timer",
                "n1@4 -> n3 PreVote",
                "n3@2 -> n1 PreVoteReply",
                "n1@3 -> n3 Pull",
                "n3@2 -> n1 PullReply",
                "n1@3 -> n3 Pull { after: LogId { term: Term(0)",
                "n3@2 -> n1 PullReply { prev: LogId { term: Term(0), index: Index(0) }, entries: [E",
            ],
            reaches: &[TWO_TERMS],
            finds: &["pull-keeps-term"],
            ..Scenario::plain()
        },
    ]
}

/// Who belongs to the group.
fn changes() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "growth",
            about: "a third voter joins a group of two, among elections and a crash",
            voters: 2,
            elected: true,
            term: Term(3),
            left: Left { fires: 2, crashes: 1, changes: 1, proposals: 1, ..Left::default() },
            change: Some(MembershipOperation::AddVoter { node: NodeId(3), address: Bytes::new() }),
            reaches: &[CHANGE, SUCCESSION],
            ..Scenario::plain()
        },
        Scenario {
            name: "shrinking",
            about: "one of three voters is removed, among elections and a crash",
            elected: true,
            term: Term(3),
            left: Left { fires: 2, crashes: 1, changes: 1, proposals: 1, ..Left::default() },
            change: Some(MembershipOperation::Remove { node: NodeId(3) }),
            reaches: &[CHANGE, SUCCESSION],
            ..Scenario::plain()
        },
    ]
}

impl Scenario {
    /// Three voters with empty disks, and nothing that may happen.
    fn plain() -> Self {
        Self {
            name: "",
            about: "",
            voters: 3,
            gates: false,
            holds_writes: false,
            single_entries: false,
            elected: false,
            prologue: &[],
            term: Term(2),
            left: Left::default(),
            change: None,
            start: &[],
            reaches: &[],
            finds: &[],
            #[cfg(feature = "mutants")]
            mutant: None,
        }
    }

    /// The configuration of every node, but for its id.
    pub(crate) fn config(&self) -> Config {
        Config {
            heartbeat_interval: Duration::from_nanos(HEARTBEAT),
            election_timeout: Duration::from_nanos(2 * HEARTBEAT),
            pre_vote: self.gates,
            check_quorum: self.gates,
            append_bytes: if self.single_entries { 1 } else { 1 << 20 },
            #[cfg(feature = "mutants")]
            mutant: self.mutant,
            ..Config::new(NodeId(1))
        }
    }

    /// The membership at birth.
    pub(crate) fn birth(&self) -> Membership {
        Membership::of_voters((1..=self.voters).map(NodeId))
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
