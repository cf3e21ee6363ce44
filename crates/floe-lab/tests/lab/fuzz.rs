//! Whatever the engine is asked, it answers with JSON: a link may hold anything.

use floe_lab::Engine;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Words that mean something somewhere.
const WORDS: [&str; 46] = [
    "call",
    "open",
    "settings",
    "version",
    "seek",
    "at",
    "step",
    "count",
    "back",
    "act",
    "action",
    "do",
    "events",
    "after",
    "limit",
    "entry",
    "index",
    "explain",
    "event",
    "as_test",
    "mutants",
    "hash",
    "seed",
    "seconds",
    "voters",
    "learners",
    "joiners",
    "witnesses",
    "delay_ms",
    "timeouts_ms",
    "1",
    "world",
    "with",
    "skip",
    "actions",
    "set",
    "value",
    "node",
    "cut",
    "from",
    "to",
    "partition",
    "sides",
    "member",
    "changes",
    "snapshot_after",
];

fn word() -> impl Strategy<Value = String> {
    prop_oneof![9 => proptest::sample::select(&WORDS[..]).prop_map(str::to_owned), 1 => any::<String>()]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0u64..20).prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(word(), inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Settings that are nearly right: each field holds something.
fn settings() -> impl Strategy<Value = Value> {
    let names = [
        "seed",
        "voters",
        "learners",
        "joiners",
        "witnesses",
        "groups",
        "heartbeat_ms",
        "election_timeout_ms",
        "delay_ms",
        "sync_ms",
        "apply_ms",
        "loss_percent",
        "pre_vote",
        "reads",
        "snapshot_after",
        "trailing",
        "clients",
        "mutant",
        "timeouts_ms",
        "world",
        "actions",
    ];
    let field =
        (proptest::sample::select(names.to_vec()), prop_oneof![(0u64..12).prop_map(Value::from), value()]);
    proptest::collection::vec(field, 0..4).prop_map(|fields| {
        let mut settings = json!({"version": 1});
        for (name, value) in fields {
            settings[name] = value;
        }
        settings
    })
}

fn action() -> impl Strategy<Value = Value> {
    let names = [
        "set",
        "add",
        "get",
        "crash",
        "restart",
        "pause",
        "resume",
        "wipe",
        "cut",
        "partition",
        "heal",
        "lose",
        "network",
        "link",
        "disk",
        "clock",
        "campaign",
        "transfer",
        "member",
        "snapshot",
    ];
    let fields = [
        "node", "value", "key", "for_ms", "from", "to", "sides", "packet", "delay_ms", "mode", "ahead_ms",
        "change",
    ];
    let field =
        (proptest::sample::select(fields.to_vec()), prop_oneof![(0u64..5).prop_map(Value::from), value()]);
    (proptest::sample::select(names.to_vec()), proptest::collection::vec(field, 0..3)).prop_map(
        |(name, fields)| {
            let mut action = json!({"do": name});
            for (name, value) in fields {
                action[name] = value;
            }
            action
        },
    )
}

fn request() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        value().prop_map(|value| value.to_string()),
        settings().prop_map(|settings| json!({"call": "open", "settings": settings}).to_string()),
        action().prop_map(|action| json!({"call": "act", "action": action}).to_string()),
        (0u64..3_000_000_000).prop_map(|at| json!({"call": "seek", "at": at}).to_string()),
        (0u64..400).prop_map(|event| json!({"call": "explain", "event": event}).to_string()),
        any::<u64>().prop_map(|index| json!({"call": "entry", "index": index}).to_string()),
        (any::<u64>(), any::<u64>())
            .prop_map(|(after, limit)| json!({"call": "events", "after": after, "limit": limit}).to_string()),
        Just(json!({"call": "as_test"}).to_string()),
        Just(json!({"call": "settings"}).to_string()),
    ]
}

proptest! {
    #[test]
    fn every_answer_is_json(requests in proptest::collection::vec(request(), 1..12)) {
        let mut engine = Engine::new();
        engine.call(r#"{"call":"open","settings":{"version":1}}"#);
        for request in requests {
            let answer = engine.call(&request);
            let answer: Value = serde_json::from_str(&answer).map_err(|error| {
                TestCaseError::fail(format!("{request} is answered {answer}: {error}"))
            })?;
            let is_refusal = answer["error"]["what"].is_string() && answer["error"]["detail"].is_string();
            prop_assert!(is_refusal || answer.get("ok").is_some(), "{request} is answered {answer}");
        }
    }
}
