//! What waits to be written to one peer.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};

use floe_raft::{GroupId, Message};
use mio::Token;
use mio::net::TcpStream;
use tokio::sync::oneshot;

use crate::frame::{self, Frame};

/// Frames to one peer that wait, in bytes: beyond it they are dropped and Raft repeats them. More than the core
/// keeps under way to one peer (`inflight_bytes`), so it only fills with what the core does not count.
const QUEUED_BYTES_MAX: usize = 64 << 20;
/// Bulk frames are gathered into pieces of about this size, and before each piece the urgent frames go out: so much
/// can stand between a heartbeat and the socket.
const PIECE_BYTES: usize = 128 << 10;
/// Buffers that grew beyond this are given back.
const KEPT_BYTES: usize = 1 << 20;

/// The sending half of a connection, and its queue.
#[derive(Debug)]
pub(super) struct Outbound {
    pub(super) stream: TcpStream,
    pub(super) token: Token,
    /// Being written; `written` bytes of it are.
    current: Vec<u8>,
    written: usize,
    /// Small frames on which liveness depends: heartbeats, votes, acknowledgements. They overtake bulk, which Raft
    /// allows, so that megabytes of entries never cost a leader its leadership.
    urgent: Vec<u8>,
    /// Frames that carry entries or commands.
    bulk: VecDeque<Vec<u8>>,
    bulk_bytes: usize,
    /// Dropped with the connection.
    _closed: oneshot::Sender<()>,
}

impl Outbound {
    pub(super) fn new(stream: TcpStream, token: Token, closed: oneshot::Sender<()>) -> Self {
        Self {
            stream,
            token,
            current: Vec::new(),
            written: 0,
            urgent: Vec::new(),
            bulk: VecDeque::new(),
            bulk_bytes: 0,
            _closed: closed,
        }
    }

    /// Whether anything waits.
    pub(super) fn has_work(&self) -> bool {
        self.written < self.current.len() || !self.urgent.is_empty() || !self.bulk.is_empty()
    }

    /// Adds a frame. Returns false if it was dropped because too much waits, or is too long to be one.
    pub(super) fn queue(&mut self, group: GroupId, frame: &Frame) -> bool {
        if self.bulk_bytes + self.urgent.len() > QUEUED_BYTES_MAX {
            return false;
        }
        if !is_bulk(frame) {
            return frame::encode(group, frame, &mut self.urgent);
        }
        if self.bulk.back().is_none_or(|piece| piece.len() >= PIECE_BYTES) {
            self.bulk.push_back(Vec::new());
        }
        let Some(piece) = self.bulk.back_mut() else { return false };
        let before = piece.len();
        let fits = frame::encode(group, frame, piece);
        self.bulk_bytes += piece.len() - before;
        if piece.is_empty() {
            self.bulk.pop_back();
        }
        fits
    }

    /// Writes until nothing waits or the socket is full. An error means that the connection is broken.
    pub(super) fn write(&mut self) -> io::Result<()> {
        loop {
            if self.written == self.current.len() && !self.refill() {
                return Ok(());
            }
            match self.stream.write(&self.current[self.written..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Puts what goes next into `current`: everything urgent, then one piece of bulk.
    fn refill(&mut self) -> bool {
        self.current.clear();
        self.current.shrink_to(KEPT_BYTES);
        self.written = 0;
        std::mem::swap(&mut self.current, &mut self.urgent);
        if let Some(piece) = self.bulk.pop_front() {
            self.bulk_bytes -= piece.len();
            if self.current.is_empty() {
                self.current = piece;
            } else {
                self.current.extend_from_slice(&piece);
            }
        }
        !self.current.is_empty()
    }

    /// Whether the peer closed the connection, or sent something on it, which ends it as well.
    pub(super) fn is_closed_by_peer(&mut self) -> bool {
        let mut byte = [0];
        loop {
            match self.stream.read(&mut byte) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => return true,
            }
        }
    }
}

fn is_bulk(frame: &Frame) -> bool {
    match frame {
        Frame::Raft(envelope) => match &envelope.message {
            Message::Append { entries, .. } => !entries.is_empty(),
            Message::Propose { .. } => true,
            Message::PreVote { .. }
            | Message::PreVoteReply { .. }
            | Message::Vote { .. }
            | Message::VoteReply { .. }
            | Message::AppendOk { .. }
            | Message::AppendReject { .. }
            | Message::Heartbeat { .. }
            | Message::HeartbeatReply { .. }
            | Message::Snapshot { .. }
            | Message::ReadIndex { .. }
            | Message::ReadIndexReply { .. }
            | Message::ProposeReply { .. }
            | Message::TimeoutNow { .. } => false,
        },
        Frame::Ask { .. } | Frame::Answer { .. } => true,
        Frame::Floor { .. } => false,
    }
}
