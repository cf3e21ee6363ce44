//! What the client port answers to plain HTTP: `/health`, `/livez`, `/readyz` and `/version`, as etcd does, and what
//! `live.rs` shows of the member.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Json, Router};
use floe_mvcc::{KeyRange, Range};
use serde_json::json;

use crate::engine::{Engine, unreadable};
use crate::errors::EtcdError;
use crate::live;
use crate::proto::etcdserverpb::AlarmType;
use crate::version;

/// The routes of the client port beside gRPC.
pub(crate) fn router(engine: Arc<Engine>) -> Router {
    Router::new()
        .route("/health", any(health))
        .route("/livez", any(livez))
        .route("/livez/{check}", any(livez_check))
        .route("/readyz", any(readyz))
        .route("/readyz/{check}", any(readyz_check))
        .route("/version", any(version))
        .fallback(async || not_found())
        .layer(map_response(allow_other_origins))
        .with_state(Arc::clone(&engine))
        .merge(live::router(engine))
}

/// The same of a witness: it lives, and is never ready for clients. `reason` says why and where to go.
pub(crate) fn witness_router(reason: Arc<dyn Fn() -> String + Send + Sync>) -> Router {
    Router::new()
        .route("/health", any(witness_health))
        .route("/livez", any(witness_livez))
        .route("/readyz", any(witness_readyz))
        .route("/version", any(version))
        .fallback(async || not_found())
        .layer(map_response(allow_other_origins))
        .with_state(reason)
}

type Reason = State<Arc<dyn Fn() -> String + Send + Sync>>;

async fn witness_health(State(reason): Reason, method: Method) -> Response {
    if method != Method::GET {
        return only_get();
    }
    let body = json!({ "health": "false", "reason": reason() }).to_string();
    text(StatusCode::SERVICE_UNAVAILABLE, body + "\n")
}

async fn witness_livez(method: Method) -> Response {
    if method == Method::GET { text(StatusCode::OK, "ok\n".into()) } else { only_get() }
}

async fn witness_readyz(State(reason): Reason, method: Method) -> Response {
    if method != Method::GET {
        return only_get();
    }
    text(StatusCode::SERVICE_UNAVAILABLE, format!("[-]non_witness failed: {}\n\n", reason()))
}

/// Pages from elsewhere may ask, as etcd lets them by default: what is answered here is no secret from anybody who can
/// reach the port.
async fn allow_other_origins(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let allow = HeaderValue::from_static;
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allow("*"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, allow("POST, GET, OPTIONS, PUT, DELETE"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allow("accept, content-type, authorization"));
    response
}

type Parameters = Query<Vec<(String, String)>>;

fn values<'a>(parameters: &'a Parameters, name: &str) -> Vec<&'a str> {
    parameters.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
}

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

