//! `KV.RangeStream`: a range in pieces, so that a list of a million keys needs the memory of one piece on either side.
//! All pieces show one revision. Merged they are what `Range` would have answered.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use floe_mvcc::{KeyRange, Range};
use prost::Message;
use tokio_stream::Stream;
use tonic::Status;

use crate::convert;
use crate::engine::{Engine, unreadable};
use crate::proto::etcdserverpb as pb;
use crate::proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use crate::validate;

/// How many keys the first piece has. The next ones grow or shrink towards the size of a request.
const FIRST_CHUNK_KEYS: i64 = 10;

/// What cannot be given in pieces is refused with `Unimplemented`, upon which clients fall back to `Range`.
pub(crate) fn check(request: &pb::RangeRequest) -> Result<(), Status> {
    validate::range(request)?;
    let by_key = request.sort_target() == SortTarget::Key;
    if !by_key || request.sort_order() == SortOrder::Descend {
        return Err(Status::unimplemented("RangeStream does not support custom sort orders"));
    }
    let bounds = [
        request.min_mod_revision,
        request.max_mod_revision,
        request.min_create_revision,
        request.max_create_revision,
    ];
    if bounds.iter().any(|bound| *bound != 0) {
        return Err(Status::unimplemented("RangeStream does not support revision filters"));
    }
    Ok(())
}

/// The pieces of a range that [`check`] let pass. Each is read when the one before has been taken by the connection.
pub(crate) fn chunks(
    engine: Arc<Engine>,
    range: Range,
) -> impl Stream<Item = Result<pb::RangeStreamResponse, Status>> {
    let limit = if range.limit == 0 { i64::MAX } else { range.limit };
    let state = State { engine, limit, range, sent: 0, whole: None, done: false };
    tokio_stream::iter(Chunks(state).map(|chunk| {
        chunk.map(|response| pb::RangeStreamResponse { range_response: Some(response) }).map_err(unreadable)
    }))
}

struct Chunks(State);

struct State {
    engine: Arc<Engine>,
    /// The client's limit.
    limit: i64,
    /// The rest of the range, with the next piece's limit.
    range: Range,
    /// Keys sent so far.
    sent: i64,
    /// The header's revision and the count of the whole range, known with the first piece.
    whole: Option<(i64, i64)>,
    done: bool,
}

impl Iterator for Chunks {
    type Item = Result<pb::RangeResponse, floe_mvcc::ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.done {
            return None;
        }
        let chunk = if self.0.range.count_only { self.0.count() } else { self.0.chunk() };
        self.0.done |= chunk.is_err();
        Some(chunk)
    }
}

impl State {
    fn count(&mut self) -> Result<pb::RangeResponse, floe_mvcc::ReadError> {
        let reply = self.engine.reader.range(&self.range)?;
        self.done = true;
        Ok(convert::range_response(self.engine.header(reply.revision), reply))
    }

    fn chunk(&mut self) -> Result<pb::RangeResponse, floe_mvcc::ReadError> {
        let keys = if self.whole.is_some() { self.range.limit } else { FIRST_CHUNK_KEYS };
        self.range.limit = keys.min(self.limit - self.sent);
        let reply = self.engine.reader.range(&self.range)?;
        let (revision, count) = *self.whole.get_or_insert((reply.revision, reply.count));
        if self.range.revision <= 0 {
            self.range.revision = revision;
        }
        self.sent += i64::try_from(reply.kvs.len()).unwrap_or(i64::MAX);
        self.done = !reply.more || self.sent >= self.limit;
        let last_key = reply.kvs.last().map(|kv| kv.key.clone());
        let mut response = pb::RangeResponse { kvs: convert::key_values(reply.kvs), ..Default::default() };
        match last_key {
            Some(last_key) if !self.done => self.continue_after(&last_key, response.encoded_len()),
            _ => {
                self.done = true;
                response.header = Some(self.engine.header(revision));
                response.more = reply.more;
                response.count = count;
            }
        }
        Ok(response)
    }

    /// Doubles or halves the next piece only when this one was off by more than a factor of two, so that sizes near the
    /// bound do not swing. Never zero: that would mean no limit.
    fn continue_after(&mut self, last_key: &Bytes, bytes: usize) {
        let target = self.engine.config.max_request_bytes;
        if bytes < target / 2 {
            self.range.limit = self.range.limit.saturating_mul(2);
        } else if bytes > target * 2 {
            self.range.limit = (self.range.limit / 2).max(1);
        }
        let mut start = BytesMut::with_capacity(last_key.len() + 1);
        start.extend_from_slice(last_key);
        start.put_u8(0);
        let end = std::mem::take(&mut self.range.range.end);
        self.range.range = KeyRange { start: start.freeze(), end };
    }
}
