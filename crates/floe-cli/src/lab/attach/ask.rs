//! One endpoint is asked: floe's own words if it has them, etcd's API otherwise.

use std::time::{Duration, Instant, SystemTime};

use hyper::StatusCode;
use serde_json::Value;
use tokio::time::timeout;

use super::http::Connection;
use super::{Endpoint, etcd};

/// An endpoint that says nothing for so long is down, as far as anybody sees.
const PATIENCE: Duration = Duration::from_secs(2);
/// Questions after which its health is asked for again: a member that is not well logs each of them.
const HEALTH_EVERY: u64 = 10;
/// Events in one answer; as many as it gives.
pub(super) const EVENTS: usize = 1000;

/// What an endpoint said.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    /// As `docs/design/live.md` has it, as far as this server knows it.
    pub(super) state: Value,
    /// From the question to the answer.
    pub(super) latency: Duration,
    /// How much the server's wall clock is ahead of this machine's, in microseconds; zero if that cannot be told from
    /// the time that the answer took.
    pub(super) ahead_us: i64,
    /// A page of its trace, if it has one.
    pub(super) trace: Option<Value>,
    /// Why it says that it is not healthy.
    pub(super) sick: Option<String>,
}

/// Who asks one endpoint.
pub(super) struct Asker {
    endpoint: Endpoint,
    connection: Option<Connection>,
    asked: u64,
    sick: Option<String>,
    /// Where the next page of the trace begins, and of which life of the process.
    after: u64,
    started_at_us: u64,
}

impl Asker {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, connection: None, asked: 0, sick: None, after: 0, started_at_us: 0 }
    }

    /// One round of questions.
    pub(super) async fn ask(&mut self) -> Result<Heard, String> {
        let heard = match timeout(PATIENCE, self.look()).await {
            Ok(heard) => heard,
            Err(_) => Err(format!("no answer within {} ms", PATIENCE.as_millis())),
        };
        if heard.is_err() {
            self.connection = None;
            self.asked = 0;
        }
        heard
    }

    async fn look(&mut self) -> Result<Heard, String> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(&self.endpoint.address).await?,
        };
        let (begun, wall_us) = (Instant::now(), wall_us());
        let answer = match connection.get("/floe/state").await {
            Ok(answer) => answer,
            // It was kept since the last round, and may have been closed meanwhile by a process that was started anew.
            Err(_) => {
                connection = Connection::open(&self.endpoint.address).await?;
                connection.get("/floe/state").await?
            }
        };
        let latency = begun.elapsed();
        let heard = match answer.0 {
            StatusCode::OK => {
                let state = read(&answer.1)?;
                let ahead_us = ahead(state["now_us"].as_u64(), wall_us, latency);
                let trace = self.trace(&mut connection).await?;
                Heard { state, latency, ahead_us, trace, sick: None }
            }
            // An etcd, or a member that shows nothing of this kind.
            StatusCode::NOT_FOUND => {
                let begun = Instant::now();
                let state = etcd::look(&self.endpoint.address).await?;
                Heard { state, latency: begun.elapsed(), ahead_us: 0, trace: None, sick: None }
            }
            status => return Err(format!("it answers {status}: {}", reason(&answer.1))),
        };
        if self.asked.is_multiple_of(HEALTH_EVERY) {
            let (status, body) = connection.get("/health").await?;
            self.sick = (status != StatusCode::OK).then(|| reason(&body));
        }
        self.asked += 1;
        self.connection = Some(connection);
        Ok(Heard { sick: self.sick.clone(), ..heard })
    }

    async fn trace(&mut self, connection: &mut Connection) -> Result<Option<Value>, String> {
        let path = |after| format!("/floe/trace?after={after}&limit={EVENTS}");
        let (status, body) = connection.get(&path(self.after)).await?;
        if status != StatusCode::OK {
            return Ok(None);
        }
        let mut page = read(&body)?;
        let started_at_us = page["started_at_us"].as_u64().unwrap_or_default();
        if started_at_us != self.started_at_us && self.after > 0 {
            // Another life of the process, whose events begin anew.
            page = read(&connection.get(&path(0)).await?.1)?;
        }
        self.started_at_us = started_at_us;
        self.after = page["last"].as_u64().unwrap_or_default();
        Ok(Some(page))
    }
}

fn read(body: &[u8]) -> Result<Value, String> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|_| "what answers there is no member: it is not JSON".to_owned())?;
    match value["version"].as_u64() {
        Some(1) => Ok(value),
        Some(version) => Err(format!("it speaks version {version}, and this floe version 1")),
        None => Err("what answers there is no member".to_owned()),
    }
}

/// The text of a refusal, short.
fn reason(body: &[u8]) -> String {
    let text = match serde_json::from_slice::<Value>(body) {
        Ok(value) => {
            let said = value["error"].as_str().or(value["reason"].as_str());
            said.map_or_else(|| value.to_string(), ToOwned::to_owned)
        }
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    text.trim().chars().take(200).collect()
}

/// How far the other clock is ahead, if that is more than the answer's time leaves open.
fn ahead(theirs_us: Option<u64>, asked_us: u64, latency: Duration) -> i64 {
    let Some(theirs_us) = theirs_us else { return 0 };
    let half = i64::try_from(latency.as_micros() / 2).unwrap_or(i64::MAX);
    let signed = |us: u64| i64::try_from(us).unwrap_or(i64::MAX);
    let ahead = signed(theirs_us).saturating_sub(signed(asked_us)).saturating_sub(half);
    if ahead.abs() <= half { 0 } else { ahead }
}

/// This machine's wall clock, in microseconds since 1970.
pub(super) fn wall_us() -> u64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_micros()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_called_ahead_only_if_the_answer_time_does_not_explain_it() {
        let latency = Duration::from_micros(1000);
        assert_eq!(ahead(Some(10_900), 10_000, latency), 0);
        assert_eq!(ahead(Some(10_000), 10_000, latency), 0);
        assert_eq!(ahead(Some(60_500), 10_000, latency), 50_000);
        assert_eq!(ahead(Some(5_500), 10_000, latency), -5_000);
        assert_eq!(ahead(None, 10_000, latency), 0);
    }

    #[test]
    fn what_is_no_member_is_told_from_one_of_another_version() {
        assert!(read(b"<html>").unwrap_err().contains("not JSON"));
        assert!(read(b"{}").unwrap_err().contains("no member"));
        assert!(read(br#"{"version":2}"#).unwrap_err().contains("version 2"));
        assert_eq!(reason(br#"{"health":"false","reason":"RAFT NO LEADER"}"#), "RAFT NO LEADER");
        assert_eq!(reason(b"404 page not found\n"), "404 page not found");
    }
}
