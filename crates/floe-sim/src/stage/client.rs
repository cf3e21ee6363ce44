//! The viewer as a client: one more beside those that work by themselves, with as many operations at once as it likes.

use floe_raft::{Index, NodeId};
use floe_session::{ClientId, RequestId, Sequence};

use super::act::Write;
use super::backstage::PATIENCE;
use super::words::Meaning;
use crate::check::OperationKind;
use crate::clock::DAWN_MS;
use crate::machine::{Key, OpId};
use crate::trace::{EventId, Happening};
use crate::workload::Answer;
use crate::world::{Event, World};

/// What the viewer sends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) key: Key,
    /// A read if there is nothing to write.
    pub(crate) write: Option<Write>,
    pub(crate) node: Option<NodeId>,
    /// Client and sequence: by them the state machine knows a request again.
    pub(crate) request: Option<(u64, u64)>,
}

impl World {
    /// Why the viewer's request cannot be sent.
    pub(crate) fn objection_to(&self, ask: &Ask) -> Option<&'static str> {
        let request = ask.request?;
        if self.plan.host.sessions.is_none() {
            return Some("clients have no sessions in this world");
        }
        let first = self.backstage.as_ref()?.requests.get(&request)?;
        let key = self.check.clients.operation(*first).map(|operation| operation.key);
        let is_same = key == Some(ask.key) && self.meaning(*first) == ask.write.map(Meaning::from);
        (!is_same)
            .then_some("another operation was sent under this request already: a new one has a new sequence")
    }

    /// The viewer sends an operation, or sends one again that it named before.
    pub(crate) fn viewer_asks(&mut self, ask: &Ask) {
        let host = ask.node.and_then(|node| self.position(node)).unwrap_or_else(|| self.viewer_believes());
        let node = self.hosts[host].id;
        let client = self.workload.clients() as u64;
        if let Some(backstage) = self.backstage.as_mut() {
            backstage.believed = host;
        }
        self.cause = EventId(0);
        let known = ask.request.and_then(|request| self.backstage.as_ref()?.requests.get(&request).copied());
        let again = known.and_then(|first| Some((first, self.check.clients.tried_again(first, node)?)));
        let op = match again {
            Some((first, op)) => {
                self.cause = self.note(&Happening::TriedAgain { client, op, first, node });
                op
            }
            None => self.viewer_invokes(client, node, ask),
        };
        let arrives = self.now.plus(self.workload.delay());
        self.queue.push(arrives, Event::Request { host, op, cause: self.cause });
        self.queue.push(self.now.plus(PATIENCE), Event::GiveUp(op));
    }

    fn viewer_invokes(&mut self, client: u64, node: NodeId, ask: &Ask) -> OpId {
        let (kind, name) = match ask.write {
            Some(_) => (OperationKind::Put, "put"),
            None => (OperationKind::Get, "get"),
        };
        // All sessions of a stage were opened, so to speak, when the world began.
        let named = ask.request.map(|(client, sequence)| RequestId {
            client: ClientId::new(DAWN_MS, u128::from(client)),
            sequence: Sequence::new(sequence).unwrap_or(Sequence::FIRST),
        });
        let op = self.check.clients.invoked(client, kind, ask.key, node, named);
        if let Some(backstage) = self.backstage.as_mut() {
            backstage.meanings.extend(ask.write.map(|write| (op, Meaning::from(write))));
            backstage.requests.extend(ask.request.map(|request| (request, op)));
        }
        self.cause = self.note(&Happening::Invoked { client, op, kind: name, key: ask.key, node });
        op
    }

    /// The host that the viewer's client stays with while it leads; else the one that leads in the highest term, as it
    /// would have been told.
    fn viewer_believes(&self) -> usize {
        let believed = self.backstage.as_ref().map_or(0, |backstage| backstage.believed);
        if self.hosts[believed].leads() {
            return believed;
        }
        self.find(crate::action::Target::Leader).unwrap_or(believed)
    }

    /// An answer reaches the viewer's client.
    pub(crate) fn viewer_hears(&mut self, op: OpId, answer: Answer) {
        match answer {
            Answer::Wrote { id, .. } => self.check.clients.received(op, id.index),
            // What was not promised to be fresh puts nothing that comes after it behind it.
            Answer::Read { .. } if self.plan.host.stale_reads => {}
            Answer::Read { at, .. } => self.check.clients.received(op, at),
            Answer::WasDone { .. } => self.check.clients.received(op, Index(0)),
            Answer::Lapsed { .. } | Answer::Refused | Answer::Unknown => {}
        }
    }

    /// The viewer's client waits no longer, if it still does.
    pub(crate) fn viewer_gives_up(&mut self, op: OpId) {
        let seen = self.trace.watcher().and_then(|watcher| watcher.operations.get(&op));
        let Some(client) = seen.filter(|seen| seen.told.is_none()).map(|seen| seen.client) else { return };
        self.cause = EventId(0);
        let (index, value) = Default::default();
        self.note(&Happening::Answered { client, op, outcome: "given-up", index, value });
    }
}
