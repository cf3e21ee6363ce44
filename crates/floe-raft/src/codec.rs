//! Envelopes, entries and memberships as bytes: the one place that knows the layout. The layout is specified in
//! `docs/design/peer-protocol.md`, section "Messages".
//!
//! Decoding trusts nothing. It never panics; it allocates no more than a constant times the bytes it was given, since
//! every element of a list takes at least a byte of the input before room for it is made; payloads are slices of the
//! input, so a 1 MiB entry is not copied. What a well-formed message *means* is judged by the node.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Buf, BufMut, Bytes};

use crate::entry::{Entry, EntryKind};
use crate::error::ProposeError;
use crate::id::{Index, LogId, NodeId, ProposalId, Round, Term};
use crate::input::ReadMode;
use crate::membership::Membership;
use crate::message::{Envelope, Message};

/// The version of the layout, the first byte of every envelope and of every membership.
pub const VERSION: u8 = 1;

/// Beside the version in the first byte of a membership: a list of the learners to be promoted follows. Memberships
/// without one look as they did before there were any; who does not know the list refuses the byte.
const PROMOTES: u8 = 0x80;

/// Why bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The input ends inside a field, or a length points beyond its end.
    #[error("the input is too short")]
    Truncated,
    /// Bytes follow the last field.
    #[error("{0} bytes follow the last field")]
    Trailing(usize),
    /// A layout that this version does not know.
    #[error("layout version {0} is not known")]
    Version(u8),
    /// A message, entry kind or outcome that this version does not know.
    #[error("tag {0} of a {1} is not known")]
    Tag(u8, &'static str),
    /// A number longer than 64 bits, or not in its shortest form. One value has one encoding, so that equal entries
    /// have equal bytes and equal checksums.
    #[error("a number is not in its shortest form or above 64 bits")]
    Number,
    /// A set whose members are not strictly ascending.
    #[error("a set is not in order")]
    Order,
    /// A list that is left out when it is empty is there, and empty.
    #[error("a list that should hold something is empty")]
    Empty,
}

mod tag {
    //! The numbers of the messages. A number is never given to another meaning. Reserved for later versions:
    //! 16-19 `have` / `do not have` / `have it, but faulty` (repair of a log with holes), 20-23 witnesses,
    //! 24-27 client sessions.
    pub(super) const PRE_VOTE: u8 = 1;
    pub(super) const PRE_VOTE_REPLY: u8 = 2;
    pub(super) const VOTE: u8 = 3;
    pub(super) const VOTE_REPLY: u8 = 4;
    pub(super) const APPEND: u8 = 5;
    pub(super) const APPEND_OK: u8 = 6;
    pub(super) const APPEND_REJECT: u8 = 7;
    pub(super) const HEARTBEAT: u8 = 8;
    pub(super) const HEARTBEAT_REPLY: u8 = 9;
    pub(super) const SNAPSHOT: u8 = 10;
    pub(super) const READ_INDEX: u8 = 11;
    pub(super) const READ_INDEX_REPLY: u8 = 12;
    pub(super) const PROPOSE: u8 = 13;
    pub(super) const PROPOSE_REPLY: u8 = 14;
    pub(super) const TIMEOUT_NOW: u8 = 15;
    /// `READ_INDEX`, to be answered by a lease if there is one.
    pub(super) const READ_LEASE: u8 = 28;
    pub(super) const PRIORITY: u8 = 29;
    pub(super) const PULL: u8 = 30;
    pub(super) const PULL_REPLY: u8 = 31;

    pub(super) const NOOP: u8 = 1;
    pub(super) const COMMAND: u8 = 2;
    pub(super) const MEMBERSHIP: u8 = 3;
    pub(super) const WITNESSED: u8 = 4;

    pub(super) const APPENDED: u8 = 0;
    pub(super) const NOT_LEADER: u8 = 1;
    pub(super) const BUSY: u8 = 2;
    pub(super) const TOO_LARGE: u8 = 3;
    pub(super) const UNKNOWN: u8 = 4;
}

