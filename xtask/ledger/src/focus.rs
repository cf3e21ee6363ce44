//! In which worlds each bug is looked for, or in which model of the exhaustive search; and which bugs are found within
//! seconds.

use std::collections::BTreeSet;

use floe_sim::{Feature, Graph, Mutant, Restrictions};

/// Forces upon every seed what the bug needs. Most need nothing: the mix of the seeds brings them out.
pub(crate) fn world_for(mutant: Mutant) -> Restrictions {
    let Some(focus) = FOCUS.iter().find(|focus| focus.mutant == mutant.name()) else {
        return Restrictions::default();
    };
    let with: BTreeSet<Feature> = focus.with.iter().copied().collect();
    let all = Feature::ALL.iter().map(|(feature, _)| *feature);
    let without = all.filter(|feature| focus.only && !with.contains(feature)).collect();
    Restrictions { voters: focus.voters, graph: focus.graph, with, without, ..Restrictions::default() }
}

/// The model of the exhaustive search in which it is looked for instead, since worlds hardly ever come by it.
pub(crate) fn model_for(mutant: Mutant) -> Option<&'static str> {
    MODELS.iter().find(|(name, _)| *name == mutant.name()).map(|(_, model)| *model)
}

/// Whether it is looked for on damaged disks.
pub(crate) fn needs_damage(mutant: Mutant) -> bool {
    DAMAGE.contains(&mutant.name())
}

/// Whether it belongs to the half that continuous integration looks for.
pub(crate) fn is_fast(mutant: Mutant) -> bool {
    !SLOW.contains(&mutant.name())
}

/// The worlds in which a bug is looked for: how many voters, in which graph of links, with which faults for certain.
struct Focus {
    mutant: &'static str,
    voters: Option<u64>,
    graph: Option<Graph>,
    with: &'static [Feature],
    /// No other fault than those.
    only: bool,
}

impl Focus {
    const fn with(mutant: &'static str, with: &'static [Feature]) -> Self {
        Self { mutant, voters: None, graph: None, with, only: false }
    }

    const fn voters(mutant: &'static str, voters: u64, with: &'static [Feature]) -> Self {
        Self { mutant, voters: Some(voters), graph: None, with, only: false }
    }

    const fn only(mutant: &'static str, voters: u64, with: &'static [Feature]) -> Self {
        Self { mutant, voters: Some(voters), graph: None, with, only: true }
    }

    const fn graph(mutant: &'static str, graph: Graph) -> Self {
        Self { mutant, voters: None, graph: Some(graph), with: &[], only: false }
    }
}

/// Bugs that a sound disk never shows.
const DAMAGE: &[&str] = &["log-middle-cut", "log-one-copy"];

/// What takes a story of ten or more steps in one order, and which model tells it.
const MODELS: &[(&str, &str)] = &[
    ("lease-forgotten", "promises"),
    ("promise-of-one-term", "promises"),
    ("old-ack", "late-ack"),
    ("pull-keeps-term", "pulled-ack"),
    ("pull-unchecked", "late-pull"),
    ("refused-term-unheard", "bystander"),
    ("transfer-unfenced", "invitation"),
];

const FOCUS: &[Focus] = &[
    Focus::graph("no-stickiness", Graph::Flapping),
    Focus::graph("no-check-quorum", Graph::DeafLeader),
    Focus::with("uncommitted-leaks", &[Feature::SmallWindows]),
    Focus::with("refusal-unheard", &[Feature::Loss, Feature::SmallWindows]),
    Focus::with("old-vote", &[Feature::Delay, Feature::Reorder]),
    Focus::with("read-round-reused", &[Feature::Pause, Feature::ClockJump]),
    Focus::with("read-unconfirmed", &[Feature::Pause, Feature::OneWay]),
    Focus::only(
        "read-names-reused",
        3,
        &[Feature::Replay, Feature::Delay, Feature::Reorder, Feature::Loss, Feature::Crash],
    ),
    Focus::only("forward-names-reused", 3, &[Feature::Replay, Feature::Boundary, Feature::Reorder]),
    Focus::only("transfer-for-ever", 3, &[Feature::Transfer, Feature::Crash]),
    Focus::only("no-snapshot", 3, &[Feature::Compact, Feature::Crash, Feature::Partition]),
    Focus::only("lost-snapshot-awaited", 3, &[Feature::Compact, Feature::Loss, Feature::Crash]),
    Focus::with("snapshot-keeps-tail", &[Feature::Compact, Feature::Partition]),
    Focus::with("old-snapshot-taken", &[Feature::Compact, Feature::Replay]),
    Focus::with("append-while-installing", &[Feature::Compact, Feature::Replay]),
    Focus::with("snapshot-keeps-membership", &[Feature::Members, Feature::Compact]),
    Focus::with("learner-refuses", &[Feature::Members]),
    Focus::voters("change-before-noop", 4, &[Feature::Members, Feature::Crash]),
    Focus::with("two-changes", &[Feature::Members]),
    Focus::with("membership-kept", &[Feature::Members, Feature::Partition]),
    Focus::with("joint-by-one-majority", &[Feature::Members]),
    Focus::with("joint-left-early", &[Feature::Members]),
    Focus::with("joint-forgotten", &[Feature::Members, Feature::Crash]),
    Focus::only(
        "lease-from-receipt",
        3,
        &[Feature::Lease, Feature::Delay, Feature::Reorder, Feature::Partition],
    ),
    Focus::with("no-promise", &[Feature::Lease]),
    Focus::with("witness-ahead", &[Feature::Witnesses]),
    Focus::only("lease-without-margin", 3, &[Feature::Lease, Feature::ClockRate, Feature::Partition]),
    Focus::only(
        "lease-outlives-transfer",
        3,
        &[Feature::Lease, Feature::Transfer, Feature::Delay, Feature::Loss],
    ),
    Focus::with("outsider-counts", &[Feature::Members]),
    Focus::with("log-sync-failure-ignored", &[Feature::FailDisk, Feature::Crash]),
];

/// Found, but after more than a few seconds.
const SLOW: &[&str] = &[
    "append-while-installing",
    "change-before-noop",
    "equal-timeouts",
    "forward-names-reused",
    "heartbeat-commits",
    "host-ack-overwritten",
    "host-forget-hard-state",
    "host-forget-vote",
    "host-reuse-id",
    "host-snapshot-membership",
    "late-completion",
    "learner-refuses",
    "lease-from-receipt",
    "lease-outlives-transfer",
    "lease-without-margin",
    "longest-log-wins",
    "lost-snapshot-awaited",
    "membership-kept",
    "no-check-quorum",
    "no-promise",
    "no-snapshot",
    "no-stickiness",
    "old-leader-unanswered",
    "old-snapshot-taken",
    "promise-of-one-term",
    "pull-keeps-term",
    "read-names-reused",
    "read-unconfirmed",
    "refusal-unheard",
    "snapshot-keeps-tail",
    "transfer-for-ever",
    "transfer-unfenced",
    "uncommitted-leaks",
];
