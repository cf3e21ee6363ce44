//! The real key-value store beside the maps.

use floe_sim::{Options, Restrictions, run};

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
    all_hold(7_100..7_110, &with_store(restrictions));
}

#[test]
fn the_history_is_the_same_with_and_without_the_store() {
    for seed in 7_200..7_203 {
        let with = run(seed, &with_store(Restrictions::default()));
        assert_eq!(with.hash, run(seed, &Options::default()).hash);
    }
}
