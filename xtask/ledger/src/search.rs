//! Looking for each bug: seed after seed until one breaks a rule, or through all states of a model.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use floe_sim::{Mutant, Options, Outcome, run};
use xtask_exhaustive::Sighting;

use crate::Arguments;
use crate::damage::broken_rule;
use crate::focus::{is_fast, model_for, needs_damage, world_for};

/// In how many states of a model a bug must be found.
const STATES: usize = 10_000_000;

/// Where a bug showed.
#[derive(Debug)]
pub(crate) enum Found {
    /// In the first world that broke a rule.
    World(Box<Outcome>),
    /// In a model of the exhaustive search.
    Model(Sighting),
    /// On a damaged disk: what it breaks.
    Disk(String),
}

/// What became of the search for one bug.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) mutant: Mutant,
    /// Nothing if it was not found, or if something is wrong without it.
    pub(crate) found: Option<Found>,
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
    if let Some(model) = model_for(mutant).filter(|_| !arguments.unfocused) {
        let found = xtask_exhaustive::look_in(model, mutant.name(), STATES, 1).unwrap_or_else(|error| {
            eprintln!("{}: {error:#}", mutant.name());
            None
        });
        return Finding { mutant, found: found.map(Found::Model), seeds: 0, took: begun.elapsed() };
    }
    let seeds_of = arguments.seed_start..arguments.seed_start + arguments.limit;
    if let Mutant::Log(log) = mutant
        && needs_damage(mutant)
    {
        let found = (1..).zip(seeds_of).find_map(|(seeds, seed)| {
            let rule = broken_rule(Some(log), seed)?;
            broken_rule(None, seed).is_none().then_some((seeds, rule))
        });
        let (seeds, found) =
            found.map_or((arguments.limit, None), |(seeds, rule)| (seeds, Some(Found::Disk(rule))));
        return Finding { mutant, found, seeds, took: begun.elapsed() };
    }
    let options = options_for(mutant, arguments.unfocused);
    let mut seeds = 0;
    let outcome = seeds_of.into_iter().find_map(|seed| {
        seeds += 1;
        let outcome = run(seed, &options);
        (outcome.violation.is_some() && holds_without(mutant, seed, &options)).then_some(outcome)
    });
    Finding { mutant, found: outcome.map(Box::new).map(Found::World), seeds, took: begun.elapsed() }
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
