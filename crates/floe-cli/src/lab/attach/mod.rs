//! A running cluster, looked at: what `floe lab --attach` shows. Nothing is changed by it.
//!
//! Each endpoint is asked by a task of its own, so that one that hangs keeps no other waiting. What they say is put
//! together when the page asks: the members' states in `state.rs`, their traces in `events.rs`.

mod ask;
mod book;
mod etcd;
mod events;
mod http;
mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use crate::client;
use ask::Asker;
use book::Book;

/// How often each endpoint is asked. The page sees what is new within two of these.
const INTERVAL: Duration = Duration::from_millis(500);
/// Members that are asked at most, those too that only other members know of.
const ENDPOINTS_MAX: usize = 32;

/// Where a member is reached: `host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    address: String,
}

impl Endpoint {
    /// Reads `127.0.0.1:2379` or `http://127.0.0.1:2379`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let address = client::address_of(text)?.trim_end_matches('/');
        let (host, port) =
            address.rsplit_once(':').ok_or("it has no port; it should be like 127.0.0.1:2379")?;
        let is_host = !host.is_empty() && !host.contains(['/', '@', '?', '#', ' ']);
        if !is_host || (host.contains(':') && !host.starts_with('[')) {
            return Err("not an address; it should be like 127.0.0.1:2379".to_owned());
        }
        if port.parse::<u16>().map_or(true, |port| port == 0) {
            return Err(format!("`{port}` is no port"));
        }
        Ok(Self { address: address.to_owned() })
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.address)
    }
}

/// What is known of the cluster. Clones share it.
#[derive(Clone)]
pub(crate) struct Cluster {
    book: Arc<Mutex<Book>>,
}

impl Cluster {
    /// Begins to ask these endpoints, and the other members that they name. On a tokio runtime.
    pub(crate) fn attach(endpoints: Vec<Endpoint>) -> Self {
        let cluster = Self { book: Arc::new(Mutex::new(Book::new())) };
        for endpoint in endpoints {
            let place = cluster.lock().add(endpoint.clone());
            cluster.watch(place, endpoint);
        }
        cluster
    }

    /// The cluster's state as the page draws it.
    pub(crate) fn state(&self) -> Value {
        state::assemble(&self.lock())
    }

    /// Events of all members after that one, in one order.
    pub(crate) fn events(&self, after: u64, limit: usize) -> Value {
        let book = self.lock();
        let (events, last) = book.events.after(after, limit);
        json!({ "events": events, "last": last })
    }

    fn watch(&self, place: usize, endpoint: Endpoint) {
        let cluster = self.clone();
        tokio::spawn(async move {
            let mut asker = Asker::new(endpoint);
            loop {
                let next = Instant::now() + INTERVAL;
                let begun_us = cluster.lock().now_us();
                let heard = asker.ask().await;
                let found = {
                    let mut book = cluster.lock();
                    book.hear(place, begun_us, heard);
                    book.unknown_members(ENDPOINTS_MAX)
                };
                for (place, endpoint) in found {
                    cluster.watch(place, endpoint);
                }
                sleep_until(next).await;
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_host_and_a_port() {
        for text in ["127.0.0.1:2379", "http://127.0.0.1:2379", "http://127.0.0.1:2379/"] {
            assert_eq!(Endpoint::parse(text).unwrap().to_string(), "127.0.0.1:2379");
        }
        assert_eq!(Endpoint::parse("[::1]:2379").unwrap().to_string(), "[::1]:2379");
        for text in [
            "",
            ":2379",
            "localhost",
            "127.0.0.1:x",
            "127.0.0.1:0",
            "127.0.0.1:70000",
            "https://a:1",
            "ftp://a:1",
            "::1:1",
            "a b:1",
            "a/b:1",
        ] {
            assert!(Endpoint::parse(text).is_err(), "{text}");
        }
    }
}