fn text(status: StatusCode, body: String) -> Response {
    let nosniff = (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    (status, [(header::CONTENT_TYPE, TEXT), nosniff], body).into_response()
}

fn not_found() -> Response {
    text(StatusCode::NOT_FOUND, "404 page not found\n".into())
}

fn only_get() -> Response {
    let allow = [(header::ALLOW, HeaderValue::from_static("GET"))];
    (allow, text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n".into())).into_response()
}

/// In the order in which etcd writes them.
#[derive(serde::Serialize)]
struct Versions {
    etcdserver: &'static str,
    etcdcluster: &'static str,
    storage: &'static str,
}

async fn version(method: Method) -> Response {
    if method != Method::GET {
        return only_get();
    }
    let versions =
        Versions { etcdserver: version::SERVER, etcdcluster: version::CLUSTER, storage: version::STORAGE };
    Json(versions).into_response()
}

async fn health(State(engine): State<Arc<Engine>>, method: Method, parameters: Parameters) -> Response {
    if method != Method::GET {
        return only_get();
    }
    let serializable = values(&parameters, "serializable").first() == Some(&"true");
    match sickness(&engine, &values(&parameters, "exclude"), serializable).await {
        None => {
            let body = json!({ "health": "true", "reason": "" }).to_string();
            ([(header::CONTENT_TYPE, TEXT)], body).into_response()
        }
        Some(reason) => {
            tracing::warn!(reason, "/health says that this member is not healthy");
            let body = json!({ "health": "false", "reason": reason }).to_string();
            text(StatusCode::SERVICE_UNAVAILABLE, body + "\n")
        }
    }
}

/// What keeps this member from serving: an alarm, no leader, or a read that fails.
async fn sickness(engine: &Engine, excluded: &[&str], serializable: bool) -> Option<String> {
    for (_, alarm) in engine.reader.alarms() {
        let name = AlarmType::try_from(alarm).map_or("UNKNOWN", |alarm| alarm.as_str_name());
        if !excluded.contains(&name) {
            return Some(format!("ALARM {name}"));
        }
    }
    if !serializable && engine.handle.leader().is_none() {
        return Some("RAFT NO LEADER".into());
    }
    read(engine, serializable).await.err().map(|error| format!("RANGE ERROR:{error}"))
}

/// A read of one key, as a client would do it.
async fn read(engine: &Engine, serializable: bool) -> Result<(), String> {
    if !serializable {
        engine.linearize().await.map_err(|status| status.message().to_owned())?;
    }
    let key = bytes::Bytes::from_static(b"\0");
    let range = Range {
        range: KeyRange { start: key, ..Default::default() },
        limit: 1,
        keys_only: true,
        ..Default::default()
    };
    engine.reader.range(&range).map_err(|error| unreadable(error).message().to_owned())?;
    Ok(())
}

const LIVEZ: [&str; 1] = ["serializable_read"];
const READYZ: [&str; 4] = ["data_corruption", "serializable_read", "linearizable_read", "non_learner"];

async fn livez(engine: State<Arc<Engine>>, method: Method, parameters: Parameters) -> Response {
    probe(engine, method, parameters, &LIVEZ).await
}

async fn readyz(engine: State<Arc<Engine>>, method: Method, parameters: Parameters) -> Response {
    probe(engine, method, parameters, &READYZ).await
}

async fn livez_check(
    engine: State<Arc<Engine>>,
    Path(check): Path<String>,
    method: Method,
    parameters: Parameters,
) -> Response {
    probe_one(engine, &check, method, parameters, &LIVEZ).await
}

async fn readyz_check(
    engine: State<Arc<Engine>>,
    Path(check): Path<String>,
    method: Method,
    parameters: Parameters,
) -> Response {
    probe_one(engine, &check, method, parameters, &READYZ).await
}

async fn probe_one(
    engine: State<Arc<Engine>>,
    check: &str,
    method: Method,
    parameters: Parameters,
    known: &[&str],
) -> Response {
    match known.iter().find(|name| **name == check) {
        Some(name) => probe(engine, method, parameters, &[name]).await,
        None => not_found(),
    }
}

/// Runs the checks that the request does not exclude. The reasons are told when one fails, or when asked for.
async fn probe(
    State(engine): State<Arc<Engine>>,
    method: Method,
    parameters: Parameters,
    checks: &[&str],
) -> Response {
    if method != Method::GET {
        return only_get();
    }
    let excluded = values(&parameters, "exclude");
    let (mut failed, mut lines) = (false, String::new());
    for name in checks.iter().filter(|name| !excluded.contains(name)) {
        match check(&engine, name).await {
            Ok(()) => lines += &format!("[+]{name} ok\n"),
            Err(reason) => {
                failed = true;
                lines += &format!("[-]{name} failed: {reason}\n");
            }
        }
    }
    if failed {
        tracing::warn!(checks = lines.trim_end(), "a health check failed");
        return text(StatusCode::SERVICE_UNAVAILABLE, lines + "\n");
    }
    let verbose = !values(&parameters, "verbose").is_empty();
    text(StatusCode::OK, if verbose { lines + "ok\n" } else { "ok\n".into() })
}

async fn check(engine: &Engine, name: &str) -> Result<(), String> {
    match name {
        "data_corruption" => {
            let corrupt = i32::from(AlarmType::Corrupt);
            let alarmed = engine.reader.alarms().iter().any(|(_, alarm)| *alarm == corrupt);
            if alarmed { Err("alarm activated: CORRUPT".into()) } else { Ok(()) }
        }
        "serializable_read" => read(engine, true).await,
        "linearizable_read" if engine.handle.leader().is_none() => Err(EtcdError::NoLeader.message().into()),
        "linearizable_read" => read(engine, false).await,
        _ => {
            let status = engine.handle.status();
            let learner = status.membership.learners.contains(&status.id);
            if learner { Err("not supported for learner".into()) } else { Ok(()) }
        }
    }
}
