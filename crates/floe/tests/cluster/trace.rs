//! What a member writes of its history, and what it shows to who looks.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use floe::{EntryKind, NodeId, RoleKind};
use serde_json::Value;

use crate::support::{Cluster, Member, pause, propose};

/// The events of a file, by their numbers. What holds of every trace is checked on the way.
fn events(path: &Path) -> BTreeMap<u64, Value> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut events = BTreeMap::new();
    let mut at = 0;
    for (number, line) in (1..).zip(text.lines()) {
        let event: Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["id"], number, "{line}");
        assert!(event["cause"].as_u64().unwrap() < number, "{line}");
        assert!(event["at"].as_u64().unwrap() >= at, "{line}");
        at = event["at"].as_u64().unwrap();
        events.insert(number, event);
    }
    events
}

/// The kinds of an event and its causes, the last first.
fn chain(events: &BTreeMap<u64, Value>, mut id: u64) -> Vec<String> {
    let mut kinds = Vec::new();
    while let Some(event) = events.get(&id) {
        let kind = event["kind"].as_str().unwrap();
        kinds.push(event["message"].as_str().map_or(kind.to_owned(), |message| format!("{kind} {message}")));
        id = event["cause"].as_u64().unwrap();
    }
    kinds
}

fn traced(sample: u64) -> Cluster {
    Cluster::configured(3, false, |config| {
        config.trace.file = Some(config.data_dir.with_extension("ndjson"));
        config.trace.sample = sample;
    })
}

fn file(member: &Member) -> &Path {
    member.config.trace.file.as_deref().unwrap()
}

#[tokio::test]
async fn a_whole_trace_tells_each_request_from_its_asking_to_its_answer() {
    let mut cluster = traced(1);
    let leader = cluster.leader().await;
    for number in 0..20_u64 {
        propose(cluster.members[leader].handle(), Bytes::from(number.to_string())).await.unwrap();
    }
    let follower = (leader + 1) % 3;
    propose(cluster.members[follower].handle(), Bytes::from_static(b"passed on")).await.unwrap();
    cluster.members[follower].handle().read().await.unwrap();
    cluster.agreed(21).await;
    cluster.shutdown().await;

    let led = events(file(&cluster.members[leader]));
    assert_eq!(led[&1]["kind"], "world");
    assert_eq!((&led[&1]["source"], &led[&1]["voters"]), (&Value::from("server"), &Value::from(3)));
    for node in 1..=3_u64 {
        let member = &led[&(node + 1)];
        assert_eq!((&member["kind"], &member["node"]), (&Value::from("member"), &Value::from(node)));
        assert_eq!(member["member"], format!("{node:016x}"));
    }
    assert_eq!(led[&5]["kind"], "started");
    assert_eq!(led.last_key_value().unwrap().1["kind"], "stopped");

    let answers: Vec<_> = led.values().filter(|event| event["kind"] == "answered").collect();
    assert_eq!(answers.len(), 20, "every command that was proposed here");
    for answer in answers {
        assert_eq!(answer["outcome"], "wrote");
        let chain = chain(&led, answer["id"].as_u64().unwrap());
        assert_eq!(chain[..3], ["answered", "applied", "commit"]);
        // What commits it is the other's word, or the own disk's where it was the slower.
        assert!(["arrived append-ok", "written"].contains(&chain[3].as_str()), "{chain:?}");
    }
    // Whoever has applied a follower's command answers nobody; the follower does.
    let followed = events(file(&cluster.members[follower]));
    let outcomes: Vec<_> = followed.values().filter(|event| event["kind"] == "answered").collect();
    assert_eq!(
        outcomes.iter().map(|event| event["outcome"].as_str().unwrap()).collect::<Vec<_>>(),
        ["wrote", "read"]
    );
    let acknowledged = |event: &&Value| event["kind"] == "sent" && event["message"] == "append-ok";
    for event in followed.values().filter(acknowledged) {
        let chain = chain(&followed, event["id"].as_u64().unwrap());
        assert_eq!(chain, ["sent append-ok", "written", "writing", "arrived append"]);
    }
    let passed_on =
        followed.values().find(|event| event["kind"] == "sent" && event["message"] == "propose").unwrap();
    assert_eq!(chain(&followed, passed_on["id"].as_u64().unwrap()), ["sent propose", "invoked"]);
    let text = std::fs::read_to_string(file(&cluster.members[follower])).unwrap();
    assert!(!text.contains("passed on"), "no byte of a command");
}

#[tokio::test]
async fn a_sample_has_the_same_entries_on_every_member() {
    let mut cluster = traced(7);
    let leader = cluster.leader().await;
    for number in 0..30_u64 {
        propose(cluster.members[leader].handle(), Bytes::from(number.to_string())).await.unwrap();
    }
    cluster.agreed(30).await;
    let last = cluster.members[leader].handle().applied();
    cluster.shutdown().await;
    let all = cluster.members.iter().map(|member| events(file(member)));
    for (position, events) in all.enumerate() {
        let applied = events.values().filter(|event| event["kind"] == "applied");
        let sampled: Vec<u64> = applied.map(|event| event["last"][0].as_u64().unwrap()).collect();
        // An event may stand for several entries that were applied together, and the no-op is always in.
        let multiples = (1..=last.0).filter(|index| index.is_multiple_of(7)).count();
        assert!(sampled.len() <= multiples + 1 && !sampled.is_empty(), "{sampled:?}");
        assert!(sampled.iter().skip(1).all(|index| index.is_multiple_of(7)), "{position}: {sampled:?}");
        let asked = events.values().filter(|event| event["kind"] == "invoked").count();
        assert_eq!(asked, if position == leader { multiples } else { 0 });
    }
}

#[tokio::test]
async fn who_looks_sees_the_log_the_peers_and_the_last_events() {
    let cluster = Cluster::configured(3, false, |config| config.trace.sample = 1);
    let leader = cluster.leader().await;
    let handle = cluster.members[leader].handle();
    assert!(handle.trace(0, 10).lines.is_empty(), "nothing is noted before somebody asks");
    for number in 0..80_u64 {
        propose(handle, Bytes::from(number.to_string())).await.unwrap();
    }
    let view = loop {
        let view = handle.look(64).await.unwrap();
        if view.round_trips.len() == 2 && view.status.applied == view.status.last.index {
            break view;
        }
        pause().await;
    };
    assert_eq!(view.recent.len(), 64);
    assert_eq!(
        view.recent.last().map(|entry| (entry.id, entry.kind)),
        Some((view.status.last, EntryKind::Command))
    );
    assert_eq!(view.recent.last().map(|entry| entry.bytes), Some(2));
    assert!(!view.is_disk_stalled);
    assert_eq!(view.status.progress.len(), 2);
    assert_eq!(handle.look(2).await.unwrap().recent.len(), 2);

    let mut page = handle.trace(0, 1000);
    while !page.lines.iter().any(|line| line.contains(r#""message":"heartbeat""#)) {
        pause().await;
        page = handle.trace(0, 1000);
    }
    assert!(page.lines[0].contains(r#""kind":"world""#), "{}", page.lines[0]);
    let role = page.lines.iter().find(|line| line.contains(r#""kind":"role""#)).unwrap();
    assert!(role.contains(r#""role":"leader""#), "{role}");
    assert_eq!(page.members.values().copied().collect::<Vec<_>>(), [NodeId(1), NodeId(2), NodeId(3)]);
    let next = handle.trace(page.last, 1000);
    assert!(next.lines.iter().all(|line| !page.lines.contains(line)));
    assert_eq!(view.status.role, RoleKind::Leader);
}
