//! The sockets between the members, as the driver thread uses them.
//!
//! The driver reads and writes these sockets itself, without blocking, so a message costs no thread switch beyond
//! the one that the network causes (`docs/adr/0003-the-driver-owns-the-peer-sockets.md`). Dialling, accepting and
//! shaking hands happen elsewhere ([`crate::net`]); connections arrive here when they stand.
//!
//! A member sends only on the connection that it dialled, and reads only from those that it accepted, so each
//! direction has one queue and one owner and two members that dial each other at once need no tie-break.

mod inbound;
mod outbound;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use floe_raft::{Envelope, GroupId, NodeId};
use mio::{Interest, Registry, Token};
use tokio::sync::oneshot;

use crate::frame::Frame;
use crate::limit::RateLimit;
use crate::status::Live;

use inbound::Inbound;
use outbound::Outbound;

/// The token of the driver's waker; connections count up from the next.
pub(crate) const WAKER: Token = Token(0);

/// A connection that stands: both sides said who they are.
pub(crate) struct Connected {
    pub(crate) peer: NodeId,
    pub(crate) direction: Direction,
    /// Does not block.
    pub(crate) stream: std::net::TcpStream,
    /// Dropped when the connection is closed, so that whoever made it knows.
    pub(crate) closed: oneshot::Sender<()>,
}

/// Who dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// This member did, to send.
    Dialled,
    /// The other did, to be read from.
    Accepted,
}

/// All connections of a node.
pub(crate) struct Transport {
    member: NodeId,
    group: GroupId,
    registry: Registry,
    next_token: usize,
    outbound: BTreeMap<NodeId, Outbound>,
    inbound: BTreeMap<NodeId, Inbound>,
    tokens: BTreeMap<Token, (NodeId, Direction)>,
    /// Peers with something to write since the last flush.
    unflushed: Vec<NodeId>,
    /// Connections that were not read dry, because others and the timers have a right to the driver, too.
    unread: Vec<Token>,
    live: Arc<Live>,
    complaints: RateLimit,
}

impl Transport {
    pub(crate) fn new(member: NodeId, group: GroupId, registry: Registry, live: Arc<Live>) -> Self {
        Self {
            member,
            group,
            registry,
            next_token: WAKER.0 + 1,
            outbound: BTreeMap::new(),
            inbound: BTreeMap::new(),
            tokens: BTreeMap::new(),
            unflushed: Vec::new(),
            unread: Vec::new(),
            live,
            complaints: RateLimit::default(),
        }
    }

    /// Takes over a connection; it replaces an older one with the same peer in the same direction, which the peer
    /// must have given up.
    pub(crate) fn connected(&mut self, connected: Connected) -> io::Result<()> {
        let Connected { peer, direction, stream, closed } = connected;
        self.close(peer, direction);
        let mut stream = mio::net::TcpStream::from_std(stream);
        let token = Token(self.next_token);
        self.next_token += 1;
        let interest = match direction {
            Direction::Dialled => Interest::READABLE | Interest::WRITABLE,
            Direction::Accepted => Interest::READABLE,
        };
        self.registry.register(&mut stream, token, interest)?;
        self.tokens.insert(token, (peer, direction));
        match direction {
            Direction::Dialled => {
                self.outbound.insert(peer, Outbound::new(stream, token, closed));
            }
            Direction::Accepted => {
                self.inbound.insert(peer, Inbound::new(stream, token, closed));
                // Registered after the first bytes came, epoll reports them; asking at once costs nothing.
                self.unread.push(token);
            }
        }
        Ok(())
    }

    /// Whether frames to the peer have a way.
    pub(crate) fn reaches(&self, peer: NodeId) -> bool {
        self.outbound.contains_key(&peer)
    }

    /// Gives up the connection to the peer that this member dialled, if there is one.
    pub(crate) fn disconnect(&mut self, peer: NodeId) {
        self.close(peer, Direction::Dialled);
    }

