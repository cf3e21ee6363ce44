//! The table as bytes and as rows.

use std::collections::BTreeMap;

use floe_session::{
    ClientId, Limits, MalformedTable, Refusal, Replayed, RequestId, Restore, RestoreError, SessionTable,
};

use crate::rules::{Answer, BIRTH_MS, client, request, submit};

fn filled() -> SessionTable {
    let mut table = SessionTable::new(Limits { window: 3, max_reply_bytes: 80, ..Limits::default() });
    for n in 0..5_u64 {
        for sequence in 1..=n + 1 {
            let request = request(client(BIRTH_MS + n, u128::from(n)), sequence);
            let reply = vec![sequence as u8; 30 * sequence as usize];
            assert_eq!(submit(&mut table, request, BIRTH_MS, &reply), Answer::Applied);
        }
    }
    table
}

#[test]
fn a_table_that_was_stored_goes_on_as_if_it_never_was() {
    let table = filled();
    let bytes = table.encode();
    let mut read = SessionTable::decode(&bytes, table.limits()).unwrap();
    assert_eq!(read, table);
    let last = client(BIRTH_MS + 4, 4);
    assert_eq!(submit(&mut read, request(last, 5), 0, b""), Answer::Replayed(None));
    assert_eq!(submit(&mut read, request(last, 2), 0, b""), Answer::Refused(Refusal::TooOld { highest: 5 }));
    let first = submit(&mut read, request(client(BIRTH_MS, 0), 1), 0, b"");
    assert_eq!(first, Answer::Replayed(Some(vec![1; 30])));
}

#[test]
fn cut_and_changed_bytes_are_refused_and_never_panic() {
    let table = filled();
    let bytes = table.encode();
    let decode = |bytes: &[u8]| SessionTable::decode(bytes, table.limits());
    for end in 0..bytes.len() {
        assert_eq!(decode(&bytes[..end]), Err(MalformedTable::Truncated), "cut at {end}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(decode(&longer), Err(MalformedTable::Trailing));
    let mut newer = bytes.clone();
    newer[0] = 2;
    assert_eq!(decode(&newer), Err(MalformedTable::Version(2)));
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            if let Ok(read) = decode(&changed) {
                assert_eq!(read.encode(), changed, "one table has one encoding");
            }
        }
    }
}

#[test]
fn rows_that_are_no_table_are_refused() {
    let limits = Limits { window: 3, ..Limits::default() };
    let one = client(BIRTH_MS, 1);
    let mut restore = Restore::new(limits, BIRTH_MS);
    assert_eq!(restore.reply(request(one, 1), None), Err(RestoreError::Orphan));
    restore.session(one, 9).unwrap();
    assert_eq!(restore.session(one, 9), Err(RestoreError::Twice));
    restore.reply(request(one, 4), Some(b"four")).unwrap();
    assert_eq!(restore.reply(request(one, 4), None), Err(RestoreError::Twice));
    assert_eq!(restore.reply(request(one, 1), None), Err(RestoreError::Window));
    let mut restore = Restore::new(limits, BIRTH_MS);
    restore.session(one, 9).unwrap();
    assert_eq!(restore.finish().unwrap_err(), RestoreError::Empty);
}

/// A host that keeps rows, as the key-value store does.
#[derive(Default)]
struct Rows {
    sessions: BTreeMap<ClientId, u64>,
    replies: BTreeMap<RequestId, Option<Vec<u8>>>,
}

impl Rows {
    fn follow(&mut self, table: &mut SessionTable) {
        let changes = table.changes();
        for client in changes.sessions {
            match table.expires_s(client) {
                Some(expires_s) => self.sessions.insert(client, expires_s),
                None => self.sessions.remove(&client),
            };
        }
        for request in changes.replies {
            match table.replayed(request) {
                Some(Replayed::Kept(reply)) => self.replies.insert(request, Some(reply.to_vec())),
                Some(Replayed::NotKept) => self.replies.insert(request, None),
                None => self.replies.remove(&request),
            };
        }
    }

    fn restore(&self, limits: Limits, now_ms: u64) -> SessionTable {
        let mut restore = Restore::new(limits, now_ms);
        for (client, expires_s) in &self.sessions {
            restore.session(*client, *expires_s).unwrap();
        }
        for (request, reply) in &self.replies {
            restore.reply(*request, reply.as_deref()).unwrap();
        }
        restore.finish().unwrap()
    }
}

#[test]
fn the_changes_name_every_row_that_a_host_must_touch() {
    let limits =
        Limits { retention_ms: 5_000, fresh_ms: 3_000, window: 3, max_reply_bytes: 50, ..Limits::default() };
    let mut table = SessionTable::new(limits).noting_changes();
    let mut rows = Rows::default();
    let mut gone = false;
    for n in 0..400_u64 {
        let now_ms = BIRTH_MS + n * 137;
        let client = client(BIRTH_MS + n / 20 * 20 * 137, u128::from(n % 3));
        // Out of order, and sometimes again.
        let sequence = 1 + n / 3 % 7 + [0, 2, 1][n as usize % 3];
        submit(&mut table, request(client, sequence), now_ms, &vec![n as u8; n as usize % 60]);
        if n % 5 == 0 {
            let before = rows.sessions.len();
            rows.follow(&mut table);
            gone |= rows.sessions.len() < before;
            assert_eq!(rows.restore(limits, table.now_ms()), table, "after request {n}");
            assert!(table.changes().is_empty());
        }
    }
    assert!(gone, "no session ever ended");
}
