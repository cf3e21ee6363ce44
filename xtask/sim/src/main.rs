//! `cargo xtask sim`: a program of its own, so that it is built with optimisation and the other tasks work where the
//! simulator does not compile. It sweeps the simulator over fresh seeds for some minutes, two at a time, and prints what it found.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Parser;
use floe_sim::{Feature, Graph, Mutant, Options, Plan, Restrictions, Sweep, run, shrink};

/// Runs simulated clusters from fresh seeds, two at a time, and fails if one breaks a rule.
#[derive(Parser, Debug)]
#[command(name = "cargo xtask sim", bin_name = "cargo xtask sim")]
struct Arguments {
    /// How long to go on.
    #[arg(long, default_value_t = 5)]
    minutes: u64,
    /// Stop after this many seeds, even if time is left.
    #[arg(long)]
    seeds: Option<u64>,
    /// The first seed; the others follow it.
    #[arg(long, default_value_t = 1)]
    seed_start: u64,
    /// How many threads run worlds.
    #[arg(long, default_value_t = 2)]
    threads: u64,
    /// The number of voters, instead of each seed's own.
    #[arg(long)]
    voters: Option<u64>,
    /// The number of groups that the machines share, instead of each seed's own.
    #[arg(long)]
    groups: Option<u64>,
    /// Features that are off, by name, separated by commas.
    #[arg(long, value_delimiter = ',')]
    without: Vec<Feature>,
    /// The real key-value store runs beside the map of each host, and must agree with it.
    #[arg(long)]
    store: bool,
    /// A graph of links that stands for ten minutes, instead of each seed's own faults.
    #[arg(long)]
    graph: Option<Graph>,
    /// Features that are on, whatever each seed has drawn.
    #[arg(long, value_delimiter = ',')]
    with: Vec<Feature>,
    /// A rule that every host breaks, by name: the sweep must find it.
    #[arg(long)]
    mutant: Option<Mutant>,
    /// How many variants of a failing seed are tried to make it smaller.
    #[arg(long, default_value_t = 300)]
    shrink: u32,
    /// Stop at this many failures.
    #[arg(long, default_value_t = 10)]
    failures: usize,
}

fn main() -> ExitCode {
    match sweep(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What all threads have done.
#[derive(Default)]
struct Sum {
    sweep: Sweep,
    /// How long the threads were on a processor.
    busy: Duration,
    /// The worlds that the simulator's rate is stated for, one group with five voters, and how long they took.
    of_five: u64,
    busy_with_five: Duration,
}

/// Sweeps, and fails if a seed breaks a rule.
fn sweep(arguments: &Arguments) -> Result<()> {
    let options = options(arguments);
    let begun = Instant::now();
    let until = begun + Duration::from_secs(arguments.minutes * 60);
    let next = AtomicU64::new(0);
    let sum = Mutex::new(Sum::default());
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads.max(1) {
            scope.spawn(|| {
                let done = worker(arguments, &options, until, &next, &sum);
                let mut sum = sum.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                sum.busy += done;
            });
        }
    });
    let sum = sum.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    report(arguments, &sum, begun.elapsed());
    let sweep = sum.sweep;
    if sweep.failures.is_empty() {
        return Ok(());
    }
    bail!("{} of {} seeds break a rule", sweep.failures.len(), sweep.seeds)
}

fn options(arguments: &Arguments) -> Options {
    let without = arguments.without.iter().copied().collect();
    let with = arguments.with.iter().copied().collect();
    let restrictions = Restrictions {
        voters: arguments.voters,
        graph: arguments.graph,
        store: arguments.store,
        groups: arguments.groups,
        with,
        without,
        ..Restrictions::default()
    };
    Options { restrictions, mutant: arguments.mutant }
}

/// Runs seeds until it is time to stop; returns how long this thread was on a processor.
fn worker(
    arguments: &Arguments,
    options: &Options,
    until: Instant,
    next: &AtomicU64,
    sum: &Mutex<Sum>,
) -> Duration {
    while Instant::now() < until {
        let nth = next.fetch_add(1, Ordering::Relaxed);
        if arguments.seeds.is_some_and(|seeds| nth >= seeds) {
            break;
        }
        let seed = arguments.seed_start + nth;
        let plan = Plan::draw(seed, &options.restrictions);
        let is_of_five = plan.voters.len() == 5 && plan.groups == 1;
        let before = if is_of_five { time_on_processor() } else { Duration::ZERO };
        let outcome = run(seed, options);
        if outcome.violation.is_some() {
            println!("{outcome}");
        }
        let mut sum = sum.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if is_of_five {
            sum.of_five += 1;
            sum.busy_with_five += time_on_processor().saturating_sub(before);
        }
        sum.sweep.add(outcome);
        if sum.sweep.failures.len() >= arguments.failures {
            break;
        }
    }
    time_on_processor()
}

/// How long this thread has run, by the kernel's own count, so that the rate does not depend on what else the machine
/// does; zero where the kernel does not say.
fn time_on_processor() -> Duration {
    let counted = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = counted.and_then(|text| text.split_whitespace().next()?.parse().ok());
    nanos.map_or(Duration::ZERO, Duration::from_nanos)
}

fn report(arguments: &Arguments, sum: &Sum, elapsed: Duration) {
    let Sum { sweep, busy, of_five, busy_with_five } = sum;
    let Sweep { seeds, failures, statistics, reached } = sweep;
    let simulated = Duration::from_nanos(statistics.simulated);
    println!(
        "sim: seeds {}..{}: {seeds} worlds, {:.1} simulated hours, {} events, {} entries committed, \
         {} memberships, {} of {} operations acknowledged",
        arguments.seed_start,
        arguments.seed_start + seeds,
        simulated.as_secs_f64() / 3_600.0,
        statistics.events,
        statistics.committed,
        statistics.changes,
        statistics.acknowledged,
        statistics.invoked,
    );
    let reached: Vec<String> =
        reached.iter().map(|(mark, count)| format!("{} {count}", mark.name())).collect();
    println!("sim: rare branches, and the worlds that reached them: {}", reached.join(", "));
    if !busy.is_zero() {
        let rate = *seeds as f64 / busy.as_secs_f64() * 60.0;
        println!("sim: {rate:.0} seeds a core-minute ({:.0} s of processor time)", busy.as_secs_f64());
    }
    if !busy_with_five.is_zero() {
        let rate = *of_five as f64 / busy_with_five.as_secs_f64() * 60.0;
        println!("sim: of them {of_five} are worlds of five voters: {rate:.0} a core-minute");
    }
    println!(
        "sim: {:.0} s, {} threads, {} failures",
        elapsed.as_secs_f64(),
        arguments.threads,
        failures.len()
    );
    if let Some(first) = failures.first()
        && arguments.shrink > 0
    {
        let shrunk = shrink(first, arguments.shrink);
        println!("sim: the first failure, made smaller in {} runs:\n{}", shrunk.runs, shrunk.outcome);
    }
}
