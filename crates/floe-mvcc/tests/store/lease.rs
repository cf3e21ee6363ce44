//! Leases, line by line: `etcd-v3` 1.5 and 1.9.

use floe_mvcc::{ApplyError, Command, Event, Lessor, Renewed, WatchSpec};

use crate::common::{Bed, bytes, leased, range};
use crate::watch::Stream;

fn grant(id: i64, ttl: i64) -> Command {
    Command::LeaseGrant { id, ttl }
}

fn attached(bed: &Bed, id: i64) -> Vec<bytes::Bytes> {
    bed.reader().lease(id).unwrap().keys
}

#[test]
fn an_id_is_granted_once() {
    let mut bed = Bed::new();
    bed.done(grant(5, 10));
    assert_eq!(bed.refused(grant(5, 20)), ApplyError::LeaseExists);
    assert_eq!(bed.refused(grant(0, 20)), ApplyError::LeaseNotFound);
    assert_eq!(bed.reader().lease(5).unwrap().ttl, 10);
    assert_eq!(bed.refused(Command::LeaseRevoke { id: 6 }), ApplyError::LeaseNotFound);
    bed.done(Command::LeaseRevoke { id: 5 });
    bed.done(grant(5, 20));
}

#[test]
fn a_put_moves_its_key_from_lease_to_lease_and_away() {
    let mut bed = Bed::new();
    bed.done(grant(1, 10));
    bed.done(grant(2, 10));
    bed.done(leased("a", "", 1));
    assert_eq!(attached(&bed, 1), [bytes("a")]);
    bed.done(leased("a", "", 2));
    assert!(attached(&bed, 1).is_empty());
    assert_eq!(attached(&bed, 2), [bytes("a")]);
    bed.put("a", "");
    assert!(attached(&bed, 2).is_empty());
    bed.done(leased("a", "", 2));
    bed.delete("a");
    assert!(attached(&bed, 2).is_empty());
    bed.put("a", "");
    assert!(attached(&bed, 2).is_empty());
}

#[test]
fn a_revocation_deletes_its_keys_in_order_at_one_revision() {
    let mut bed = Bed::new();
    bed.done(grant(1, 10));
    for key in ["c", "a", "b"] {
        bed.done(leased(key, "", 1));
    }
    bed.put("other", "");
    let mut stream = Stream::new(&bed.reader());
    stream.stream.create(WatchSpec { range: floe_mvcc::KeyRange::all(), ..WatchSpec::default() }).unwrap();
    let reply = bed.done(Command::LeaseRevoke { id: 1 });
    assert_eq!(reply.revision, 6);
    let batches = stream.stream.poll(100).unwrap();
    assert_eq!(batches.len(), 1);
    let deleted: Vec<_> = batches[0]
        .events
        .iter()
        .map(|event| match &event.event {
            Event::Delete(kv) => (kv.key.clone(), kv.mod_revision),
            Event::Put(kv) => panic!("a put of {kv:?}"),
        })
        .collect();
    assert_eq!(deleted, [(bytes("a"), 6), (bytes("b"), 6), (bytes("c"), 6)]);
    assert_eq!(bed.reader().range(&range(floe_mvcc::KeyRange::all())).unwrap().count, 1);
    assert_eq!(bed.reader().lease(1), None);
}

#[test]
fn a_lease_without_keys_is_revoked_without_a_revision() {
    let mut bed = Bed::new();
    bed.done(grant(1, 10));
    assert_eq!(bed.done(Command::LeaseRevoke { id: 1 }).revision, 1);
}

#[test]
fn nothing_is_counted_on_a_member_that_does_not_lead() {
    let mut bed = Bed::new();
    bed.done(grant(1, 10));
    let reader = bed.reader();
    let lessor = reader.lessor();
    assert_eq!(lessor.renew(0, 1), Renewed::NotPrimary);
    assert!(lessor.expired(u64::MAX, 10).is_empty());
    assert_eq!(lessor.remaining_ms(0, 1), Some(10_000));
    assert_eq!(lessor.remaining_ms(0, 2), None);
}

