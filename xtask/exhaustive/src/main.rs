//! `cargo xtask exhaustive`: a program of its own, so that it is built with optimisation. It explores every state of
//! small groups of the real core, within bounds, and fails if one breaks a law or if a search proves nothing.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use clap::Parser;
use stateright::{Checker, Expectation, HasDiscoveries, Model};

mod canonical;
mod disk;
mod host;
mod laws;
mod model;
mod scenario;
mod space;

use model::Group;
use scenario::Scenario;
use space::Space;

/// Explores every state of small groups of the real core, and fails if one breaks a law of Raft.
#[derive(Parser, Debug)]
#[command(name = "cargo xtask exhaustive", bin_name = "cargo xtask exhaustive")]
struct Arguments {
    /// Leave a model after so many states, breadth first, so that all short stories are told.
    #[arg(long, default_value_t = 6_000_000)]
    states: usize,
    /// Explore to the end instead, depth first, however long it takes.
    #[arg(long, conflicts_with = "states")]
    whole: bool,
    /// One model, by name.
    #[arg(long)]
    model: Option<String>,
    /// Threads that explore.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Look for old bugs that are put back one at a time, each in the model that must find it.
    #[arg(long)]
    mutants: bool,
    /// List the models.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let wanted = |scenario: &Scenario| arguments.model.as_deref().is_none_or(|name| name == scenario.name);
    let scenarios: Vec<_> = scenario::all().into_iter().filter(wanted).collect();
    ensure!(!scenarios.is_empty(), "no model has that name; --list names them");
    if arguments.list {
        for Scenario { name, about, finds, .. } in &scenarios {
            println!("{name:12} {about}; finds {finds:?}");
        }
        return Ok(());
    }
    if arguments.mutants {
        return scenarios.iter().try_for_each(|scenario| find_mutants(arguments, scenario));
    }
    let begun = Instant::now();
    let mut total = Explored::default();
    for scenario in scenarios {
        let explored = explore(arguments, scenario)?;
        total.states += explored.states;
        total.unique += explored.unique;
    }
    println!(
        "exhaustive: {} states, {} of them different, no law broken, {:.0} s",
        total.states,
        total.unique,
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}

/// How much of a model was explored.
#[derive(Clone, Copy, Debug, Default)]
struct Explored {
    /// Transitions taken: each leads to a state, many to known ones.
    states: usize,
    unique: usize,
}

/// Explores one model.
fn explore(arguments: &Arguments, scenario: Scenario) -> Result<Explored> {
    let begun = Instant::now();
    let name = scenario.name;
    let group = Group::new(Space::new(scenario))?;
    // A model that is explored to its end needs no shortest path, and depth first needs no room for a frontier.
    let builder = group.clone().checker().threads(arguments.threads).finish_when(HasDiscoveries::AnyFailures);
    if arguments.whole {
        report(name, &builder.spawn_dfs().join(), &group, begun, usize::MAX)
    } else {
        let builder = builder.target_state_count(arguments.states);
        report(name, &builder.spawn_bfs().join(), &group, begun, arguments.states)
    }
}

fn report(
    name: &str,
    checker: &impl Checker<Group>,
    group: &Group,
    begun: Instant,
    limit: usize,
) -> Result<Explored> {
    let (states, unique, depth) = (checker.state_count(), checker.unique_state_count(), checker.max_depth());
    let (locals, packets, runs) = group.space.sizes();
    println!(
        "exhaustive: {name}: {states} states, {unique} different, {depth} deep, {:.0} s; \
         {locals} states of nodes, {packets} messages, {runs} runs of the core; {}",
        begun.elapsed().as_secs_f64(),
        if states < limit { "this is all of it" } else { "there is more" },
    );
    let mut discoveries = checker.discoveries();
    for property in group.properties() {
        let found = discoveries.remove(property.name);
        match (&property.expectation, found) {
            (Expectation::Always, Some(path)) => {
                path.into_actions().iter().for_each(|action| println!("    {action:?}"));
                bail!("{name}: broken: {}", property.name);
            }
            (Expectation::Sometimes, None) => bail!("{name}: never reached: {}", property.name),
            _ => {}
        }
    }
    Ok(Explored { states, unique })
}

/// Puts each of a model's bugs back and looks for it.
#[cfg(feature = "mutants")]
fn find_mutants(arguments: &Arguments, scenario: &Scenario) -> Result<()> {
    for mutant in scenario.finds {
        let begun = Instant::now();
        let Some(found) = floe_raft::Mutant::of_name(mutant) else { bail!("there is no mutant {mutant}") };
        let group = Group::new(Space::new(Scenario { mutant: Some(found), ..scenario.clone() }))?;
        let checker = group
            .clone()
            .checker()
            .threads(arguments.threads)
            .finish_when(HasDiscoveries::AnyFailures)
            .spawn_bfs()
            .join();
        let laws = laws::Law::ALL.iter().map(|(_, name)| *name);
        let discoveries = checker.discoveries();
        let Some((law, path)) = laws.filter_map(|law| Some((law, discoveries.get(law)?))).next() else {
            bail!("{}: the mutant {mutant} was not found in {} states", scenario.name, checker.state_count());
        };
        println!(
            "exhaustive: {}: {mutant} breaks \"{law}\" in {} steps, found in {} states, {:.1} s",
            scenario.name,
            path.clone().into_actions().len(),
            checker.state_count(),
            begun.elapsed().as_secs_f64()
        );
    }
    Ok(())
}

/// Without the feature the core has no bugs to put back.
#[cfg(not(feature = "mutants"))]
fn find_mutants(_: &Arguments, _: &Scenario) -> Result<()> {
    bail!("built without the feature `mutants`; `cargo xtask exhaustive` asks for it")
}
