//! The models: which groups are explored, how far, and what each must find and come by.

use bytes::Bytes;
use floe_raft::{MembershipOperation, NodeId, Term};

use crate::laws::reached;
use crate::scenario::{Left, Reach, Scenario};

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
    [elections(), logs(), pulls(), changes(), leases(), handovers(), witnesses()]
        .into_iter()
        .flatten()
        .collect()
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
            name: "late-ack",
            about: "an acknowledgement is on its way while its leader loses what it was for, and leads again",
            holds_writes: true,
            elected: true,
            prologue: &["n1 propose", "n1@1 -> n2 Append", "n2 write done", "n1 crash"],
            left: Left { fires: 1, ..Left::default() },
            reaches: &[SUCCESSION],
            finds: &["old-ack"],
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

/// What a leader may know by its clock.
fn leases() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "leases",
            about: "leases and promises, with a clock, among an election, a crash and a read by lease",
            timed: true,
            elected: true,
            left: Left { fires: 1, beats: 1, crashes: 1, ticks: 4, reads: 1, ..Left::default() },
            reaches: &[SUCCESSION, READ],
            finds: &["lease-from-receipt"],
            ..Scenario::plain()
        },
        Scenario {
            name: "promises",
            about: "a voter has promised not to elect anybody, and another one asks for its vote",
            timed: true,
            prologue: &[
                "a heartbeat interval passes",
                "a heartbeat interval passes",
                "a heartbeat interval passes",
                "a heartbeat interval passes",
                "n1 timer",
                // Lost until later: then it tells of the later term in which n3 campaigns.
                "n2 timer",
                "n1@1 -> n3 Vote",
                "n3@1 -> n1 VoteReply",
                "n1@1 -> n2 Append",
                "n2@1 -> n1 AppendOk",
                "n1@1 -> n3 Append",
                "a heartbeat interval passes",
                "a heartbeat interval passes",
                "a heartbeat interval passes",
                "n1 timer",
                "n1@1 -> n2 Heartbeat { commit: Index(1), round: Round(2)",
                "n2@1 -> n1 HeartbeatReply { round: Round(2)",
            ],
            left: Left { fires: 1, crashes: 1, ticks: 2, ..Left::default() },
            reaches: &[SUCCESSION],
            finds: &["no-promise", "promise-of-one-term", "lease-forgotten"],
            ..Scenario::plain()
        },
    ]
}

/// What handovers do to leases.
fn handovers() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "handover",
            about: "a handover is asked for, and given up after an election timeout",
            timed: true,
            elected: true,
            left: Left { beats: 1, proposals: 1, handovers: 1, ticks: 2, ..Left::default() },
            reaches: &[SUCCESSION, COMMIT],
            finds: &["lease-outlives-transfer"],
            ..Scenario::plain()
        },
        Scenario {
            name: "invitation",
            about: "an invitation to campaign is on its way while its sender gives the handover up and goes on",
            timed: true,
            elected: true,
            prologue: &[
                "n1 hand over",
                "a heartbeat interval passes",
                "a heartbeat interval passes",
                "n1 timer",
                "n1 propose",
                "n1@1 -> n2 Append { prev: LogId { term: Term(1), index: Index(1) }, entries: [E",
                "n2@1 -> n1 AppendOk { matched: Index(2)",
            ],
            left: Left { fires: 1, reads: 1, ticks: 1, ..Left::default() },
            reaches: &[COMMIT, READ],
            finds: &["transfer-unfenced"],
            ..Scenario::plain()
        },
    ]
}

/// Two with data and a witness.
fn witnesses() -> Vec<Scenario> {
    let group = || Scenario { witnesses: &[3], ..Scenario::plain() };
    vec![
        Scenario {
            name: "witness",
            about: "a command, two elections and a crash among two with data and a witness",
            elected: true,
            term: Term(3),
            left: Left { fires: 2, proposals: 1, crashes: 1, ..Left::default() },
            reaches: &[COMMIT, SUCCESSION, TWO_TERMS],
            ..group()
        },
        Scenario {
            name: "bystander",
            about: "the witness has voted in a later term for one that died, and the last one with data is to lead",
            dead: &[1],
            gates: true,
            term: Term(5),
            left: Left { fires: 3, crashes: 1, ..Left::default() },
            start: &[(&[1], 3, 1), (&[1], 2, 1), (&[1], 3, 1)],
            reaches: &[ENTRY],
            finds: &["refused-term-unheard"],
            ..group()
        },
    ]
}
