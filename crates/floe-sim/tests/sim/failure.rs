//! What a test leaves behind of a seed that breaks a rule.

use std::fs;
use std::path::PathBuf;
use std::sync::mpsc;

use floe_sim::{Options, Outcome, run_traced, sweep};

/// Fails with every broken seed, its command, and a file with its history.
pub(crate) fn all_hold(seeds: std::ops::Range<u64>, options: &Options) {
    let sweep = sweep(seeds, options, |_| true);
    assert_holds(&sweep.failures, options);
    assert!(sweep.statistics.committed > 10 * sweep.seeds, "hardly anything was committed: {sweep:?}");
}

/// The same for worlds that have been run.
pub(crate) fn assert_holds(failures: &[Outcome], options: &Options) {
    let told: Vec<String> = failures.iter().map(|failure| tell(failure, options)).collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
}

fn tell(failure: &Outcome, options: &Options) -> String {
    match write_trace(failure.seed, options) {
        Ok(path) => format!("{failure}\n  trace:  {0}\n          floe lab {0}", path.display()),
        Err(error) => format!("{failure}\n  trace:  none: {error}"),
    }
}

/// Runs the seed again, and writes its history to a file beside what is built.
fn write_trace(seed: u64, options: &Options) -> std::io::Result<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("failed-seeds");
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{seed}.ndjson"));
    let (lines, written) = mpsc::channel::<String>();
    run_traced(seed, options, move |line| {
        // It is received below, when the world has ended.
        let _ = lines.send(line.to_owned());
    });
    let text: String = written.iter().flat_map(|line| [line, "\n".to_owned()]).collect();
    fs::write(&path, text)?;
    Ok(path)
}

#[test]
fn a_broken_seed_leaves_its_history_and_the_commands_that_show_it() {
    let options =
        Options { mutant: Some("host-apply-twice".parse().expect("a mutant")), ..Options::default() };
    let sweep = sweep(1..50, &options, |sweep| sweep.failures.is_empty());
    let failure = sweep.failures.first().expect("it is found");
    let told = tell(failure, &options);
    assert!(told.contains(&format!("floe sim --seed {}", failure.seed)), "{told}");
    let path = told.lines().find_map(|line| line.trim().strip_prefix("trace:")).expect("a path").trim();
    let trace = fs::read_to_string(path).expect("it is there");
    assert!(trace.lines().next().is_some_and(|line| line.contains(r#""kind":"world""#)), "{path}");
    assert!(trace.lines().last().is_some_and(|line| line.contains(r#""kind":"violated""#)), "{path}");
}
