//! Writes with a name: tried on one member after another until somebody answers, and done once however often they are
//! tried. The rules are in `docs/design/sessions.md`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use floe_etcd::{REQUEST_ID, TIME_MS};
use floe_session::{ClientId, RequestId, Sequence};
use tokio::time::{Instant, sleep};
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::client::{Connection, Failure, is_definite, is_of_witness};

/// How long to wait after every member was tried.
const PAUSE: Duration = Duration::from_millis(50);
/// How much of the time one member may use while others are left, and at least how much it gets.
const SHARE: u32 = 3;
const LEAST: Duration = Duration::from_millis(500);

/// The name of a command's one write.
#[derive(Clone, Debug)]
pub(crate) struct Name(AsciiMetadataValue);

impl Name {
    /// A name that nobody else has, born at `birth_ms`.
    fn new(birth_ms: u64) -> Self {
        let client = ClientId::new(birth_ms, rand::random());
        let id = RequestId { client, sequence: Sequence::FIRST }.to_string();
        Self(id.parse().expect("hexadecimal digits, hyphens and a slash are ASCII"))
    }

    /// The message with the name on it.
    pub(crate) fn on<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert(REQUEST_ID, self.0.clone());
        request
    }
}

/// What is known of a write after some attempts.
#[derive(Default)]
struct Attempts {
    /// Those who could not be reached.
    unreached: Vec<(String, String)>,
    /// The last attempt of which nobody knows whether it was applied.
    unknown: Option<Failure>,
    /// The last refusal that was none of the write itself.
    refused: Option<Failure>,
    is_renamed: bool,
}

/// What to do after an attempt failed.
#[derive(Debug)]
enum Next {
    /// Try another member.
    Again,
    /// Try again under a name that is born at this time.
    Rename(u64),
    /// Tell the user.
    Fail(Failure),
}

impl Attempts {
    /// `status` came from `endpoint`.
    fn judge(&mut self, endpoint: &str, status: Status) -> Next {
        let told = status.metadata().get(TIME_MS).and_then(|time| time.to_str().ok()?.parse().ok());
        let failure = |status| Box::new(status);
        let endpoint = endpoint.to_owned();
        if let Some(time_ms) = told {
            // The clock here is wrong. As long as no attempt can have been applied, another name harms nobody.
            if self.unknown.is_none() && !self.is_renamed {
                self.is_renamed = true;
                return Next::Rename(time_ms);
            }
            return Next::Fail(
                self.unknown.take().unwrap_or(Failure::Refused { endpoint, status: failure(status) }),
            );
        }
        let is_passing = is_of_witness(&status)
            || status.message() == "etcdserver: too many requests"
            || status.message() == "etcdserver: no leader"
            || status.message().starts_with("floe: too many sessions");
        if is_passing {
            self.refused = Some(Failure::Refused { endpoint, status: failure(status) });
        } else if is_definite(&status) {
            // The store gives the same answer to every attempt, so it is that of the first.
            return Next::Fail(Failure::Refused { endpoint, status: failure(status) });
        } else {
            self.unknown = Some(Failure::Unknown { endpoint, status: failure(status) });
        }
        Next::Again
    }

    /// The time is over.
    fn give_up(self) -> Failure {
        self.unknown.or(self.refused).unwrap_or(Failure::NobodyAnswers(self.unreached))
    }
}

