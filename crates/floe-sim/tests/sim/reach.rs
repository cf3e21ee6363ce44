//! The worlds reach what they are for: a simulator in which nothing rare happens finds nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use floe_sim::{Options, run_traced};

/// What must be in the traces of these seeds, at least once.
const MARKS: &[&str] = &[
    "\"kind\":\"alarm\"",
    "\"kind\":\"checkpoint\"",
    "\"kind\":\"compacted\"",
    "\"kind\":\"crashed\"",
    "\"kind\":\"fetched\"",
    "\"kind\":\"liveness\"",
    "\"kind\":\"peer-gone\"",
    "\"kind\":\"resumed\"",
    "\"kind\":\"retired\"",
    "\"kind\":\"snapshot-done\"",
    "\"kind\":\"snapshot-installed\"",
    "\"kind\":\"tried-again\"",
    "\"kind\":\"write-failed\"",
    "\"message\":\"append-reject\"",
    "\"message\":\"read-index-reply\"",
    "\"message\":\"timeout-now\"",
    "\"message\":\"vote\"",
    "\"outgoing\":3",
    "\"outcome\":\"accepted\"",
    "\"outcome\":\"failed\"",
    "\"outcome\":\"given-up\"",
    "\"outcome\":\"read\"",
    "\"outcome\":\"lapsed\"",
    "\"outcome\":\"not caught up\"",
    "\"outcome\":\"pending\"",
    "\"outcome\":\"refused\"",
    "\"outcome\":\"silent\"",
    "\"outcome\":\"unhealthy\"",
    "\"outcome\":\"unknown\"",
    "\"outcome\":\"was-done\"",
    "\"outcome\":\"wrote\"",
    "\"restart_after\"",
    "\"role\":\"candidate\"",
    "\"role\":\"pre-candidate\"",
    "\"truncate_from\"",
    "\"what\":\"clock-jump\"",
    "\"what\":\"clock-rate\"",
    "\"what\":\"compare\"",
    "\"what\":\"flap\"",
    "\"what\":\"stall-disk\"",
    "\"what\":\"wipe\"",
];

#[test]
fn rare_things_happen() {
    let seen: Rc<RefCell<BTreeMap<&'static str, u64>>> = Rc::default();
    for seed in 0..150 {
        let seen = Rc::clone(&seen);
        run_traced(seed, &Options::default(), move |line| {
            for mark in MARKS.iter().filter(|mark| line.contains(**mark)) {
                *seen.borrow_mut().entry(mark).or_default() += 1;
            }
        });
    }
    let seen = seen.borrow();
    // An alarm accuses a correct node; it must never be there, which also shows that this test can tell.
    let missing: Vec<_> = MARKS.iter().filter(|mark| !seen.contains_key(**mark)).collect();
    assert_eq!(missing, [&"\"kind\":\"alarm\""], "{seen:?}");
}
