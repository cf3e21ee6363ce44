//! What the members say of themselves, as the state of a world that the page draws (`docs/design/lab.md`).

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::ask::Heard;
use super::book::{Book, Place, list};

/// The whole state. What cannot be known of a running cluster is left out.
pub(super) fn assemble(book: &Book) -> Value {
    let fresh = freshest(book);
    let commit = book.places.iter().filter_map(|place| place.known.as_ref()?["commit"].as_u64()).max();
    let mut nodes = BTreeMap::new();
    let mut next = book.numbers.values().max().unwrap_or(&0) + 1;
    for place in &book.places {
        let member = place.member.clone().or_else(|| member_at(place, fresh.as_ref()));
        let number =
            member.as_ref().and_then(|member| book.numbers.get(member)).copied().unwrap_or_else(|| {
                next += 1;
                next - 1
            });
        // Two endpoints may lead to one member: the one that answers counts.
        if place.is_up() || !nodes.contains_key(&number) {
            nodes.insert(number, node(book, place, member.as_deref(), fresh.as_ref(), number, commit));
        }
    }
    if let Some(fresh) = &fresh {
        // Members that nobody can reach, since nobody knows where they are.
        for id in
            ["voters", "learners"].into_iter().flat_map(|name| list(&fresh[name])).filter_map(Value::as_str)
        {
            let Some(number) = book.numbers.get(id) else { continue };
            nodes.entry(*number).or_insert_with(|| {
                json!({ "id": number, "member_id": id, "status": "down", "role": null, "member": standing(fresh, id),
                        "reason": "the cluster does not say where it is reached" })
            });
        }
    }
    json!({
        "live": true,
        "at": book.at(),
        "event": book.events.last(),
        "end": null,
        "nodes": nodes.into_values().collect::<Vec<_>>(),
        "packets": [],
        "links": [],
        "clients": [],
        "members": fresh.map(|fresh| json!({
            "voters": numbers(book, &fresh["voters"]),
            "outgoing": numbers(book, &fresh["outgoing"]),
            "learners": numbers(book, &fresh["learners"]),
        })),
        "endpoints": book.places.iter().map(endpoint).collect::<Vec<_>>(),
        "actions": 0,
    })
}

/// The state that says most of the cluster now: the leader's of the latest term, else whose commit is highest.
fn freshest(book: &Book) -> Option<Value> {
    let rank = |place: &&Place| {
        let state = place.known.as_ref().unwrap_or(&Value::Null);
        (place.is_up(), state["term"].as_u64(), state["role"] == "leader", state["commit"].as_u64())
    };
    book.places.iter().filter(|place| place.known.is_some()).max_by_key(rank)?.known.clone()
}

fn endpoint(place: &Place) -> Value {
    let reason = match &place.last {
        None => Some("it has not been asked yet"),
        Some(Ok(_)) => None,
        Some(Err(reason)) => Some(reason.as_str()),
    };
    json!({ "endpoint": place.endpoint.to_string(), "answers": place.is_up(), "reason": reason })
}

/// The member that says of itself that it is reached where this endpoint is.
fn member_at(place: &Place, fresh: Option<&Value>) -> Option<String> {
    let is_there = |member: &&Value| {
        let mut urls = list(&member["client_urls"]).filter_map(Value::as_str);
        urls.any(|url| super::Endpoint::parse(url).is_ok_and(|endpoint| endpoint == place.endpoint))
    };
    list(&fresh?["members"]).find(is_there)?["id"].as_str().map(ToOwned::to_owned)
}

