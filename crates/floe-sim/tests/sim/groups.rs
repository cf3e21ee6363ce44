//! Worlds of many groups on the same machines.

use std::collections::BTreeSet;

use floe_sim::{Feature, Options, Restrictions, run, run_traced, sweep};

use crate::failure::assert_holds;

fn of(groups: u64) -> Options {
    let restrictions = Restrictions { groups: Some(groups), ..Restrictions::default() };
    Options { restrictions, mutant: None }
}

#[test]
fn many_groups_hold_under_faults() {
    for groups in [2, 7, 20] {
        let done = sweep(1..=12, &of(groups), |_| true);
        assert_holds(&done.failures, &of(groups));
        assert!(done.statistics.committed > 100 * groups, "{:?}", done.statistics);
        assert!(done.statistics.acknowledged > 500, "{:?}", done.statistics);
    }
}

#[test]
fn fifty_groups_hold_in_calm_and_in_one_kind_of_fault_at_a_time() {
    let all: BTreeSet<Feature> = Feature::ALL.iter().map(|(feature, _)| *feature).collect();
    for kept in
        [None, Some(Feature::Crash), Some(Feature::Wipe), Some(Feature::OneWay), Some(Feature::RealLog)]
    {
        let mut options = of(50);
        options.restrictions.without = &all - &BTreeSet::from_iter(kept);
        options.restrictions.with = BTreeSet::from_iter(kept);
        options.restrictions.seconds = Some(5);
        options.restrictions.voters = Some(5);
        let done = sweep(1..=2, &options, |_| true);
        assert_holds(&done.failures, &options);
    }
}

#[test]
fn the_same_seed_is_the_same_history_and_its_trace_tells_of_beats() {
    let options = of(5);
    let lines = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let sink = lines.clone();
    let traced = run_traced(9, &options, move |line| sink.borrow_mut().push(line.to_string()));
    assert_eq!(traced.hash, run(9, &options).hash);
    assert!(traced.command().contains("--groups 5"), "{}", traced.command());
    let lines = lines.borrow();
    let count = |kind: &str| lines.iter().filter(|line| line.contains(kind)).count();
    assert_eq!(count("\"kind\":\"group\""), 5);
    assert!(count("\"kind\":\"beat\"") > 100);
}

#[test]
fn a_share_of_the_seeds_has_many_groups() {
    let plans = (0..1000).map(|seed| floe_sim::Plan::draw(seed, &Restrictions::default()));
    let groups: Vec<u64> = plans.map(|plan| plan.groups).filter(|groups| *groups > 1).collect();
    assert!((30..100).contains(&groups.len()), "{} of 1000", groups.len());
    assert!(groups.iter().all(|groups| *groups <= 50) && groups.iter().any(|groups| *groups > 20));
}