/// Appends an envelope to `out`, which must have room or grow.
pub fn encode_envelope(envelope: &Envelope, out: &mut impl BufMut) {
    out.put_u8(VERSION);
    out.put_u8(message_tag(&envelope.message));
    put_number(out, envelope.from.0);
    put_number(out, envelope.to.0);
    put_number(out, envelope.term.0);
    put_message(out, &envelope.message);
}

/// Reads one envelope that takes up the whole input.
pub fn decode_envelope(mut input: Bytes) -> Result<Envelope, CodecError> {
    let version = take_byte(&mut input)?;
    if version != VERSION {
        return Err(CodecError::Version(version));
    }
    let tag = take_byte(&mut input)?;
    let from = NodeId(take_number(&mut input)?);
    let to = NodeId(take_number(&mut input)?);
    let term = Term(take_number(&mut input)?);
    let message = take_message(tag, &mut input)?;
    end(&input)?;
    Ok(Envelope { from, to, term, message })
}

/// Appends an entry to `out`, which must have room or grow.
pub fn encode_entry(entry: &Entry, out: &mut impl BufMut) {
    out.put_u8(match entry.kind {
        EntryKind::Noop => tag::NOOP,
        EntryKind::Command => tag::COMMAND,
        EntryKind::Membership => tag::MEMBERSHIP,
        EntryKind::Witnessed => tag::WITNESSED,
    });
    put_log_id(out, entry.id);
    put_bytes(out, &entry.payload);
}

/// Takes one entry from the front of the input; what follows it stays.
pub fn decode_entry(input: &mut Bytes) -> Result<Entry, CodecError> {
    let kind = match take_byte(input)? {
        tag::NOOP => EntryKind::Noop,
        tag::COMMAND => EntryKind::Command,
        tag::MEMBERSHIP => EntryKind::Membership,
        tag::WITNESSED => EntryKind::Witnessed,
        other => return Err(CodecError::Tag(other, "entry")),
    };
    Ok(Entry { kind, id: take_log_id(input)?, payload: take_bytes(input)? })
}

/// The payload of a membership entry.
pub fn encode_membership(membership: &Membership, out: &mut impl BufMut) {
    let flag = if membership.auto_promote.is_empty() { 0 } else { PROMOTES };
    out.put_u8(VERSION | flag);
    for set in [&membership.voters, &membership.outgoing, &membership.learners, &membership.witnesses] {
        put_set(out, set);
    }
    put_number(out, membership.addresses.len() as u64);
    for (node, address) in &membership.addresses {
        put_number(out, node.0);
        put_bytes(out, address);
    }
    if !membership.auto_promote.is_empty() {
        put_set(out, &membership.auto_promote);
    }
}

fn put_set(out: &mut impl BufMut, set: &BTreeSet<NodeId>) {
    put_number(out, set.len() as u64);
    set.iter().for_each(|node| put_number(out, node.0));
}

/// Reads a membership that takes up the whole input.
pub fn decode_membership(mut input: Bytes) -> Result<Membership, CodecError> {
    let membership = take_membership(&mut input)?;
    end(&input)?;
    Ok(membership)
}

