//! Looking for each bug: seed after seed until one breaks a rule.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use floe_sim::{Mutant, Options, Outcome, run};

use crate::Arguments;
use crate::focus::{is_fast, world_for};

/// What became of the search for one bug.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) mutant: Mutant,
    /// The first world that broke a rule.
    pub(crate) outcome: Option<Outcome>,
    /// How many worlds were run.
    pub(crate) seeds: u64,
    pub(crate) took: Duration,
}

/// Looks for all bugs that are asked for, in the order of the table.
pub(crate) fn search(arguments: &Arguments) -> Vec<Finding> {
    let wanted: Vec<Mutant> = match arguments.mutant.as_slice() {
        [] => Mutant::all().into_iter().filter(|mutant| !arguments.fast || is_fast(*mutant)).collect(),
        named => named.to_vec(),
    };
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads.max(1) {
            scope.spawn(|| {
                while let Some(mutant) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let finding = look_for(*mutant, arguments);
                    eprintln!("{}", crate::report::progress(&finding));
                    found.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(finding);
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    found.sort_by_key(|finding| wanted.iter().position(|mutant| *mutant == finding.mutant));
    found
}

fn look_for(mutant: Mutant, arguments: &Arguments) -> Finding {
    let begun = Instant::now();
    let options = options_for(mutant, arguments.unfocused);
    let mut seeds = 0;
    let outcome = (arguments.seed_start..arguments.seed_start + arguments.limit).find_map(|seed| {
        seeds += 1;
        let outcome = run(seed, &options);
        (outcome.violation.is_some() && holds_without(mutant, seed, &options)).then_some(outcome)
    });
    Finding { mutant, outcome, seeds, took: begun.elapsed() }
}

/// Whether the same world holds without the bug: only then it was the bug that was found.
fn holds_without(mutant: Mutant, seed: u64, options: &Options) -> bool {
    let mut restrictions = options.restrictions.clone();
    mutant.needs(&mut restrictions);
    let outcome = run(seed, &Options { restrictions, mutant: None });
    if outcome.violation.is_some() {
        eprintln!("WITHOUT ANY BUG: {outcome}");
    }
    outcome.violation.is_none()
}

/// The worlds in which a bug is looked for.
pub(crate) fn options_for(mutant: Mutant, unfocused: bool) -> Options {
    let restrictions = if unfocused { floe_sim::Restrictions::default() } else { world_for(mutant) };
    Options { restrictions, mutant: Some(mutant) }
}
