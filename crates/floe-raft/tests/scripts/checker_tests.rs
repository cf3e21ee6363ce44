//! The checker can fail: each law is broken once by a hand-made history. A checker that accepts these proves nothing.

use std::collections::BTreeMap;

use bytes::Bytes;
use floe_raft::codec::encode_membership;
use floe_raft::{
    Entry, EntryKind, Envelope, HardState, Index, LogId, Membership, Message, NodeId, ProposeError, ReadId,
    RoleKind, Status, Term, Write, WriteId,
};

use crate::checker::Checker;
use crate::disk::Disk;
use crate::failure::Failure;
use crate::machine::Machine;

const N1: NodeId = NodeId(1);
const N2: NodeId = NodeId(2);
const N3: NodeId = NodeId(3);

fn id(index: u64, term: u64) -> LogId {
    LogId::new(Term(term), Index(index))
}

fn entry(index: u64, term: u64, text: &str) -> Entry {
    Entry { id: id(index, term), kind: EntryKind::Command, payload: Bytes::from(text.to_owned()) }
}

/// Three nodes, driven by hand.
struct History {
    checker: Checker,
    disks: BTreeMap<NodeId, Disk>,
    writes: u64,
}

impl History {
    fn new() -> Self {
        let disks = [N1, N2, N3].map(|node| (node, Disk::new(membership())));
        Self { checker: Checker::new(membership()), disks: BTreeMap::from(disks), writes: 0 }
    }

    fn write(&mut self, node: NodeId, write: Write, durable: bool) -> Result<(), Failure> {
        self.writes += 1;
        let disk = self.disks.get_mut(&node).expect("the history names its own nodes");
        self.checker.persist(node, disk, &write)?;
        disk.submit(write);
        if durable {
            disk.complete(usize::MAX);
        }
        Ok(())
    }

    fn vote(&mut self, node: NodeId, term: u64, vote: Option<NodeId>, durable: bool) -> Result<(), Failure> {
        let hard_state = Some(HardState { term: Term(term), vote });
        self.write(node, Write { hard_state, ..blank() }, durable)
    }

    fn append(&mut self, node: NodeId, entries: Vec<Entry>, durable: bool) -> Result<(), Failure> {
        self.write(node, Write { entries, ..blank() }, durable)
    }

    fn send(&mut self, from: NodeId, to: NodeId, term: u64, message: Message) -> Result<(), Failure> {
        self.checker.sent(&Envelope { from, to, term: Term(term), message }, &self.disks)
    }

    /// The node says what its disk says, and what is given.
    fn status(&mut self, node: NodeId, role: RoleKind, commit: u64) -> Result<(), Failure> {
        let status = self.status_of(node, role, commit);
        self.checker.status(&status, &self.disks)
    }

    fn status_of(&self, node: NodeId, role: RoleKind, commit: u64) -> Status {
        let disk = &self.disks[&node];
        Status {
            id: node,
            role,
            leader: None,
            hard_state: disk.submitted,
            base: disk.written.base,
            last: disk.written.last(),
            durable: disk.durable.last().index,
            commit: Index(commit),
            applied: Index::ZERO,
            membership: membership(),
            membership_at: Index::ZERO,
            pending_change: None,
            progress: BTreeMap::new(),
            transfer_to: None,
            lease_until: None,
            reads_waiting: 0,
        }
    }

    /// n1 leads in term 1 and committed `1@1 a=1` with n2.
    fn committed() -> Result<Self, Failure> {
        let mut history = Self::new();
        for node in [N1, N2] {
            history.vote(node, 1, Some(N1), true)?;
            history.append(node, vec![entry(1, 1, "a=1")], true)?;
        }
        history.status(N1, RoleKind::Leader, 1)?;
        Ok(history)
    }
}

fn membership() -> Membership {
    Membership::of_voters([N1, N2, N3])
}

fn blank() -> Write {
    Write { id: WriteId(1), hard_state: None, restart_after: None, truncate_from: None, entries: Vec::new() }
}

fn machine(last: LogId, digest: u64) -> Machine {
    Machine { last, digest, ..Machine::new(membership()) }
}

/// The history must break a law, and the text must name it.
fn broken(result: Result<(), Failure>, names: &str) {
    let failure = result.expect_err("the checker accepts a broken history");
    assert!(failure.is_law, "{failure}");
    assert!(failure.text.contains(names), "{failure}");
}

