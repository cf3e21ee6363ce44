//! Seeds of every kind hold.

use floe_sim::{Feature, Options, Restrictions, sweep};

/// Fails with every broken seed and its command.
fn all_hold(seeds: std::ops::Range<u64>, options: &Options) {
    let sweep = sweep(seeds, options, |_| true);
    let failures: Vec<String> = sweep.failures.iter().map(ToString::to_string).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(sweep.statistics.committed > 10 * sweep.seeds, "hardly anything was committed: {sweep:?}");
}

#[test]
fn seeds_of_the_full_mix_hold() {
    all_hold(0..80, &Options::default());
}

#[test]
fn seeds_with_five_voters_hold() {
    let restrictions = Restrictions { voters: Some(5), ..Restrictions::default() };
    all_hold(1_000..1_030, &Options { restrictions, ..Options::default() });
}

#[test]
fn seeds_without_faults_hold_and_acknowledge_nearly_everything() {
    let without = Feature::ALL.iter().map(|(feature, _)| *feature).collect();
    let restrictions = Restrictions { without, seconds: Some(10), ..Restrictions::default() };
    let options = Options { restrictions, ..Options::default() };
    let sweep = sweep(2_000..2_020, &options, |_| true);
    assert!(sweep.failures.is_empty(), "{:?}", sweep.failures);
    let floe_sim::Statistics { invoked, acknowledged, .. } = sweep.statistics;
    assert!(acknowledged * 10 > invoked * 8, "{acknowledged} of {invoked} operations were acknowledged");
}

#[test]
fn seeds_of_a_single_node_hold() {
    let restrictions = Restrictions { voters: Some(1), ..Restrictions::default() };
    all_hold(3_000..3_030, &Options { restrictions, ..Options::default() });
}