fn message_tag(message: &Message) -> u8 {
    match message {
        Message::PreVote { .. } => tag::PRE_VOTE,
        Message::PreVoteReply { .. } => tag::PRE_VOTE_REPLY,
        Message::Vote { .. } => tag::VOTE,
        Message::VoteReply { .. } => tag::VOTE_REPLY,
        Message::Append { .. } => tag::APPEND,
        Message::AppendOk { .. } => tag::APPEND_OK,
        Message::AppendReject { .. } => tag::APPEND_REJECT,
        Message::Heartbeat { .. } => tag::HEARTBEAT,
        Message::HeartbeatReply { .. } => tag::HEARTBEAT_REPLY,
        Message::Snapshot { .. } => tag::SNAPSHOT,
        Message::ReadIndex { mode: ReadMode::Index, .. } => tag::READ_INDEX,
        Message::ReadIndex { mode: ReadMode::Lease, .. } => tag::READ_LEASE,
        Message::ReadIndexReply { .. } => tag::READ_INDEX_REPLY,
        Message::Propose { .. } => tag::PROPOSE,
        Message::ProposeReply { .. } => tag::PROPOSE_REPLY,
        Message::Pull { .. } => tag::PULL,
        Message::PullReply { .. } => tag::PULL_REPLY,
        Message::TimeoutNow { .. } => tag::TIMEOUT_NOW,
        Message::Priority { .. } => tag::PRIORITY,
    }
}

fn put_message(out: &mut impl BufMut, message: &Message) {
    match message {
        Message::PreVote { last } | Message::TimeoutNow { last } => put_log_id(out, *last),
        Message::PreVoteReply { granted } | Message::VoteReply { granted } => put_bool(out, *granted),
        Message::Priority { priority } => out.put_u8(*priority),
        Message::Vote { last, transfer } => {
            put_log_id(out, *last);
            put_bool(out, *transfer);
        }
        Message::Append { prev, entries, commit } => {
            put_log_id(out, *prev);
            put_number(out, commit.0);
            put_number(out, entries.len() as u64);
            entries.iter().for_each(|entry| encode_entry(entry, out));
        }
        Message::AppendOk { matched } => put_number(out, matched.0),
        Message::AppendReject { prev, hint } => {
            put_log_id(out, *prev);
            put_log_id(out, *hint);
        }
        Message::Pull { after, last } => {
            put_log_id(out, *after);
            put_log_id(out, *last);
        }
        Message::PullReply { prev, entries, last } => {
            put_log_id(out, *prev);
            put_log_id(out, *last);
            put_number(out, entries.len() as u64);
            entries.iter().for_each(|entry| encode_entry(entry, out));
        }
        Message::Heartbeat { commit, round } => {
            put_number(out, commit.0);
            put_number(out, round.0);
        }
        Message::HeartbeatReply { round } | Message::ReadIndex { round, mode: _ } => put_number(out, round.0),
        Message::Snapshot { last, membership } => {
            put_log_id(out, *last);
            encode_membership(membership, out);
        }
        Message::ReadIndexReply { round, index } => {
            put_number(out, round.0);
            put_bool(out, index.is_some());
            if let Some(index) = index {
                put_number(out, index.0);
            }
        }
        Message::Propose { proposals } => {
            put_number(out, proposals.len() as u64);
            for (proposal, payload) in proposals {
                put_number(out, proposal.0);
                put_bytes(out, payload);
            }
        }
        Message::ProposeReply { outcomes } => {
            put_number(out, outcomes.len() as u64);
            for (proposal, outcome) in outcomes {
                put_number(out, proposal.0);
                put_outcome(out, *outcome);
            }
        }
    }
}

