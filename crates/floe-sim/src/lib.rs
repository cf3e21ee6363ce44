//! The deterministic world: the real core and the real log under simulated time, networks, disks, processes, clocks
//! and clients, checked after every event.
//!
//! A *seed* decides everything: the size of the world, its timings, its own mix of faults, and every delay and loss.
//! The same seed gives the same history, event for event, on every machine; its 128-bit hash proves it. A world that
//! breaks a rule ends in a [`Violation`], a value that names the rule and the exact counter-example.
//!
//! [`run`] runs one seed, [`sweep`] many, and [`shrink`] looks for the smallest variant of a seed that still fails.
//! `docs/design/simulation.md` argues why the checks are enough; `docs/design/trace.md` is the trace's format.

#![forbid(unsafe_code)]

mod action;
mod change;
mod check;
mod clock;
mod faults;
mod graph;
mod groups;
mod host;
mod image;
mod lease;
mod link;
mod liveness;
mod machine;
mod marks;
mod members;
mod mutant;
mod name;
mod net;
mod plan;
mod queue;
mod rng;
mod run;
mod schedule;
mod settled;
mod shrink;
mod stage;
mod step;
mod storage;
#[cfg(feature = "store")]
mod store;
#[cfg(not(feature = "store"))]
#[path = "no_store.rs"]
mod store;
mod trace;
mod work;
mod workload;
mod world;

pub use floe_trace::TRACE_VERSION;

pub use floe_raft::NodeId;
pub use floe_trace::quote;

pub use action::{Action, Link, Target};
pub use change::{Step, StepKind};
pub use check::{Invariant, Violation};
pub use clock::{Moment, Rate};
pub use graph::Graph;
pub use marks::{Mark, Marks, Reached};
pub use mutant::{HostMutant, Mutant};
pub use name::UnknownName;
pub use plan::{Feature, HostPlan, NetworkPlan, Plan, Restrictions, WorkloadPlan};
pub use rng::{Rng, Stream};
pub use run::{Options, Outcome, Statistics, Sweep, run, run_traced, sweep};
pub use shrink::{Shrunk, shrink};
pub use stage::{
    Act, Change, DiskMode, End, LONGEST, MOST_ACTS, MOST_EVENTS, Reads, Script, Stage, StageError, Write,
};
pub use trace::TraceHash;
