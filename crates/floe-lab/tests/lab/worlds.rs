//! What worlds on a stage do, and what the engine refuses.

use floe_lab::Engine;
use serde_json::{Value, json};

use crate::{ask, refuse_or_ask};

const MS: u64 = 1_000_000;

fn open(settings: Value) -> Engine {
    let mut engine = Engine::new();
    ask(&mut engine, &json!({"call": "open", "settings": settings}));
    engine
}

fn seek(engine: &mut Engine, ms: u64) -> Value {
    ask(engine, &json!({"call": "seek", "at": ms * MS}))
}

fn act(engine: &mut Engine, action: Value) -> Value {
    ask(engine, &json!({"call": "act", "action": action}))
}

fn refused(engine: &mut Engine, request: Value) -> String {
    let answer = refuse_or_ask(engine, &request);
    answer["error"]["what"].as_str().unwrap_or_else(|| panic!("{request} is granted: {answer}")).to_owned()
}

/// A group of three that node 1 leads from the start.
fn led_by_one() -> Engine {
    open(json!({"version": 1, "timeouts_ms": {"1": [150], "2": [300], "3": [300]}}))
}

#[test]
fn the_first_timeouts_decide_who_leads() {
    for leader in 1..=3u64 {
        let timeouts: serde_json::Map<String, Value> = (1..=3u64)
            .map(|node| (node.to_string(), json!([if node == leader { 150 } else { 290 }])))
            .collect();
        let mut engine = open(json!({"version": 1, "seed": leader, "timeouts_ms": timeouts}));
        let state = seek(&mut engine, 149);
        assert!(state["nodes"].as_array().unwrap().iter().all(|node| node["role"] == "follower"));
        let state = seek(&mut engine, 151);
        assert_eq!(state["nodes"][leader as usize - 1]["role"], "pre-candidate");
        let state = seek(&mut engine, 280);
        assert_eq!(state["nodes"][leader as usize - 1]["role"], "leader");
    }
}

#[test]
fn equal_timeouts_split_the_vote() {
    let settings = json!({"version": 1, "voters": 4, "pre_vote": false,
        "timeouts_ms": {"1": [150, 400], "2": [150, 300], "3": [290], "4": [290]},
        "actions": [{"at": 0, "do": "link", "from": 1, "to": 4, "delay_ms": 60},
                    {"at": 0, "do": "link", "from": 2, "to": 3, "delay_ms": 60}]});
    let mut engine = open(settings);
    let state = seek(&mut engine, 200);
    for node in 0..2 {
        assert_eq!(state["nodes"][node]["role"], "candidate");
        assert_eq!(state["nodes"][node]["votes"]["granted"].as_array().map(Vec::len), Some(2));
    }
}

#[test]
fn what_a_client_writes_and_adds_is_what_it_reads() {
    let mut engine = led_by_one();
    seek(&mut engine, 400);
    act(&mut engine, json!({"do": "set", "value": 5}));
    seek(&mut engine, 500);
    act(&mut engine, json!({"do": "add", "value": 2, "node": 3}));
    seek(&mut engine, 700);
    act(&mut engine, json!({"do": "get", "node": 2}));
    let state = seek(&mut engine, 900);
    let answers: Vec<&Value> = state["clients"].as_array().unwrap().iter().map(|op| &op["answer"]).collect();
    assert_eq!(answers, ["ok", "7", "7"]);
    for node in state["nodes"].as_array().unwrap() {
        assert_eq!(node["values"], json!({"x": 7}));
    }
    let entry = ask(&mut engine, &json!({"call": "entry", "index": 3}));
    assert_eq!(entry["nodes"][1]["text"], "add x 2");
    assert_eq!(entry["nodes"][1]["applied"], true);
}

#[test]
fn a_crash_takes_the_process_and_leaves_the_disk() {
    let mut engine = led_by_one();
    seek(&mut engine, 400);
    act(&mut engine, json!({"do": "set", "value": 5}));
    seek(&mut engine, 500);
    let state = act(&mut engine, json!({"do": "crash", "node": 1}));
    assert_eq!(state["nodes"][0]["status"], "down");
    assert_eq!(state["nodes"][0]["role"], Value::Null);
    assert_eq!(state["nodes"][0]["last"], json!([2, 1]));
    let state = seek(&mut engine, 2_500);
    assert_eq!(state["nodes"][0]["status"], "down");
    let leads = |node: &Value| node["role"] == "leader" && node["term"].as_u64() > Some(1);
    assert!(state["nodes"].as_array().unwrap().iter().any(leads));
    act(&mut engine, json!({"do": "restart", "node": 1}));
    let state = seek(&mut engine, 3_000);
    assert_eq!(state["nodes"][0]["role"], "follower");
    assert_eq!(state["nodes"][0]["values"], json!({"x": 5}));
    assert_eq!(
        refused(&mut engine, json!({"call": "act", "action": {"do": "restart", "node": 1}})),
        "bad-action"
    );
}