#[test]
fn a_lease_ends_when_its_time_is_over_and_a_renewal_starts_it_again() {
    let mut bed = Bed::new();
    let reader = bed.reader();
    let lessor = reader.lessor();
    lessor.promote(1000, 500);
    bed.done(grant(1, 10));
    assert_eq!(lessor.remaining_ms(2000, 1), Some(10_000));
    assert_eq!(lessor.renew(7000, 1), Renewed::Renewed { ttl: 10 });
    assert_eq!(lessor.renew(7000, 2), Renewed::NotFound);
    assert!(lessor.expired(16_999, 10).is_empty());
    assert_eq!(lessor.expired(17_000, 10), [1]);
    assert_eq!(lessor.renew(17_000, 1), Renewed::Expired);
    assert_eq!(lessor.remaining_ms(17_500, 1), Some(-500));
}

#[test]
fn one_that_is_over_is_named_again_when_its_revocation_does_not_come() {
    let mut bed = Bed::new();
    let reader = bed.reader();
    let lessor = reader.lessor();
    lessor.promote(0, 0);
    bed.done(grant(1, 1));
    assert_eq!(lessor.expired(0, 10), [0_i64; 0]);
    assert_eq!(lessor.expired(1000, 10), [1]);
    assert!(lessor.expired(1001, 10).is_empty());
    assert_eq!(lessor.expired(4000, 10), [1]);
    bed.done(Command::LeaseRevoke { id: 1 });
    assert!(lessor.expired(100_000, 10).is_empty());
}

#[test]
fn at_most_so_many_are_named_and_those_over_longest_first() {
    let mut bed = Bed::new();
    for id in 1..=5 {
        bed.done(grant(id, 10 - id));
    }
    let reader = bed.reader();
    let lessor = reader.lessor();
    lessor.promote(0, 0);
    assert_eq!(reader.leases(), [5, 4, 3, 2, 1]);
    assert_eq!(lessor.expired(60_000, 3), [5, 4, 3]);
    assert_eq!(lessor.expired(60_000, 3), [2, 1]);
}

#[test]
fn a_new_leader_gives_every_lease_its_full_time_and_more_and_an_old_one_ends_none() {
    let mut bed = Bed::new();
    bed.done(grant(1, 10));
    let reader = bed.reader();
    let lessor = reader.lessor();
    lessor.promote(0, 1000);
    assert_eq!(lessor.remaining_ms(0, 1), Some(11_000));
    lessor.demote();
    assert!(lessor.expired(1_000_000, 10).is_empty());
    assert_eq!(lessor.renew(5, 1), Renewed::NotPrimary);
    lessor.promote(1_000_000, 1000);
    assert_eq!(lessor.remaining_ms(1_000_000, 1), Some(11_000));
}

#[test]
fn leases_that_would_end_together_are_spread_by_a_new_leader() {
    let mut bed = Bed::new();
    let grants: Vec<Command> = (1..=3000).map(|id| grant(id, 10)).collect();
    bed.batch(&grants);
    let reader = bed.reader();
    let lessor: &Lessor = reader.lessor();
    lessor.promote(0, 0);
    let mut busiest = 0;
    let mut named = 0;
    for second in 10..40_u64 {
        let over = lessor.expired(second * 1000 + 999, usize::MAX).len();
        busiest = busiest.max(over);
        named += over;
        if named >= 3000 {
            break;
        }
        // Revoked at once, so that none is named twice.
        for id in reader.leases() {
            if lessor.remaining_ms(second * 1000 + 999, id).unwrap() <= 0 {
                bed.done(Command::LeaseRevoke { id });
            }
        }
    }
    assert_eq!(named, 3000);
    assert!(busiest < 1000, "{busiest} leases end within one second");
}
