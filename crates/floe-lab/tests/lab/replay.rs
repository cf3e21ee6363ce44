//! A history is the same whether it is run through, stepped through, sought in, or opened again from its settings.

use floe_lab::Engine;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{ask, refuse_or_ask};

const MS: u64 = 1_000_000;

/// An action that somebody might take in a world of five nodes, of which one may join.
fn action() -> impl Strategy<Value = Value> {
    let node = || 1u64..=5;
    let lasts = || prop_oneof![Just(Value::Null), (1u64..2_000).prop_map(Value::from)];
    prop_oneof![
        (-9i64..9).prop_map(|value| json!({"do": "set", "value": value})),
        (-9i64..9, node()).prop_map(|(value, node)| json!({"do": "add", "key": "y", "value": value, "node": node})),
        node().prop_map(|node| json!({"do": "get", "node": node})),
        (node(), lasts()).prop_map(|(node, lasts)| json!({"do": "crash", "node": node, "for_ms": lasts})),
        node().prop_map(|node| json!({"do": "restart", "node": node})),
        (node(), lasts()).prop_map(|(node, lasts)| json!({"do": "pause", "node": node, "for_ms": lasts})),
        node().prop_map(|node| json!({"do": "resume", "node": node})),
        node().prop_map(|node| json!({"do": "wipe", "node": node})),
        (node(), node(), any::<bool>(), lasts()).prop_map(|(from, to, both, lasts)| {
            json!({"do": "cut", "from": [from], "to": [to % 5 + 1], "both": both, "for_ms": lasts})
        }),
        (node(), lasts()).prop_map(|(node, lasts)| {
            let (left, right): (Vec<u64>, Vec<u64>) = (1..=5).partition(|other| *other <= node);
            json!({"do": "partition", "sides": [left, right], "for_ms": lasts})
        }),
        Just(json!({"do": "heal"})),
        (0u64..400).prop_map(|packet| json!({"do": "lose", "packet": packet})),
        (0u64..30, 0u32..30).prop_map(|(low, loss)| {
            json!({"do": "network", "delay_ms": [low, low + 9], "loss_percent": loss, "reorder": loss.is_multiple_of(2)})
        }),
        (node(), 1u64..90).prop_map(|(from, delay)| {
            json!({"do": "link", "from": from, "to": from % 5 + 1, "delay_ms": delay})
        }),
        (node(), prop_oneof!["ok", "slow", "stall", "fail"], lasts()).prop_map(|(node, mode, lasts)| {
            json!({"do": "disk", "node": node, "mode": mode, "for_ms": lasts})
        }),
        (node(), 50u32..=200).prop_map(|(node, rate)| json!({"do": "clock", "node": node, "rate_percent": rate})),
        (node(), 1u64..500).prop_map(|(node, ahead)| json!({"do": "clock", "node": node, "ahead_ms": ahead})),
        node().prop_map(|node| json!({"do": "campaign", "node": node})),
        node().prop_map(|node| json!({"do": "transfer", "to": node})),
        (node(), prop_oneof!["add-voter", "add-learner", "promote", "demote", "remove"])
            .prop_map(|(node, change)| json!({"do": "member", "change": change, "node": node})),
        (node(), node()).prop_map(|(node, with)| {
            json!({"do": "member", "change": "replace", "node": node, "with": with})
        }),
        node().prop_map(|node| json!({"do": "snapshot", "node": node})),
    ]
}

/// Actions, each so many milliseconds after the one before.
fn actions() -> impl Strategy<Value = Vec<(u64, Value)>> {
    proptest::collection::vec((0u64..300, action()), 0..20)
}

fn settings(seed: u64) -> Value {
    let reads = ["index", "lease", "stale"][seed as usize % 3];
    json!({
        "version": 1, "seed": seed, "voters": 3, "learners": 1, "joiners": 1, "clients": seed % 3,
        "snapshot_after": if seed.is_multiple_of(2) { 4 } else { 0 }, "trailing": 2, "reads": reads,
        "timeouts_ms": {"2": [150, 220], "3": [260]},
    })
}

fn trace(engine: &mut Engine) -> Value {
    ask(engine, &json!({"call": "events", "limit": 20_000}))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_world_is_the_same_however_one_comes_there(seed in 0u64..1_000, actions in actions(), look in 0u64..6_000) {
        let mut acted = Engine::new();
        ask(&mut acted, &json!({"call": "open", "settings": settings(seed)}));
        let mut at = 0;
        for (after, action) in &actions {
            at += after * MS;
            ask(&mut acted, &json!({"call": "seek", "at": at}));
            // It may make no sense at this moment; then it leaves nothing behind.
            refuse_or_ask(&mut acted, &json!({"call": "act", "action": action}));
        }
        let end = json!({"call": "seek", "at": at + 1_000 * MS});
        let state = ask(&mut acted, &end);
        let lines = trace(&mut acted);
        let shared = ask(&mut acted, &json!({"call": "settings"}));

        let mut opened = Engine::new();
        ask(&mut opened, &json!({"call": "open", "settings": shared}));
        prop_assert!(ask(&mut opened, &end) == state);
        prop_assert!(trace(&mut opened) == lines);

        // Back, then forwards in pieces.
        ask(&mut acted, &json!({"call": "seek", "at": look * MS % (at + 1)}));
        ask(&mut acted, &json!({"call": "step", "count": 7}));
        ask(&mut acted, &json!({"call": "step", "back": true, "count": 3}));
        prop_assert!(ask(&mut acted, &end) == state);
        prop_assert!(trace(&mut acted) == lines);

        // Step by step; the state after a step back is the one that was there.
        let mut stepped = Engine::new();
        ask(&mut stepped, &json!({"call": "open", "settings": shared}));
        let mut before = ask(&mut stepped, &json!({"call": "state"}));
        for _ in 0..30 {
            let after = ask(&mut stepped, &json!({"call": "step"}));
            let back = ask(&mut stepped, &json!({"call": "step", "back": true}));
            prop_assert!(back == before);
            let again = ask(&mut stepped, &json!({"call": "step"}));
            prop_assert!(again == after);
            before = after;
        }
        prop_assert!(ask(&mut stepped, &end) == state);
        prop_assert!(trace(&mut stepped) == lines);
    }
}
