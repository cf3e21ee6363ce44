//! What the lab answers over HTTP.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use super::assets;
use super::attach::Cluster;
use super::engines::{CallError, Engines};
use super::trace_file::TraceFile;

/// The page needs its own files, and its engine as WebAssembly; nothing else, from nowhere else.
const POLICY: &str = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; object-src 'none'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";
/// The longest call of an engine: a thousand actions are far below it.
const CALL_BYTES_MAX: usize = 1 << 20;
/// Events in one answer.
const EVENTS_MAX: usize = 5000;

/// What is shown besides the page.
pub(crate) struct Pages {
    engines: Engines,
    /// What `--attach` leads to.
    pub(crate) cluster: Option<Cluster>,
    /// The file that the page is opened on.
    pub(crate) trace: Option<TraceFile>,
    /// It listens on loopback: then it answers under names of loopback only.
    only_local: bool,
}

impl Pages {
    /// The page and its engines, at that address.
    pub(crate) fn new(address: SocketAddr) -> Self {
        let only_local = address.ip().is_loopback();
        Self { engines: Engines::default(), cluster: None, trace: None, only_local }
    }
}

/// All routes.
pub(crate) fn router(pages: Pages) -> Router {
    let pages = Arc::new(pages);
    Router::new()
        // The page has files of its own in a folder of that name.
        .route("/engine/{name}", post(engine).layer(DefaultBodyLimit::max(CALL_BYTES_MAX)).get(file))
        .route("/live", get(live))
        .route("/live/events", get(live_events))
        .route("/trace/{name}", get(trace))
        .fallback(get(file))
        .layer(from_fn_with_state(Arc::clone(&pages), guard))
        .with_state(pages)
}

/// Refuses pages of elsewhere that come under a name of their own that leads to this machine, and says what a page of
/// the lab may load.
async fn guard(State(pages): State<Arc<Pages>>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if pages.only_local && !is_local(host) {
        let text = format!("the lab answers on this machine only, not as {host}\n");
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(name, _)| name),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

async fn file(uri: Uri, headers: HeaderMap) -> Response {
    assets::serve(uri.path(), &headers)
}

async fn engine(
    State(pages): State<Arc<Pages>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    // A form of another page's can send neither this kind nor ask whether it may.
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.split(';').next().map(str::trim) != Some("application/json") {
        return refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "bad-json", "a call is application/json");
    }
    let Ok(request) = String::from_utf8(body.into()) else {
        return refused(StatusCode::BAD_REQUEST, "bad-json", "a call is UTF-8");
    };
    match pages.engines.call(&name, request).await {
        Ok(answer) => ([(header::CONTENT_TYPE, "application/json")], answer).into_response(),
        Err(error) => {
            let status = match error {
                CallError::BadName => StatusCode::NOT_FOUND,
                CallError::Busy => StatusCode::TOO_MANY_REQUESTS,
                CallError::Ended | CallError::NoThread => StatusCode::INTERNAL_SERVER_ERROR,
            };
            refused(status, "no-engine", &error.to_string())
        }
    }
}

/// An error in the words of the engine's own answers.
fn refused(status: StatusCode, what: &str, detail: &str) -> Response {
    (status, Json(json!({ "error": { "what": what, "detail": detail } }))).into_response()
}

fn not_attached() -> Response {
    refused(
        StatusCode::NOT_FOUND,
        "not-attached",
        "start `floe lab --attach ENDPOINTS` to see a running cluster",
    )
}

async fn live(State(pages): State<Arc<Pages>>) -> Response {
    match &pages.cluster {
        None => not_attached(),
        Some(cluster) => Json(cluster.state()).into_response(),
    }
}

#[derive(Deserialize)]
struct EventsQuery {
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

async fn live_events(State(pages): State<Arc<Pages>>, Query(query): Query<EventsQuery>) -> Response {
    match &pages.cluster {
        None => not_attached(),
        Some(cluster) => {
            let limit = query.limit.map_or(EVENTS_MAX, |limit| limit.min(EVENTS_MAX));
            Json(cluster.events(query.after, limit)).into_response()
        }
    }
}

async fn trace(State(pages): State<Arc<Pages>>, Path(name): Path<String>) -> Response {
    let Some(trace) = pages.trace.as_ref().filter(|trace| trace.name == name) else {
        return (StatusCode::NOT_FOUND, "the lab was opened on another file\n").into_response();
    };
    match trace.read() {
        Ok(bytes) => ([(header::CONTENT_TYPE, "application/x-ndjson")], bytes).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("the trace cannot be read: {error}\n"))
            .into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_its_own() {
        for host in ["localhost", "localhost:2370", "127.0.0.1:2370", "127.8.0.1", "[::1]:80"] {
            assert!(is_local(host), "{host}");
        }
        for host in
            ["", "example.com", "example.com:2370", "127.0.0.1.example.com", "10.0.0.1", "[2001:db8::1]:80"]
        {
            assert!(!is_local(host), "{host}");
        }
    }
}