fn take_message(tag: u8, input: &mut Bytes) -> Result<Message, CodecError> {
    Ok(match tag {
        tag::PRE_VOTE => Message::PreVote { last: take_log_id(input)? },
        tag::PRE_VOTE_REPLY => Message::PreVoteReply { granted: take_bool(input)? },
        tag::VOTE => Message::Vote { last: take_log_id(input)?, transfer: take_bool(input)? },
        tag::VOTE_REPLY => Message::VoteReply { granted: take_bool(input)? },
        tag::APPEND => {
            let prev = take_log_id(input)?;
            let commit = Index(take_number(input)?);
            Message::Append { prev, commit, entries: take_list(input, decode_entry)? }
        }
        tag::APPEND_OK => Message::AppendOk { matched: Index(take_number(input)?) },
        tag::APPEND_REJECT => Message::AppendReject { prev: take_log_id(input)?, hint: take_log_id(input)? },
        tag::HEARTBEAT => {
            Message::Heartbeat { commit: Index(take_number(input)?), round: Round(take_number(input)?) }
        }
        tag::HEARTBEAT_REPLY => Message::HeartbeatReply { round: Round(take_number(input)?) },
        tag::SNAPSHOT => Message::Snapshot { last: take_log_id(input)?, membership: take_membership(input)? },
        tag::READ_INDEX => Message::ReadIndex { round: Round(take_number(input)?), mode: ReadMode::Index },
        tag::READ_LEASE => Message::ReadIndex { round: Round(take_number(input)?), mode: ReadMode::Lease },
        tag::READ_INDEX_REPLY => {
            let round = Round(take_number(input)?);
            let index = if take_bool(input)? { Some(Index(take_number(input)?)) } else { None };
            Message::ReadIndexReply { round, index }
        }
        tag::PROPOSE => Message::Propose {
            proposals: take_list(input, |input| Ok((ProposalId(take_number(input)?), take_bytes(input)?)))?,
        },
        tag::PROPOSE_REPLY => Message::ProposeReply {
            outcomes: take_list(input, |input| Ok((ProposalId(take_number(input)?), take_outcome(input)?)))?,
        },
        tag::PULL => Message::Pull { after: take_log_id(input)?, last: take_log_id(input)? },
        tag::PULL_REPLY => {
            let (prev, last) = (take_log_id(input)?, take_log_id(input)?);
            Message::PullReply { prev, last, entries: take_list(input, decode_entry)? }
        }
        tag::TIMEOUT_NOW => Message::TimeoutNow { last: take_log_id(input)? },
        tag::PRIORITY => Message::Priority { priority: take_byte(input)? },
        other => return Err(CodecError::Tag(other, "message")),
    })
}

fn put_outcome(out: &mut impl BufMut, outcome: Result<LogId, ProposeError>) {
    match outcome {
        Ok(id) => {
            out.put_u8(tag::APPENDED);
            put_log_id(out, id);
        }
        Err(ProposeError::NotLeader { hint }) => {
            out.put_u8(tag::NOT_LEADER);
            // No member has the id zero, so that it can stand for "not known".
            put_number(out, hint.map_or(0, |node| node.0));
        }
        Err(ProposeError::Busy) => out.put_u8(tag::BUSY),
        Err(ProposeError::TooLarge) => out.put_u8(tag::TOO_LARGE),
        Err(ProposeError::Unknown) => out.put_u8(tag::UNKNOWN),
    }
}

fn take_outcome(input: &mut Bytes) -> Result<Result<LogId, ProposeError>, CodecError> {
    Ok(match take_byte(input)? {
        tag::APPENDED => Ok(take_log_id(input)?),
        tag::NOT_LEADER => {
            let hint = take_number(input)?;
            Err(ProposeError::NotLeader { hint: (hint != 0).then_some(NodeId(hint)) })
        }
        tag::BUSY => Err(ProposeError::Busy),
        tag::TOO_LARGE => Err(ProposeError::TooLarge),
        tag::UNKNOWN => Err(ProposeError::Unknown),
        other => return Err(CodecError::Tag(other, "outcome")),
    })
}

fn take_membership(input: &mut Bytes) -> Result<Membership, CodecError> {
    let version = take_byte(input)?;
    if version & !PROMOTES != VERSION {
        return Err(CodecError::Version(version));
    }
    let mut membership = Membership {
        voters: take_set(input)?,
        outgoing: take_set(input)?,
        learners: take_set(input)?,
        witnesses: take_set(input)?,
        addresses: take_addresses(input)?,
        auto_promote: BTreeSet::new(),
    };
    if version & PROMOTES != 0 {
        membership.auto_promote = take_set(input)?;
        if membership.auto_promote.is_empty() {
            return Err(CodecError::Empty);
        }
    }
    Ok(membership)
}

