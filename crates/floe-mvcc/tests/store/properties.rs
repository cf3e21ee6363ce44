//! Random histories, through restarts and crashes, against the model.

use std::fs;

use bytes::Bytes;
use floe_mvcc::{
    Applied, ClientId, Command, Compare, CompareOperand, CompareResult, DeleteRange, KeyRange, Put, Range,
    ReadError, Reply, RequestId, Sequence, SortOrder, SortTarget, Store, StoreOptions, Tag, Txn, TxnOp,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use tempfile::TempDir;

use crate::model::Model;

/// Few keys, some of them prefixes of others or next to them.
pub(crate) fn any_key() -> impl Strategy<Value = Bytes> {
    select(&["a", "b", "b\0", "ba", "bb", "c", "\u{7f}"][..]).prop_map(Bytes::from_static_str)
}

trait FromText {
    fn from_static_str(text: &'static str) -> Self;
}

impl FromText for Bytes {
    fn from_static_str(text: &'static str) -> Self {
        Self::from_static(text.as_bytes())
    }
}

pub(crate) fn any_range() -> impl Strategy<Value = KeyRange> {
    prop_oneof![
        4 => any_key().prop_map(KeyRange::key),
        2 => (any_key(), any_key()).prop_map(|(start, end)| KeyRange { start, end }),
        1 => any_key().prop_map(KeyRange::prefix),
        1 => any_key().prop_map(|start| KeyRange { start, end: Bytes::from_static(b"\0") }),
        1 => Just(KeyRange::all()),
    ]
}

fn any_value() -> impl Strategy<Value = Bytes> {
    select(&["", "1", "2", "three"][..]).prop_map(Bytes::from_static_str)
}

/// Small numbers, which meet revisions, versions and leases alike.
fn any_figure() -> impl Strategy<Value = i64> {
    prop_oneof![6 => 0..12_i64, 3 => 0..60_i64, 1 => Just(-1_i64)]
}

fn any_lease() -> impl Strategy<Value = i64> {
    prop_oneof![3 => Just(0_i64), 2 => 1..4_i64]
}

fn any_put() -> impl Strategy<Value = Put> {
    (
        any_key(),
        any_value(),
        any_lease(),
        any::<bool>(),
        proptest::bool::weighted(0.15),
        proptest::bool::weighted(0.15),
    )
        .prop_map(|(key, value, lease, prev_kv, ignore_value, ignore_lease)| Put {
            key,
            value: if ignore_value { Bytes::new() } else { value },
            lease: if ignore_lease { 0 } else { lease },
            prev_kv,
            ignore_value,
            ignore_lease,
        })
}

fn any_delete() -> impl Strategy<Value = DeleteRange> {
    (any_range(), any::<bool>()).prop_map(|(range, prev_kv)| DeleteRange { range, prev_kv })
}

fn any_read() -> impl Strategy<Value = Range> {
    let order = select(&[SortOrder::None, SortOrder::Ascend, SortOrder::Descend][..]);
    let target = select(
        &[SortTarget::Key, SortTarget::Version, SortTarget::Create, SortTarget::Mod, SortTarget::Value][..],
    );
    let bounds = option::weighted(0.3, (any_figure(), any_figure(), any_figure(), any_figure()));
    let revision = prop_oneof![2 => Just(0_i64), 3 => any_figure()];
    (any_range(), 0..4_i64, revision, order, target, any::<bool>(), proptest::bool::weighted(0.2), bounds)
        .prop_map(|(range, limit, revision, order, target, keys_only, count_only, bounds)| {
            let (min_mod, max_mod, min_create, max_create) = bounds.unwrap_or_default();
            Range {
                range,
                limit,
                revision,
                order,
                target,
                keys_only,
                count_only,
                min_mod_revision: min_mod,
                max_mod_revision: max_mod,
                min_create_revision: min_create,
                max_create_revision: max_create,
            }
        })
}

fn any_compare() -> impl Strategy<Value = Compare> {
    let result = select(
        &[CompareResult::Equal, CompareResult::Greater, CompareResult::Less, CompareResult::NotEqual][..],
    );
    let operand = prop_oneof![
        any_figure().prop_map(CompareOperand::Version),
        any_figure().prop_map(CompareOperand::Create),
        any_figure().prop_map(CompareOperand::Mod),
        any_value().prop_map(CompareOperand::Value),
        any_lease().prop_map(CompareOperand::Lease),
    ];
    (any_range(), result, operand).prop_map(|(range, result, operand)| Compare { range, result, operand })
}

fn any_txn() -> impl Strategy<Value = Txn> {
    let leaf = prop_oneof![
        any_read().prop_map(TxnOp::Range),
        any_put().prop_map(TxnOp::Put),
        any_delete().prop_map(TxnOp::DeleteRange),
    ];
    let op = leaf.prop_recursive(2, 8, 3, |op| txn_of(op).prop_map(TxnOp::Txn));
    txn_of(op)
}

fn txn_of(op: impl Strategy<Value = TxnOp> + Clone) -> impl Strategy<Value = Txn> {
    (vec(any_compare(), 0..3), vec(op.clone(), 0..4), vec(op, 0..4))
        .prop_map(|(compare, success, failure)| Txn { compare, success, failure })
}

pub(crate) fn any_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        8 => any_put().prop_map(Command::Put),
        3 => any_delete().prop_map(Command::DeleteRange),
        4 => any_txn().prop_map(Command::Txn),
        2 => any_figure().prop_map(|revision| Command::Compact { revision }),
        2 => (1..4_i64, 1..100_i64).prop_map(|(id, ttl)| Command::LeaseGrant { id, ttl }),
        1 => (1..4_i64).prop_map(|id| Command::LeaseRevoke { id }),
        1 => (1..3_u64, proptest::bool::weighted(0.2))
            .prop_map(|(member, raise)| Command::Alarm { member, alarm: 1, raise }),
    ]
}

