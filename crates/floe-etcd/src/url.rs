//! The addresses of members, written as etcd writes them: `http://host:port`.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

/// `http://host:port`, without a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Url {
    /// As in a URL: IPv6 addresses stand in brackets.
    host: String,
    port: u16,
}

/// Why a text is not such an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// TLS comes with a later version. Serving in the clear what was asked to be encrypted would be worse than not
    /// serving.
    #[error("{0}: https is not supported yet; use http")]
    Https(String),
    /// Neither http nor https.
    #[error("{0}: the URL must begin with http://")]
    Scheme(String),
    /// Something after the port.
    #[error("{0}: the URL must not contain a path")]
    Path(String),
    /// No port, or not a number.
    #[error("{0}: the URL must end with a port, as in http://10.0.0.1:2379")]
    Port(String),
    /// No host.
    #[error("{0}: the URL has no host")]
    Host(String),
}

impl Url {
    /// `http://localhost` at a port.
    pub fn loopback(port: u16) -> Self {
        Self { host: "localhost".into(), port }
    }

    /// The host, IPv6 addresses in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; 0 asks the system for a free one where the URL is listened on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The same host at another port.
    #[must_use]
    pub fn with_port(&self, port: u16) -> Self {
        Self { host: self.host.clone(), port }
    }

    /// `host:port`, as sockets want it.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The address to listen on. A name is looked up; IPv4 is preferred, as etcd does for `localhost`.
    pub fn resolve(&self) -> io::Result<SocketAddr> {
        let found: Vec<SocketAddr> = self.authority().to_socket_addrs()?.collect();
        let first = found.iter().find(|address| address.is_ipv4()).or(found.first());
        first.copied().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
    }
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        let Some(rest) = text.strip_prefix("http://") else {
            let error = if text.starts_with("https://") { UrlError::Https } else { UrlError::Scheme };
            return Err(error(text.into()));
        };
        if rest.contains('/') {
            return Err(UrlError::Path(text.into()));
        }
        let Some((host, port)) = rest.rsplit_once(':') else {
            return Err(UrlError::Port(text.into()));
        };
        let Ok(port) = port.parse() else {
            return Err(UrlError::Port(text.into()));
        };
        // Without brackets the last part of an IPv6 address would be taken for the port.
        let bracketed = host.starts_with('[') && host.ends_with(']');
        if host.is_empty() || (host.contains(':') && !bracketed) {
            return Err(UrlError::Host(text.into()));
        }
        Ok(Self { host: host.into(), port })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_an_address_and_what_is_not() {
        let url: Url = " http://10.0.0.1:2379 ".parse().unwrap();
        assert_eq!(
            (url.host(), url.port(), url.to_string().as_str()),
            ("10.0.0.1", 2379, "http://10.0.0.1:2379")
        );
        let url: Url = "http://[::1]:2380".parse().unwrap();
        assert_eq!(url.authority(), "[::1]:2380");
        for (text, is) in [
            ("https://a:1", "https"),
            ("a:1", "http://"),
            ("unix://a", "http://"),
            ("http://a:1/x", "path"),
            ("http://a:1/", "path"),
            ("http://a", "port"),
            ("http://a:x", "port"),
            ("http://a:70000", "port"),
            ("http://:1", "host"),
            ("http://::1:1", "host"),
        ] {
            let error = text.parse::<Url>().unwrap_err().to_string();
            assert!(error.contains(is), "{text}: {error}");
        }
    }
}
