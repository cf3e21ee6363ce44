//! The table of what was found, and the verdict.

use std::fmt::Write;

use anyhow::{Result, bail};

use crate::Arguments;
use crate::search::{Finding, Found};

/// Longer lines are cut: the details are in the world, which opens again.
const LINE: usize = 160;

/// Prints the table; an error if a bug was not found.
pub(crate) fn report(arguments: &Arguments, findings: Vec<Finding>) -> Result<()> {
    println!("| bug | who had it | found by | after | seconds | opened by |");
    println!("|---|---|---|---|---|---|");
    for finding in &findings {
        println!("{}", row(finding));
    }
    let missing: Vec<&str> = findings
        .iter()
        .filter(|finding| finding.found.is_none())
        .map(|finding| finding.mutant.name())
        .collect();
    // Of one bug that was asked for by its name somebody wants to know more.
    if let [finding] = findings.as_slice()
        && let Some(Found::World(outcome)) = &finding.found
        && let Some(link) = outcome.link()
    {
        println!("ledger: watch it: floe lab, with {link} behind the page's address");
    }
    let searched = findings.iter().filter(|finding| matches!(finding.found, Some(Found::Model(_)))).count();
    println!(
        "ledger: {} of {} bugs found, {searched} of them by exhaustive search",
        findings.len() - missing.len(),
        findings.len()
    );
    if missing.is_empty() {
        return Ok(());
    }
    bail!("not found within {} seeds: {}", arguments.limit, missing.join(", "))
}

fn row(finding: &Finding) -> String {
    let Finding { mutant, found, seeds, took } = finding;
    let (name, origin, seconds) = (mutant.name(), mutant.origin(), took.as_secs_f64());
    let (rule, after, command) = match found {
        Some(Found::World(outcome)) => (
            outcome.violation.as_ref().map_or("", |violation| violation.invariant.name()).to_owned(),
            format!("{seeds} seeds"),
            format!("`cargo xtask ledger --mutant {name} --seed {}`", outcome.seed),
        ),
        Some(Found::Model(sighting)) => (
            format!("exhaustive search: {}", sighting.law),
            format!("{} states", sighting.states),
            format!("`cargo xtask exhaustive --mutant {name} --model {}`", sighting.model),
        ),
        Some(Found::Disk(rule)) => (
            rule.split(':').next().unwrap_or_default().to_owned(),
            format!("{seeds} damaged disks"),
            format!("`cargo xtask ledger --mutant {name}`"),
        ),
        None => ("NOT FOUND".to_owned(), format!("{seeds} seeds"), String::new()),
    };
    format!("| {name} | {origin} | {rule} | {after} | {seconds:.1} | {command} |")
}

/// One line while the search goes on.
pub(crate) fn progress(finding: &Finding) -> String {
    let Finding { mutant, found, seeds, took } = finding;
    let mut line = format!("{:26} {seeds:5} seeds {:6.1} s ", mutant.name(), took.as_secs_f64());
    let verdict = match found {
        Some(Found::World(outcome)) => match &outcome.violation {
            Some(violation) => write!(line, "{violation}"),
            None => Ok(()),
        },
        Some(Found::Model(sighting)) => write!(line, "{sighting}"),
        Some(Found::Disk(rule)) => write!(line, "{rule}"),
        None => write!(line, "NOT FOUND"),
    };
    match verdict {
        Ok(()) => line.chars().take(LINE).collect(),
        Err(_) => String::new(),
    }
}
