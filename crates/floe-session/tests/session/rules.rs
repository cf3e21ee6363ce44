//! Each rule by an example.

use floe_session::{ClientId, Limits, Refusal, Replayed, RequestId, Sequence, SessionTable, Tag, Verdict};

pub(crate) const BIRTH_MS: u64 = 1_700_000_000_000;

pub(crate) fn client(birth_ms: u64, random: u128) -> ClientId {
    ClientId::new(birth_ms, random)
}

pub(crate) fn request(client: ClientId, sequence: u64) -> RequestId {
    RequestId { client, sequence: Sequence::new(sequence).unwrap() }
}

/// What one command leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Applied,
    Replayed(Option<Vec<u8>>),
    Refused(Refusal),
}

/// Does what a state machine does. Applying gives `reply`.
pub(crate) fn submit(table: &mut SessionTable, request: RequestId, stamp_ms: u64, reply: &[u8]) -> Answer {
    let admitted = match table.admit(&Tag { request, stamp_ms }) {
        Verdict::Apply(admitted) => admitted,
        Verdict::Replay(Replayed::Kept(reply)) => return Answer::Replayed(Some(reply.to_vec())),
        Verdict::Replay(Replayed::NotKept) => return Answer::Replayed(None),
        Verdict::Refused(refusal) => return Answer::Refused(refusal),
    };
    table.record(admitted, reply);
    Answer::Applied
}

#[test]
fn a_retry_gets_the_first_reply_and_others_do_not() {
    let mut table = SessionTable::new(Limits::default());
    let (one, two) = (client(BIRTH_MS, 1), client(BIRTH_MS, 2));
    assert_eq!(submit(&mut table, request(one, 1), BIRTH_MS, b"first"), Answer::Applied);
    let again = submit(&mut table, request(one, 1), BIRTH_MS + 1, b"second");
    assert_eq!(again, Answer::Replayed(Some(b"first".to_vec())));
    assert_eq!(submit(&mut table, request(two, 1), BIRTH_MS, b"other"), Answer::Applied);
    assert_eq!(submit(&mut table, request(one, 2), BIRTH_MS, b"next"), Answer::Applied);
    assert_eq!(table.replayed(request(two, 1)), Some(Replayed::Kept(&b"other"[..])));
    assert_eq!(table.replayed(request(two, 2)), None);
}

#[test]
fn pipelined_requests_may_overtake_each_other_within_the_window() {
    let mut table = SessionTable::new(Limits { window: 4, ..Limits::default() });
    let one = client(BIRTH_MS, 1);
    for sequence in [4, 2, 1, 3] {
        assert_eq!(submit(&mut table, request(one, sequence), BIRTH_MS, &[sequence as u8]), Answer::Applied);
    }
    assert_eq!(submit(&mut table, request(one, 6), BIRTH_MS, &[6]), Answer::Applied);
    // 3 is the lowest of a window of four that ends at 6, and 5 is still to come.
    let too_old = Answer::Refused(Refusal::TooOld { highest: 6 });
    assert_eq!(submit(&mut table, request(one, 2), BIRTH_MS, b"again"), too_old);
    assert_eq!(submit(&mut table, request(one, 3), BIRTH_MS, b"again"), Answer::Replayed(Some(vec![3])));
    assert_eq!(submit(&mut table, request(one, 5), BIRTH_MS, &[5]), Answer::Applied);
    assert_eq!(submit(&mut table, request(one, u64::MAX), BIRTH_MS, &[7]), Answer::Applied);
    let too_old = Answer::Refused(Refusal::TooOld { highest: u64::MAX });
    assert_eq!(submit(&mut table, request(one, 6), BIRTH_MS, b"again"), too_old);
}

#[test]
fn the_retry_of_a_first_request_never_opens_its_session_a_second_time() {
    let limits = Limits::default();
    let mut table = SessionTable::new(limits);
    let one = client(BIRTH_MS, 1);
    assert_eq!(submit(&mut table, request(one, 1), BIRTH_MS, b"first"), Answer::Applied);
    let kept_ms = BIRTH_MS + limits.retention_ms - 1;
    let replayed = Answer::Replayed(Some(b"first".to_vec()));
    assert_eq!(submit(&mut table, request(one, 1), kept_ms, b"again"), replayed);
    let now_ms = BIRTH_MS + limits.retention_ms;
    let expired = Answer::Refused(Refusal::Expired { now_ms });
    assert_eq!(submit(&mut table, request(one, 1), now_ms, b"again"), expired);
    assert_eq!(submit(&mut table, request(one, 2), now_ms, b"next"), expired);
    assert!(table.is_empty());
    assert_eq!(table.bytes(), 0);
    // A member whose clock is far behind cannot bring the time back in which the id was fresh.
    assert_eq!(submit(&mut table, request(one, 1), BIRTH_MS, b"again"), expired);
}

#[test]
fn an_id_from_the_future_keeps_its_session_until_it_is_stale() {
    let limits = Limits { retention_ms: 1_000, fresh_ms: 10_000, ahead_ms: 5_000, ..Limits::default() };
    let mut table = SessionTable::new(limits);
    let early = request(client(BIRTH_MS + 5_001, 1), 1);
    let refused = Answer::Refused(Refusal::Early { now_ms: BIRTH_MS });
    assert_eq!(submit(&mut table, early, BIRTH_MS, b"no"), refused);
    let ahead = request(client(BIRTH_MS + 5_000, 1), 1);
    assert_eq!(submit(&mut table, ahead, BIRTH_MS, b"first"), Answer::Applied);
    // Long after the retention it is still there, because its id would still open a session.
    let replayed = Answer::Replayed(Some(b"first".to_vec()));
    assert_eq!(submit(&mut table, ahead, BIRTH_MS + 14_999, b"again"), replayed);
    let expired = Answer::Refused(Refusal::Expired { now_ms: BIRTH_MS + 15_000 });
    assert_eq!(submit(&mut table, ahead, BIRTH_MS + 15_000, b"again"), expired);
}

#[test]
fn a_request_prolongs_its_session_and_a_refused_one_does_not() {
    let limits = Limits { retention_ms: 10_000, fresh_ms: 10_000, window: 1, ..Limits::default() };
    let mut table = SessionTable::new(limits);
    let one = client(BIRTH_MS, 1);
    for n in 0..10 {
        let applied = submit(&mut table, request(one, n + 1), BIRTH_MS + n * 9_000, b"");
        assert_eq!(applied, Answer::Applied, "request {n}");
    }
    let last_ms = BIRTH_MS + 81_000;
    let too_old = Answer::Refused(Refusal::TooOld { highest: 10 });
    assert_eq!(submit(&mut table, request(one, 1), last_ms + 9_000, b""), too_old);
    let expired = Answer::Refused(Refusal::Expired { now_ms: last_ms + 10_000 });
    assert_eq!(submit(&mut table, request(one, 11), last_ms + 10_000, b""), expired);
}
