//! Worlds of many groups: machines that are members of up to fifty groups each, over one log a machine, with shared
//! heartbeats, and in half of them with groups that sleep.
//!
//! The other worlds look at one group from close by: its snapshots, changes of its members, its reads of old entries.
//! These look at what groups have in common: a machine that fails takes part of every group along, a batch of writes
//! holds those of several, a beat speaks for many. The rules are the same, held for each group by a checker of its own;
//! and two are added. Once the faults are over, **every** group that has a majority commits again. And once nothing is asked of
//! them any more, all groups whose members all live go to sleep, and stay there without an election.

mod disk;
mod faults;
mod group;
mod load;
mod perform;
mod start;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::check::{Checked, Invariant, Violation, broken};
use crate::clock::Moment;
use crate::plan::Plan;
use crate::run::Statistics;
use crate::trace::{Trace, TraceHash};
pub(crate) use world::{Event, GroupsWorld, Load};

/// Runs the world of a plan with more than one group.
pub(crate) fn run(plan: Plan, trace: Trace) -> (Option<Violation>, TraceHash, Statistics) {
    let mut world = GroupsWorld::new(plan, trace);
    let done = catch_unwind(AssertUnwindSafe(|| live(&mut world))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("without a message");
        let mut violation = broken(Invariant::NoPanic, text);
        violation.at = world.now;
        Err(violation)
    });
    (done.err().map(|violation| *violation), world.trace.hash(), world.statistics())
}

fn live(world: &mut GroupsWorld) -> Checked {
    world.begin()?;
    let end = world.plan.end;
    world.run_until(end)?;
    if !world.plan.liveness {
        return Ok(());
    }
    let election = world.plan.election_timeout_max();
    world.heal()?;
    let resumed = Moment(end.0 + 4 * election);
    world.run_until(resumed)?;
    world.must_have_committed()?;
    world.rest();
    // An old message that comes late may wake a group, as it must.
    let late = world.stragglers_until.plus(world.plan.network.late_max);
    let asleep = Moment(resumed.max(late).0 + world.patience());
    world.run_until(asleep)?;
    world.must_sleep()?;
    world.run_until(Moment(asleep.0 + 20 * election))?;
    world.must_sleep()
}