#[test]
fn a_deposed_leader_reads_stale_only_where_it_does_not_ask() {
    for (reads, answer) in [("index", Value::Null), ("stale", json!("5"))] {
        let mut engine = open(json!({"version": 1, "voters": 5, "reads": reads, "check_quorum": false,
            "timeouts_ms": {"1": [150], "2": [290], "3": [290], "4": [290], "5": [290]}}));
        seek(&mut engine, 400);
        act(&mut engine, json!({"do": "set", "value": 5}));
        seek(&mut engine, 500);
        act(&mut engine, json!({"do": "partition", "sides": [[1, 2], [3, 4, 5]]}));
        let state = seek(&mut engine, 1_500);
        let leader = |node: &Value| node["id"].as_u64() > Some(2) && node["role"] == "leader";
        let leader =
            state["nodes"].as_array().unwrap().iter().find(|node| leader(node)).unwrap()["id"].clone();
        act(&mut engine, json!({"do": "set", "value": 6, "node": leader}));
        seek(&mut engine, 1_700);
        act(&mut engine, json!({"do": "get", "node": 1}));
        let state = seek(&mut engine, 1_800);
        assert_eq!(state["clients"][2]["answer"], answer, "{reads}");
        assert_eq!(state["verdict"]["holds"], true);
    }
}

#[test]
fn members_come_and_go_and_the_leader_leaves_by_itself() {
    let mut engine =
        open(json!({"version": 1, "joiners": 2, "timeouts_ms": {"1": [150], "2": [300], "3": [300]}}));
    let state = seek(&mut engine, 400);
    assert_eq!(state["nodes"][3]["status"], "absent");
    act(
        &mut engine,
        json!({"do": "member", "changes": [
        {"change": "add-voter", "node": 4}, {"change": "add-voter", "node": 5}]}),
    );
    let state = seek(&mut engine, 401);
    assert_eq!(state["members"]["outgoing"], json!([1, 2, 3]));
    let state = seek(&mut engine, 1_500);
    assert_eq!(state["members"], json!({"voters": [1, 2, 3, 4, 5], "outgoing": [], "learners": []}));
    act(&mut engine, json!({"do": "member", "change": "remove", "node": 1}));
    let state = seek(&mut engine, 3_000);
    assert_eq!(state["members"]["voters"], json!([2, 3, 4, 5]));
    assert_eq!(state["nodes"][0]["member"], "none");
    assert_eq!(state["verdict"]["holds"], true);
}

#[test]
fn a_node_that_lagged_gets_a_snapshot() {
    let mut engine = open(json!({"version": 1, "snapshot_after": 4,
        "timeouts_ms": {"1": [150], "2": [300], "3": [300]}}));
    seek(&mut engine, 400);
    act(&mut engine, json!({"do": "crash", "node": 3}));
    for value in 1..=10 {
        seek(&mut engine, 400 + value * 60);
        act(&mut engine, json!({"do": "set", "value": value}));
    }
    let state = seek(&mut engine, 1_400);
    assert!(state["nodes"][0]["base"][0].as_u64() >= Some(8), "{state}");
    act(&mut engine, json!({"do": "restart", "node": 3}));
    let state = seek(&mut engine, 2_000);
    assert_eq!(state["nodes"][2]["values"], json!({"x": 10}));
    assert!(state["nodes"][2]["base"][0].as_u64() >= Some(8), "{state}");
}

#[test]
fn a_packet_can_be_taken_from_the_wire() {
    let mut engine = led_by_one();
    let mut state = seek(&mut engine, 150);
    while state["packets"].as_array().unwrap().is_empty() {
        state = ask(&mut engine, &json!({"call": "step"}));
    }
    let packet = state["packets"][0].clone();
    assert_eq!(packet["kind"], "pre-vote");
    let lost = act(&mut engine, json!({"do": "lose", "packet": packet["id"]}));
    assert!(!lost["packets"].as_array().unwrap().contains(&packet));
    let again = json!({"call": "act", "action": {"do": "lose", "packet": packet["id"]}});
    assert_eq!(refused(&mut engine, again), "bad-action");
}