/// A command as a client sends it, with a name or without.
#[derive(Clone, Debug)]
struct Sent {
    request: Option<RequestId>,
    command: Command,
}

const NOW_MS: u64 = 1_700_000_000_000;

impl Sent {
    fn payload(&self) -> Bytes {
        match self.request {
            None => self.command.encode(),
            Some(request) => self.command.encode_tagged(&Tag { request, stamp_ms: NOW_MS }),
        }
    }
}

/// Few names, so that many commands are retries, and some of them other commands under the same name.
fn any_request() -> impl Strategy<Value = RequestId> {
    (0..3_u64, 1..9_u64).prop_map(|(client, sequence)| RequestId {
        client: ClientId::new(NOW_MS + client, 1),
        sequence: Sequence::new(sequence).unwrap(),
    })
}

fn any_sent() -> impl Strategy<Value = Sent> {
    (option::weighted(0.4, any_request()), any_command())
        .prop_map(|(request, command)| Sent { request, command })
}

#[derive(Clone, Debug)]
enum Step {
    Batch(Vec<Sent>),
    Nothing,
    Checkpoint,
    Maintain(usize),
    /// Close and open.
    Restart,
    /// Open what the process's death would have left.
    Crash,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => vec(any_sent(), 1..5).prop_map(Step::Batch),
        1 => Just(Step::Nothing),
        2 => Just(Step::Checkpoint),
        2 => (1..6_usize).prop_map(Step::Maintain),
        1 => Just(Step::Restart),
        1 => Just(Step::Crash),
    ]
}

/// The store, the model, and the log that a host would keep.
struct Run {
    dir: TempDir,
    generation: u32,
    store: Option<Store>,
    model: Model,
    log: Vec<(Applied, Vec<Bytes>, Vec<Reply>)>,
    last: Applied,
}

