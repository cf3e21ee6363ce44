//! Why something happened, as the page tells it.

use floe_lab::Engine;
use serde_json::{Value, json};

use crate::ask;

const MS: u64 = 1_000_000;

fn open(settings: Value) -> Engine {
    let mut engine = Engine::new();
    ask(&mut engine, &json!({"call": "open", "settings": settings}));
    engine
}

/// The rules at work in the events that are as wanted, up to a moment.
fn rules(engine: &mut Engine, until_ms: u64, wanted: impl Fn(&Value) -> bool) -> Vec<String> {
    ask(engine, &json!({"call": "seek", "at": until_ms * MS}));
    let events = ask(engine, &json!({"call": "events", "limit": 20_000}))["events"].clone();
    let wanted = events.as_array().into_iter().flatten().filter(|event| wanted(event));
    wanted
        .map(|event| {
            let explained = ask(engine, &json!({"call": "explain", "event": event["id"]}));
            assert_eq!(&explained["event"], event);
            explained["rule"].as_str().unwrap_or_default().to_owned()
        })
        .collect()
}

#[test]
fn a_chain_leads_from_the_vote_back_to_the_timeout() {
    let mut engine = open(json!({"version": 1, "timeouts_ms": {"1": [150], "2": [300], "3": [300]}}));
    ask(&mut engine, &json!({"call": "seek", "at": 250 * MS}));
    let events = ask(&mut engine, &json!({"call": "events"}))["events"].clone();
    let elected = events.as_array().unwrap().iter().find(|event| event["role"] == "leader").unwrap();
    let explained = ask(&mut engine, &json!({"call": "explain", "event": elected["id"]}));
    assert_eq!(explained["rule"], "elected");
    let causes = explained["causes"].as_array().unwrap();
    let kinds: Vec<&str> = causes.iter().map(|line| line["kind"].as_str().unwrap()).collect();
    // The candidate's own vote is written, then the voter's; before that both were asked whether it could win.
    let (voted, asked) = (["arrived", "sent", "written", "writing"], ["arrived", "sent"]);
    assert_eq!(kinds, [&voted[..], &voted[..], &asked[..], &asked[..], &["timer"]].concat());
    assert_eq!(causes[1]["message"], "vote-reply");
    let no_op =
        rules(&mut engine, 250, |event| event["kind"] == "writing" && event["cause"] == elected["cause"]);
    assert_eq!(no_op, ["no-op"]);
    let timers = rules(&mut engine, 250, |event| event["kind"] == "timer" && event["node"] == 1);
    assert_eq!(timers.first().map(String::as_str), Some("election-timeout"));
    assert!(timers[1..].iter().all(|rule| rule == "heartbeat"), "{timers:?}");
}

#[test]
fn a_refused_vote_names_what_refused_it() {
    let refused = |event: &Value| event["message"] == "vote-reply" && event["granted"] == 0;
    // Two campaign at once, and each has voted for itself.
    let mut split =
        open(json!({"version": 1, "voters": 2, "pre_vote": false, "timeouts_ms": {"1": [150], "2": [150]}}));
    assert_eq!(rules(&mut split, 200, refused), ["vote-refused-voted"; 2]);
    // One misses an entry and campaigns in a new term, against one that has it.
    let mut behind = open(json!({"version": 1, "pre_vote": false, "check_quorum": false,
        "timeouts_ms": {"1": [150], "2": [600, 600], "3": [600, 600]},
        "actions": [
            {"at": 300 * MS, "do": "cut", "from": [1, 2], "to": [3]},
            {"at": 310 * MS, "do": "set", "value": 5},
            {"at": 400 * MS, "do": "crash", "node": 1},
            {"at": 410 * MS, "do": "heal"},
            {"at": 420 * MS, "do": "campaign", "node": 3}]}));
    assert_eq!(rules(&mut behind, 500, refused), ["vote-refused-log"]);
}

#[test]
fn commits_are_told_apart_by_who_counts() {
    let mut engine = open(json!({"version": 1, "timeouts_ms": {"1": [150], "2": [300], "3": [300]}}));
    let commits = |node: u64| move |event: &Value| event["kind"] == "commit" && event["node"] == node;
    assert_eq!(rules(&mut engine, 400, commits(1)), ["commit-quorum"]);
    assert_eq!(rules(&mut engine, 400, commits(2)), ["commit-told"]);
}

#[test]
fn what_a_new_leader_overwrites_is_truncated_by_its_rule() {
    let mut engine = open(json!({"version": 1, "check_quorum": false,
        "timeouts_ms": {"1": [150], "2": [250], "3": [290]},
        "actions": [
            {"at": 400 * MS, "do": "partition", "sides": [[1], [2, 3]]},
            {"at": 410 * MS, "do": "set", "value": 1, "node": 1},
            {"at": 1200 * MS, "do": "set", "value": 2, "node": 2},
            {"at": 1500 * MS, "do": "heal"}]}));
    let truncates = |event: &Value| event.get("truncate_from").is_some();
    assert_eq!(rules(&mut engine, 2_500, truncates), ["truncate"]);
    let falls = |event: &Value| event["kind"] == "role" && event["node"] == 1 && event["term"] == 2;
    assert_eq!(rules(&mut engine, 2_500, falls).first().map(String::as_str), Some("higher-term"));
}
