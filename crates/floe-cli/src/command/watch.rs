//! `floe watch`: follow the changes of keys, across the loss of members, without a gap.

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;
use floe_etcd::proto::etcdserverpb::watch_client::WatchClient;
use floe_etcd::proto::etcdserverpb::watch_request::RequestUnion;
use floe_etcd::proto::etcdserverpb::{WatchCreateRequest, WatchRequest, WatchResponse};
use tokio_stream::StreamExt;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::bytes_of::{Reach, Selection};
use crate::client::{Connection, Failure};
use crate::print::Printer;

#[derive(Args)]
#[command(after_help = "\
Examples:
  floe watch greeting
  floe watch --prefix users/ --prev-kv
  floe watch --prefix '' --rev 1      the whole history that is not compacted")]
pub(crate) struct Arguments {
    /// The key, or the first key of a range
    key: OsString,
    /// The key after the last of the range
    range_end: Option<OsString>,
    /// Every key that begins with KEY
    #[arg(long, conflicts_with_all = ["from_key", "range_end"])]
    prefix: bool,
    /// Every key from KEY on
    #[arg(long, conflicts_with = "range_end")]
    from_key: bool,
    /// Begin with the changes of this revision
    #[arg(long, value_name = "REVISION", default_value_t = 0, hide_default_value = true)]
    rev: i64,
    /// Print what a key held before each change, too
    #[arg(long)]
    prev_kv: bool,
    #[command(flatten)]
    connection: Connection,
}

/// How long to wait between two rounds over all members once the watch has stood.
const PAUSE: Duration = Duration::from_millis(500);

/// Where a watch that is interrupted goes on.
#[derive(Default)]
struct Position {
    /// The first revision that was not printed yet; 0 before the server said what now is.
    next_revision: i64,
    /// Whether any member ever took the watch.
    stood: bool,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { key, range_end, prefix, from_key, rev, prev_kv, connection } = arguments;
    let Selection { key, range_end } = Selection::new(key, range_end, Reach::of(prefix, from_key));
    let printer = Printer::new(connection.write_out);
    let mut position = Position { next_revision: rev, stood: false };
    loop {
        let mut tried = Vec::new();
        for endpoint in &connection.endpoints {
            let request = WatchCreateRequest {
                key: key.clone(),
                range_end: range_end.clone(),
                start_revision: position.next_revision,
                prev_kv,
                ..WatchCreateRequest::default()
            };
            let reason = match connection.connect(endpoint).await {
                Err(reason) => reason,
                Ok(channel) => match follow(channel, request, &mut position, printer).await? {
                    status if is_passing(&status) => status.message().to_owned(),
                    status => {
                        return Err(Failure::Refused {
                            endpoint: endpoint.clone(),
                            status: Box::new(status),
                        });
                    }
                },
            };
            tried.push((endpoint.clone(), reason));
        }
        if !position.stood {
            return Err(Failure::NobodyAnswers(tried));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Prints changes until the stream ends, and returns what it ended with.
async fn follow(
    channel: Channel,
    request: WatchCreateRequest,
    position: &mut Position,
    printer: Printer,
) -> Result<Status, Failure> {
    // The request side stays open for as long as the watch shall live.
    let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(request)) };
    let requests = tokio_stream::once(create).chain(tokio_stream::pending());
    let mut client = WatchClient::new(channel).max_decoding_message_size(usize::MAX);
    let mut replies = match client.watch(requests).await {
        Ok(replies) => replies.into_inner(),
        Err(status) => return Ok(status),
    };
    loop {
        match replies.message().await {
            Ok(Some(reply)) => {
                if let Some(status) = cancelled(&reply) {
                    return Ok(status);
                }
                position.stood = true;
                printer.watch(&reply)?;
                position.advance(&reply);
            }
            Ok(None) => return Ok(Status::unavailable("the member ended the watch")),
            Err(status) => return Ok(status),
        }
    }
}

impl Position {
    fn advance(&mut self, reply: &WatchResponse) {
        let last = reply.events.last().and_then(|event| event.kv.as_ref());
        match (last, &reply.header) {
            // All changes of one revision come in one reply, so the next one begins the next revision.
            (Some(kv), _) => self.next_revision = kv.mod_revision + 1,
            // A watch from now on learns here what now is, and does not miss what happens between two streams.
            (None, Some(header)) if reply.created && self.next_revision == 0 => {
                self.next_revision = header.revision + 1;
            }
            (None, _) => {}
        }
    }
}

fn cancelled(reply: &WatchResponse) -> Option<Status> {
    if !reply.canceled {
        return None;
    }
    if reply.compact_revision > 0 {
        let message =
            format!("the revisions before {} are compacted; watch from there", reply.compact_revision);
        return Some(Status::out_of_range(message));
    }
    let reason =
        if reply.cancel_reason.is_empty() { "the watch was cancelled" } else { &reply.cancel_reason };
    Some(Status::failed_precondition(reason))
}

/// Whether the watch can go on at another member.
fn is_passing(status: &Status) -> bool {
    // A connection that breaks shows as Unknown (h2) or Internal, not only as Unavailable.
    matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled)
}

#[cfg(test)]
mod tests {
    use floe_etcd::proto::etcdserverpb::ResponseHeader;
    use floe_etcd::proto::mvccpb::{Event, KeyValue};

    use super::*;

    fn header(revision: i64) -> Option<ResponseHeader> {
        Some(ResponseHeader { revision, ..ResponseHeader::default() })
    }

    #[test]
    fn a_watch_from_now_on_resumes_where_it_began() {
        let mut position = Position::default();
        position.advance(&WatchResponse { header: header(41), created: true, ..WatchResponse::default() });
        assert_eq!(position.next_revision, 42);
    }

    #[test]
    fn a_watch_of_history_resumes_after_what_it_printed_and_not_after_what_exists() {
        let mut position = Position { next_revision: 5, stood: true };
        position.advance(&WatchResponse { header: header(41), created: true, ..WatchResponse::default() });
        assert_eq!(position.next_revision, 5);
        let kv = KeyValue { mod_revision: 7, ..KeyValue::default() };
        let event = Event { kv: Some(kv), ..Event::default() };
        position.advance(&WatchResponse {
            header: header(41),
            events: vec![event],
            ..WatchResponse::default()
        });
        assert_eq!(position.next_revision, 8);
    }

    #[test]
    fn a_compacted_watch_says_where_to_begin() {
        let reply = WatchResponse { canceled: true, compact_revision: 9, ..WatchResponse::default() };
        let status = cancelled(&reply).unwrap();
        assert!(status.message().contains('9') && !is_passing(&status));
    }
}
