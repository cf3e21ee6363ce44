//! The steps of continuous integration, cheapest first. The first failure stops the run.

use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::workspace::{cargo, root, succeed, target};
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
    Step { name: "build", run: build },
    Step { name: "wasm", run: wasm },
    Step { name: "lab-wasm", run: || Ok(lab_wasm::check()?.map_or(Outcome::Passed, Outcome::Skipped)) },
    Step { name: "test", run: test },
    Step { name: "lab", run: || Ok(lab::engine(None)?.map_or(Outcome::Passed, Outcome::Skipped)) },
    Step { name: "lab page", run: lab_page },
    Step { name: "seeds, ledger, exhaustive", run: searches },
    Step { name: "deny", run: deny },
    Step { name: "crash", run: crash },
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

/// The tests and the programs, with the features of the whole workspace: once for all the steps that follow.
fn build() -> Result<Outcome> {
    let all = ["build", "--quiet", "--workspace", "--tests", "--bins", "--profile=test"];
    passes(&mut cargo(all)?)
}

/// A program that `build` made.
fn program(name: &str) -> Result<PathBuf> {
    Ok(target()?.join("debug").join(name))
}

fn wasm() -> Result<Outcome> {
    if let Some(missing) = wasm::missing_target() {
        return Ok(Outcome::Skipped(missing));
    }
    let mut command = cargo(["check", "--quiet", "--lib", "--target", wasm::TARGET])?;
    for package in PURE {
        command.args(["--package", package]);
    }
    succeed(&mut command)?;
    let mut here = Command::new(program("xtask-wasm")?);
    Ok(wasm::compare_with(&mut here)?.map_or(Outcome::Passed, Outcome::Skipped))
}

fn test() -> Result<Outcome> {
    passes(&mut cargo(["test", "--quiet", "--workspace"])?)
}

/// The page, behind the program that the tests ran.
fn lab_page() -> Result<Outcome> {
    Ok(lab::browser(Some(&program("floe")?), None, None)?.map_or(Outcome::Passed, Outcome::Skipped))
}

/// Five minutes of simulated worlds that no commit before this one has seen, with what the tests are built with: the core
/// checks its own invariants. They keep one processor busy; meanwhile the other looks for old bugs, goes through every
/// short story of the models, and looks for the old bugs that only these show.
fn searches() -> Result<Outcome> {
    let commit = git_commit();
    let first = commit.as_deref().map_or(1, seed_of);
    println!("ci: seeds from {first}, which commit {} gives", commit.as_deref().unwrap_or("(none)"));
    let mut seeds = Command::new(program("xtask-sim")?);
    seeds.args(["--minutes=5", "--threads=1", &format!("--seed-start={first}")]);
    let mut seeds = Background::start(seeds)?;
    crate::ledger(&["--fast".to_owned()])?;
    crate::exhaustive(&["--states=1000000".to_owned()])?;
    crate::exhaustive(&["--mutants".to_owned()])?;
    seeds.wait()?;
    Ok(Outcome::Passed)
}

/// A program that runs beside a step, and no longer than that.
struct Background(Child);

impl Background {
    fn start(mut command: Command) -> Result<Self> {
        Ok(Self(
            command.spawn().with_context(|| format!("{:?} could not be started", command.get_program()))?,
        ))
    }

    /// Waits for its end, which must be a good one.
    fn wait(&mut self) -> Result<()> {
        let status = self.0.wait()?;
        ensure!(status.success(), "the seeds failed ({status})");
        Ok(())
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // It has ended, unless the step failed beside it.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
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

fn deny() -> Result<Outcome> {
    let installed = cargo(["deny", "--version"])?.output().is_ok_and(|output| output.status.success());
    if !installed {
        return Ok(Outcome::Skipped("cargo-deny is not installed (`cargo install cargo-deny`)".to_owned()));
    }
    passes(&mut cargo(["deny", "--log-level", "error", "check"])?)
}

fn crash() -> Result<Outcome> {
    let mut command = Command::new(program("xtask-processes")?);
    passes(command.args(["crash", "--rounds=3", "--binary"]).arg(program("floe")?))
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
