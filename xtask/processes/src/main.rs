//! Real floe processes under kill -9, cut networks and restarts. Started by `cargo xtask crash`, `churn` and `phases`.
//!
//! The simulator finds the bugs of the protocol. This program finds those of everything around it: files, sockets,
//! threads and the order in which a real process dies.

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

mod bystander;
mod catchup;
mod churn;
mod client;
mod cluster;
mod crash;
mod insistent;
mod ledger;
mod network;
mod phases;
mod recover;
mod retries;
mod stops;
mod witness;

/// Real floe processes under kill -9, cut networks and restarts.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Kill real floe processes while they are written to, and check that nothing acknowledged is lost.
    Crash {
        /// How many times to kill, restart and check.
        #[arg(long, default_value_t = 30)]
        rounds: u32,
        /// The seed of every choice (which member, when); drawn at random when absent, and printed.
        #[arg(long)]
        seed: Option<u64>,
        /// The floe binary to run.
        #[arg(long)]
        binary: PathBuf,
    },
    /// Grow, replace and shrink a cluster of real floe processes that is written to, and kill some on the way.
    Churn {
        /// For how long at least; the last cycle is played to its end.
        #[arg(long, default_value_t = 5.0)]
        minutes: f64,
        /// The seed of every choice; drawn at random when absent, and printed.
        #[arg(long)]
        seed: Option<u64>,
        /// The longest that no write may succeed, in milliseconds. Data and logs are kept when it takes longer.
        #[arg(long, default_value_t = churn::GAP_LIMIT_MS)]
        gap_ms: u64,
        /// The floe binary to run.
        #[arg(long)]
        binary: PathBuf,
    },
    /// Let a member sleep while much is written, and catch up by a snapshot that breaks once.
    Catchup {
        /// How much is written, in MiB.
        #[arg(long, default_value_t = 500)]
        megabytes: u64,
        /// The longest that a writer may wait meanwhile, in milliseconds.
        #[arg(long, default_value_t = 600)]
        gap_ms: u64,
        /// The floe binary to run.
        #[arg(long)]
        binary: PathBuf,
    },
    /// The phase of `phases` that needs a mount namespace of its own.
    #[command(hide = true)]
    Stall {
        /// The floe binary to run.
        #[arg(long)]
        binary: PathBuf,
    },
    /// The phase of `phases` with a witness alone.
    #[command(hide = true)]
    Witness {
        /// The floe binary to run.
        #[arg(long)]
        binary: PathBuf,
    },
    /// Lose two members of three for good, and go on with the third.
    Recover {
        /// The floe binary to run.
        #[arg(long)]
        binary: PathBuf,
    },
    /// Play the crash phases R23 to R28, a graceful stop, a witness, a disk that hangs, and the split brain R29.
    Phases {
        /// The floe binary to run.
        #[arg(long)]
        binary: PathBuf,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the asynchronous runtime does not start")?;
    match task {
        Task::Crash { rounds, seed, binary } => {
            let seed = seed.unwrap_or_else(rand::random);
            runtime.block_on(crash::run(rounds, seed, binary))
        }
        Task::Churn { minutes, seed, gap_ms, binary } => {
            let seed = seed.unwrap_or_else(rand::random);
            runtime.block_on(churn::run(minutes, seed, Duration::from_millis(gap_ms), binary))
        }
        Task::Stall { binary } => {
            let took = runtime.block_on(stops::stall(binary))?;
            println!(
                "phases: disk stall passed: another member led and took a write after {} ms",
                took.as_millis()
            );
            Ok(())
        }
        Task::Witness { binary } => runtime.block_on(phases::witness(&binary)),
        Task::Catchup { megabytes, gap_ms, binary } => {
            runtime.block_on(catchup::run(binary, megabytes, gap_ms))
        }
        Task::Recover { binary } => runtime.block_on(recover::run(binary)),
        Task::Phases { binary } => runtime.block_on(phases::run(binary)),
    }
}
