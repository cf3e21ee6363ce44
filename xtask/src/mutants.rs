//! `cargo xtask mutants`: changes the core at random places, one at a time, and counts how often its tests notice.
//!
//! `cargo-mutants` makes the changes and runs the tests; `.cargo/mutants.toml` says what is examined and how. Here the
//! sample is drawn, so that a run can be repeated: the names that `cargo mutants --list` prints are sorted, shuffled
//! (Fisher-Yates, SplitMix64 from the seed), and the first ones are taken. The scripts and the unit tests, which take a
//! moment, see all of them; the random schedules, which take seconds, what is left.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::workspace::{cargo, metadata};

/// Which part of the caught and the missed must be caught, in percent.
const LEAST_PERCENT: f64 = 85.0;
/// The tests take some four seconds; a change that makes them loop must not take for ever. In seconds.
const TIMEOUT: &str = "--timeout=90";
/// A change that makes a test allocate in a loop is caught by this, and not by the machine's memory. In KiB of address
/// space a process.
const MEMORY_KIB: u64 = 6 << 20;

/// The arguments of `cargo xtask mutants`.
#[derive(clap::Args)]
pub(crate) struct Draw {
    /// How many changes to try; 0 for all there are.
    #[arg(long, default_value_t = 200)]
    sample: usize,
    /// Another seed draws others.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Leave out the first ones of the draw, because an earlier run had them.
    #[arg(long, default_value_t = 0)]
    skip: usize,
    /// Print the draw, and try nothing.
    #[arg(long)]
    list: bool,
}

/// Draws a sample, tries it, and prints how much of it was caught. Fails if that is too little.
pub(crate) fn run(draw: &Draw) -> Result<()> {
    if !cargo(["mutants", "--version"])?.output().is_ok_and(|output| output.status.success()) {
        println!("mutants: SKIPPED: cargo-mutants is not installed (`cargo install cargo-mutants`)");
        return Ok(());
    }
    let mut names = listed()?;
    let all = names.len();
    shuffle(&mut names, draw.seed);
    let last = if draw.sample == 0 { all } else { draw.sample.min(all) };
    let drawn = names.get(draw.skip..last).unwrap_or_default();
    println!("mutants: {} of {all}, drawn by seed {}", drawn.len(), draw.seed);
    if draw.list {
        drawn.iter().for_each(|name| println!("{name}"));
        return Ok(());
    }
    if drawn.is_empty() {
        bail!("nothing is drawn: --skip {} leaves none of {last}", draw.skip);
    }
    let quick = try_all("quick", drawn, &["--", "--", "--skip=schedules::"])?;
    let all = if quick.missed.is_empty() {
        Outcomes::default()
    } else {
        println!("mutants: {} are left for the random schedules", quick.missed.len());
        try_all("all", &quick.missed, &[])?
    };
    report(&quick, &all)
}