#[test]
fn many_groups_beat_together_sleep_when_idle_and_survive_a_crash() {
    let mut engine = open(json!({"version": 1, "groups": 12, "clients": 2}));
    let state = seek(&mut engine, 1_500);
    let groups =
        |state: &Value, node: usize| state["nodes"][node]["groups"].as_array().cloned().unwrap_or_default();
    let leads =
        |state: &Value, node| groups(state, node).iter().filter(|group| group["role"] == "leader").count();
    assert_eq!((0..3).map(|node| leads(&state, node)).sum::<usize>(), 12, "{state}");
    let beats = ask(&mut engine, &json!({"call": "events", "limit": 20_000}))["events"].clone();
    let beats = beats.as_array().unwrap().iter().filter(|event| event["kind"] == "beat");
    assert!(beats.clone().any(|beat| beat["heartbeats"].as_u64() > Some(1)), "heartbeats share a beat");
    act(&mut engine, json!({"do": "crash", "node": 1}));
    let state = seek(&mut engine, 4_000);
    assert_eq!(state["nodes"][0]["status"], "down");
    assert_eq!((1..3).map(|node| leads(&state, node)).sum::<usize>(), 12, "{state}");
    assert_eq!(
        refused(&mut engine, json!({"call": "act", "action": {"do": "set", "value": 1}})),
        "bad-action"
    );

    let mut idle = open(json!({"version": 1, "groups": 12}));
    let state = seek(&mut idle, 4_000);
    assert!(groups(&state, 0).iter().all(|group| group["asleep"] == true), "{state}");
    assert_eq!(seek(&mut idle, 1_500)["nodes"], {
        seek(&mut idle, 3_000);
        seek(&mut idle, 1_500)["nodes"].clone()
    });
}

#[test]
fn seeds_of_many_groups_are_shown_to_their_end() {
    let world = json!({"seed": 3, "groups": 12, "seconds": 5});
    let mut engine = open(json!({"version": 1, "world": world}));
    let state = seek(&mut engine, 600_000);
    assert_eq!((&state["end"], &state["verdict"]["holds"]), (&json!("over"), &json!(true)), "{state}");
}

#[test]
fn a_host_that_breaks_its_contract_is_caught_where_it_breaks() {
    let world = json!({"seed": 1, "mutant": "host-read-without-index", "seconds": 60});
    let caught = (1..60).find_map(|seed| {
        let mut world = world.clone();
        world["seed"] = json!(seed);
        let mut engine = open(json!({"version": 1, "world": world}));
        let state = seek(&mut engine, 600_000);
        (state["verdict"]["holds"] == false).then_some((engine, state))
    });
    let (mut engine, state) = caught.expect("some seed shows it");
    assert_eq!(state["end"], "violated");
    assert_eq!(state["verdict"]["rule"], "linearizability");
    assert_eq!(state["verdict"]["event"], state["event"]);
    let before = ask(&mut engine, &json!({"call": "step", "back": true}));
    assert_eq!(before["verdict"]["holds"], true);
    assert_eq!(ask(&mut engine, &json!({"call": "step"})), state);
}

#[test]
fn refusals_say_of_which_kind_they_are() {
    let mut engine = Engine::new();
    assert_eq!(refused(&mut engine, json!({"call": "state"})), "no-world");
    assert_eq!(refused(&mut engine, json!({"call": "dance"})), "bad-json");
    assert_eq!(refused(&mut engine, json!([1])), "bad-json");
    let open = |settings: Value| json!({"call": "open", "settings": settings});
    for (settings, what) in [
        (json!({}), "bad-settings"),
        (json!({"version": 2}), "bad-settings"),
        (json!({"version": 1, "voter": 3}), "bad-settings"),
        (json!({"version": 1, "voters": 0}), "bad-settings"),
        (json!({"version": 1, "voters": 10}), "too-long"),
        (json!({"version": 1, "election_timeout_ms": 60}), "bad-settings"),
        (json!({"version": 1, "mutant": "no-such-bug"}), "bad-settings"),
        (json!({"version": 1, "seed": 3, "world": {"seed": 3}}), "bad-settings"),
        (json!({"version": 1, "actions": [{"do": "heal"}]}), "bad-action"),
        (json!({"version": 1, "actions": [{"at": 5, "do": "crash", "node": 9}]}), "bad-action"),
        (json!({"version": 1, "actions": [{"at": 700_000 * MS, "do": "heal"}]}), "too-long"),
    ] {
        assert_eq!(refused(&mut engine, open(settings.clone())), what, "{settings}");
    }
    ask(&mut engine, &open(json!({"version": 1})));
    for action in [
        json!({"do": "fly"}),
        json!({"do": "heal", "node": 1}),
        json!({"do": "set", "key": "w", "value": 1}),
        json!({"do": "clock", "node": 1}),
        json!({"do": "clock", "node": 1, "rate_percent": 300}),
        json!({"do": "transfer", "to": 2}),
        json!({"do": "resume", "node": 2}),
    ] {
        let request = json!({"call": "act", "action": action});
        assert_eq!(refused(&mut engine, request.clone()), "bad-action", "{request}");
    }
    assert_eq!(refused(&mut engine, json!({"call": "seek", "at": 601_000 * MS})), "too-long");
}
