//! Every state of small groups of the real core, within bounds: whether one breaks a law of Raft, and whether the search
//! would find the old bugs that are put back for it.
//!
//! `cargo xtask exhaustive` is the program; `cargo xtask ledger` asks for single bugs. `docs/design/exhaustive.md` says
//! what the models are and what they leave out.

#![forbid(unsafe_code)]

mod canonical;
mod disk;
mod host;
mod laws;
mod model;
mod models;
mod scenario;
#[cfg(feature = "mutants")]
mod sighting;
mod space;

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use stateright::{Checker, Expectation, HasDiscoveries, Model};

#[cfg(feature = "mutants")]
pub use crate::sighting::{Sighting, is_found_here, look_for, look_in};

use crate::model::Group;
use crate::scenario::Scenario;
use crate::space::Space;

/// How much of each model is explored.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// A model is left after so many states, breadth first, so that all short stories are told; `None` explores to the
    /// end, depth first, however long it takes.
    pub states: Option<usize>,
    /// Threads that explore.
    pub threads: usize,
}

/// How much of a model was explored.
#[derive(Clone, Debug)]
pub struct Explored {
    /// The model.
    pub model: &'static str,
    /// Transitions taken: each leads to a state, many to known ones.
    pub states: usize,
    /// Different states.
    pub unique: usize,
    /// Whether these are all that there are.
    pub whole: bool,
    depth: usize,
    /// States of nodes, messages, and runs of the core.
    sizes: (usize, usize, usize),
    took: Duration,
}

impl fmt::Display for Explored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, states, unique, whole, depth, sizes: (locals, packets, runs), took } = self;
        write!(
            f,
            "{model}: {states} states, {unique} different, {depth} deep, {:.0} s; \
             {locals} states of nodes, {packets} messages, {runs} runs of the core; {}",
            took.as_secs_f64(),
            if *whole { "this is all of it" } else { "there is more" },
        )
    }
}

/// The names of the models that are called `model`, or of all: each with what it is about and the bugs that it must
/// find.
pub fn models(model: Option<&str>) -> Vec<(&'static str, &'static str, &'static [&'static str])> {
    let wanted = |scenario: &Scenario| model.is_none_or(|name| name == scenario.name);
    let all = models::all().into_iter().filter(wanted);
    all.map(|Scenario { name, about, finds, .. }| (name, about, finds)).collect()
}

/// Explores one model.
///
/// # Errors
///
/// When a law is broken, with the story on standard output; when something that must be reached is not; and when there is
/// no such model.
pub fn explore(model: &str, bounds: Bounds) -> Result<Explored> {
    let Some(scenario) = models::all().into_iter().find(|scenario| scenario.name == model) else {
        bail!("no model has the name {model}");
    };
    let begun = Instant::now();
    let group = Group::new(Space::new(scenario))?;
    // A model that is explored to its end needs no shortest path, and depth first needs no room for a frontier.
    let builder = group.clone().checker().threads(bounds.threads).finish_when(HasDiscoveries::AnyFailures);
    match bounds.states {
        None => judge(&builder.spawn_dfs().join(), &group, begun, usize::MAX),
        Some(states) => judge(&builder.target_state_count(states).spawn_bfs().join(), &group, begun, states),
    }
}

fn judge(checker: &impl Checker<Group>, group: &Group, begun: Instant, limit: usize) -> Result<Explored> {
    let model = group.space.scenario.name;
    let mut discoveries = checker.discoveries();
    for property in group.properties() {
        let found = discoveries.remove(property.name);
        match (&property.expectation, found) {
            (Expectation::Always, Some(path)) => {
                path.into_actions().iter().for_each(|action| println!("    {action:?}"));
                bail!("{model}: broken: {}", property.name);
            }
            (Expectation::Sometimes, found) => {
                let states = checker.state_count();
                ensure!(found.is_some(), "{model}: never reached in {states} states: {}", property.name);
            }
            (Expectation::Always | Expectation::Eventually, _) => {}
        }
    }
    Ok(Explored {
        model,
        states: checker.state_count(),
        unique: checker.unique_state_count(),
        whole: checker.state_count() < limit,
        depth: checker.max_depth(),
        sizes: group.space.sizes(),
        took: begun.elapsed(),
    })
}
