//! `cargo xtask`: everything the project does to itself. `cargo xtask ci` is exactly what CI runs.

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

mod ci;
mod codegen;
mod lab;
mod lab_wasm;
mod mutants;
mod tidy;
mod wasm;
mod workspace;

/// The project's own tasks.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run every check in the order of rising cost and stop at the first that fails.
    Ci,
    /// Check the rules that no compiler knows: crate edges, file and function sizes, banned words, documents.
    Tidy,
    /// Generate the protobuf code of floe-etcd from its definitions.
    Codegen {
        /// Write nothing; fail if the committed code is not what the definitions give.
        #[arg(long)]
        check: bool,
    },
    /// Run simulated clusters from fresh seeds for some minutes, and fail if one breaks a rule.
    Sim(Simulation),
    /// Show that a seed has the same history here and in WebAssembly.
    WasmHash,
    /// Run every tour of the lab on the engine that its page loads, and the page in headless Chromium.
    LabTest(lab::LabTest),
    /// Build the engine that the lab's page loads, as WebAssembly.
    LabWasm(lab_wasm::LabWasm),
    /// Write the lab's page with its engine to a folder that any web server can host.
    LabStatic {
        /// Empty, or not there yet.
        folder: PathBuf,
    },
    /// Put old bugs back, one at a time, and fail if the simulator does not find one of them.
    Ledger(Simulation),
    /// Explore every state of small groups of the real core, within bounds, and fail if one breaks a law of Raft.
    Exhaustive(Simulation),
    /// Change the core at random places, one at a time, and fail if its tests notice too few of the changes.
    Mutants(mutants::Draw),
    /// Kill real floe processes while they are written to, and check that nothing acknowledged is lost.
    Crash(Processes),
    /// Grow, replace and shrink a cluster of real floe processes that is written to, and kill some on the way.
    Churn(Processes),
    /// Let a real member catch up by a snapshot that breaks once, while writers go on.
    Catchup(Processes),
    /// Lose two of three real members for good, and go on with the third.
    Recover(Processes),
    /// Play the crash phases R23 to R28 and the split brain R29 on real floe processes.
    Phases(Processes),
}

/// The arguments of the tasks that run real processes; `--help` after the task's name lists them.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
struct Processes {
    /// Run the optimised binary.
    #[arg(long)]
    release: bool,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    arguments: Vec<String>,
}

/// The arguments of the tasks that search states; `--help` after the task's name lists them.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
struct Simulation {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    arguments: Vec<String>,
}

fn main() -> ExitCode {
    let outcome = run(Arguments::parse().task);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    match task {
        Task::Ci => ci::run(),
        Task::Tidy => tidy::run(),
        Task::Codegen { check } => Ok(codegen::run(check)?),
        Task::WasmHash => {
            if let Some(missing) = wasm::compare()? {
                println!("wasm-hash: SKIPPED: {missing}");
            }
            Ok(())
        }
        Task::LabTest(task) => lab::run(&task),
        Task::LabWasm(task) => lab_wasm::run(&task),
        Task::LabStatic { folder } => lab_wasm::write_static(&folder),
        Task::Sim(task) => simulate(&task.arguments),
        Task::Ledger(task) => ledger(&task.arguments),
        Task::Exhaustive(task) => exhaustive(&task.arguments),
        Task::Mutants(draw) => mutants::run(&draw),
        Task::Crash(task) => processes("crash", task.release, &task.arguments),
        Task::Churn(task) => processes("churn", task.release, &task.arguments),
        Task::Catchup(task) => processes("catchup", task.release, &task.arguments),
        Task::Recover(task) => processes("recover", task.release, &task.arguments),
        Task::Phases(task) => processes("phases", task.release, &task.arguments),
    }
}

/// Runs `xtask/sim`, optimised: its worth is in the number of seeds.
fn simulate(arguments: &[String]) -> Result<()> {
    let mut command = workspace::cargo(["run", "--quiet", "--release", "--package", "xtask-sim", "--"])?;
    workspace::succeed(command.args(arguments))
}

/// Runs `xtask/ledger`, the only program into which the old bugs are compiled.
fn ledger(arguments: &[String]) -> Result<()> {
    let mut command = workspace::cargo(["run", "--quiet", "--release", "--package", "xtask-ledger"])?;
    command.args(["--features", "mutants", "--"]);
    workspace::succeed(command.args(arguments))
}

/// Runs `xtask/exhaustive`, optimised but with the core's own checks, on a core that has its old bugs at hand.
fn exhaustive(arguments: &[String]) -> Result<()> {
    let program =
        ["run", "--quiet", "--profile=exhaustive", "--package=xtask-exhaustive", "--features=mutants", "--"];
    workspace::succeed(workspace::cargo(program)?.args(arguments))
}

/// Runs a task of `xtask/processes` on a `floe` built for it.
fn processes(task: &str, release: bool, arguments: &[String]) -> Result<()> {
    let mut command = workspace::cargo(["run", "--quiet", "--package", "xtask-processes", "--", task])?;
    let given = arguments.iter().any(|word| word == "--binary" || word.starts_with("--binary="));
    if !given && !arguments.iter().any(|word| word == "--help" || word == "-h") {
        command.arg("--binary").arg(workspace::build_floe(release)?);
    }
    workspace::succeed(command.args(arguments))
}
