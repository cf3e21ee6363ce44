//! What clients were told, against the committed log.
//!
//! The log's order is a total order of all writes, and a read names the index that it was served at. So a history
//! is linearizable if three things hold, each checked in constant time: every answer is what that order gives; an
//! operation never stands before one that had been answered when it was invoked; and none stands in the log twice
//! or after its refusal. No search is needed, and every history of any length is checked.

use floe_raft::{Index, LogId, NodeId};
use floe_session::RequestId;

use super::{Checked, Invariant, broken};
use crate::machine::{Command, Effect, Key, OpId, Reply};

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OperationKind {
    Put,
    Compare { expect: OpId },
    Get,
}

/// One operation of a client.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) client: u64,
    pub(crate) kind: OperationKind,
    pub(crate) key: Key,
    /// The node that it was sent to.
    pub(crate) node: NodeId,
    /// The largest position of an answered operation when this one was invoked.
    floor: Position,
    /// The first attempt at the same request; itself, if it is the first.
    pub(crate) first: OpId,
    /// The request's name, where clients have sessions.
    pub(crate) request: Option<RequestId>,
    /// Where it stands in the log, and what came of it there.
    committed: Option<(LogId, Effect)>,
    /// Of a first attempt: where the request was done, by whichever attempt, and the reply.
    done: Option<(LogId, Reply)>,
    refused: bool,
}

/// A place in the one order: a write at index i is 2i, a read served at index i is 2i + 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Position(u64);

impl Position {
    fn of_write(index: Index) -> Self {
        Self(index.0 * 2)
    }

    fn of_read(index: Index) -> Self {
        Self(index.0 * 2 + 1)
    }

    fn index(self) -> u64 {
        self.0 / 2
    }
}

/// Every operation of a world, named by its position here, from one.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    operations: Vec<Operation>,
    answered: Position,
    acknowledged: u64,
}

impl Clients {
    /// A client sends an operation for the first time.
    pub(crate) fn invoked(
        &mut self,
        client: u64,
        kind: OperationKind,
        key: Key,
        node: NodeId,
        request: Option<RequestId>,
    ) -> OpId {
        let floor = self.answered;
        let first = OpId(self.operations.len() as u64 + 1);
        let (committed, done, refused) = (None, None, false);
        let operation =
            Operation { client, kind, key, node, floor, first, request, committed, done, refused };
        self.operations.push(operation);
        first
    }

    /// A client sends a request again, to this node. Nothing that was answered meanwhile puts it later in the order.
    pub(crate) fn tried_again(&mut self, first: OpId, node: NodeId) -> Option<OpId> {
        let operation = self.operation(first)?;
        let again = Operation { node, committed: None, done: None, refused: false, ..operation.clone() };
        self.operations.push(again);
        Some(OpId(self.operations.len() as u64))
    }

    pub(crate) fn operation(&self, op: OpId) -> Option<&Operation> {
        self.operations.get((op.0 as usize).checked_sub(1)?)
    }

    /// What a request found where it was done, by whichever attempt; `None` if that is not committed.
    pub(crate) fn found(&self, op: OpId) -> Option<OpId> {
        let first = self.operation(op)?.first;
        self.operation(first)?.done.map(|(_, reply)| reply.previous)
    }