fn take_set(input: &mut Bytes) -> Result<BTreeSet<NodeId>, CodecError> {
    let nodes = take_list(input, |input| take_number(input).map(NodeId))?;
    if nodes.is_sorted_by(|a, b| a < b) { Ok(nodes.into_iter().collect()) } else { Err(CodecError::Order) }
}

fn take_addresses(input: &mut Bytes) -> Result<BTreeMap<NodeId, Bytes>, CodecError> {
    let addresses = take_list(input, |input| Ok((NodeId(take_number(input)?), take_bytes(input)?)))?;
    if addresses.is_sorted_by(|a, b| a.0 < b.0) {
        Ok(addresses.into_iter().collect())
    } else {
        Err(CodecError::Order)
    }
}

fn put_log_id(out: &mut impl BufMut, id: LogId) {
    put_number(out, id.term.0);
    put_number(out, id.index.0);
}

fn take_log_id(input: &mut Bytes) -> Result<LogId, CodecError> {
    Ok(LogId { term: Term(take_number(input)?), index: Index(take_number(input)?) })
}

fn put_bool(out: &mut impl BufMut, value: bool) {
    out.put_u8(u8::from(value));
}

fn take_bool(input: &mut Bytes) -> Result<bool, CodecError> {
    match take_byte(input)? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(CodecError::Tag(other, "flag")),
    }
}

fn put_bytes(out: &mut impl BufMut, bytes: &Bytes) {
    put_number(out, bytes.len() as u64);
    out.put_slice(bytes);
}

fn take_bytes(input: &mut Bytes) -> Result<Bytes, CodecError> {
    let len = take_number(input)?;
    match usize::try_from(len) {
        Ok(len) if len <= input.len() => Ok(input.split_to(len)),
        Ok(_) | Err(_) => Err(CodecError::Truncated),
    }
}

/// A list grows as its elements are read, never by what its length claims.
fn take_list<T>(
    input: &mut Bytes,
    take: impl Fn(&mut Bytes) -> Result<T, CodecError>,
) -> Result<Vec<T>, CodecError> {
    let count = take_number(input)?;
    if count > input.len() as u64 {
        return Err(CodecError::Truncated);
    }
    let mut list = Vec::new();
    for _ in 0..count {
        list.push(take(input)?);
    }
    Ok(list)
}

