//! A seed is a history: the same events, in the same order, at the same moments.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use floe_sim::{Options, Restrictions, run, run_traced};

fn short() -> Options {
    Options {
        restrictions: Restrictions { seconds: Some(10), ..Restrictions::default() },
        ..Options::default()
    }
}

fn trace(seed: u64) -> (Vec<String>, String) {
    let lines = Rc::new(RefCell::new(Vec::new()));
    let sink = Rc::clone(&lines);
    let outcome = run_traced(seed, &short(), move |line| sink.borrow_mut().push(line.to_string()));
    (lines.take(), outcome.hash.to_string())
}

#[test]
fn the_same_seed_has_the_same_hash_and_other_seeds_have_others() {
    let hashes: Vec<_> = (0..20).map(|seed| run(seed, &short()).hash).collect();
    let again: Vec<_> = (0..20).map(|seed| run(seed, &short()).hash).collect();
    assert_eq!(hashes, again);
    let different: BTreeSet<[u64; 2]> = hashes.iter().map(|hash| hash.0).collect();
    assert_eq!(different.len(), hashes.len());
}

#[test]
fn a_trace_repeats_line_by_line_and_changes_nothing() {
    let (lines, hash) = trace(7);
    assert_eq!((lines.clone(), hash.clone()), trace(7));
    assert_eq!(hash, run(7, &short()).hash.to_string());
    assert!(lines.len() > 100);
    for (number, line) in lines.iter().enumerate() {
        assert!(line.starts_with(&format!("{{\"id\":{},\"at\":", number + 1)), "{line}");
        assert!(line.ends_with('}'));
    }
    assert!(lines[0].contains("\"kind\":\"world\",\"version\":1,\"seed\":7,"), "{}", lines[0]);
}

#[test]
fn causes_lie_before_their_effects() {
    let (lines, _) = trace(3);
    let number = |line: &str, name: &str| -> u64 {
        let after = line.split(&format!("\"{name}\":")).nth(1).expect("the field is there");
        after.chars().take_while(char::is_ascii_digit).collect::<String>().parse().expect("it is a number")
    };
    let mut last = 0;
    for line in &lines {
        assert!(number(line, "cause") < number(line, "id"), "{line}");
        assert!(number(line, "at") >= last, "{line}");
        last = number(line, "at");
    }
}