#[test]
fn a_good_history_is_accepted() -> Result<(), Failure> {
    let mut history = History::committed()?;
    history.send(N2, N1, 1, Message::VoteReply { granted: true })?;
    history.send(N2, N1, 1, Message::AppendOk { matched: Index(1) })?;
    history.checker.read_requested(N1, ReadId(1));
    history.checker.read_ready(N1, ReadId(1), Index(1), Index(1))?;
    history.status(N2, RoleKind::Follower, 1)
}

#[test]
fn two_leaders_in_a_term() -> Result<(), Failure> {
    let mut history = History::committed()?;
    history.vote(N3, 1, None, true)?;
    broken(history.status(N3, RoleKind::Leader, 0), "both lead in term 1");
    Ok(())
}

#[test]
fn a_message_that_only_a_leader_sends() -> Result<(), Failure> {
    let mut history = History::committed()?;
    let message = Message::Append { prev: id(1, 1), entries: Vec::new(), commit: Index(1) };
    broken(history.send(N2, N3, 1, message), "both lead in term 1");
    Ok(())
}

#[test]
fn an_id_with_two_contents() -> Result<(), Failure> {
    let mut history = History::committed()?;
    broken(history.append(N3, vec![entry(1, 1, "b=1")], true), "two entries are named 1@1");
    Ok(())
}

#[test]
fn an_id_with_two_histories() -> Result<(), Failure> {
    let mut history = History::new();
    history.append(N1, vec![entry(1, 1, "a=1"), entry(2, 3, "c=1")], true)?;
    broken(
        history.append(N2, vec![entry(1, 2, "b=1"), entry(2, 3, "c=1")], true),
        "two entries are named 2@3",
    );
    Ok(())
}

#[test]
fn a_gap_and_a_falling_term() -> Result<(), Failure> {
    let mut history = History::committed()?;
    broken(history.append(N1, vec![entry(3, 1, "a=3")], true), "without a gap");
    history.append(N1, vec![entry(2, 4, "a=2")], true)?;
    broken(history.append(N1, vec![entry(3, 3, "a=3")], true), "terms never fall");
    Ok(())
}

#[test]
fn a_committed_entry_that_is_truncated() -> Result<(), Failure> {
    let mut history = History::committed()?;
    let write = Write { truncate_from: Some(Index(1)), entries: vec![entry(1, 2, "b=1")], ..blank() };
    broken(history.write(N2, write, true), "drops the committed 1@1");
    Ok(())
}

#[test]
fn a_committed_entry_that_a_restart_of_the_log_drops() -> Result<(), Failure> {
    let mut history = History::committed()?;
    let write = Write { restart_after: Some(LogId::ZERO), ..blank() };
    broken(history.write(N2, write, true), "drops the committed 1@1");
    Ok(())
}

#[test]
fn another_entry_committed_at_the_same_index() -> Result<(), Failure> {
    let mut history = History::committed()?;
    history.append(N3, vec![entry(1, 2, "b=1")], true)?;
    broken(history.status(N3, RoleKind::Follower, 1), "1@1 was committed before");
    Ok(())
}

#[test]
fn a_commit_without_a_durable_majority() -> Result<(), Failure> {
    let mut history = History::new();
    history.append(N1, vec![entry(1, 1, "a=1")], true)?;
    history.append(N2, vec![entry(1, 1, "a=1")], false)?;
    broken(history.status(N1, RoleKind::Leader, 1), "durable on 1 of 3 voters only");
    Ok(())
}

#[test]
fn a_commit_that_witnesses_alone_hold() -> Result<(), Failure> {
    let mut history = History::new();
    history.checker.witnesses = [N2, N3].into();
    for node in [N2, N3] {
        history.checker.entries.insert(id(1, 1), (EntryKind::Command, Bytes::from("a=1"), LogId::ZERO));
        let hollow = Entry { kind: EntryKind::Witnessed, payload: Bytes::new(), ..entry(1, 1, "") };
        history.append(node, vec![hollow], true)?;
    }
    let status = history.status_of(N2, RoleKind::Follower, 1);
    let membership = Membership { witnesses: [N2, N3].into(), ..membership() };
    let status = Status { membership, ..status };
    broken(history.checker.status(&status, &history.disks), "durable on witnesses only");
    Ok(())
}

#[test]
fn a_witness_that_gets_a_command_or_campaigns() -> Result<(), Failure> {
    let mut history = History::new();
    history.checker.witnesses = [N3].into();
    broken(history.append(N3, vec![entry(1, 1, "a=1")], true), "a witness, writes a Command");
    let hollow = Entry { kind: EntryKind::Witnessed, ..entry(1, 1, "") };
    broken(history.append(N1, vec![hollow.clone()], true), "no witness, writes a Witnessed");
    broken(history.append(N3, vec![hollow], true), "which nobody appended");
    broken(history.send(N3, N1, 1, Message::PreVote { last: LogId::ZERO }), "campaigns or leads");
    Ok(())
}

