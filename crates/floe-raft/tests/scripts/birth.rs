//! What a node is born from: configurations that make sense, and logs that some node of the group can have written. All
//! else is refused with a reason, before anything is said or written.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use floe_raft::codec::encode_membership;
use floe_raft::{
    Config, ConfigError, Entry, EntryKind, HardState, Index, Lease, LogId, Membership, Node, NodeId,
    Restored, Term, Time,
};

/// Terms and positions stay below it.
const LIMIT: u64 = 1 << 62;

fn id(index: u64, term: u64) -> LogId {
    LogId::new(Term(term), Index(index))
}

fn three() -> Membership {
    Membership::of_voters([1, 2, 3].map(NodeId))
}

fn membership_entry(id: LogId, membership: &Membership) -> Entry {
    let mut payload = BytesMut::new();
    encode_membership(membership, &mut payload);
    Entry { id, kind: EntryKind::Membership, payload: payload.freeze() }
}

fn entry(id: LogId, kind: EntryKind) -> Entry {
    Entry { id, kind, payload: Bytes::new() }
}

/// A log that is compacted up to 2@1, and holds `3@2 4@2 5@3`, the second one a membership; up to 3 it is applied.
fn restored() -> Restored {
    let changed = membership_entry(id(4, 2), &Membership { learners: [NodeId(4)].into(), ..three() });
    Restored {
        hard_state: HardState { term: Term(3), vote: Some(NodeId(2)) },
        base: id(2, 1),
        terms: vec![id(3, 2), id(5, 3)],
        last: id(5, 3),
        tail: vec![changed.clone(), entry(id(5, 3), EntryKind::Noop)],
        membership: three(),
        memberships: vec![changed],
        applied: Index(3),
    }
}

fn born(config: Config, restored: Restored) -> Result<Node, ConfigError> {
    Node::new(Time(0), 1, config, restored)
}

fn config() -> Config {
    Config::new(NodeId(1))
}

/// The log as it is, but for one thing.
fn but(change: impl FnOnce(&mut Restored)) -> Result<Node, ConfigError> {
    let mut restored = restored();
    change(&mut restored);
    born(config(), restored)
}

