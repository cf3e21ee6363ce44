//! Addresses that open the page on something: a world, a trace, or a running cluster.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

/// The page itself, where it can be reached from this machine.
fn page(address: SocketAddr) -> String {
    let host = if address.ip().is_unspecified() {
        if address.is_ipv4() { "127.0.0.1".to_owned() } else { "[::1]".to_owned() }
    } else if address.is_ipv4() {
        address.ip().to_string()
    } else {
        format!("[{}]", address.ip())
    };
    format!("http://{host}:{}/", address.port())
}

/// The page on a world of these settings, or on the one that it begins with.
pub(crate) fn to_settings(address: SocketAddr, settings: Option<&Value>) -> String {
    match settings {
        None => page(address),
        Some(settings) => format!("{}#s={}", page(address), URL_SAFE_NO_PAD.encode(settings.to_string())),
    }
}

/// The page on a trace that is served under that name.
pub(crate) fn to_trace(address: SocketAddr, name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let mut encoded = String::new();
    for byte in name.bytes() {
        if plain(byte) {
            encoded.push(char::from(byte));
        } else {
            // Once for the path, and once more for the fragment that holds the path.
            encoded.push_str(&format!("%25{byte:02X}"));
        }
    }
    format!("{}#trace=trace%2F{encoded}", page(address))
}

/// The page on the cluster that `--attach` names.
pub(crate) fn to_live(address: SocketAddr) -> String {
    format!("{}?live=1", page(address))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn links_open_what_they_name() {
        let address = "127.0.0.1:2370".parse().unwrap();
        assert_eq!(to_settings(address, None), "http://127.0.0.1:2370/");
        let link = to_settings(address, Some(&json!({ "version": 1 })));
        assert_eq!(link, "http://127.0.0.1:2370/#s=eyJ2ZXJzaW9uIjoxfQ");
        assert_eq!(to_trace(address, "a b.ndjson"), "http://127.0.0.1:2370/#trace=trace%2Fa%2520b.ndjson");
        assert_eq!(to_live("[::1]:80".parse().unwrap()), "http://[::1]:80/?live=1");
        assert_eq!(to_live("0.0.0.0:80".parse().unwrap()), "http://127.0.0.1:80/?live=1");
    }
}