fn node(
    book: &Book,
    place: &Place,
    member: Option<&str>,
    fresh: Option<&Value>,
    number: u64,
    commit: Option<u64>,
) -> Value {
    let named = |fresh: &Value| {
        let found = list(&fresh["members"]).find(|one| member.is_some() && one["id"].as_str() == member);
        found.and_then(|one| one["name"].as_str()).map(ToOwned::to_owned)
    };
    let mut node = Map::new();
    let mut put = |name: &str, value: Value| {
        node.insert(name.to_owned(), value);
    };
    put("id", number.into());
    put("endpoint", place.endpoint.to_string().into());
    put("member_id", member.into());
    put("name", fresh.and_then(named).into());
    let standing = member.and_then(|member| Some(standing(fresh?, member)));
    put("member", standing.unwrap_or("none").into());
    let is_witness = fresh.is_some_and(|fresh| list(&fresh["witnesses"]).any(|id| id.as_str() == member));
    put("witness", (member.is_some() && is_witness).into());
    match &place.last {
        Some(Ok(heard)) => {
            put("status", "up".into());
            answering(book, heard, commit, &mut put);
        }
        Some(Err(reason)) => {
            put("status", "down".into());
            put("role", Value::Null);
            put("reason", reason.as_str().into());
            put("silent_ms", place.heard_at.map(|at| millis(at.elapsed())).into());
        }
        None => {
            put("status", "down".into());
            put("role", Value::Null);
            put("reason", "it has not been asked yet".into());
        }
    }
    if let Some(known) = &place.known {
        // Of one that is down: what it said last.
        own(book, known, &mut put);
    }
    Value::Object(node)
}

/// What only one that answers has.
fn answering(book: &Book, heard: &Heard, commit: Option<u64>, put: &mut impl FnMut(&str, Value)) {
    let state = &heard.state;
    put("role", state["role"].clone());
    put("leader", number(book, &state["leader"]));
    put("latency_ms", ((heard.latency.as_secs_f64() * 100_000.0).round() / 100.0).into());
    put(
        "lag",
        commit.zip(state["applied"].as_u64()).map(|(commit, applied)| commit.saturating_sub(applied)).into(),
    );
    put("sick", heard.sick.as_deref().into());
    let disk = if state["disk"]["stalled"] == true { "stall" } else { "ok" };
    put("disk", disk.into());
    put("writing", u64::from(!state["disk"]["waits_ms"].is_null()).into());
    put("lease_left_ms", state["lease_left_ms"].clone());
    let peers: Vec<Value> = list(&state["peers"])
        .map(|peer| {
            json!({
                "id": number(book, &peer["id"]), "match": peer["match"], "next": peer["next"], "state": peer["state"],
                "in_flight": peer["in_flight"], "recent": peer["recent"],
                "round_trip_ms": peer["round_trip_us"].as_f64().map(|us| us / 1000.0),
            })
        })
        .collect();
    put("peers", peers.into());
}

/// What is on its disk, and so stays when it does not answer.
fn own(book: &Book, state: &Value, put: &mut impl FnMut(&str, Value)) {
    for name in ["term", "commit", "applied", "durable", "base", "last"] {
        if !state[name].is_null() {
            put(name, state[name].clone());
        }
    }
    put("vote", number(book, &state["vote"]));
    for name in ["voters", "outgoing", "learners"] {
        put(name, numbers(book, &state[name]));
    }
    let durable = state["durable"].as_u64().unwrap_or_default();
    let log: Vec<Value> = list(&state["log"])
        .map(|entry| {
            let kind = match entry[2].as_str() {
                Some("noop") => "empty",
                Some(kind) => kind,
                None => "command",
            };
            let text = match kind {
                "command" => format!("{} B", entry[3].as_u64().unwrap_or_default()),
                _ => String::new(),
            };
            let is_durable = entry[0].as_u64().is_some_and(|index| index <= durable);
            json!({ "index": entry[0], "term": entry[1], "kind": kind, "text": text, "durable": is_durable })
        })
        .collect();
    put("log", log.into());
}

/// What the member is in this membership.
fn standing(state: &Value, member: &str) -> &'static str {
    let is_in = |name: &str| list(&state[name]).any(|id| id == member);
    if is_in("voters") || is_in("outgoing") {
        "voter"
    } else if is_in("learners") {
        "learner"
    } else {
        "none"
    }
}

/// The number of a member, 0 for none.
fn number(book: &Book, id: &Value) -> Value {
    id.as_str().and_then(|id| book.numbers.get(id)).copied().unwrap_or_default().into()
}