    /// Queues a message, or drops it if the peer is not connected or too much waits for it.
    pub(crate) fn send_message(&mut self, envelope: Envelope) {
        let to = envelope.to;
        let sent = self.send(to, &Frame::Raft(envelope));
        let counter = if sent { &self.live.messages_sent } else { &self.live.messages_dropped };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Queues a frame. Returns false if it was dropped.
    pub(crate) fn send(&mut self, to: NodeId, frame: &Frame) -> bool {
        let Some(outbound) = self.outbound.get_mut(&to) else { return false };
        if !outbound.has_work() {
            self.unflushed.push(to);
        }
        outbound.queue(self.group, frame)
    }

    /// Writes what is queued, as far as the sockets take it. Returns the peers whose connection turned out broken.
    pub(crate) fn flush(&mut self) -> Vec<NodeId> {
        let mut broken = Vec::new();
        for peer in std::mem::take(&mut self.unflushed) {
            self.write(peer, &mut broken);
        }
        broken
    }

    fn write(&mut self, peer: NodeId, broken: &mut Vec<NodeId>) {
        if let Some(outbound) = self.outbound.get_mut(&peer)
            && outbound.write().is_err()
        {
            self.close(peer, Direction::Dialled);
            broken.push(peer);
        }
    }

    /// Whether a connection holds bytes that no event will announce again.
    pub(crate) fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Acts on the events of one poll, and on what was left unread before: hands every frame that arrived to
    /// `receive`, and returns the peers to which there is no connection any more.
    pub(crate) fn handle_events(
        &mut self,
        events: &mio::Events,
        mut receive: impl FnMut(NodeId, Frame),
    ) -> Vec<NodeId> {
        let mut broken = Vec::new();
        let mut readable = std::mem::take(&mut self.unread);
        for event in events {
            if event.is_read_closed()
                && let Some((peer, Direction::Accepted)) = self.tokens.get(&event.token())
                && let Some(inbound) = self.inbound.get_mut(peer)
            {
                inbound.ends = true;
            }
            match self.tokens.get(&event.token()) {
                Some((_, Direction::Accepted)) if !readable.contains(&event.token()) => {
                    readable.push(event.token());
                }
                // Nothing is ever sent towards us on a connection that we dialled: readable means closed.
                Some(&(peer, Direction::Dialled)) if event.is_readable() => {
                    if self.outbound.get_mut(&peer).is_some_and(Outbound::is_closed_by_peer) {
                        self.close(peer, Direction::Dialled);
                        broken.push(peer);
                    } else {
                        self.write(peer, &mut broken);
                    }
                }
                Some(&(peer, Direction::Dialled)) => self.write(peer, &mut broken),
                Some((_, Direction::Accepted)) | None => {}
            }
        }
        for token in readable {
            self.read(token, &mut receive);
        }
        broken
    }

    fn read(&mut self, token: Token, receive: &mut impl FnMut(NodeId, Frame)) {
        let Some(&(peer, Direction::Accepted)) = self.tokens.get(&token) else { return };
        let Some(inbound) = self.inbound.get_mut(&peer) else { return };
        let (member, group) = (self.member, self.group);
        let outcome = inbound.read(|frame_group, frame| {
            if frame_group != group {
                // Another group than the only one: a newer peer may have more. Not an error, not for us.
                return Ok(());
            }
            if let Frame::Raft(envelope) = &frame
                && (envelope.from != peer || envelope.to != member)
            {
                return Err(crate::frame::Garbage::Name);
            }
            receive(peer, frame);
            Ok(())
        });
        match outcome {
            Ok(inbound::Progress::Dry) => {}
            Ok(inbound::Progress::More) => self.unread.push(token),
            Err(inbound::Ended::Closed) => self.close(peer, Direction::Accepted),
            Err(inbound::Ended::Garbage(garbage)) => {
                self.close(peer, Direction::Accepted);
                if let Some(suppressed) = self.complaints.permit() {
                    tracing::warn!(%peer, %garbage, suppressed, "closed a connection that carried garbage");
                }
            }
        }
    }

    /// Closes the connection to the peer in that direction, if there is one.
    fn close(&mut self, peer: NodeId, direction: Direction) {
        let closed = match direction {
            Direction::Dialled => {
                self.outbound.remove(&peer).map(|outbound| (outbound.token, outbound.stream))
            }
            Direction::Accepted => self.inbound.remove(&peer).map(|inbound| (inbound.token, inbound.stream)),
        };
        if let Some((token, mut stream)) = closed {
            self.tokens.remove(&token);
            // Closing the descriptor removes it from epoll, too; this only fails if it is not registered.
            let _ = self.registry.deregister(&mut stream);
        }
    }
}
