//! What the client port shows of the member to people and tools that follow it: `/floe/state` and `/floe/trace`
//! (`docs/design/live.md`).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use floe::{EntryKind, LogId, NodeId, NodeView, ProgressState, ProgressStatus, RoleKind, TracePage};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::engine::Engine;

/// The version of both answers.
const VERSION: u64 = 1;
/// The last entries of the log that are shown.
const ENTRIES: u64 = 64;
/// Events in one answer.
const EVENTS_MAX: usize = 1000;
/// A driver that takes longer is in trouble, and who looks wants to know.
const PATIENCE: Duration = Duration::from_secs(1);

/// The routes, unless the member is told to show nothing.
pub(crate) fn router(engine: Arc<Engine>) -> Router {
    if !engine.config.live_state {
        return Router::new();
    }
    Router::new().route("/floe/state", get(state)).route("/floe/trace", get(trace)).with_state(engine)
}

async fn state(State(engine): State<Arc<Engine>>) -> Response {
    match timeout(PATIENCE, engine.handle.look(ENTRIES)).await {
        Ok(Some(view)) => Json(describe(&engine, &view)).into_response(),
        Ok(None) => unavailable("the member stops"),
        Err(_) => unavailable("the member's driver does not answer"),
    }
}

fn unavailable(reason: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "version": VERSION, "error": reason }))).into_response()
}

fn describe(engine: &Engine, view: &NodeView) -> Value {
    let status = &view.status;
    let hard_state = status.hard_state;
    let membership = &status.membership;
    let members: Vec<Value> = engine
        .reader
        .members()
        .into_iter()
        .map(|member| json!({ "id": hex(member.id), "name": member.name, "client_urls": member.client_urls }))
        .collect();
    let peers: Vec<Value> = status
        .progress
        .iter()
        .map(|(id, progress)| peer(*id, progress, view.round_trips.get(id).copied()))
        .collect();
    let log: Vec<Value> = view
        .recent
        .iter()
        .map(|entry| json!([entry.id.index.0, entry.id.term.0, kind(entry.kind), entry.bytes]))
        .collect();
    json!({
        "version": VERSION,
        "member": hex(status.id.0),
        "name": engine.config.name,
        "cluster": hex(engine.identity.cluster),
        "now_us": micros(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()),
        "role": role(status.role),
        "term": hard_state.term.0,
        "vote": hard_state.vote.map(|vote| hex(vote.0)),
        "leader": status.leader.map(|leader| hex(leader.0)),
        "commit": status.commit.0,
        "applied": status.applied.0,
        "durable": status.durable.0,
        "base": pair(status.base),
        "last": pair(status.last),
        "log": log,
        "voters": ids(&membership.voters),
        "outgoing": ids(&membership.outgoing),
        "learners": ids(&membership.learners),
        "witnesses": ids(&membership.witnesses),
        "peers": peers,
        "transfer_to": status.transfer_to.map(|to| hex(to.0)),
        "lease_left_ms": view.lease_left.map(millis),
        "disk": { "waits_ms": view.disk_waits.map(millis), "stalled": view.is_disk_stalled },
        "members": members,
        "trace": { "sample": engine.config.trace_sample, "file": engine.config.trace_file.is_some() },
    })
}

fn peer(id: NodeId, progress: &ProgressStatus, round_trip: Option<Duration>) -> Value {
    json!({
        "id": hex(id.0),
        "match": progress.matched.0,
        "next": progress.next.0,
        "state": match progress.state {
            ProgressState::Probe => "probe",
            ProgressState::Replicate => "replicate",
            ProgressState::Snapshot => "snapshot",
        },
        "in_flight": progress.inflight,
        "recent": progress.recent,
        "leaving": progress.leaving,
        "round_trip_us": round_trip.map(micros),
    })
}

#[derive(Deserialize)]
struct TraceQuery {
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

async fn trace(State(engine): State<Arc<Engine>>, Query(query): Query<TraceQuery>) -> Response {
    let limit = query.limit.map_or(EVENTS_MAX, |limit| limit.min(EVENTS_MAX));
    let page = engine.handle.trace(query.after, limit);
    ([(header::CONTENT_TYPE, "application/json")], page_of(engine.handle.id(), &page)).into_response()
}

/// The events are JSON already, and go out as they are.
fn page_of(member: NodeId, page: &TracePage) -> String {
    let members: serde_json::Map<String, Value> =
        page.members.iter().map(|(number, id)| (number.to_string(), hex(id.0).into())).collect();
    format!(
        r#"{{"version":{VERSION},"member":"{}","started_at_us":{},"last":{},"members":{},"events":[{}]}}"#,
        hex(member.0),
        page.started_at_us,
        page.last,
        Value::Object(members),
        page.lines.join(","),
    )
}

fn hex(id: u64) -> String {
    format!("{id:016x}")
}

fn ids<'a>(nodes: impl IntoIterator<Item = &'a NodeId>) -> Vec<String> {
    nodes.into_iter().map(|node| hex(node.0)).collect()
}

fn pair(id: LogId) -> [u64; 2] {
    [id.index.0, id.term.0]
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn role(role: RoleKind) -> &'static str {
    match role {
        RoleKind::Follower => "follower",
        RoleKind::PreCandidate => "pre-candidate",
        RoleKind::Candidate => "candidate",
        RoleKind::Leader => "leader",
    }
}

fn kind(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Noop => "noop",
        EntryKind::Command => "command",
        EntryKind::Membership => "membership",
        EntryKind::Witnessed => "witnessed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_the_trace_is_json_with_ids_as_text() {
        let page = TracePage {
            started_at_us: 7,
            last: 2,
            members: [(1, NodeId(0xfedc_ba98_7654_3210))].into(),
            lines: vec![r#"{"id":1}"#.into(), r#"{"id":2}"#.into()],
        };
        let json: Value = serde_json::from_str(&page_of(NodeId(5), &page)).unwrap();
        assert_eq!(json["members"]["1"], "fedcba9876543210");
        assert_eq!((json["member"].as_str(), json["last"].as_u64()), (Some("0000000000000005"), Some(2)));
        assert_eq!(json["events"][1]["id"], 2);
    }
}