fn numbers(book: &Book, ids: &Value) -> Value {
    let mut numbers: Vec<u64> = list(ids).filter_map(|id| book.numbers.get(id.as_str()?)).copied().collect();
    numbers.sort_unstable();
    numbers.into()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::attach::Endpoint;

    fn state(member: &str, role: &str, applied: u64) -> Value {
        let members: Vec<Value> = [("a", "n1", 1), ("b", "n2", 2), ("c", "n3", 3)]
            .map(|(id, name, port)| json!({"id": id, "name": name, "client_urls": [format!("http://h:{port}")]}))
            .into();
        json!({
            "version": 1, "member": member, "role": role, "term": 2, "leader": "a", "vote": "a", "commit": 9,
            "applied": applied, "durable": 9, "base": [0, 0], "last": [9, 2], "log": [[8, 2, "noop", 0], [9, 2, "command", 7]],
            "voters": ["a", "b", "c"], "outgoing": [], "learners": [], "witnesses": [],
            "peers": [{"id": "b", "match": 9, "next": 10, "state": "replicate", "in_flight": 0, "recent": true, "round_trip_us": 1500}],
            "disk": {"waits_ms": null, "stalled": false}, "lease_left_ms": null, "members": members,
        })
    }

    fn heard(state: Value) -> Result<Heard, String> {
        Ok(Heard { state, latency: Duration::from_micros(1234), ahead_us: 0, trace: None, sick: None })
    }

    #[test]
    fn members_stand_in_the_order_of_their_names_and_one_that_is_down_says_why() {
        let mut book = Book::new();
        for port in [2, 1] {
            book.add(Endpoint::parse(&format!("h:{port}")).unwrap());
        }
        book.hear(0, 0, heard(state("b", "follower", 7)));
        book.hear(1, 0, heard(state("a", "leader", 9)));
        assert_eq!(book.unknown_members(8), [(2, Endpoint::parse("h:3").unwrap())]);
        book.hear(2, 0, Err("connection refused".into()));
        let all = assemble(&book);
        let of = |name: &str| list(&all["nodes"]).map(|node| node[name].clone()).collect::<Vec<_>>();
        assert_eq!(of("name"), ["n1", "n2", "n3"]);
        assert_eq!(of("id"), [1, 2, 3]);
        assert_eq!(of("status"), ["up", "up", "down"]);
        assert_eq!(of("role"), [json!("leader"), json!("follower"), Value::Null]);
        assert_eq!((&of("lag")[..2], &of("leader")[1]), (&[json!(0), json!(2)][..], &json!(1)));
        assert_eq!(of("reason")[2], "connection refused");
        assert_eq!(all["nodes"][0]["latency_ms"], 1.23);
        assert_eq!(all["nodes"][0]["peers"][0]["round_trip_ms"], 1.5);
        assert_eq!(
            all["nodes"][1]["log"][1],
            json!({"index": 9, "term": 2, "kind": "command", "text": "7 B", "durable": true})
        );
        assert_eq!(all["members"]["voters"], json!([1, 2, 3]));

        book.hear(1, 0, Err("no answer within 1000 ms".into()));
        let all = assemble(&book);
        let dead = &all["nodes"][0];
        assert_eq!((&dead["status"], &dead["last"]), (&json!("down"), &json!([9, 2])));
        assert_eq!(dead["reason"], "no answer within 1000 ms");
        assert_eq!(book.unknown_members(8), []);
    }

    #[test]
    fn endpoints_that_nobody_answers_at_are_shown() {
        let mut book = Book::new();
        let place = book.add(Endpoint::parse("h:9").unwrap());
        assert_eq!(assemble(&book)["nodes"][0]["status"], "down");
        book.hear(place, 0, Err("connection refused".into()));
        let all = assemble(&book);
        assert_eq!(
            (&all["nodes"][0]["reason"], &all["endpoints"][0]["answers"]),
            (&json!("connection refused"), &json!(false))
        );
        assert_eq!(all["members"], Value::Null);
    }
}
