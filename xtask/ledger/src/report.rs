//! The table of what was found, and the verdict.

use std::fmt::Write;

use anyhow::{Result, bail};

use crate::Arguments;
use crate::search::Finding;

/// Longer lines are cut: the details are in the world, which opens again.
const LINE: usize = 160;

/// Prints the table; an error if a bug was not found.
pub(crate) fn report(arguments: &Arguments, findings: Vec<Finding>) -> Result<()> {
    println!("| bug | who had it | found by | seeds | seconds | opened by |");
    println!("|---|---|---|---|---|---|");
    for finding in &findings {
        println!("{}", row(finding));
    }
    let missing: Vec<&str> = findings
        .iter()
        .filter(|finding| finding.outcome.is_none())
        .map(|finding| finding.mutant.name())
        .collect();
    // Of one bug that was asked for by its name somebody wants to know more.
    if let [finding] = findings.as_slice()
        && let Some(link) = finding.outcome.as_ref().and_then(floe_sim::Outcome::link)
    {
        println!("ledger: watch it: floe lab, with {link} behind the page's address");
    }
    println!("ledger: {} of {} bugs found", findings.len() - missing.len(), findings.len());
    if missing.is_empty() {
        return Ok(());
    }
    bail!("not found within {} seeds: {}", arguments.limit, missing.join(", "))
}

fn row(finding: &Finding) -> String {
    let Finding { mutant, outcome, seeds, took } = finding;
    let (rule, command) = match outcome.as_ref() {
        Some(found) => (
            found.violation.as_ref().map_or("", |violation| violation.invariant.name()),
            format!("`cargo xtask ledger --mutant {} --seed {}`", mutant.name(), found.seed),
        ),
        None => ("NOT FOUND", String::new()),
    };
    let (name, origin, seconds) = (mutant.name(), mutant.origin(), took.as_secs_f64());
    format!("| {name} | {origin} | {rule} | {seeds} | {seconds:.1} | {command} |")
}

/// One line while the search goes on.
pub(crate) fn progress(finding: &Finding) -> String {
    let Finding { mutant, outcome, seeds, took } = finding;
    let mut line = format!("{:26} {seeds:5} seeds {:6.1} s ", mutant.name(), took.as_secs_f64());
    let verdict = match outcome.as_ref().and_then(|outcome| outcome.violation.as_ref()) {
        Some(violation) => write!(line, "{violation}"),
        None => write!(line, "NOT FOUND"),
    };
    match verdict {
        Ok(()) => line.chars().take(LINE).collect(),
        Err(_) => String::new(),
    }
}
