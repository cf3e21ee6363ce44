//! Twelve graphs of links, each around the leader of the moment: at most two changes of the leader in ten minutes, and
//! progress, for several seeds each.

use floe_sim::{Graph, Options, Outcome, Restrictions, run};

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

macro_rules! graphs {
    ($($test:ident: $graph:ident;)*) => {
        $(
            #[test]
            fn $test() {
                holds(Graph::$graph);
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
    all_talk_to_all: Full;
    only_one_has_a_quorum: QuorumLoss;
    // PreVote and CheckQuorum do not help here; that a refused candidate pulls what it lacks does (elections.md).
    only_one_that_is_behind_has_a_quorum: Constrained;
    three_in_a_row: Chained;
    five_in_a_circle: Ring;
    all_talk_to_one: Star;
    one_is_heard_by_nobody: OneWayIn;
    one_hears_nobody: OneWayOut;
    the_leader_hears_nobody: DeafLeader;
    two_halves_share_a_node: SharedNode;
    the_leader_is_in_the_smaller_part: Bridge;
    a_link_goes_on_and_off: Flapping;
}
