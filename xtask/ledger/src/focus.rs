//! In which worlds each bug is looked for, and which bugs are found within seconds.

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
    Focus::only("transfer-for-ever", 3, &[Feature::Transfer, Feature::Crash]),
    Focus::with("no-snapshot", &[Feature::Compact, Feature::Crash]),
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
    Focus::only("lease-without-margin", 3, &[Feature::Lease, Feature::ClockRate, Feature::Partition]),
    Focus::only(
        "lease-outlives-transfer",
        3,
        &[Feature::Lease, Feature::Transfer, Feature::Delay, Feature::Loss],
    ),
    Focus::only(
        "lease-forgotten",
        3,
        &[Feature::Lease, Feature::Crash, Feature::Partition, Feature::Boundary],
    ),
    Focus::only(
        "transfer-unfenced",
        3,
        &[Feature::Lease, Feature::Transfer, Feature::Delay, Feature::Replay],
    ),
    Focus::with("outsider-counts", &[Feature::Members]),
    Focus::with("log-sync-failure-ignored", &[Feature::FailDisk, Feature::Crash]),
];

/// Found, but after more than a few seconds.
const SLOW: &[&str] = &[
    "append-while-installing",
    "equal-timeouts",
    "host-forget-vote",
    "lease-forgotten",
    "lease-from-receipt",
    "lease-outlives-transfer",
    "lease-without-margin",
    "lost-snapshot-awaited",
    "no-check-quorum",
    "no-stickiness",
    "old-ack",
    "old-snapshot-taken",
    // The exhaustive search finds these two within seconds, and continuous integration runs it.
    "pull-keeps-term",
    "pull-unchecked",
    "read-names-reused",
    "refusal-unheard",
    "refused-term-unheard",
    "snapshot-keeps-tail",
    "transfer-for-ever",
    "transfer-unfenced",
    "uncommitted-leaks",
];