impl Run {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let store = Store::open(&dir.path().join("0"), StoreOptions::default()).unwrap();
        Self {
            dir,
            generation: 0,
            store: Some(store),
            model: Model::new(),
            log: Vec::new(),
            last: Applied::default(),
        }
    }

    fn store(&mut self) -> &mut Store {
        self.store.as_mut().unwrap()
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Batch(sent) => {
                let model = &mut self.model;
                let replies: Vec<Reply> =
                    sent.iter().map(|sent| model.apply_once(sent.request, &sent.command)).collect();
                self.push(sent.iter().map(Sent::payload).collect(), replies);
            }
            Step::Nothing => self.push(Vec::new(), Vec::new()),
            Step::Checkpoint => {
                let last = self.last;
                assert_eq!(self.store().checkpoint().unwrap(), last);
            }
            Step::Maintain(rows) => {
                self.store().maintain(*rows).unwrap();
            }
            Step::Restart => {
                let durable = self.store().durable();
                self.store = None;
                self.reopen(durable);
            }
            Step::Crash => {
                let durable = self.store().durable();
                let name = self.generation.to_string();
                self.generation += 1;
                let copy = self.dir.path().join(self.generation.to_string());
                fs::copy(self.dir.path().join(name), copy).unwrap();
                self.store = None;
                self.reopen(durable);
            }
        }
    }

    fn push(&mut self, payloads: Vec<Bytes>, replies: Vec<Reply>) {
        self.last =
            Applied { term: self.last.term.max(1), index: self.last.index + payloads.len().max(1) as u64 };
        let last = self.last;
        assert_eq!(self.store().apply(&payloads, last).unwrap(), replies);
        assert_eq!(self.store().applied(), last);
        self.log.push((last, payloads, replies));
    }

    /// Opens the present file and replays the log from where it is, which must give the same answers.
    fn reopen(&mut self, at_least: Applied) {
        let path = self.dir.path().join(self.generation.to_string());
        let mut store = Store::open(&path, StoreOptions::default()).unwrap();
        assert!(store.applied() >= at_least, "the file went back behind a checkpoint");
        assert_eq!(store.durable(), store.applied());
        for (last, payloads, replies) in &self.log {
            if *last > store.applied() {
                assert_eq!(&store.apply(payloads, *last).unwrap(), replies, "the replay answers otherwise");
            }
        }
        self.store = Some(store);
    }

    fn check(&mut self, reads: &[Range]) {
        let reader = self.store().reader();
        let model = &self.model;
        assert_eq!((reader.revision(), reader.compact_revision()), (model.revision, model.compact_revision));
        for revision in model.compact_revision.max(1)..=model.revision {
            let request = Range { range: KeyRange::all(), revision, ..Range::default() };
            assert_eq!(reader.range(&request).unwrap(), model.range(&request).unwrap(), "at {revision}");
        }
        for request in reads {
            match (reader.range(request), model.range(request)) {
                (Ok(found), Some(expected)) => assert_eq!(found, expected, "{request:?}"),
                (Err(ReadError::Compacted { compact_revision }), None) => {
                    assert!(
                        request.revision < compact_revision && compact_revision == model.compact_revision
                    );
                }
                (Err(ReadError::FutureRevision), None) => assert!(request.revision > model.revision),
                (found, expected) => panic!("{request:?}: {found:?} instead of {expected:?}"),
            }
        }
        assert_eq!(reader.leases(), model.leases.keys().copied().collect::<Vec<_>>());
        for (&id, &ttl) in &model.leases {
            let lease = reader.lease(id).unwrap();
            assert_eq!((lease.ttl, lease.keys), (ttl, model.attached(id)));
        }
        for (request, first) in &model.replies {
            assert_eq!(reader.replay(*request).unwrap().as_ref(), Some(first), "{request}");
        }
        let mut alarms = model.alarms.clone();
        alarms.sort_unstable();
        assert_eq!(reader.alarms(), alarms);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 4000, ..ProptestConfig::default() })]

    #[test]
    fn the_store_is_the_model(steps in vec(any_step(), 1..24), reads in vec(any_read(), 0..12)) {
        let mut run = Run::new();
        for step in &steps {
            run.step(step);
            run.check(&reads);
        }
        // What the sweep leaves is what a reader at or above the compaction can see, and no more.
        while run.store().maintain(3).unwrap() {}
        run.check(&reads);
    }

    #[test]
    fn replicas_are_equal_whatever_their_batches(
        commands in vec(any_sent(), 1..40),
        cuts in vec(1..6_usize, 1..40),
    ) {
        let mut whole = Run::new();
        let payloads: Vec<Bytes> = commands.iter().map(Sent::payload).collect();
        let last = Applied { term: 1, index: payloads.len() as u64 };
        let replies = whole.store().apply(&payloads, last).unwrap();
        let mut parts = Run::new();
        let mut rest = &payloads[..];
        let mut answered = Vec::new();
        for &cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (batch, left) = rest.split_at(cut.min(rest.len()));
            rest = left;
            let last = Applied { term: 1, index: (payloads.len() - rest.len()) as u64 };
            answered.extend(parts.store().apply(batch, last).unwrap());
            // One replica is swept and checkpointed all the time, the other never.
            parts.store().checkpoint().unwrap();
        }
        prop_assert_eq!(replies, answered);
        // One that starts again from its file is equal, too.
        let last = parts.store().durable();
        parts.store = None;
        parts.log.clear();
        parts.reopen(last);
        let (whole, parts) = (whole.store().reader(), parts.store().reader());
        prop_assert_eq!(whole.session_hash(), parts.session_hash());
        prop_assert_eq!(whole.session_time_ms(), parts.session_time_ms());
        for revision in whole.compact_revision().max(1)..=whole.revision() {
            prop_assert_eq!(whole.hash_kv(revision).unwrap(), parts.hash_kv(revision).unwrap());
        }
    }

    #[test]
    fn commands_survive_their_encoding(sent in any_sent()) {
        let tag = sent.request.map(|request| Tag { request, stamp_ms: NOW_MS });
        prop_assert_eq!(Command::decode(&sent.payload()).unwrap(), (sent.command, tag));
    }

    #[test]
    fn cut_and_flipped_commands_are_refused_or_are_other_commands(
        sent in any_sent(),
        at in any::<proptest::sample::Index>(),
        flip in 1..=255_u8,
    ) {
        let payload = sent.payload();
        let cut = payload.slice(..at.index(payload.len()));
        prop_assert!(Command::decode(&cut).is_err());
        let mut flipped = payload.to_vec();
        let at = at.index(flipped.len());
        flipped[at] ^= flip;
        if let Ok(other) = Command::decode(&Bytes::from(flipped)) {
            prop_assert_ne!(other, Command::decode(&payload).unwrap());
        }
    }

    #[test]
    fn noise_is_no_command_or_a_bounded_one(noise in vec(any::<u8>(), 0..200)) {
        let mut payload = vec![1, 3];
        payload.extend(noise);
        if let Ok((command, None)) = Command::decode(&Bytes::from(payload)) {
            prop_assert!(matches!(command, Command::Txn(_)));
        }
    }
}
