//! Twelve graphs of links, each around the leader of the moment: at most two changes of the leader in ten minutes, and
//! progress, for several seeds each.

use floe_sim::{Graph, Invariant, Options, Outcome, Restrictions, run};

fn outcome(graph: Graph, seed: u64) -> Outcome {
    let restrictions = Restrictions { graph: Some(graph), ..Restrictions::default() };
    run(seed, &Options { restrictions, ..Options::default() })
}

/// Every seed of the graph holds.
fn holds(graph: Graph) {
    for seed in 1..=3 {
        let outcome = outcome(graph, seed);
        assert!(outcome.violation.is_none(), "{outcome}");
        assert!(outcome.statistics.simulated >= 600_000_000_000, "{outcome}");
    }
}

/// The only node that can talk to a majority is behind, and nobody sends it what it lacks: the others refuse it, and
/// are no leaders. PreVote and CheckQuorum do not help. Once a candidate gets the missing entries from those that
/// refuse it, this graph belongs to the others, by `holds`.
fn stands_still(graph: Graph) {
    let violation = outcome(graph, 1).violation.map(|violation| violation.invariant);
    assert_eq!(violation, Some(Invariant::Liveness), "it makes progress now: let it stand with the others");
}

macro_rules! graphs {
    ($($test:ident: $graph:ident $check:ident;)*) => {
        $(
            #[test]
            fn $test() {
                $check(Graph::$graph);
            }
        )*

        #[test]
        fn every_graph_has_a_test() {
            let tested = [$(Graph::$graph),*];
            assert!(Graph::ALL.iter().all(|(graph, _)| tested.contains(graph)));
        }
    };
}

graphs! {
    all_talk_to_all: Full holds;
    only_one_has_a_quorum: QuorumLoss holds;
    only_one_that_is_behind_has_a_quorum: Constrained stands_still;
    three_in_a_row: Chained holds;
    five_in_a_circle: Ring holds;
    all_talk_to_one: Star holds;
    one_is_heard_by_nobody: OneWayIn holds;
    one_hears_nobody: OneWayOut holds;
    the_leader_hears_nobody: DeafLeader holds;
    two_halves_share_a_node: SharedNode holds;
    the_leader_is_in_the_smaller_part: Bridge holds;
    a_link_goes_on_and_off: Flapping holds;
}
