//! In which worlds each bug is looked for, and which bugs are found within seconds.

use floe_sim::{Feature, Graph, Mutant, Restrictions};

/// Forces upon every seed what the bug needs. Most need nothing: the mix of the seeds brings them out.
pub(crate) fn world_for(mutant: Mutant) -> Restrictions {
    let Some(focus) = FOCUS.iter().find(|focus| focus.mutant == mutant.name()) else {
        return Restrictions::default();
    };
    Restrictions {
        voters: focus.voters,
        graph: focus.graph,
        with: focus.with.iter().copied().collect(),
        ..Restrictions::default()
    }
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
}

impl Focus {
    const fn with(mutant: &'static str, with: &'static [Feature]) -> Self {
        Self { mutant, voters: None, graph: None, with }
    }

    const fn voters(mutant: &'static str, voters: u64, with: &'static [Feature]) -> Self {
        Self { mutant, voters: Some(voters), graph: None, with }
    }

    const fn graph(mutant: &'static str, graph: Graph) -> Self {
        Self { mutant, voters: None, graph: Some(graph), with: &[] }
    }
}

const FOCUS: &[Focus] = &[
    Focus::graph("no-stickiness", Graph::Flapping),
    Focus::graph("no-check-quorum", Graph::DeafLeader),
    Focus::graph("refused-term-unheard", Graph::DeafLeader),
    Focus::graph("old-leader-unanswered", Graph::OneWayOut),
    Focus::with("uncommitted-leaks", &[Feature::SmallWindows]),
    Focus::with("refusal-unheard", &[Feature::Loss, Feature::SmallWindows]),
    Focus::with("old-vote", &[Feature::Delay, Feature::Reorder]),
    Focus::with("read-round-reused", &[Feature::Pause, Feature::ClockJump]),
    Focus::with("read-unconfirmed", &[Feature::Pause, Feature::OneWay]),
    Focus::with("read-names-reused", &[Feature::Replay, Feature::Delay, Feature::Crash]),
    Focus::with("forward-names-reused", &[Feature::Replay, Feature::Delay, Feature::Crash]),
    Focus::voters("transfer-for-ever", 3, &[Feature::Transfer, Feature::Crash]),
    Focus::with("no-snapshot", &[Feature::Compact, Feature::Crash]),
    Focus::voters("lost-snapshot-awaited", 3, &[Feature::Compact, Feature::Loss, Feature::Crash]),
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
    Focus::with("outsider-counts", &[Feature::Members]),
];

/// Found, but after more than a few seconds.
const SLOW: &[&str] = &[];
