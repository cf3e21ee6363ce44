//! Named requests at the edge: how a client names one, what the name's refusals sound like, and the stamps that the
//! sessions' time is made of. The rules are in `docs/design/sessions.md`.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use floe_mvcc::{Refusal, RequestId};
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};

/// The metadata that names a request: `CLIENT/SEQUENCE`.
pub const REQUEST_ID: &str = "floe-request-id";
/// The metadata of a refusal that says what time it is in the log, in milliseconds since 1970: a client whose clock is
/// wrong can make an id that is fresh from it.
pub const TIME_MS: &str = "floe-time-ms";

/// The name that a client gave its request, if it did.
pub(crate) fn request_id(metadata: &MetadataMap) -> Result<Option<RequestId>, Status> {
    let Some(value) = metadata.get(REQUEST_ID) else {
        return Ok(None);
    };
    let refuse = |reason: &str| Status::invalid_argument(format!("floe: {REQUEST_ID}: {reason}"));
    if metadata.get_all(REQUEST_ID).iter().nth(1).is_some() {
        return Err(refuse("a request has one id, not several"));
    }
    let text = value.to_str().map_err(|_| refuse("it is no text"))?;
    text.parse().map(Some).map_err(|error: floe_mvcc::InvalidRequestId| refuse(&error.to_string()))
}

/// Refuses a name where it would promise what is not kept: the call is not replicated as a command of the store, so a retry
/// is not known for one. `instead` says how to find out what became of a call.
pub(crate) fn no_request_id(metadata: &MetadataMap, instead: &str) -> Result<(), Status> {
    if metadata.get(REQUEST_ID).is_none() {
        return Ok(());
    }
    Err(Status::invalid_argument(format!(
        "floe: {REQUEST_ID}: this call has no name and is not done; {instead}"
    )))
}

/// What a client hears when the session does not let its request through.
pub(crate) fn refusal(refusal: Refusal) -> Status {
    let message = format!("floe: {refusal}");
    match refusal {
        Refusal::Expired { now_ms } | Refusal::Early { now_ms } => {
            let mut metadata = MetadataMap::new();
            metadata.insert(TIME_MS, MetadataValue::from(now_ms));
            Status::with_metadata(Code::FailedPrecondition, message, metadata)
        }
        Refusal::TooOld { .. } => Status::failed_precondition(message),
        Refusal::Busy => Status::resource_exhausted(message),
    }
}

/// The stamps of this member: its clock, but never behind what it has seen of the sessions' time, and never standing
/// still. A member whose clock was set back, or was never right, must not stop the sessions from expiring.
pub(crate) struct Stamps {
    /// A stamp, and when it was right.
    last: Mutex<(u64, Instant)>,
}

impl Stamps {
    pub(crate) fn start() -> Self {
        Self { last: Mutex::new((0, Instant::now())) }
    }

    /// The stamp for a command that is about to be proposed. `seen_ms` is the sessions' time.
    pub(crate) fn next(&self, seen_ms: u64) -> u64 {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis);
        self.at(Instant::now(), clock, seen_ms)
    }

    fn at(&self, now: Instant, clock_ms: u64, seen_ms: u64) -> u64 {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (before_ms, at) = *last;
        let going_on = before_ms.saturating_add(millis(now.saturating_duration_since(at)));
        let stamp_ms = clock_ms.max(seen_ms);
        if stamp_ms <= going_on {
            return going_on;
        }
        *last = (stamp_ms, now);
        stamp_ms
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_follow_the_clock_and_go_on_when_it_does_not() {
        let stamps = Stamps::start();
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        assert_eq!(stamps.at(after(0), 1_000_000, 0), 1_000_000);
        assert_eq!(stamps.at(after(10), 1_000_010, 0), 1_000_010);
        // The clock is set back: time goes on by what passed.
        assert_eq!(stamps.at(after(30), 500, 0), 1_000_030);
        // Somebody else's clock is ahead, and its stamp was seen.
        assert_eq!(stamps.at(after(40), 520, 2_000_000), 2_000_000);
        assert_eq!(stamps.at(after(45), 525, 2_000_000), 2_000_005);
        assert_eq!(stamps.at(after(50), 3_000_000, 2_000_000), 3_000_000);
    }

    #[test]
    fn a_name_is_refused_where_it_would_not_count() {
        let mut metadata = MetadataMap::new();
        assert!(no_request_id(&metadata, "look").is_ok());
        metadata.insert(REQUEST_ID, MetadataValue::from_static("017f22e2-79b0-7cc3-98c4-dc0c0c07398f/3"));
        let refused = no_request_id(&metadata, "look").unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().ends_with("is not done; look"), "{refused}");
    }

    #[test]
    fn a_name_is_read_or_refused_in_words() {
        let mut metadata = MetadataMap::new();
        assert_eq!(request_id(&metadata).unwrap(), None);
        let text = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f/3";
        metadata.insert(REQUEST_ID, MetadataValue::from_static(text));
        assert_eq!(request_id(&metadata).unwrap().unwrap().to_string(), text);
        metadata.append(REQUEST_ID, MetadataValue::from_static(text));
        assert_eq!(request_id(&metadata).unwrap_err().code(), Code::InvalidArgument);
        metadata.insert(REQUEST_ID, MetadataValue::from_static("me/1"));
        let refused = request_id(&metadata).unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().starts_with("floe: floe-request-id: the client of a request id is a UUID"));
    }
}
