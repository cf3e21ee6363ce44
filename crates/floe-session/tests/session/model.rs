//! Random histories against a model that never forgets. Stamps jump in both directions, tables are stored and read
//! again on the way, and still: nothing is applied twice, every replay is the first reply, and what the retention
//! promises is kept.

use std::collections::BTreeMap;

use floe_session::{ClientId, Limits, Refusal, RequestId, SessionTable};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use crate::rules::{Answer, BIRTH_MS, client, request, submit};

const LIMITS: Limits = Limits {
    retention_ms: 7_000,
    fresh_ms: 6_000,
    ahead_ms: 3_000,
    window: 4,
    max_sessions: 6,
    max_bytes: 4_000,
    max_reply_bytes: 300,
};

#[derive(Clone, Debug)]
enum Step {
    Submit {
        /// Which client, counted from one that was born a while ago.
        client: u64,
        sequence: u64,
        /// By how much the proposer's clock differs from the latest stamp.
        advance_ms: i64,
        reply_bytes: usize,
    },
    Store,
}

fn any_step() -> impl Strategy<Value = Step> {
    let submit = (0..9_u64, 1..9_u64, any_advance(), prop_oneof![2 => 0..40_usize, 1 => 0..400_usize])
        .prop_map(|(client, sequence, advance_ms, reply_bytes)| Step::Submit {
            client,
            sequence,
            advance_ms,
            reply_bytes,
        });
    prop_oneof![20 => submit, 1 => Just(Step::Store)]
}

/// Clocks mostly go on a little, often lag, and rarely jump.
fn any_advance() -> impl Strategy<Value = i64> {
    prop_oneof![6 => 0..300_i64, 3 => -5_000..0_i64, 1 => 0..4_000_i64]
}

/// Clients are born at various times, some of them ahead of the log.
fn named(now_ms: u64, offset: u64) -> ClientId {
    let number = (now_ms.saturating_sub(BIRTH_MS) / 1_500 + offset).saturating_sub(5);
    client(BIRTH_MS + number * 1_500, u128::from(number))
}

/// What a table without bounds would know.
#[derive(Default)]
struct Model {
    now_ms: u64,
    /// Every reply ever given, the first one each.
    replies: BTreeMap<RequestId, Vec<u8>>,
    /// When each client last had something applied, and its highest sequence.
    clients: BTreeMap<ClientId, (u64, u64)>,
}

impl Model {
    fn check(&mut self, request: RequestId, stamp_ms: u64, reply: &[u8], answer: &Answer) {
        self.now_ms = self.now_ms.max(stamp_ms);
        let sequence = request.sequence.get();
        let known = self.clients.get(&request.client).copied();
        let promised = known.is_some_and(|(last_ms, highest)| {
            self.now_ms < last_ms + LIMITS.retention_ms && highest < sequence + u64::from(LIMITS.window)
        });
        let first = self.replies.get(&request);
        match answer {
            Answer::Applied => {
                assert_eq!(first, None, "{request} is applied twice");
                let highest = known.map_or(sequence, |(_, highest)| highest.max(sequence));
                self.clients.insert(request.client, (self.now_ms, highest));
                self.replies.insert(request, reply.to_vec());
            }
            Answer::Replayed(Some(reply)) => {
                assert_eq!(Some(reply), first, "{request} has another reply now");
            }
            Answer::Replayed(None) => {
                let first = first.expect("only what was applied is replayed");
                assert!(first.len() > 64, "a small reply is always kept");
            }
            Answer::Refused(refusal) => {
                assert!(!(promised && first.is_some()), "{request} was promised a replay: {refusal:?}");
                if matches!(refusal, Refusal::Early { .. }) {
                    assert_eq!(known, None);
                }
                if let Refusal::TooOld { highest } = *refusal {
                    assert_eq!(Some(highest), known.map(|(_, highest)| highest));
                }
                if promised {
                    assert_eq!(*refusal, Refusal::Busy, "{request} belongs to a session that lives");
                }
            }
        }
    }
}

fn run(steps: &[Step]) -> BTreeMap<&'static str, usize> {
    let mut table = SessionTable::new(LIMITS);
    let mut model = Model::default();
    let mut met = BTreeMap::new();
    for (number, step) in steps.iter().enumerate() {
        match *step {
            Step::Submit { client, sequence, advance_ms, reply_bytes } => {
                let request = request(named(model.now_ms, client), sequence);
                let stamp_ms = model.now_ms.max(BIRTH_MS).saturating_add_signed(advance_ms);
                let reply = vec![number as u8; reply_bytes];
                let before = table.replayed(request).is_some();
                let answer = submit(&mut table, request, stamp_ms, &reply);
                assert!(before || !matches!(answer, Answer::Replayed(_)));
                model.check(request, stamp_ms, &reply, &answer);
                *met.entry(kind(&answer)).or_default() += 1;
            }
            Step::Store => {
                let bytes = table.encode();
                let read = SessionTable::decode(&bytes, LIMITS).expect("what was written can be read");
                assert_eq!((&read, read.bytes()), (&table, table.bytes()));
                assert_eq!(read.encode(), bytes);
                table = read;
            }
        }
        assert_eq!(table.now_ms(), model.now_ms);
        assert!(table.len() <= LIMITS.max_sessions as usize);
        assert!(table.bytes() <= 2 * LIMITS.max_bytes + 128);
    }
    met
}

fn kind(answer: &Answer) -> &'static str {
    match answer {
        Answer::Applied => "applied",
        Answer::Replayed(Some(_)) => "replayed",
        Answer::Replayed(None) => "not kept",
        Answer::Refused(Refusal::Expired { .. }) => "expired",
        Answer::Refused(Refusal::Early { .. }) => "early",
        Answer::Refused(Refusal::TooOld { .. }) => "too old",
        Answer::Refused(Refusal::Busy) => "busy",
    }
}

#[test]
fn nothing_is_applied_twice_and_promises_are_kept() {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[0x5e; 32]);
    let config = ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = TestRunner::new_with_rng(config, rng);
    let met = std::cell::RefCell::new(BTreeMap::<&str, usize>::new());
    runner
        .run(&vec(any_step(), 1..120), |steps| {
            for (kind, count) in run(&steps) {
                *met.borrow_mut().entry(kind).or_default() += count;
            }
            Ok(())
        })
        .unwrap();
    let met = met.into_inner();
    for kind in ["applied", "replayed", "not kept", "expired", "early", "too old", "busy"] {
        assert!(
            met.get(kind).is_some_and(|&count| count > 100),
            "the histories hardly meet `{kind}`: {met:?}"
        );
    }
}
