//! The page's files, in the binary.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "../floe-lab/web"]
struct Files;

/// The file of that path, or 404. A browser that has it already is told so.
pub(super) fn serve(path: &str, headers: &HeaderMap) -> Response {
    let path = path.trim_start_matches('/');
    let name = if path.is_empty() { "index.html" } else { path };
    let Some(file) = Files::get(name) else {
        return (StatusCode::NOT_FOUND, format!("the lab has no file {name}\n")).into_response();
    };
    let digest: String =
        file.metadata.sha256_hash().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let tag = format!("\"{digest}\"");
    // Asked for again each time, since a newer floe on the same port has other files.
    let fresh = [(header::ETAG, tag.clone()), (header::CACHE_CONTROL, "no-cache".to_owned())];
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, fresh).into_response();
    }
    (fresh, [(header::CONTENT_TYPE, kind_of(name))], file.data.into_owned()).into_response()
}

/// Browsers run no module and compile no WebAssembly that comes as something else.
fn kind_of(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("wasm") => "application/wasm",
        // The page unpacks its engine by itself.
        Some("gz") => "application/gzip",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("md" | "txt") => "text/plain; charset=utf-8",
        Some(_) | None => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_page_has_a_kind() {
        for name in Files::iter() {
            assert_ne!(kind_of(&name), "application/octet-stream", "{name}");
        }
    }

    #[test]
    fn a_file_that_a_browser_has_is_not_sent_again_and_nothing_else_is_served() {
        let first = serve("/", &HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(first.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
        let headers = HeaderMap::from_iter([(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone())]);
        assert_eq!(serve("/index.html", &headers).status(), StatusCode::NOT_MODIFIED);
        for path in ["/none.js", "/../Cargo.toml", "/tours", "//etc/passwd"] {
            assert_eq!(serve(path, &HeaderMap::new()).status(), StatusCode::NOT_FOUND, "{path}");
        }
    }
}
