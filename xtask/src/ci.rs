//! The steps of continuous integration, cheapest first. The first failure stops the run.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::workspace::{cargo, root, succeed};
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
    Step { name: "seeds", run: seeds },
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
    let packages = ["--package=xtask-ledger", "--package=xtask-exhaustive"];
    let mut command = cargo(["clippy", "--quiet", "--all-targets"])?;
    command.args(packages).arg("--features=xtask-ledger/mutants,xtask-exhaustive/mutants");
    passes(command.args(["--", "-D", "warnings"]))
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

/// Five minutes of simulated worlds that no commit before this one has seen, on two processors, with what the tests are
/// built with: there is next to nothing to build, and the core checks its own invariants.
fn seeds() -> Result<Outcome> {
    let commit = git_commit();
    let first = commit.as_deref().map_or(1, seed_of);
    println!("ci: seeds from {first}, which commit {} gives", commit.as_deref().unwrap_or("(none)"));
    let program = ["run", "--quiet", "--profile=test", "--package=xtask-sim", "--"];
    passes(cargo(program)?.args(["--minutes=5", "--threads=2", &format!("--seed-start={first}")]))
}

/// The commit that is checked; none in a copy without its history.
fn git_commit() -> Option<String> {
    let output = Command::new("git").args(["rev-parse", "HEAD"]).current_dir(root().ok()?).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|commit| output.status.success() && !commit.is_empty())
}

/// Where the seeds of a commit begin: far from those of others.
fn seed_of(commit: &str) -> u64 {
    let digits = commit.get(..8).unwrap_or(commit);
    u64::from_str_radix(digits, 16).map_or(1, |number| number * 1_000_000)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_have_seeds_of_their_own() {
        assert_eq!(seed_of("0000000a99"), 10_000_000);
        assert_ne!(seed_of("6161b11f00"), seed_of("6161b11e00"));
        assert_eq!(seed_of("main"), 1);
    }
}
