//! `cargo xtask exhaustive`: a program of its own, so that it is built with optimisation. It explores every state of
//! small groups of the real core, within bounds, and fails if one breaks a law or if a search proves nothing.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Parser;
use xtask_exhaustive::{Bounds, explore, models};

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
    /// Look for this one bug in every model, and say which find it.
    #[arg(long, value_name = "NAME")]
    mutant: Option<String>,
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
    let wanted = models(arguments.model.as_deref());
    ensure!(!wanted.is_empty(), "no model has that name; --list names them");
    if arguments.list {
        for (name, about, finds) in wanted {
            println!("{name:12} {about}; finds {finds:?}");
        }
        return Ok(());
    }
    if arguments.mutants || arguments.mutant.is_some() {
        return find_mutants(arguments);
    }
    let begun = Instant::now();
    let (mut states, mut unique, mut whole) = (0, 0, 0);
    let bounds =
        Bounds { states: Some(arguments.states).filter(|_| !arguments.whole), threads: arguments.threads };
    for (name, ..) in &wanted {
        let explored = explore(name, bounds)?;
        println!("exhaustive: {explored}");
        states += explored.states;
        unique += explored.unique;
        whole += usize::from(explored.whole);
    }
    println!(
        "exhaustive: {states} states, {unique} of them different, no law broken, {:.0} s; \
         {whole} of {} models explored to their end",
        begun.elapsed().as_secs_f64(),
        wanted.len()
    );
    Ok(())
}

/// Puts bugs back: each model's own, or one in all of them.
#[cfg(feature = "mutants")]
fn find_mutants(arguments: &Arguments) -> Result<()> {
    use anyhow::bail;

    for (model, _, finds) in models(arguments.model.as_deref()) {
        let one = arguments.mutant.as_deref();
        for mutant in one.iter().chain(finds.iter().filter(|_| one.is_none())) {
            match xtask_exhaustive::look_in(model, mutant, arguments.states, arguments.threads)? {
                Some(sighting) => println!("exhaustive: {mutant}: {sighting}"),
                None if one.is_some() => println!("exhaustive: {mutant}: not found in the model {model}"),
                None => bail!("{model}: the mutant {mutant} was not found"),
            }
        }
    }
    Ok(())
}

/// Without the feature the core has no bugs to put back.
#[cfg(not(feature = "mutants"))]
fn find_mutants(_: &Arguments) -> Result<()> {
    anyhow::bail!("built without the feature `mutants`; `cargo xtask exhaustive` asks for it")
}
