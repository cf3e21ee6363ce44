//! `floe sim`: one seed of the simulator again, with its verdict, its numbers and, if wanted, its whole history.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

use clap::Args;
use floe_sim::{Feature, Graph, Mutant, Options, Outcome, Restrictions, Statistics, run, run_traced, shrink};

#[derive(Args)]
#[command(after_help = "\
Examples:
  floe sim --seed 42                       does it hold? the same hash on every machine
  floe sim --seed 42 --trace history.ndjson
  floe sim --seed 42 --without loss,crash --skip 3,4 --voters 3
  floe sim --seed 7 --mutant host-forget-vote --shrink 300

A failure that `cargo xtask sim` finds prints the command that repeats it. Exit codes: 0 it holds, 1 it breaks a rule.")]
pub(crate) struct Arguments {
    /// What decides everything that happens
    #[arg(long)]
    seed: u64,
    /// Write every event to this file, as a line of JSON each
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// If it breaks a rule, look for the smallest variant that still does, in at most this many runs
    #[arg(long, value_name = "RUNS", default_value_t = 0)]
    shrink: u32,
    /// Let the real key-value store run beside the map of each host: they must agree
    #[arg(long)]
    store: bool,
    #[command(flatten)]
    less: Less,
}

/// What is taken away from the seed, as the shrinker prints it.
#[derive(Args)]
#[command(next_help_heading = "Taking away")]
pub(crate) struct Less {
    /// The number of voters, instead of the seed's own
    #[arg(long)]
    voters: Option<u64>,
    /// A graph of links that stands for ten minutes, instead of the seed's own faults
    #[arg(long, value_name = "NAME")]
    graph: Option<Graph>,
    /// The number of clients, instead of the seed's own
    #[arg(long)]
    clients: Option<u64>,
    /// The number of groups that the machines share, instead of the seed's own
    #[arg(long)]
    groups: Option<u64>,
    /// How many simulated seconds the faults last
    #[arg(long)]
    seconds: Option<u64>,
    /// Features that are on, whatever the seed has drawn, by name, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    with: Vec<Feature>,
    /// Features that are off, by name, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    without: Vec<Feature>,
    /// Interventions that do not take place, by number, separated by commas
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    skip: Vec<u32>,
    /// A rule that every host breaks, by name
    #[arg(long, value_name = "NAME")]
    mutant: Option<Mutant>,
}

impl Less {
    /// The same as the `world` of the lab's settings (`docs/design/lab.md`), where the seed is a text: not every one is a
    /// number of JavaScript's.
    #[cfg(feature = "lab")]
    pub(crate) fn world(&self, seed: u64) -> serde_json::Value {
        let Self { voters, graph, clients, groups, seconds, with, without, skip, mutant } = self;
        let names =
            |features: &[Feature]| -> Vec<&str> { features.iter().map(|feature| feature.name()).collect() };
        let mut world = serde_json::json!({
            "seed": seed.to_string(), "voters": voters, "graph": graph.map(Graph::name), "clients": clients,
            "groups": groups, "seconds": seconds, "with": names(with), "without": names(without), "skip": skip,
            "mutant": mutant.map(Mutant::name),
        });
        if let Some(fields) = world.as_object_mut() {
            fields
                .retain(|_, value| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty()));
        }
        world
    }

    /// Whether nothing is said.
    #[cfg(feature = "lab")]
    pub(crate) fn is_empty(&self) -> bool {
        self.world(0).as_object().is_some_and(|fields| fields.len() == 1)
    }

    fn options(self, store: bool) -> Options {
        let Self { voters, graph, clients, groups, seconds, with, without, skip, mutant } = self;
        let (with, without) = (BTreeSet::from_iter(with), BTreeSet::from_iter(without));
        let skip = BTreeSet::from_iter(skip);
        Options {
            restrictions: Restrictions {
                voters,
                graph,
                clients,
                groups,
                with,
                without,
                skip,
                seconds,
                store,
            },
            mutant,
        }
    }
}

/// Replays the seed and prints what became of it.
pub(crate) fn main(arguments: Arguments) -> ExitCode {
    let Arguments { seed, trace, shrink: runs, store, less } = arguments;
    let options = less.options(store);
    let outcome = match &trace {
        None => run(seed, &options),
        Some(path) => match run_into(path, seed, &options) {
            Ok(outcome) => outcome,
            Err(error) => {
                eprintln!("error: cannot write {}: {error}", path.display());
                return ExitCode::FAILURE;
            }
        },
    };
    // Whoever closed our output has seen enough; the exit code still tells.
    let _ = print(&outcome, runs);
    if outcome.violation.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Runs the seed and writes its trace, one event a line.
fn run_into(path: &Path, seed: u64, options: &Options) -> io::Result<Outcome> {
    let file = Rc::new(RefCell::new((BufWriter::new(File::create(path)?), Ok(()))));
    let sink = Rc::clone(&file);
    let outcome = run_traced(seed, options, move |line| {
        let (file, written) = &mut *sink.borrow_mut();
        if written.is_ok() {
            *written = writeln!(file, "{line}");
        }
    });
    let (writer, written) = &mut *file.borrow_mut();
    std::mem::replace(written, Ok(()))?;
    writer.flush()?;
    Ok(outcome)
}

fn print(outcome: &Outcome, runs: u32) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let Statistics { simulated, events, traced, committed, changes, invoked, acknowledged, term } =
        outcome.statistics;
    match &outcome.violation {
        None => writeln!(out, "seed {} holds", outcome.seed)?,
        Some(violation) => writeln!(out, "seed {} breaks {violation}", outcome.seed)?,
    }
    writeln!(out, "simulated     {}.{:03} s", simulated / 1_000_000_000, simulated / 1_000_000 % 1_000)?;
    writeln!(out, "events        {events}, {traced} in the trace")?;
    writeln!(out, "committed     {committed} entries, up to term {term}")?;
    writeln!(out, "memberships   {changes} after the first")?;
    writeln!(out, "operations    {invoked}, of which {acknowledged} were acknowledged")?;
    writeln!(out, "hash          {}", outcome.hash)?;
    if let Some(link) = outcome.link() {
        writeln!(out, "watch it      floe lab, with {link} behind the page's address")?;
    }
    if outcome.violation.is_some() && runs > 0 {
        let shrunk = shrink(outcome, runs);
        writeln!(out, "made smaller in {} runs:\n{}", shrunk.runs, shrunk.outcome)?;
    }
    Ok(())
}