#[test]
fn a_leader_without_what_was_committed() -> Result<(), Failure> {
    let mut history = History::committed()?;
    history.vote(N3, 2, Some(N3), true)?;
    broken(history.status(N3, RoleKind::Leader, 0), "without 1@1");
    Ok(())
}

#[test]
fn a_commit_behind_the_back_of_a_later_leader() -> Result<(), Failure> {
    let mut history = History::new();
    for node in [N1, N2] {
        history.vote(node, 1, Some(N1), true)?;
        history.append(node, vec![entry(1, 1, "a=1")], true)?;
    }
    history.vote(N3, 2, Some(N3), true)?;
    history.status(N3, RoleKind::Leader, 0)?;
    broken(history.status(N1, RoleKind::Leader, 1), "n3 leads in term 2 without it");
    Ok(())
}

#[test]
fn a_second_vote_after_a_restart() -> Result<(), Failure> {
    let mut history = History::new();
    history.vote(N2, 1, Some(N1), true)?;
    history.send(N2, N1, 1, Message::VoteReply { granted: true })?;
    // The disk forgets, as one does that was never synced.
    history.disks.insert(N2, Disk::new(membership()));
    history.vote(N2, 1, Some(N3), true)?;
    broken(history.send(N2, N3, 1, Message::VoteReply { granted: true }), "after it voted for n1");
    Ok(())
}

#[test]
fn a_vote_that_is_not_durable() -> Result<(), Failure> {
    let mut history = History::new();
    history.vote(N2, 1, Some(N1), false)?;
    broken(history.send(N2, N1, 1, Message::VoteReply { granted: true }), "before it is durable");
    let candidacy = Message::Vote { last: LogId::ZERO, transfer: false };
    broken(history.send(N1, N2, 1, candidacy), "before it is durable");
    Ok(())
}

#[test]
fn a_vote_that_changes_or_a_term_that_falls() -> Result<(), Failure> {
    let mut history = History::new();
    history.vote(N2, 2, Some(N1), true)?;
    broken(history.vote(N2, 2, Some(N3), true), "changes its vote");
    broken(history.vote(N2, 2, None, true), "changes its vote");
    broken(history.vote(N2, 1, None, true), "lowers its term");
    Ok(())
}

#[test]
fn an_acknowledgement_of_what_is_not_durable() -> Result<(), Failure> {
    let mut history = History::committed()?;
    history.vote(N3, 1, None, true)?;
    history.append(N3, vec![entry(1, 1, "a=1")], false)?;
    broken(history.send(N3, N1, 1, Message::AppendOk { matched: Index(1) }), "not durable");
    Ok(())
}

#[test]
fn an_acknowledgement_in_a_term_that_is_not_durable() -> Result<(), Failure> {
    let mut history = History::committed()?;
    history.append(N3, vec![entry(1, 1, "a=1")], true)?;
    broken(history.send(N3, N1, 1, Message::AppendOk { matched: Index(1) }), "acknowledges in term 1");
    Ok(())
}

#[test]
fn an_acknowledgement_of_another_log() -> Result<(), Failure> {
    let mut history = History::committed()?;
    history.vote(N3, 1, None, true)?;
    history.append(N3, vec![entry(1, 0, "z=1")], true)?;
    broken(history.send(N3, N1, 1, Message::AppendOk { matched: Index(1) }), "not in the log of its leader");
    Ok(())
}

#[test]
fn machines_that_differ() -> Result<(), Failure> {
    let mut history = History::committed()?;
    history.checker.applied(N1, &entry(1, 1, "a=1"), &machine(id(1, 1), 7))?;
    broken(history.checker.applied(N2, &entry(1, 1, "a=1"), &machine(id(1, 1), 8)), "differs");
    broken(history.checker.installed(N3, &machine(id(1, 1), 8)), "differs");
    Ok(())
}

#[test]
fn what_is_applied_or_installed_without_commit() -> Result<(), Failure> {
    let mut history = History::committed()?;
    broken(history.checker.applied(N1, &entry(2, 1, "a=2"), &machine(id(2, 1), 7)), "not committed");
    broken(history.checker.installed(N3, &machine(id(1, 2), 8)), "not what was committed");
    Ok(())
}

