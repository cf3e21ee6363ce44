//! The real key-value store beside the maps.

use std::cell::Cell;
use std::rc::Rc;

use floe_sim::{Options, Restrictions, run, run_traced};

use crate::failure::all_hold;

fn with_store(restrictions: Restrictions) -> Options {
    Options { restrictions: Restrictions { store: true, ..restrictions }, ..Options::default() }
}

#[test]
fn seeds_with_the_store_hold() {
    all_hold(7_000..7_016, &with_store(Restrictions { groups: Some(1), ..Restrictions::default() }));
}

#[test]
fn a_store_that_is_restarted_and_replaced_by_snapshots_holds() {
    let with = "crash wipe compact boundary".split(' ').map(|name| name.parse().expect("a feature"));
    let restrictions = Restrictions { groups: Some(1), with: with.collect(), ..Restrictions::default() };
    let options = with_store(restrictions);
    all_hold(7_100..7_110, &options);
    // That is what these worlds are for.
    for kind in ["crashed", "checkpoint", "snapshot-installed"] {
        let seen = Rc::new(Cell::new(0));
        let wanted = format!(r#""kind":"{kind}""#);
        for seed in 7_100..7_110 {
            let count = Rc::clone(&seen);
            let wanted = wanted.clone();
            // The history is that of the same seed without the store, which takes less time.
            let options = Options {
                restrictions: Restrictions { store: false, ..options.restrictions.clone() },
                ..options
            };
            run_traced(seed, &options, move |line| {
                count.set(count.get() + u32::from(line.contains(&wanted)));
            });
        }
        assert!(seen.get() >= 5, "{kind}: {}", seen.get());
    }
}

#[test]
fn the_history_is_the_same_with_and_without_the_store() {
    for seed in 7_200..7_203 {
        let restrictions = Restrictions { groups: Some(1), ..Restrictions::default() };
        let with = run(seed, &with_store(restrictions.clone()));
        assert_eq!(with.hash, run(seed, &Options { restrictions, ..Options::default() }).hash);
    }
}
