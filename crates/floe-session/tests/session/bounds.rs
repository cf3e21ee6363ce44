//! Memory stays within its bounds, and nothing that was promised is dropped for it.

use floe_session::{Limits, Refusal, SessionTable};

use crate::rules::{Answer, BIRTH_MS, client, request, submit};

#[test]
fn a_full_table_opens_no_session_and_keeps_all_it_has() {
    let mut table = SessionTable::new(Limits { max_sessions: 3, ..Limits::default() });
    for n in 0..3 {
        assert_eq!(submit(&mut table, request(client(BIRTH_MS, n), 1), BIRTH_MS, b"ok"), Answer::Applied);
    }
    let fourth = request(client(BIRTH_MS, 4), 1);
    assert_eq!(submit(&mut table, fourth, BIRTH_MS, b"no"), Answer::Refused(Refusal::Busy));
    for n in 0..3 {
        let replayed = Answer::Replayed(Some(b"ok".to_vec()));
        assert_eq!(submit(&mut table, request(client(BIRTH_MS, n), 1), BIRTH_MS, b"again"), replayed);
        assert_eq!(submit(&mut table, request(client(BIRTH_MS, n), 2), BIRTH_MS, b"next"), Answer::Applied);
    }
    // Busy promised that nothing was applied: when there is room, the same request is.
    let later_ms = BIRTH_MS + 301_000;
    let fourth = request(client(later_ms, 4), 1);
    assert_eq!(submit(&mut table, fourth, later_ms, b"no"), Answer::Refused(Refusal::Busy));
    assert_eq!(submit(&mut table, fourth, BIRTH_MS + 600_000, b"yes"), Answer::Applied);
    assert_eq!(table.len(), 1);
}

#[test]
fn a_reply_that_is_too_large_is_known_to_have_been_given() {
    let mut table = SessionTable::new(Limits { max_reply_bytes: 100, ..Limits::default() });
    let one = client(BIRTH_MS, 1);
    assert_eq!(submit(&mut table, request(one, 1), BIRTH_MS, &[1; 101]), Answer::Applied);
    assert_eq!(submit(&mut table, request(one, 1), BIRTH_MS, &[1; 101]), Answer::Replayed(None));
    assert_eq!(submit(&mut table, request(one, 2), BIRTH_MS, &[2; 100]), Answer::Applied);
    assert_eq!(submit(&mut table, request(one, 2), BIRTH_MS, b""), Answer::Replayed(Some(vec![2; 100])));
}

#[test]
fn greedy_clients_run_into_the_bounds_and_others_only_wait() {
    let limits =
        Limits { max_bytes: 64 << 10, max_reply_bytes: 8 << 10, max_sessions: 100, ..Limits::default() };
    let mut table = SessionTable::new(limits);
    let mut kept = 0;
    let mut refused = 0;
    for sequence in 1..=200 {
        for n in 0..20 {
            let request = request(client(BIRTH_MS, n), sequence);
            match submit(&mut table, request, BIRTH_MS, &[7; 8 << 10]) {
                Answer::Applied => {
                    let replayed = submit(&mut table, request, BIRTH_MS, b"");
                    kept += usize::from(replayed == Answer::Replayed(Some(vec![7; 8 << 10])));
                }
                Answer::Refused(Refusal::Busy) => refused += 1,
                other => panic!("{other:?}"),
            }
            assert!(table.bytes() <= 2 * limits.max_bytes + 128, "{} bytes", table.bytes());
        }
    }
    assert!(kept >= 7, "{kept} replies were kept");
    assert!(refused > 0);
    // Small replies are kept even between the bounds.
    let mut table = SessionTable::new(limits);
    let one = client(BIRTH_MS, 1);
    for sequence in 1..=9 {
        assert_eq!(submit(&mut table, request(one, sequence), BIRTH_MS, &[7; 8 << 10]), Answer::Applied);
    }
    assert_eq!(submit(&mut table, request(one, 10), BIRTH_MS, b"small"), Answer::Applied);
    assert_eq!(
        submit(&mut table, request(one, 10), BIRTH_MS, b""),
        Answer::Replayed(Some(b"small".to_vec()))
    );
    assert_eq!(
        submit(&mut table, request(client(BIRTH_MS, 2), 1), BIRTH_MS, b""),
        Answer::Refused(Refusal::Busy)
    );
}

#[test]
fn many_sessions_that_end_together_go_a_few_at_a_time() {
    let mut table = SessionTable::new(Limits::default());
    for n in 0..1_000 {
        assert_eq!(submit(&mut table, request(client(BIRTH_MS, n), 1), BIRTH_MS, b"ok"), Answer::Applied);
    }
    let later_ms = BIRTH_MS + 700_000;
    let mut before = table.len();
    for n in 0..20 {
        assert_eq!(submit(&mut table, request(client(later_ms, n), 1), later_ms, b"ok"), Answer::Applied);
        assert!(before < table.len() + 65);
        before = table.len();
    }
    assert_eq!(table.len(), 20);
}
