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
            // Empty ones, too: they follow the entries that are still queued, and one that overtook them would be
            // refused and have the whole window sent again.
            // The entries of a pull are for one that nobody elects: votes go first.
            Message::Append { .. } | Message::Propose { .. } | Message::PullReply { .. } => true,
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
            | Message::Pull { .. }
            | Message::TimeoutNow { .. }
            | Message::Priority { .. } => false,
        },
        // `Paused` must not overtake the commands that it stands behind.
        Frame::Ask { .. } | Frame::Answer { .. } | Frame::Paused { .. } => true,
        Frame::Floor { .. } | Frame::Fences { .. } | Frame::Pause { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use floe_raft::{Entry, EntryKind, Envelope, Index, LogId, NodeId, Round, Term};

    use super::*;

    const GROUP: GroupId = GroupId(1);

    /// The sending half of a connection over loopback, and the other end of it.
    fn pair() -> (Outbound, std::net::TcpStream) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let sender =
            std::net::TcpStream::connect(listener.local_addr().expect("an address")).expect("connected");
        sender.set_nonblocking(true).expect("set");
        let (receiver, _) = listener.accept().expect("accepted");
        (Outbound::new(TcpStream::from_std(sender), Token(1), oneshot::channel().0), receiver)
    }

    fn envelope(message: Message) -> Frame {
        Frame::Raft(Envelope { from: NodeId(1), to: NodeId(2), term: Term(1), message })
    }

    fn append(index: u64, bytes: usize) -> Frame {
        let id = LogId::new(Term(1), Index(index));
        let entry = Entry { id, kind: EntryKind::Command, payload: Bytes::from(vec![7; bytes]) };
        envelope(Message::Append { prev: LogId::ZERO, entries: vec![entry], commit: Index(0) })
    }

    fn heartbeat(round: u64) -> Frame {
        envelope(Message::Heartbeat { commit: Index(0), round: Round(round) })
    }

    /// Reads `count` frames, writing more whenever there is room.
    fn transmit(outbound: &mut Outbound, receiver: &mut std::net::TcpStream, count: usize) -> Vec<Frame> {
        receiver.set_nonblocking(true).expect("set");
        let (mut bytes, mut frames) = (Vec::new(), Vec::new());
        while frames.len() < count {
            outbound.write().expect("connected");
            let mut buffer = vec![0; 1 << 16];
            match receiver.read(&mut buffer) {
                Ok(count) => bytes.extend_from_slice(&buffer[..count]),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            while let Some(length) = frame::measure(&bytes).expect("frames")
                && bytes.len() >= length
            {
                let frame: Vec<u8> = bytes.drain(..length).collect();
                frames.push(frame::decode(frame.into()).expect("a frame").1);
            }
        }
        frames
    }

    #[test]
    fn a_heartbeat_overtakes_megabytes_of_entries() {
        let (mut outbound, mut receiver) = pair();
        for index in 1..=64 {
            assert!(outbound.queue(GROUP, &append(index, 1 << 18)));
        }
        outbound.write().expect("connected");
        assert!(outbound.has_work(), "16 MiB do not fit into the socket");
        let waiting = outbound.bulk.len();
        assert!(outbound.queue(GROUP, &heartbeat(9)));
        let frames = transmit(&mut outbound, &mut receiver, 65);
        let at = frames.iter().position(|frame| *frame == heartbeat(9)).expect("it arrives");
        assert!(at <= 65 - waiting, "it came at {at}, and {waiting} pieces waited when it was queued");
        let rest: Vec<_> = frames.into_iter().filter(|frame| *frame != heartbeat(9)).collect();
        assert!(rest.into_iter().eq((1..=64).map(|index| append(index, 1 << 18))), "entries stay in order");
        assert!(!outbound.has_work());
    }

    #[test]
    fn a_full_queue_drops_and_has_room_again_once_it_is_written() {
        let (mut outbound, mut receiver) = pair();
        let mut queued = 0;
        while outbound.queue(GROUP, &append(queued + 1, 8 << 20)) {
            queued += 1;
            assert!(queued < 20, "it has a bound");
        }
        assert!(!outbound.queue(GROUP, &heartbeat(1)));
        assert_eq!(transmit(&mut outbound, &mut receiver, queued as usize).len() as u64, queued);
        assert!(outbound.queue(GROUP, &heartbeat(2)));
    }

    #[test]
    fn a_peer_that_closes_is_noticed() {
        let (mut outbound, receiver) = pair();
        assert!(!outbound.is_closed_by_peer());
        drop(receiver);
        while !outbound.is_closed_by_peer() {
            std::thread::yield_now();
        }
    }
}