/// Appends a number: seven bits a byte, the lowest first, the top bit set on all but the last byte.
pub fn put_number(out: &mut impl BufMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// Takes a number from the front of the input.
pub fn take_number(input: &mut Bytes) -> Result<u64, CodecError> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take_byte(input)?;
        let bits = u64::from(byte & 0x7f);
        // The tenth byte holds one bit, and a last byte of zero adds nothing.
        if (shift == 63 && bits > 1) || (shift > 0 && byte == 0) {
            return Err(CodecError::Number);
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(CodecError::Number)
}

fn take_byte(input: &mut Bytes) -> Result<u8, CodecError> {
    if input.has_remaining() { Ok(input.get_u8()) } else { Err(CodecError::Truncated) }
}

fn end(input: &Bytes) -> Result<(), CodecError> {
    if input.is_empty() { Ok(()) } else { Err(CodecError::Trailing(input.len())) }
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, btree_set, vec};
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    fn log_id() -> impl Strategy<Value = LogId> {
        (any::<u64>(), any::<u64>()).prop_map(|(term, index)| LogId::new(Term(term), Index(index)))
    }

    fn payload() -> impl Strategy<Value = Bytes> {
        vec(any::<u8>(), 0..40).prop_map(Bytes::from)
    }

    fn entry() -> impl Strategy<Value = Entry> {
        let kind = prop_oneof![
            Just(EntryKind::Noop),
            Just(EntryKind::Command),
            Just(EntryKind::Membership),
            Just(EntryKind::Witnessed),
        ];
        (kind, log_id(), payload()).prop_map(|(kind, id, payload)| Entry { id, kind, payload })
    }

    fn node_set() -> impl Strategy<Value = BTreeSet<NodeId>> {
        btree_set(any::<u64>().prop_map(NodeId), 0..5)
    }

    fn membership() -> impl Strategy<Value = Membership> {
        let addresses = btree_map(any::<u64>().prop_map(NodeId), payload(), 0..5);
        (node_set(), node_set(), node_set(), node_set(), addresses, node_set()).prop_map(
            |(voters, outgoing, learners, witnesses, addresses, auto_promote)| Membership {
                auto_promote,
                voters,
                outgoing,
                learners,
                witnesses,
                addresses,
            },
        )
    }

    fn outcome() -> impl Strategy<Value = Result<LogId, ProposeError>> {
        prop_oneof![
            log_id().prop_map(Ok),
            option::of(1..u64::MAX).prop_map(|hint| Err(ProposeError::NotLeader { hint: hint.map(NodeId) })),
            Just(Err(ProposeError::Busy)),
            Just(Err(ProposeError::TooLarge)),
            Just(Err(ProposeError::Unknown)),
        ]
    }

    fn message() -> impl Strategy<Value = Message> {
        let index = || any::<u64>().prop_map(Index);
        let round = || any::<u64>().prop_map(Round);
        let proposal = || any::<u64>().prop_map(ProposalId);
        prop_oneof![
            log_id().prop_map(|last| Message::PreVote { last }),
            any::<bool>().prop_map(|granted| Message::PreVoteReply { granted }),
            (log_id(), any::<bool>()).prop_map(|(last, transfer)| Message::Vote { last, transfer }),
            any::<bool>().prop_map(|granted| Message::VoteReply { granted }),
            (log_id(), vec(entry(), 0..5), index()).prop_map(|(prev, entries, commit)| Message::Append {
                prev,
                entries,
                commit
            }),
            index().prop_map(|matched| Message::AppendOk { matched }),
            (log_id(), log_id()).prop_map(|(prev, hint)| Message::AppendReject { prev, hint }),
            (index(), round()).prop_map(|(commit, round)| Message::Heartbeat { commit, round }),
            round().prop_map(|round| Message::HeartbeatReply { round }),
            (log_id(), membership()).prop_map(|(last, membership)| Message::Snapshot { last, membership }),
            round().prop_map(|round| Message::ReadIndex { round, mode: ReadMode::Index }),
            round().prop_map(|round| Message::ReadIndex { round, mode: ReadMode::Lease }),
            (round(), option::of(index()))
                .prop_map(|(round, index)| Message::ReadIndexReply { round, index }),
            vec((proposal(), payload()), 0..5).prop_map(|proposals| Message::Propose { proposals }),
            vec((proposal(), outcome()), 0..5).prop_map(|outcomes| Message::ProposeReply { outcomes }),
            (log_id(), log_id()).prop_map(|(after, last)| Message::Pull { after, last }),
            (log_id(), vec(entry(), 0..5), log_id()).prop_map(|(prev, entries, last)| Message::PullReply {
                prev,
                entries,
                last
            }),
            log_id().prop_map(|last| Message::TimeoutNow { last }),
            any::<u8>().prop_map(|priority| Message::Priority { priority }),
        ]
    }

    fn envelope() -> impl Strategy<Value = Envelope> {
        (any::<u64>(), any::<u64>(), any::<u64>(), message()).prop_map(|(from, to, term, message)| Envelope {
            from: NodeId(from),
            to: NodeId(to),
            term: Term(term),
            message,
        })
    }

    proptest! {
        #[test]
        fn an_envelope_survives_the_wire(envelope in envelope()) {
            let mut out = Vec::new();
            encode_envelope(&envelope, &mut out);
            prop_assert_eq!(decode_envelope(Bytes::from(out)), Ok(envelope));
        }

        #[test]
        fn every_proper_prefix_is_refused(envelope in envelope()) {
            let mut out = Vec::new();
            encode_envelope(&envelope, &mut out);
            let whole = Bytes::from(out);
            for len in 0..whole.len() {
                prop_assert_eq!(decode_envelope(whole.slice(..len)), Err(CodecError::Truncated));
            }
        }

        #[test]
        fn what_decodes_encodes_to_the_same_bytes(mut bytes in vec(any::<u8>(), 0..64), tag in 1..=29u8) {
            // Uniform bytes almost never pass the first two, so that they are given.
            bytes.splice(0..0, [VERSION, tag]);
            let bytes = Bytes::from(bytes);
            if let Ok(envelope) = decode_envelope(bytes.clone()) {
                let mut out = Vec::new();
                encode_envelope(&envelope, &mut out);
                prop_assert_eq!(Bytes::from(out), bytes);
            }
        }

        #[test]
        fn a_flipped_byte_never_panics(envelope in envelope(), at in any::<prop::sample::Index>(), flip in 1..=255u8) {
            let mut out = Vec::new();
            encode_envelope(&envelope, &mut out);
            let at = at.index(out.len());
            out[at] ^= flip;
            prop_assert_ne!(decode_envelope(Bytes::from(out)), Ok(envelope));
        }

        #[test]
        fn a_membership_survives_the_log(membership in membership()) {
            let mut out = Vec::new();
            encode_membership(&membership, &mut out);
            prop_assert_eq!(decode_membership(Bytes::from(out)), Ok(membership));
        }
    }

    #[test]
    fn entries_follow_each_other_and_share_the_input() {
        let entry = |index, payload: &'static str| Entry {
            id: LogId::new(Term(7), Index(index)),
            kind: EntryKind::Command,
            payload: Bytes::from_static(payload.as_bytes()),
        };
        let mut out = Vec::new();
        encode_entry(&entry(1, "first"), &mut out);
        encode_entry(&entry(2, "second"), &mut out);
        let mut input = Bytes::from(out);
        let range = input.as_ptr_range();
        let first = decode_entry(&mut input).unwrap();
        assert_eq!((&first, decode_entry(&mut input)), (&entry(1, "first"), Ok(entry(2, "second"))));
        assert!(range.contains(&first.payload.as_ptr()), "the payload was copied");
        assert!(input.is_empty());
    }

    #[test]
    fn a_list_longer_than_the_input_is_refused_before_room_is_made_for_it() {
        let mut bytes = vec![VERSION, tag::PROPOSE, 1, 2, 3];
        put_number(&mut bytes, u64::MAX);
        assert_eq!(decode_envelope(Bytes::from(bytes)), Err(CodecError::Truncated));
    }

    #[test]
    fn numbers_have_one_encoding() {
        let take = |bytes: &'static [u8]| take_number(&mut Bytes::from_static(bytes));
        assert_eq!(take(&[0x80, 0x00]), Err(CodecError::Number));
        assert_eq!(take(&[0xff; 11]), Err(CodecError::Number));
        assert_eq!(take(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]), Ok(u64::MAX));
        assert_eq!(
            take(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]),
            Err(CodecError::Number)
        );
    }

    #[test]
    fn other_versions_and_unknown_tags_are_named() {
        assert_eq!(decode_envelope(Bytes::from_static(&[9, 1])), Err(CodecError::Version(9)));
        assert_eq!(
            decode_envelope(Bytes::from_static(&[1, 16, 1, 2, 3])),
            Err(CodecError::Tag(16, "message"))
        );
        assert_eq!(decode_membership(Bytes::from_static(&[1, 2, 5, 5])), Err(CodecError::Order));
        assert_eq!(decode_membership(Bytes::from_static(&[0x81, 0, 0, 0, 0, 0, 0])), Err(CodecError::Empty));
        assert_eq!(decode_membership(Bytes::from_static(&[0x82])), Err(CodecError::Version(0x82)));
    }
}
