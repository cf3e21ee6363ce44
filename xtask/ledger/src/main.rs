//! `cargo xtask ledger`: puts bugs that real systems had back, one at a time, and looks for each by simulation. A bug
//! that is not found means that the simulator lacks a scenario or a check, and fails the task.
//!
//! A program of its own, because only here the bugs are compiled in. `docs/design/ledger.md` explains the table.

#![forbid(unsafe_code)]

mod damage;
mod focus;
mod open;
mod report;
mod search;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use floe_sim::Mutant;

/// Puts old bugs back, one at a time, and fails if the simulator does not find one of them.
#[derive(Parser, Debug)]
#[command(name = "cargo xtask ledger", bin_name = "cargo xtask ledger")]
struct Arguments {
    /// Only those that are found within seconds.
    #[arg(long)]
    fast: bool,
    /// Only these bugs, by name, separated by commas.
    #[arg(long, value_delimiter = ',')]
    mutant: Vec<Mutant>,
    /// How many seeds may be needed to find one.
    #[arg(long, default_value_t = 10_000)]
    limit: u64,
    /// The first seed; the others follow it.
    #[arg(long, default_value_t = 1)]
    seed_start: u64,
    /// How many bugs are looked for at the same time.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Look into every world at random, as it is drawn, instead of into those that bring the bug out.
    #[arg(long)]
    unfocused: bool,
    /// Run this seed alone with the one bug that is named, and say what happens.
    #[arg(long)]
    seed: Option<u64>,
    /// With --seed: write every event to this file, as a line of JSON each.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// With --seed: look for the smallest variant, in at most this many runs.
    #[arg(long, value_name = "RUNS", default_value_t = 0)]
    shrink: u32,
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
    match arguments.seed {
        Some(seed) => open::open(arguments, seed),
        None => report::report(arguments, search::search(arguments)),
    }
}
