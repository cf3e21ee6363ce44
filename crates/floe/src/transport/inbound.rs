//! What arrives from one peer.

use std::io::{ErrorKind, Read};

use bytes::Bytes;
use floe_raft::GroupId;
use mio::Token;
use mio::net::TcpStream;
use tokio::sync::oneshot;

use crate::frame::{self, Frame, Garbage};

/// The buffer between frames.
const BUFFER_BYTES: usize = 64 << 10;
/// One call reads no more than about this, so that no peer keeps the driver from its timers.
const TURN_BYTES: usize = 4 << 20;

/// The receiving half of a connection, and the beginning of a frame that is not whole yet.
#[derive(Debug)]
pub(super) struct Inbound {
    pub(super) stream: TcpStream,
    pub(super) token: Token,
    /// Always initialised; the first `filled` bytes are from the peer.
    buffer: Vec<u8>,
    filled: usize,
    /// The peer has closed its side. No event will tell so again.
    pub(super) ends: bool,
    /// Dropped with the connection.
    _closed: oneshot::Sender<()>,
}

/// Why reading stopped while the connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The socket is empty; an event will tell of more.
    Dry,
    /// There is more, and no event will tell.
    More,
}

/// Why the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Closed,
    Garbage(Garbage),
}

impl Inbound {
    pub(super) fn new(stream: TcpStream, token: Token, closed: oneshot::Sender<()>) -> Self {
        Self { stream, token, buffer: vec![0; BUFFER_BYTES], filled: 0, ends: false, _closed: closed }
    }

    /// Reads what there is and hands over every whole frame.
    pub(super) fn read(
        &mut self,
        mut receive: impl FnMut(GroupId, Frame) -> Result<(), Garbage>,
    ) -> Result<Progress, Ended> {
        let mut turn = 0;
        loop {
            let room = self.buffer.len() - self.filled;
            let count = match self.stream.read(&mut self.buffer[self.filled..]) {
                Ok(0) => return Err(Ended::Closed),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Progress::Dry),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return Err(Ended::Closed),
            };
            self.filled += count;
            turn += count;
            self.split(&mut receive).map_err(Ended::Garbage)?;
            // Fewer bytes than there was room for: the socket is empty, and asking again would cost a system call. But
            // what was announced together with the bytes, their end, is only read by asking again.
            if count < room && !self.ends {
                return Ok(Progress::Dry);
            }
            if turn >= TURN_BYTES {
                return Ok(Progress::More);
            }
        }
    }

    /// Takes the whole frames out of the buffer. They are copied once, together, so that their payloads can be
    /// slices that outlive the buffer.
    fn split(
        &mut self,
        receive: &mut impl FnMut(GroupId, Frame) -> Result<(), Garbage>,
    ) -> Result<(), Garbage> {
        let mut whole = 0;
        let mut missing = 0;
        while let Some(length) = frame::measure(&self.buffer[whole..self.filled])? {
            if whole + length > self.filled {
                missing = length;
                break;
            }
            whole += length;
        }
        if whole > 0 {
            let mut frames = Bytes::copy_from_slice(&self.buffer[..whole]);
            while let Some(length) = frame::measure(&frames)? {
                let (group, frame) = frame::decode(frames.split_to(length))?;
                receive(group, frame)?;
            }
            self.buffer.copy_within(whole..self.filled, 0);
            self.filled -= whole;
        }
        self.resize(missing);
        Ok(())
    }

    /// Makes room for the rest of a frame of `missing` bytes in all. The room grows with what has really arrived:
    /// a length that is a lie costs twice the bytes that its sender has paid for, not 64 MiB.
    fn resize(&mut self, missing: usize) {
        if self.filled == self.buffer.len() {
            self.buffer.resize((self.filled * 2).min(missing.max(BUFFER_BYTES)), 0);
        } else if self.filled <= BUFFER_BYTES / 2
            && missing <= BUFFER_BYTES
            && self.buffer.len() > BUFFER_BYTES
        {
            self.buffer.truncate(BUFFER_BYTES);
            self.buffer.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use floe_raft::Index;

    use super::*;

    /// A connection over loopback whose receiving end is an [`Inbound`].
    fn pair() -> (std::net::TcpStream, Inbound) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let sender =
            std::net::TcpStream::connect(listener.local_addr().expect("an address")).expect("connected");
        let (receiver, _) = listener.accept().expect("accepted");
        receiver.set_nonblocking(true).expect("set");
        let closed = oneshot::channel().0;
        (sender, Inbound::new(TcpStream::from_std(receiver), Token(1), closed))
    }

    /// Reads until `done` of what was received holds or the connection ends.
    fn read_until(inbound: &mut Inbound, done: impl Fn(&[Frame]) -> bool) -> Result<Vec<Frame>, Ended> {
        let mut frames = Vec::new();
        while !done(&frames) {
            inbound.read(|_, frame| {
                frames.push(frame);
                Ok(())
            })?;
            std::thread::yield_now();
        }
        Ok(frames)
    }

    #[test]
    fn frames_of_all_sizes_arrive_whole_however_they_are_cut() {
        let (mut sender, mut inbound) = pair();
        let sent: Vec<Frame> = [0, 1, 100, BUFFER_BYTES, 3 << 20, 5]
            .into_iter()
            .enumerate()
            .map(|(id, length)| Frame::Ask { id: id as u64, question: vec![id as u8; length].into() })
            .collect();
        let mut bytes = Vec::new();
        for frame in &sent {
            assert!(frame::encode(GroupId(1), frame, &mut bytes));
        }
        let writer = std::thread::spawn(move || {
            for piece in bytes.chunks(70_001) {
                sender.write_all(piece).expect("written");
            }
            sender
        });
        let received = read_until(&mut inbound, |frames| frames.len() == sent.len()).expect("no garbage");
        assert_eq!(received, sent);
        assert_eq!(inbound.buffer.len(), BUFFER_BYTES, "the room for the large frame is given back");
        drop(writer.join().expect("no panic"));
        assert_eq!(read_until(&mut inbound, |_| false), Err(Ended::Closed));
    }

    #[test]
    fn a_forged_length_allocates_no_more_than_was_sent() {
        let (mut sender, mut inbound) = pair();
        sender.write_all(&(frame::LENGTH_MAX as u32).to_le_bytes()).expect("written");
        sender.write_all(&[0; 1000]).expect("written");
        while inbound.filled < 1004 {
            assert_eq!(inbound.read(|_, _| Ok(())), Ok(Progress::Dry));
        }
        assert_eq!(inbound.buffer.len(), BUFFER_BYTES);
    }

    #[test]
    fn an_end_that_came_with_the_last_bytes_is_seen_at_once() {
        let (mut sender, mut inbound) = pair();
        let mut bytes = Vec::new();
        assert!(frame::encode(GroupId(1), &Frame::Floor { index: Index(3) }, &mut bytes));
        sender.write_all(&bytes).expect("written");
        drop(sender);
        inbound.ends = true;
        let mut frames = Vec::new();
        let outcome = inbound.read(|_, frame| {
            frames.push(frame);
            Ok(())
        });
        assert_eq!((outcome, frames), (Err(Ended::Closed), vec![Frame::Floor { index: Index(3) }]));
    }

    #[test]
    fn garbage_ends_the_connection() {
        let (mut sender, mut inbound) = pair();
        let mut bytes = Vec::new();
        assert!(frame::encode(GroupId(1), &Frame::Floor { index: Index(3) }, &mut bytes));
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        sender.write_all(&bytes).expect("written");
        assert_eq!(read_until(&mut inbound, |_| false), Err(Ended::Garbage(Garbage::Checksum)));
    }
}