#[test]
fn a_stale_read_and_an_early_one() -> Result<(), Failure> {
    let mut history = History::committed()?;
    history.checker.read_requested(N3, ReadId(1));
    broken(history.checker.read_ready(N3, ReadId(1), Index(0), Index(0)), "stale read");
    history.checker.read_requested(N3, ReadId(2));
    broken(history.checker.read_ready(N3, ReadId(2), Index(1), Index(0)), "applied only 0");
    broken(history.checker.read_ready(N3, ReadId(2), Index(1), Index(1)), "not under way");
    broken(history.checker.read_aborted(N3, ReadId(2)), "not under way");
    Ok(())
}

#[test]
fn a_refused_command_that_is_in_a_log() -> Result<(), Failure> {
    let mut history = History::committed()?;
    let payload = Bytes::from_static(b"a=1");
    broken(history.checker.proposed(N2, &payload, Err(ProposeError::Busy)), "which is in a log");
    let payload = Bytes::from_static(b"b=1");
    history.checker.proposed(N2, &payload, Err(ProposeError::Busy))?;
    broken(history.append(N1, vec![entry(2, 1, "b=1")], true), "is in no log");
    broken(history.checker.proposed(N2, &payload, Ok(id(1, 1))), "where another is");
    Ok(())
}

#[test]
fn a_node_that_contradicts_its_disk_or_its_past() -> Result<(), Failure> {
    let history = History::committed()?;
    let good = history.status_of(N1, RoleKind::Leader, 1);
    let accepted = |status: &Status| history.checker.clone().status(status, &history.disks);
    accepted(&good)?;
    let hard_state = HardState { term: Term(2), vote: None };
    broken(accepted(&Status { hard_state, ..good.clone() }), "never wrote");
    broken(accepted(&Status { last: id(2, 1), ..good.clone() }), "but it wrote 1@1");
    broken(accepted(&Status { durable: Index(2), ..good.clone() }), "its disk ends with 1@1");
    broken(accepted(&Status { commit: Index(0), ..good.clone() }), "the commit of n1 falls");
    broken(accepted(&Status { commit: Index(2), ..good.clone() }), "commits beyond its log");
    broken(accepted(&Status { applied: Index(2), ..good.clone() }), "applied beyond its commit");
    let hard_state = HardState { term: Term(0), vote: None };
    broken(accepted(&Status { hard_state, ..good.clone() }), "the term of n1 falls");
    let stranger = HardState::default();
    broken(
        history.checker.clone().started(&Status { hard_state: stranger, ..good }, &history.disks[&N1]),
        "without its term and vote",
    );
    Ok(())
}

/// A membership entry.
fn change(index: u64, term: u64, voters: &[NodeId]) -> Entry {
    let mut payload = Vec::new();
    encode_membership(&Membership::of_voters(voters.iter().copied()), &mut payload);
    Entry { id: id(index, term), kind: EntryKind::Membership, payload: Bytes::from(payload) }
}

#[test]
fn a_good_change_is_accepted() -> Result<(), Failure> {
    let mut history = History::committed()?;
    history.append(N1, vec![change(2, 1, &[N1, N2])], true)?;
    history.status(N1, RoleKind::Leader, 1)?;
    history.append(N2, vec![change(2, 1, &[N1, N2])], true)?;
    history.status(N1, RoleKind::Leader, 2)?;
    history.append(N1, vec![change(3, 1, &[N1])], true)?;
    history.status(N1, RoleKind::Leader, 2)
}

#[test]
fn a_change_before_the_one_before_is_committed() -> Result<(), Failure> {
    let mut history = History::committed()?;
    history.append(N1, vec![change(2, 1, &[N1, N2]), change(3, 1, &[N1])], true)?;
    broken(history.status(N1, RoleKind::Leader, 1), "while the one before is not committed");
    Ok(())
}

#[test]
fn a_change_before_the_term_has_committed_anything() -> Result<(), Failure> {
    let mut history = History::committed()?;
    history.vote(N2, 2, Some(N2), true)?;
    history.append(N2, vec![entry(2, 2, "b=1"), change(3, 2, &[N1, N2])], true)?;
    broken(history.status(N2, RoleKind::Leader, 1), "before its term has committed anything");
    Ok(())
}

#[test]
fn a_change_of_two_voters_at_once() -> Result<(), Failure> {
    let mut history = History::committed()?;
    broken(history.append(N1, vec![change(2, 1, &[N1])], true), "two quorums do not meet");
    Ok(())
}
