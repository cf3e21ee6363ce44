//! What a member shows to who follows it: `/floe/state` and `/floe/trace`.

use floe_etcd::proto::etcdserverpb::PutRequest;
use serde_json::Value;

use crate::harness::{single, single_with, three};
use crate::http::{head_of, request};

fn json(answer: (u16, String)) -> Value {
    assert_eq!(answer.0, 200, "{}", answer.1);
    serde_json::from_str(&answer.1).unwrap()
}

#[tokio::test]
async fn the_state_has_the_log_without_its_payloads_and_a_leader_knows_its_peers() {
    let members = three().await;
    let put = PutRequest { key: "secret-key".into(), value: "secret-value".into(), ..Default::default() };
    members[0].kv().put(put).await.unwrap();
    let mut states = Vec::new();
    for member in &members {
        let answer = request(member, "GET", "/floe/state").await;
        assert!(!answer.1.contains("secret"), "{}", answer.1);
        states.push(json(answer));
    }
    let leader = states.iter().find(|state| state["role"] == "leader").expect("one leads");
    assert!(states.iter().all(|state| state["leader"] == leader["member"]));
    assert_eq!(leader["version"], 1);
    assert_eq!(leader["voters"].as_array().unwrap().len(), 3);
    assert_eq!(leader["peers"].as_array().unwrap().len(), 2);
    let peer = &leader["peers"][0];
    assert!(peer["match"].as_u64() < peer["next"].as_u64(), "{peer}");
    let log = leader["log"].as_array().unwrap();
    assert_eq!(log[0][2], "noop", "{log:?}");
    assert_eq!((&log.last().unwrap()[0], &log.last().unwrap()[1]), (&leader["last"][0], &leader["last"][1]));
    let followers = states.iter().filter(|state| state["role"] == "follower");
    assert!(
        followers.clone().count() == 2
            && followers.clone().all(|state| state["peers"] == Value::Array(vec![]))
    );
}

#[tokio::test]
async fn the_trace_begins_with_the_first_question_and_goes_on_where_it_was() {
    let member = single_with(|config| config.trace_sample = 1).await;
    let first = json(request(&member, "GET", "/floe/trace").await);
    assert_eq!(first["events"], Value::Array(vec![]));
    for number in 0..10 {
        let put = PutRequest { key: "secret-key".into(), value: vec![number].into(), ..Default::default() };
        member.kv().put(put).await.unwrap();
    }
    let (status, body) = request(&member, "GET", "/floe/trace?after=0&limit=5").await;
    assert!(!body.contains("secret"), "{body}");
    let page = json((status, body));
    let ids: Vec<u64> =
        page["events"].as_array().unwrap().iter().map(|event| event["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, [1, 2, 3, 4, 5]);
    assert_eq!((&page["last"], &page["events"][0]["kind"]), (&Value::from(5), &Value::from("world")));
    assert_eq!(page["members"]["1"], page["member"]);
    let next = json(request(&member, "GET", "/floe/trace?after=5&limit=1").await);
    assert_eq!(next["events"][0]["id"], 6);
    assert_eq!(next["started_at_us"], page["started_at_us"]);
    assert_eq!(request(&member, "GET", "/floe/trace?after=x").await.0, 400);
    assert_eq!(request(&member, "POST", "/floe/trace").await.0, 405);
}

#[tokio::test]
async fn a_member_that_shows_nothing_has_neither_and_pages_from_elsewhere_never_read_them() {
    let open = single().await;
    assert!(head_of(&open, "/health").await.contains("access-control-allow-origin"));
    let head = head_of(&open, "/floe/state").await;
    assert!(head.starts_with("HTTP/1.1 200") && !head.contains("access-control-allow-origin"), "{head}");
    let closed = single_with(|config| config.live_state = false).await;
    for path in ["/floe/state", "/floe/trace"] {
        assert_eq!(request(&closed, "GET", path).await.0, 404);
    }
}
