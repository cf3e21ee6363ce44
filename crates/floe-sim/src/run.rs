//! Running seeds: one, or a range of them.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::check::{Checked, Invariant, Violation, broken};
use crate::clock::{Moment, SECOND};
use crate::graph::Graph;
use crate::groups;
use crate::link::link;
use crate::marks::{Mark, Marks, Reached};
use crate::mutant::Mutant;
use crate::plan::{Plan, Restrictions};
use crate::trace::{Sink, Trace, TraceHash};
use crate::world::World;

/// How seeds are run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What is taken away from each seed.
    pub restrictions: Restrictions,
    /// A bug that every member has.
    pub mutant: Option<Mutant>,
}

/// What became of a seed.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// The restrictions that it ran under.
    pub restrictions: Restrictions,
    /// The mutant that it ran with.
    pub mutant: Option<Mutant>,
    /// The rule that was broken, if one was.
    pub violation: Option<Violation>,
    /// The hash of all that happened.
    pub hash: TraceHash,
    /// What the run did.
    pub statistics: Statistics,
    /// The rare branches that it reached.
    pub marks: Marks,
}

/// What a run did, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Simulated time, in nanoseconds.
    pub simulated: u64,
    /// Events handled.
    pub events: u64,
    /// Events written into the trace.
    pub traced: u64,
    /// Entries committed.
    pub committed: u64,
    /// Memberships that came into a log.
    pub changes: u64,
    /// Operations that clients invoked.
    pub invoked: u64,
    /// Operations that were acknowledged.
    pub acknowledged: u64,
    /// The highest term with a leader.
    pub term: u64,
}

impl Statistics {
    /// Adds those of another run; the term is the highest.
    fn add(&mut self, other: &Self) {
        let Self { simulated, events, traced, committed, changes, invoked, acknowledged, term } = *other;
        self.simulated += simulated;
        self.events += events;
        self.traced += traced;
        self.committed += committed;
        self.changes += changes;
        self.invoked += invoked;
        self.acknowledged += acknowledged;
        self.term = self.term.max(term);
    }
}

impl Outcome {
    /// The command that repeats it.
    pub fn command(&self) -> String {
        let Self { seed, restrictions, mutant, .. } = self;
        let mut command = format!("floe sim --seed {seed}");
        if let Some(voters) = restrictions.voters {
            command += &format!(" --voters {voters}");
        }
        if let Some(graph) = restrictions.graph {
            command += &format!(" --graph {}", graph.name());
        }
        if let Some(clients) = restrictions.clients {
            command += &format!(" --clients {clients}");
        }
        if let Some(groups) = restrictions.groups {
            command += &format!(" --groups {groups}");
        }
        if let Some(seconds) = restrictions.seconds {
            command += &format!(" --seconds {seconds}");
        }
        if !restrictions.with.is_empty() {
            let names: Vec<&str> = restrictions.with.iter().map(|feature| feature.name()).collect();
            command += &format!(" --with {}", names.join(","));
        }
        if !restrictions.without.is_empty() {
            let names: Vec<&str> = restrictions.without.iter().map(|feature| feature.name()).collect();
            command += &format!(" --without {}", names.join(","));
        }
        if restrictions.store {
            command += " --store";
        }
        if !restrictions.skip.is_empty() {
            let numbers: Vec<String> = restrictions.skip.iter().map(u32::to_string).collect();
            command += &format!(" --skip {}", numbers.join(","));
        }
        if let Some(mutant) = mutant {
            command += &format!(" --mutant {}", mutant.name());
        }
        command
    }
}

impl Outcome {
    /// What to put behind the address of the lab's page, to see it where it breaks a rule. `None` if it breaks none, or
    /// is not shown there.
    pub fn link(&self) -> Option<String> {
        let violation = self.violation.as_ref()?;
        link(self.seed, &self.restrictions, self.mutant, violation.at)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, hash, statistics, .. } = self;
        match &self.violation {
            Some(violation) => {
                write!(f, "seed {seed} breaks {violation}\n  replay: {}", self.command())?;
                match self.link() {
                    Some(link) => write!(f, "\n  watch:  floe lab, with {link} behind the page's address"),
                    None => Ok(()),
                }
            }
            None => write!(
                f,
                "seed {seed} holds: {} s, {} events, {} committed, {} of {} operations acknowledged, hash {hash}",
                statistics.simulated / SECOND,
                statistics.events,
                statistics.committed,
                statistics.acknowledged,
                statistics.invoked,
            ),
        }
    }
}