fn refusal(outcome: Result<Node, ConfigError>) -> String {
    match outcome {
        Ok(_) => "none".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[track_caller]
fn refused(outcome: Result<Node, ConfigError>, reason: &str) {
    let refusal = refusal(outcome);
    assert!(refusal.contains(reason), "{refusal:?} instead of {reason:?}");
}

#[track_caller]
fn accepted(outcome: Result<Node, ConfigError>) -> Node {
    match outcome {
        Ok(node) => node,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_node_goes_on_from_what_its_disk_says() {
    let node = accepted(born(config(), restored()));
    let status = node.status();
    assert_eq!(status.hard_state, HardState { term: Term(3), vote: Some(NodeId(2)) });
    assert_eq!((status.base, status.last, status.durable), (id(2, 1), id(5, 3), Index(5)));
    assert_eq!((status.commit, status.applied), (Index(3), Index(3)));
    assert_eq!(status.membership.learners, [NodeId(4)].into());
    assert_eq!((status.membership_at, status.pending_change), (Index(4), Some(Index(4))));
    // Those who ask for one thing hear the same.
    assert_eq!((node.id(), node.term(), node.leader(), node.is_leader()), (NodeId(1), Term(3), None, false));
    assert_eq!((node.last(), node.durable()), (status.last, status.durable));
    assert_eq!((node.commit(), node.applied()), (status.commit, status.applied));
    assert_eq!(*node.membership(), status.membership);
}

#[test]
fn what_is_applied_lies_between_the_base_and_the_end() {
    for applied in [2, 5] {
        accepted(but(|restored| restored.applied = Index(applied)));
    }
    refused(but(|restored| restored.applied = Index(1)), "compacted beyond what the state machine contains");
    refused(but(|restored| restored.applied = Index(6)), "the state machine contains more than the log");
}

#[test]
fn a_log_holds_no_term_that_its_node_never_entered() {
    refused(but(|restored| restored.hard_state.term = Term(2)), "a term that was never entered");
    accepted(but(|restored| restored.hard_state.term = Term(4)));
}

#[test]
fn terms_and_positions_leave_room_for_more() {
    let end_of_time = |restored: &mut Restored| restored.hard_state.term = Term(LIMIT);
    refused(but(end_of_time), "out of range");
    accepted(but(|restored| restored.hard_state.term = Term(LIMIT - 1)));
    let ends_at = |index| {
        let base = id(index, 3);
        Restored {
            base,
            last: base,
            applied: base.index,
            hard_state: restored().hard_state,
            ..Restored::default()
        }
    };
    refused(born(config(), ends_at(LIMIT)), "out of range");
    accepted(born(config(), ends_at(LIMIT - 1)));
}

#[test]
fn the_recent_entries_are_the_end_of_the_log() {
    accepted(but(|restored| restored.tail.clear()));
    let whole = [entry(id(3, 2), EntryKind::Command)].into_iter().chain(restored().tail);
    accepted(but(|restored| restored.tail = whole.collect()));
    let reason = "the recent entries are not the end of the log";
    refused(but(|restored| drop(restored.tail.pop())), reason);
    let gap = vec![entry(id(3, 2), EntryKind::Command), entry(id(5, 3), EntryKind::Noop)];
    refused(but(|restored| restored.tail = gap), reason);
    refused(but(|restored| restored.tail[0].id.term = Term(1)), reason);
    let of_the_base = [entry(id(2, 1), EntryKind::Command), entry(id(3, 2), EntryKind::Command)];
    refused(but(|restored| drop(restored.tail.splice(0..0, of_the_base))), reason);
}

#[test]
fn every_membership_of_the_log_is_named_once_and_in_order() {
    let at = |index, term| membership_entry(id(index, term), &three());
    accepted(but(|restored| restored.memberships.push(at(5, 3))));
    accepted(but(|restored| restored.memberships = vec![at(3, 2)]));
    let foreign = "an entry that is no membership of this log";
    refused(but(|restored| restored.memberships.insert(0, at(2, 1))), foreign);
    refused(but(|restored| restored.memberships.push(at(6, 3))), foreign);
    refused(but(|restored| restored.memberships[0].kind = EntryKind::Command), foreign);
    let order = "the memberships are not in order";
    refused(but(|restored| restored.memberships.push(at(3, 2))), order);
    refused(but(|restored| restored.memberships.push(at(4, 2))), order);
    refused(but(|restored| restored.memberships[0].payload = Bytes::new()), "cannot be read");
}

#[test]
fn nobody_starts_from_a_membership_that_no_group_may_have() {
    let witnesses_only = Membership { witnesses: [2, 3].map(NodeId).into(), ..three() };
    let reason = "no group may have this membership";
    refused(but(|restored| restored.membership = witnesses_only.clone()), reason);
    let entry = membership_entry(id(4, 2), &witnesses_only);
    refused(but(|restored| restored.memberships = vec![entry]), "a membership that no group may have");
    // A node that joins later belongs to no group yet.
    accepted(born(config(), Restored::default()));
}

#[test]
fn a_witness_is_one_in_its_configuration_its_membership_and_its_log() {
    let witness = || Config { witness: true, ..config() };
    let with_one = |node| Membership { witnesses: [NodeId(node)].into(), ..three() };
    let new = |membership| Restored { membership, ..Restored::default() };
    accepted(born(witness(), new(with_one(1))));
    accepted(born(config(), new(with_one(2))));
    let disagree = "disagree on who is a witness";
    refused(born(witness(), new(with_one(2))), disagree);
    refused(born(config(), new(with_one(1))), disagree);
    // Who is no member yet will be told.
    let elsewhere = || Membership::of_voters([2, 3].map(NodeId));
    accepted(born(witness(), new(elsewhere())));

    let log = |kind| Restored {
        hard_state: HardState { term: Term(1), vote: None },
        terms: vec![id(1, 1)],
        last: id(1, 1),
        tail: vec![entry(id(1, 1), kind)],
        ..Restored::default()
    };
    accepted(born(witness(), log(EntryKind::Witnessed)));
    accepted(born(config(), log(EntryKind::Command)));
    refused(born(witness(), log(EntryKind::Command)), "the log is a witness's, or this witness's is not");
    refused(born(config(), log(EntryKind::Witnessed)), "the log is a witness's, or this witness's is not");
}

/// A configuration as it is by default, but for one thing.
fn set(change: impl FnOnce(&mut Config)) -> Result<(), ConfigError> {
    let mut config = config();
    change(&mut config);
    config.validate()
}

#[test]
fn a_configuration_that_cannot_work_is_refused() {
    let ms = Duration::from_millis;
    let invalid = |reason| Err(ConfigError::Invalid(reason));
    assert_eq!(set(|_| ()), Ok(()));
    assert_eq!(set(|config| config.id = NodeId(0)), invalid("a node id is never zero"));
    let zero = set(|config| config.heartbeat_interval = Duration::ZERO);
    assert_eq!(zero, invalid("the heartbeat interval is zero"));
    assert_eq!(set(|config| config.election_timeout = config.heartbeat_interval * 2), Ok(()));
    assert_eq!(
        set(|config| config.election_timeout = config.heartbeat_interval * 2 - Duration::from_nanos(1)),
        invalid("the election timeout is below two heartbeat intervals")
    );
    let lease = |drift_margin| move |config: &mut Config| config.lease = Some(Lease { drift_margin });
    assert_eq!(set(lease(ms(299))), Ok(()));
    assert_eq!(set(lease(ms(300))), invalid("the drift margin leaves nothing of the lease"));
    assert_eq!(set(|config| config.inflight_messages = 1), Ok(()));
    assert_eq!(set(|config| config.inflight_messages = 0), invalid("no append may be under way"));
    let bytes =
        |append, inflight| set(|config| (config.append_bytes, config.inflight_bytes) = (append, inflight));
    assert_eq!(bytes(1, 1), Ok(()));
    assert_eq!(bytes(0, 1), invalid("a window of no bytes"));
    assert_eq!(bytes(1, 0), invalid("a window of no bytes"));
}

#[test]
fn a_node_with_an_invalid_configuration_is_not_born() {
    let config = Config { inflight_messages: 0, ..config() };
    refused(born(config, restored()), "the configuration is not valid: no append may be under way");
}