impl Connection {
    /// Sends a write to one member after another, until one answers or the time is over. It has a name, so it is done
    /// once even if an attempt whose answer was lost had been done already.
    pub(crate) async fn write_once<T>(
        &self,
        call: impl AsyncFn(Channel, Name) -> Result<T, Status>,
    ) -> Result<T, Failure> {
        let deadline = Instant::now() + self.command_timeout;
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis());
        let mut name = Name::new(u64::try_from(now_ms).unwrap_or(0));
        let mut attempts = Attempts::default();
        loop {
            attempts.unreached.clear();
            for endpoint in &self.endpoints {
                let channel = match self.connect(endpoint).await {
                    Ok(channel) => channel,
                    Err(reason) => {
                        attempts.unreached.push((endpoint.clone(), reason));
                        continue;
                    }
                };
                loop {
                    let limit = self.time_for_one(deadline);
                    let status = match within(limit, call(channel.clone(), name.clone())).await {
                        Ok(reply) => return Ok(reply),
                        Err(status) => status,
                    };
                    match attempts.judge(endpoint, status) {
                        Next::Again => break,
                        Next::Rename(birth_ms) => name = Name::new(birth_ms),
                        Next::Fail(failure) => return Err(failure),
                    }
                }
                if Instant::now() >= deadline {
                    return Err(attempts.give_up());
                }
            }
            let nobody_is_there = attempts.unreached.len() == self.endpoints.len();
            let nothing_was_sent = attempts.unknown.is_none() && attempts.refused.is_none();
            if Instant::now() + PAUSE >= deadline || (nobody_is_there && nothing_was_sent) {
                return Err(attempts.give_up());
            }
            sleep(PAUSE).await;
        }
    }

    /// How long one member may take: all that is left if there is no other.
    fn time_for_one(&self, deadline: Instant) -> Duration {
        let left = deadline.saturating_duration_since(Instant::now());
        if self.endpoints.len() == 1 { left } else { left.min(LEAST.max(self.command_timeout / SHARE)) }
    }
}

async fn within<T>(time: Duration, call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    tokio::time::timeout(time, call)
        .await
        .unwrap_or_else(|_| Err(Status::new(Code::DeadlineExceeded, "no answer in time")))
}

#[cfg(test)]
mod tests {
    use tonic::metadata::MetadataMap;

    use super::*;

    fn expired() -> Status {
        let mut metadata = MetadataMap::new();
        metadata.insert(TIME_MS, 77_u64.into());
        Status::with_metadata(Code::FailedPrecondition, "floe: the session has expired", metadata)
    }

    #[test]
    fn an_unknown_outcome_stays_unknown_until_somebody_knows() {
        let mut attempts = Attempts::default();
        assert!(matches!(attempts.judge("a", Status::unavailable("connection reset")), Next::Again));
        assert!(matches!(attempts.judge("b", Status::unavailable("etcdserver: no leader")), Next::Again));
        // Another name could do it twice now.
        let Next::Fail(failure) = attempts.judge("c", expired()) else { panic!("it may have happened") };
        assert_eq!(failure.exit_code(), 3);
        let mut attempts = Attempts::default();
        assert!(matches!(attempts.judge("a", Status::unavailable("connection reset")), Next::Again));
        let refusal = Status::invalid_argument("etcdserver: key not found");
        assert!(matches!(attempts.judge("b", refusal), Next::Fail(Failure::Refused { .. })));
    }

    #[test]
    fn a_wrong_clock_is_made_up_for_once() {
        let mut attempts = Attempts::default();
        assert!(matches!(attempts.judge("a", Status::unavailable("etcdserver: no leader")), Next::Again));
        assert!(matches!(attempts.judge("b", expired()), Next::Rename(77)));
        assert!(matches!(attempts.judge("b", expired()), Next::Fail(Failure::Refused { .. })));
    }

    #[test]
    fn what_is_told_at_the_end_is_the_worst_that_can_be() {
        let mut attempts = Attempts::default();
        let busy = Status::resource_exhausted("floe: too many sessions: try again later");
        assert!(matches!(attempts.judge("a", busy), Next::Again));
        assert!(matches!(attempts.give_up(), Failure::Refused { .. }));
        let mut attempts = Attempts::default();
        assert!(matches!(attempts.judge("a", Status::deadline_exceeded("no answer in time")), Next::Again));
        assert!(matches!(attempts.judge("a", Status::unknown("etcdserver: too many requests")), Next::Again));
        assert_eq!(attempts.give_up().exit_code(), 3);
        assert!(matches!(Attempts::default().give_up(), Failure::NobodyAnswers(_)));
    }

    #[test]
    fn a_name_is_one_that_a_server_takes() {
        let name = Name::new(1_700_000_000_000);
        let id: RequestId = name.0.to_str().unwrap().parse().unwrap();
        assert_eq!((id.client.birth_ms(), id.sequence), (1_700_000_000_000, Sequence::FIRST));
        assert_ne!(Name::new(1).0, Name::new(1).0);
    }
}
