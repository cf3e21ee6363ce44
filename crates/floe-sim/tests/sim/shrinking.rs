//! A failure becomes smaller and stays the same failure.

use floe_sim::{HostMutant, Mutant, Options, Outcome, run, shrink, sweep};

fn a_failure() -> Outcome {
    let options = Options { mutant: Some(Mutant::Host(HostMutant::ForgetVote)), ..Options::default() };
    let mut sweep = sweep(1..600, &options, |sweep| sweep.failures.is_empty());
    sweep.failures.pop().expect("the mutant is found")
}

#[test]
fn a_failure_shrinks_to_one_that_replays() {
    let failure = a_failure();
    let shrunk = shrink(&failure, 150);
    let invariant = |outcome: &Outcome| outcome.violation.as_ref().map(|violation| violation.invariant);
    assert_eq!(invariant(&shrunk.outcome), invariant(&failure));
    assert!(shrunk.runs <= 150);
    let less = &shrunk.outcome.restrictions;
    assert!(!less.without.is_empty() || !less.skip.is_empty(), "nothing was taken away: {less:?}");
    let replayed = run(failure.seed, &Options { restrictions: less.clone(), mutant: failure.mutant });
    assert_eq!(replayed.violation, shrunk.outcome.violation);
    assert_eq!(replayed.hash, shrunk.outcome.hash);
    assert!(replayed.command().contains(&format!("--seed {}", failure.seed)));
    assert!(replayed.command().ends_with("--mutant host-forget-vote"));
}

#[test]
fn what_holds_is_not_shrunk() {
    let holds = run(1, &Options::default());
    assert_eq!(shrink(&holds, 100).runs, 0);
}