/// The names of all changes that there are, sorted.
fn listed() -> Result<Vec<String>> {
    let output = cargo(["mutants", "--list", "--json", "--package=floe-raft"])?.output()?;
    if !output.status.success() {
        bail!("`cargo mutants --list` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let listed: Value =
        serde_json::from_slice(&output.stdout).context("`cargo mutants --list` printed no JSON")?;
    let mutants = listed.as_array().context("`cargo mutants --list` printed no list")?;
    let mut names = Vec::with_capacity(mutants.len());
    for mutant in mutants {
        names.push(mutant["name"].as_str().context("a change has no name")?.to_owned());
    }
    names.sort();
    Ok(names)
}

/// What came of some changes, by name.
#[derive(Default)]
struct Outcomes {
    caught: Vec<String>,
    missed: Vec<String>,
    timeout: Vec<String>,
    unviable: Vec<String>,
}

impl Outcomes {
    /// Of the changes that were drawn. cargo-mutants 27 tries a few others beside them: those that leave a field out of
    /// a struct expression pass all of its filters.
    fn read(results: &Path, drawn: &[String]) -> Result<Self> {
        let of = |outcome: &str| -> Result<Vec<String>> {
            let file = results.join(outcome).with_extension("txt");
            let text =
                fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
            let is_drawn = |name: &&String| text.lines().any(|line| line == *name);
            Ok(drawn.iter().filter(is_drawn).cloned().collect())
        };
        let outcomes = Self {
            caught: of("caught")?,
            missed: of("missed")?,
            timeout: of("timeout")?,
            unviable: of("unviable")?,
        };
        let tried = outcomes.viable() + outcomes.unviable.len();
        if tried != drawn.len() {
            bail!("{} changes were to be tried, and {tried} were; see {}", drawn.len(), results.display());
        }
        Ok(outcomes)
    }

    fn viable(&self) -> usize {
        self.caught.len() + self.missed.len() + self.timeout.len()
    }
}

/// Runs `cargo mutants` on these changes, with some of the tests. What it writes stays in the target directory.
fn try_all(name: &str, drawn: &[String], tests: &[&str]) -> Result<Outcomes> {
    let metadata = metadata()?;
    let target = metadata["target_directory"].as_str().context("cargo metadata names no target directory")?;
    let directory = Path::new(target).join("mutation").join(name);
    fs::create_dir_all(&directory).with_context(|| format!("{} cannot be made", directory.display()))?;
    let mut command =
        limited(&cargo(["mutants", "--package=floe-raft", "--jobs=1", "--colors=never", TIMEOUT])?);
    command.arg("--output").arg(&directory);
    command.args(drawn.iter().map(|name| format!("--re=^{}$", escaped(name)))).args(tests);
    let status = command.status().context("cargo mutants could not be started")?;
    // 2: some were missed; 3: some took too long. Both are results.
    if !matches!(status.code(), Some(0 | 2 | 3)) {
        bail!("`cargo mutants` failed ({status})");
    }
    Outcomes::read(&directory.join("mutants.out"), drawn)
}

/// Prints what came of the sample: of the quick tests, and then of all tests on what those had missed.
fn report(quick: &Outcomes, all: &Outcomes) -> Result<()> {
    let timeouts = || quick.timeout.iter().chain(&all.timeout);
    all.missed.iter().for_each(|name| println!("mutants: missed: {name}"));
    timeouts().for_each(|name| println!("mutants: timeout: {name}"));
    let caught = quick.caught.len() + all.caught.len();
    let viable = caught + all.missed.len() + timeouts().count();
    let percent = 100.0 * caught as f64 / viable.max(1) as f64;
    println!(
        "mutants: {caught} caught, {} missed, {} timeout, {} unviable; {percent:.1} % of {viable} viable are caught",
        all.missed.len(),
        timeouts().count(),
        quick.unviable.len(),
    );
    if percent < LEAST_PERCENT {
        bail!("at least {LEAST_PERCENT} % must be caught");
    }
    Ok(())
}

/// The same command where a process that allocates without bound is ended.
fn limited(command: &Command) -> Command {
    if !cfg!(unix) {
        let mut same = Command::new(command.get_program());
        same.args(command.get_args());
        return same;
    }
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("ulimit -v {MEMORY_KIB}; exec \"$@\"")).arg("sh");
    shell.arg(command.get_program()).args(command.get_args());
    if let Some(directory) = command.get_current_dir() {
        shell.current_dir(directory);
    }
    shell
}

/// A name as a regular expression that matches nothing else. Only what has a meaning is escaped: `\<` would get one.
fn escaped(name: &str) -> String {
    let mut expression = String::with_capacity(name.len() * 2);
    for character in name.chars() {
        if r"\.+*?()|[]{}^$".contains(character) {
            expression.push('\\');
        }
        expression.push(character);
    }
    expression
}

/// Fisher-Yates, by the numbers of SplitMix64.
fn shuffle(names: &mut [String], seed: u64) {
    let mut state = seed;
    for end in (1..names.len()).rev() {
        let place = next(&mut state) % (end as u64 + 1);
        names.swap(end, place as usize);
    }
}

fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("{number:03}")).collect()
    }

    #[test]
    fn a_seed_draws_the_same_again_and_another_draws_others() {
        let draw = |seed| {
            let mut drawn = names(100);
            shuffle(&mut drawn, seed);
            drawn
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1)[..10], draw(2)[..10]);
        let mut sorted = draw(1);
        sorted.sort();
        assert_eq!(sorted, names(100));
    }

    #[test]
    fn a_name_is_escaped() {
        assert_eq!(escaped("a.rs:1:2: replace + with <*"), r"a\.rs:1:2: replace \+ with <\*");
    }
}