/// Runs one seed.
pub fn run(seed: u64, options: &Options) -> Outcome {
    run_with(seed, options, None)
}

/// Runs one seed and gives every line of its trace, without the newline, to `sink`.
pub fn run_traced(seed: u64, options: &Options, sink: impl FnMut(&str) + 'static) -> Outcome {
    run_with(seed, options, Some(Sink(Box::new(sink))))
}

fn run_with(seed: u64, options: &Options, sink: Option<Sink>) -> Outcome {
    let mut restrictions = options.restrictions.clone();
    if let Some(mutant) = options.mutant {
        mutant.needs(&mut restrictions);
    }
    // Mutants are looked for where one group is looked at closely.
    restrictions.groups = if options.mutant.is_some() { Some(1) } else { restrictions.groups };
    let plan = Plan::draw(seed, &restrictions);
    if plan.groups > 1 {
        let (violation, hash, statistics) = groups::run(plan, Trace::new(sink));
        let Options { restrictions, mutant } = options.clone();
        return Outcome { seed, restrictions, mutant, violation, hash, statistics, marks: Marks::default() };
    }
    let mut world = World::new(plan, options.mutant, Trace::new(sink));
    let graph = restrictions.graph;
    // A panic is a finding like any other, with a seed that repeats it.
    let done = catch_unwind(AssertUnwindSafe(|| live(&mut world, graph))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("without a message");
        let mut violation = broken(Invariant::NoPanic, text);
        violation.at = world.now;
        Err(violation)
    });
    let done = done.map_err(|mut violation| {
        // Found between two events, not by one.
        if violation.at == Moment(0) {
            violation.at = world.now;
        }
        violation
    });
    if world.check.memberships.has_promoted() {
        world.marks.reach(Mark::PromotedByLeader);
    }
    let (invoked, acknowledged) = world.check.clients.counts();
    Outcome {
        seed,
        restrictions: options.restrictions.clone(),
        mutant: options.mutant,
        violation: done.err().map(|violation| *violation),
        hash: world.trace.hash(),
        statistics: Statistics {
            simulated: world.now.0,
            events: world.handled(),
            traced: world.trace.events(),
            committed: world.check.commits.last().0,
            changes: world.check.memberships.changes(),
            invoked,
            acknowledged,
            term: world.check.elections.last().map_or(0, |(term, _)| term.0),
        },
        marks: world.marks,
    }
}

fn live(world: &mut World, graph: Option<Graph>) -> Checked {
    world.begin()?;
    if let Some(graph) = graph {
        return world.live_in(graph);
    }
    world.run_until(world.plan.end)?;
    world.check_unanswered()?;
    // The healing has moved the end.
    world.run_until(world.ends)?;
    world.look_who_leads();
    world.check_settled()
}

/// The sum of many runs.
#[derive(Clone, Debug, Default)]
pub struct Sweep {
    /// Seeds run.
    pub seeds: u64,
    /// Those that broke a rule.
    pub failures: Vec<Outcome>,
    /// The sums of all runs; the term is the highest.
    pub statistics: Statistics,
    /// In how many of them each rare branch was reached.
    pub reached: Reached,
}

impl Sweep {
    /// Adds one outcome.
    pub fn add(&mut self, outcome: Outcome) {
        self.seeds += 1;
        self.statistics.add(&outcome.statistics);
        self.reached.add(outcome.marks);
        if outcome.violation.is_some() {
            self.failures.push(outcome);
        }
    }

    /// Adds the outcomes of another sweep.
    pub fn merge(&mut self, other: Self) {
        let Self { seeds, failures, statistics, reached } = other;
        self.reached.merge(&reached);
        self.seeds += seeds;
        self.failures.extend(failures);
        self.statistics.add(&statistics);
    }
}

/// Runs these seeds in order, as long as `goes_on` says so after each.
pub fn sweep(
    seeds: impl IntoIterator<Item = u64>,
    options: &Options,
    mut goes_on: impl FnMut(&Sweep) -> bool,
) -> Sweep {
    let mut sweep = Sweep::default();
    for seed in seeds {
        sweep.add(run(seed, options));
        if !goes_on(&sweep) {
            break;
        }
    }
    sweep
}
