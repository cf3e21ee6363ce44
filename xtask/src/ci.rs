//! The steps of continuous integration, cheapest first. The first failure stops the run.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::workspace::{cargo, succeed};
use crate::{codegen, lab, lab_wasm, tidy, wasm};

/// The crates that must also build where there is no operating system.
const PURE: [&str; 7] =
    ["floe-raft", "floe-multi", "floe-session", "floe-trace", "floe-wal", "floe-sim", "floe-lab"];

enum Outcome {
    Passed,
    /// The step needs something this machine does not have; the text says what.
    Skipped(String),
}

struct Step {
    name: &'static str,
    run: fn() -> Result<Outcome>,
}

const STEPS: &[Step] = &[
    Step { name: "format", run: format },
    Step { name: "tidy", run: || tidy::run().map(|()| Outcome::Passed) },
    Step { name: "clippy", run: clippy },
    Step { name: "docs", run: docs },
    Step { name: "codegen", run: || Ok(codegen::run(true).map(|()| Outcome::Passed)?) },
    Step { name: "wasm", run: wasm },
    Step { name: "lab-wasm", run: || Ok(lab_wasm::check()?.map_or(Outcome::Passed, Outcome::Skipped)) },
    Step { name: "test", run: test },
    Step { name: "lab", run: || Ok(lab::engine(None)?.map_or(Outcome::Passed, Outcome::Skipped)) },
    Step {
        name: "lab page",
        run: || Ok(lab::browser(None, None)?.map_or(Outcome::Passed, Outcome::Skipped)),
    },
    Step { name: "ledger", run: || crate::ledger(&["--fast".to_owned()]).map(|()| Outcome::Passed) },
    Step { name: "exhaustive", run: exhaustive },
    Step { name: "deny", run: deny },
    Step {
        name: "crash",
        run: || crate::processes("crash", false, &["--rounds=3".to_owned()]).map(|()| Outcome::Passed),
    },
];

/// Runs every step and prints one line for each, with its time.
pub(crate) fn run() -> Result<()> {
    let started = Instant::now();
    let mut passed = 0;
    let mut skipped = 0;
    for step in STEPS {
        println!("ci: {} ...", step.name);
        let begun = Instant::now();
        let outcome = (step.run)().with_context(|| format!("ci stopped in step `{}`", step.name))?;
        let seconds = begun.elapsed().as_secs_f64();
        match outcome {
            Outcome::Passed => {
                passed += 1;
                println!("ci: {} passed in {seconds:.1} s", step.name);
            }
            Outcome::Skipped(why) => {
                skipped += 1;
                println!("ci: {} SKIPPED: {why}", step.name);
            }
        }
    }
    println!("ci: {skipped} skipped, {:.0} s in all", started.elapsed().as_secs_f64());
    println!("ci: {passed} steps passed");
    Ok(())
}

fn passes(command: &mut Command) -> Result<Outcome> {
    succeed(command).map(|()| Outcome::Passed)
}

fn format() -> Result<Outcome> {
    passes(&mut cargo(["fmt", "--all", "--check"])?)
}

fn clippy() -> Result<Outcome> {
    succeed(&mut cargo(["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"])?)?;
    // The old bugs are compiled into nothing else.
    let mut command = cargo(["clippy", "--quiet", "--package", "xtask-ledger", "--features", "mutants"])?;
    passes(command.args(["--all-targets", "--", "-D", "warnings"]))
}

fn docs() -> Result<Outcome> {
    passes(cargo(["doc", "--quiet", "--workspace", "--no-deps"])?.env("RUSTDOCFLAGS", "-D warnings"))
}

fn wasm() -> Result<Outcome> {
    if let Some(missing) = wasm::missing_target() {
        return Ok(Outcome::Skipped(missing));
    }
    let mut command = cargo(["build", "--quiet", "--lib", "--target", wasm::TARGET])?;
    for package in PURE {
        command.args(["--package", package]);
    }
    succeed(&mut command)?;
    Ok(wasm::compare()?.map_or(Outcome::Passed, Outcome::Skipped))
}

fn test() -> Result<Outcome> {
    passes(&mut cargo(["test", "--quiet", "--workspace"])?)
}

/// Every short story of the models, and the old bugs that they find.
fn exhaustive() -> Result<Outcome> {
    crate::exhaustive(&["--states=1000000".to_owned()])?;
    crate::exhaustive(&["--mutants".to_owned()]).map(|()| Outcome::Passed)
}

fn deny() -> Result<Outcome> {
    let installed = cargo(["deny", "--version"])?.output().is_ok_and(|output| output.status.success());
    if !installed {
        return Ok(Outcome::Skipped("cargo-deny is not installed (`cargo install cargo-deny`)".to_owned()));
    }
    passes(&mut cargo(["deny", "--log-level", "error", "check"])?)
}