    /// How many operations there were, and how many of them were acknowledged.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.operations.len() as u64, self.acknowledged)
    }

    /// A command is committed that nobody knew to be committed. Each attempt stands in the log once at most, and of all
    /// attempts at one request one is done.
    pub(crate) fn committed(&mut self, id: LogId, command: &Command, effect: Effect) -> Checked {
        let op = command.op;
        let Some(operation) = (op.0 as usize).checked_sub(1).and_then(|nth| self.operations.get_mut(nth))
        else {
            return Err(broken(
                Invariant::ExactlyOnce,
                format!("{id} holds operation {op:?}, which nobody invoked"),
            ));
        };
        if let Some((first, _)) = operation.committed {
            return Err(broken(
                Invariant::ExactlyOnce,
                format!("operation {} is committed at {first} and again at {id}", op.0),
            ));
        }
        if operation.refused {
            return Err(broken(
                Invariant::ExactlyOnce,
                format!("operation {} is committed at {id} after it was refused", op.0),
            ));
        }
        operation.committed = Some((id, effect));
        let first = operation.first;
        let Some(request) = self.operations.get_mut(first.0 as usize - 1) else { return Ok(()) };
        match (effect, request.done) {
            (Effect::Done(reply), None) => request.done = Some((id, reply)),
            (Effect::Done(_), Some((done, _))) => {
                return Err(broken(
                    Invariant::ExactlyOnce,
                    format!(
                        "operation {} is done at {done} and again at {id}, as operation {}",
                        first.0, op.0
                    ),
                ));
            }
            (Effect::Replayed(reply), Some((_, before))) if reply == before => {}
            (Effect::Replayed(reply), done) => {
                return Err(broken(
                    Invariant::ExactlyOnce,
                    format!("operation {} is replayed {reply:?} at {id}, but was done {done:?}", first.0),
                ));
            }
            (Effect::Refused { .. }, _) => {}
        }
        Ok(())
    }

    /// A host tells a client that its write is done at `id`: there, or by an earlier attempt.
    pub(crate) fn wrote(&mut self, op: OpId, id: LogId, reply: Reply) -> Checked {
        let Some(operation) = self.operation(op) else { return Ok(()) };
        let Some((committed, effect)) = operation.committed else {
            return Err(broken(
                Invariant::CommittedIsDurable,
                format!("operation {} is acknowledged at {id}, but it is not committed", op.0),
            ));
        };
        if committed != id || effect.reply() != Some(reply) {
            return Err(broken(
                Invariant::Linearizability,
                format!("operation {} is answered {reply:?} at {id}, but is {effect:?} at {committed}", op.0),
            ));
        }
        self.was_done(op, reply)
    }

    /// A host tells a client that its request was done before, with this reply.
    pub(crate) fn was_done(&mut self, op: OpId, reply: Reply) -> Checked {
        let Some(operation) = self.operation(op) else { return Ok(()) };
        let done = self.operation(operation.first).and_then(|first| first.done);
        let Some((id, _)) = done.filter(|(_, before)| *before == reply) else {
            return Err(broken(
                Invariant::ExactlyOnce,
                format!("operation {} is answered {reply:?}, but was done {done:?}", op.0),
            ));
        };
        let position = Position::of_write(id.index);
        if position <= operation.floor {
            return Err(broken(
                Invariant::Linearizability,
                format!(
                    "operation {} took effect at {id}, but index {} was answered before it was invoked",
                    op.0,
                    operation.floor.index()
                ),
            ));
        }
        Ok(())
    }

    /// A host answers a read with `value`, from its state at `at`, where the log gives `expected`.
    pub(crate) fn read(&mut self, op: OpId, at: Index, value: OpId, expected: OpId) -> Checked {
        let Some(operation) = self.operation(op) else { return Ok(()) };
        if Position::of_read(at) < operation.floor {
            return Err(broken(
                Invariant::Linearizability,
                format!(
                    "operation {} reads at {at} on n{}, but index {} was answered before it was invoked",
                    op.0,
                    operation.node,
                    operation.floor.index()
                ),
            ));
        }
        if value != expected {
            return Err(broken(
                Invariant::Linearizability,
                format!("operation {} reads {} at {at}, where the value is {}", op.0, value.0, expected.0),
            ));
        }
        Ok(())
    }

    /// A host tells a client that its write was refused and never takes effect.
    pub(crate) fn refused(&mut self, op: OpId) -> Checked {
        let Some(operation) = (op.0 as usize).checked_sub(1).and_then(|nth| self.operations.get_mut(nth))
        else {
            return Ok(());
        };
        operation.refused = true;
        if let Some((id, _)) = operation.committed {
            return Err(broken(
                Invariant::ExactlyOnce,
                format!("operation {} is refused, but it is committed at {id}", op.0),
            ));
        }
        Ok(())
    }

    /// The answer to an operation reached its client: whatever is invoked from now on comes after it.
    pub(crate) fn received(&mut self, op: OpId, at: Index) {
        let Some(operation) = self.operation(op) else { return };
        let done = self.operation(operation.first).and_then(|first| first.done);
        let position = match operation.kind {
            OperationKind::Put | OperationKind::Compare { .. } => {
                Position::of_write(done.map_or(at, |(id, _)| id.index))
            }
            OperationKind::Get => Position::of_read(at),
        };
        self.answered = self.answered.max(position);
        self.acknowledged += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use floe_raft::Term;

    fn id(index: u64) -> LogId {
        LogId::new(Term(1), Index(index))
    }

    fn put(clients: &mut Clients) -> OpId {
        clients.invoked(1, OperationKind::Put, Key(0), NodeId(1), None)
    }

    fn commit(clients: &mut Clients, op: OpId, index: u64) -> Option<Invariant> {
        come_to(clients, op, index, Effect::Done(Reply::default()))
    }

    fn come_to(clients: &mut Clients, op: OpId, index: u64, effect: Effect) -> Option<Invariant> {
        let command = Command { op, value: op, key: Key(0), expect: None, tag: None };
        invariant(clients.committed(id(index), &command, effect))
    }

    fn invariant(checked: Checked) -> Option<Invariant> {
        checked.err().map(|violation| violation.invariant)
    }

    #[test]
    fn a_stale_read_is_found() {
        let mut clients = Clients::default();
        let write = put(&mut clients);
        assert_eq!(commit(&mut clients, write, 5), None);
        let before = clients.invoked(2, OperationKind::Get, Key(0), NodeId(2), None);
        assert_eq!(invariant(clients.wrote(write, id(5), Reply::default())), None);
        clients.received(write, Index(5));
        let after = clients.invoked(2, OperationKind::Get, Key(0), NodeId(2), None);
        assert_eq!(invariant(clients.read(before, Index(4), OpId(0), OpId(0))), None);
        assert_eq!(invariant(clients.read(after, Index(5), write, write)), None);
        let stale = clients.read(after, Index(4), OpId(0), OpId(0));
        assert_eq!(invariant(stale), Some(Invariant::Linearizability));
        let wrong = clients.read(after, Index(5), OpId(0), write);
        assert_eq!(invariant(wrong), Some(Invariant::Linearizability));
    }

    #[test]
    fn reads_do_not_go_back_either() {
        let mut clients = Clients::default();
        let first = clients.invoked(1, OperationKind::Get, Key(0), NodeId(1), None);
        assert_eq!(invariant(clients.read(first, Index(7), OpId(0), OpId(0))), None);
        clients.received(first, Index(7));
        let second = clients.invoked(1, OperationKind::Get, Key(0), NodeId(2), None);
        let stale = clients.read(second, Index(6), OpId(0), OpId(0));
        assert_eq!(invariant(stale), Some(Invariant::Linearizability));
    }

    #[test]
    fn a_second_effect_is_found() {
        let mut clients = Clients::default();
        let write = put(&mut clients);
        assert_eq!(commit(&mut clients, write, 5), None);
        assert_eq!(commit(&mut clients, write, 6), Some(Invariant::ExactlyOnce));
    }

    #[test]
    fn an_effect_after_the_refusal_is_found_and_a_refusal_after_the_effect() {
        let mut clients = Clients::default();
        let (one, two) = (put(&mut clients), put(&mut clients));
        assert_eq!(invariant(clients.refused(one)), None);
        assert_eq!(commit(&mut clients, one, 5), Some(Invariant::ExactlyOnce));
        assert_eq!(commit(&mut clients, two, 6), None);
        assert_eq!(invariant(clients.refused(two)), Some(Invariant::ExactlyOnce));
    }

    #[test]
    fn an_acknowledgement_before_the_commit_is_found() {
        let mut clients = Clients::default();
        let write = put(&mut clients);
        let early = clients.wrote(write, id(5), Reply::default());
        assert_eq!(invariant(early), Some(Invariant::CommittedIsDurable));
        assert_eq!(commit(&mut clients, write, 6), None);
        let elsewhere = clients.wrote(write, id(5), Reply::default());
        assert_eq!(invariant(elsewhere), Some(Invariant::Linearizability));
    }

    #[test]
    fn a_request_that_is_done_by_two_attempts_is_found() {
        let mut clients = Clients::default();
        let first = put(&mut clients);
        let [second, third] = [2, 3].map(|node| clients.tried_again(first, NodeId(node)).unwrap());
        assert_eq!(commit(&mut clients, second, 5), None);
        let reply = Reply { previous: OpId(9), wrote: true };
        assert_eq!(come_to(&mut clients, third, 6, Effect::Replayed(Reply::default())), None);
        assert_eq!(invariant(clients.wrote(third, id(6), Reply::default())), None);
        assert_eq!(invariant(clients.was_done(first, reply)), Some(Invariant::ExactlyOnce));
        assert_eq!(commit(&mut clients, first, 7), Some(Invariant::ExactlyOnce));
        let other = put(&mut clients);
        let unknown = come_to(&mut clients, other, 8, Effect::Replayed(reply));
        assert_eq!(unknown, Some(Invariant::ExactlyOnce));
    }

    #[test]
    fn an_unknown_command_is_found() {
        assert_eq!(commit(&mut Clients::default(), OpId(3), 1), Some(Invariant::ExactlyOnce));
    }
}
