//! Looking for an old bug that is put back: the search must come upon it, and find nothing without it.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use stateright::{Checker, Expectation, HasDiscoveries, Model};

use crate::laws::Law;
use crate::model::Group;
use crate::models;
use crate::scenario::Scenario;
use crate::space::Space;

/// How a bug showed.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// The model in which it did.
    pub model: &'static str,
    /// The law that it breaks, or what is out of reach because of it.
    pub law: String,
    /// How many steps the shortest story has that shows it; zero if it is that something never happens.
    pub steps: usize,
    /// How many states were looked at.
    pub states: usize,
    /// How long both searches took, with the bug and without it.
    pub took: Duration,
}

impl fmt::Display for Sighting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, law, steps, states, took } = self;
        write!(
            f,
            "{law}: found by exhaustive search in the model {model}, {steps} steps, {states} states, {:.1} s",
            took.as_secs_f64()
        )
    }
}

/// Whether some model is there to find the bug of this name.
pub fn is_found_here(mutant: &str) -> bool {
    models::all().iter().any(|scenario| scenario.finds.contains(&mutant))
}

/// Looks for a bug in the models that must find it; `None` if none does within so many states.
///
/// # Errors
///
/// When there is no such bug, or a model breaks a law without it.
pub fn look_for(mutant: &str, states: usize, threads: usize) -> Result<Option<Sighting>> {
    for scenario in models::all().iter().filter(|scenario| scenario.finds.contains(&mutant)) {
        if let Some(sighting) = look_in(scenario.name, mutant, states, threads)? {
            return Ok(Some(sighting));
        }
    }
    Ok(None)
}

/// Looks for a bug in one model, whether or not it must find it.
///
/// # Errors
///
/// When there is no such bug or model, or the model breaks a law without the bug.
pub fn look_in(model: &str, mutant: &str, states: usize, threads: usize) -> Result<Option<Sighting>> {
    let Some(bug) = floe_raft::Mutant::of_name(mutant) else { bail!("there is no mutant {mutant}") };
    let Some(scenario) = models::all().into_iter().find(|scenario| scenario.name == model) else {
        bail!("no model has the name {model}");
    };
    let begun = Instant::now();
    let ill = search(&Scenario { mutant: Some(bug), ..scenario.clone() }, states, threads)?;
    let Some((law, steps)) = ill.found else { return Ok(None) };
    // As far as the search with the bug went, the model holds without it, and reaches what was out of reach.
    let well = search(&scenario, if steps == 0 { states } else { ill.states }, threads)?;
    match well.found {
        Some((law, steps)) if steps > 0 => bail!("{model} breaks a law without any bug: {law}"),
        Some((same, _)) if same == law => Ok(None),
        _ => {
            Ok(Some(Sighting { model: scenario.name, law, steps, states: ill.states, took: begun.elapsed() }))
        }
    }
}

/// What a search came upon.
struct Searched {
    /// A law that is broken after so many steps; or what is never reached, with no steps, if all was explored.
    found: Option<(String, usize)>,
    states: usize,
}

fn search(scenario: &Scenario, states: usize, threads: usize) -> Result<Searched> {
    let group = Group::new(Space::new(scenario.clone()))?;
    let checker = group
        .clone()
        .checker()
        .threads(threads)
        .finish_when(HasDiscoveries::AnyFailures)
        .target_state_count(states)
        .spawn_bfs()
        .join();
    let discoveries = checker.discoveries();
    let mut found = Law::ALL.iter().find_map(|(_, law)| {
        discoveries.get(law).map(|path| ((*law).to_owned(), path.clone().into_actions().len()))
    });
    if found.is_none() && checker.state_count() < states {
        let never = group.properties().into_iter().find(|property| {
            property.expectation == Expectation::Sometimes && !discoveries.contains_key(property.name)
        });
        found = never.map(|property| (format!("never reached: {}", property.name), 0));
    }
    Ok(Searched { found, states: checker.state_count() })
}
