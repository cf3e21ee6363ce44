//! Commands with a name, for any state machine that lives in memory: each is applied once, however often it is proposed.
//!
//! The outcome of a proposal may be unknown. Without a name the proposer must not propose it again; with one it may, on any
//! member, until somebody answers, and the answer is that of the first time. The rules are those of `floe-session`; they
//! hold whatever clocks show.

use std::io::{Read, Write};

use bytes::{BufMut, Bytes, BytesMut};
use floe_raft::LogId;
use floe_session::{Limits, Refusal, Replayed, SessionTable, Tag, Verdict};

use crate::error::StateMachineError;
use crate::state_machine::{Batch, Command, Snapshot, StateMachine};

const PLAIN: u8 = 0;
const NAMED: u8 = 1;

/// A state machine in memory, with the sessions of its clients. Its commands come from [`Once::plain`] and
/// [`Once::named`], and its snapshots hold both.
///
/// A state machine with a file of its own has to write the table into that file, in the transaction that writes the
/// state, or a crash would part them. It uses `floe-session` itself.
///
/// The example `once` is a client that tries again while the leader dies:
///
/// ```text
/// let machine = Once::new(Counter::default(), Limits::default())?;
/// let node = Builder::new(config).start(machine).await?;
/// let payload = Once::<Counter>::named(&Tag { request, stamp_ms }, b"5");
/// // However this ends, `payload` may be proposed again, here or on another member.
/// let answer = node.propose(payload.clone()).await;
/// ```
#[derive(Debug)]
pub struct Once<M> {
    machine: M,
    sessions: SessionTable,
}

/// What a command of [`Once`] is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The reply of the state machine: to this attempt or to the first one.
    Reply(Bytes),
    /// It was applied before, and its reply was too large to be kept.
    NotKept,
    /// Its session does not let it through; the refusal says whether it may have been applied before.
    Refused(Refusal),
    /// It comes neither from [`Once::plain`] nor from [`Once::named`]. Nothing was applied.
    Malformed,
}

/// The state machine already holds something, so it keeps its state somewhere, and the sessions would not be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the state machine keeps its state across restarts, up to entry {0}; it must keep the sessions with it"
)]
pub struct NotInMemory(pub LogId);

impl<M: StateMachine<Reply = Bytes>> Once<M> {
    /// Adds sessions to a state machine that starts empty each time. `limits` must be the same on all members.
    pub fn new(machine: M, limits: Limits) -> Result<Self, NotInMemory> {
        match machine.applied() {
            LogId::ZERO => Ok(Self { machine, sessions: SessionTable::new(limits) }),
            applied => Err(NotInMemory(applied)),
        }
    }

    /// A command without a name.
    pub fn plain(command: &[u8]) -> Bytes {
        let mut payload = BytesMut::with_capacity(1 + command.len());
        payload.put_u8(PLAIN);
        payload.put_slice(command);
        payload.freeze()
    }

    /// A command that is applied once under the name in its tag.
    pub fn named(tag: &Tag, command: &[u8]) -> Bytes {
        let mut payload = BytesMut::with_capacity(1 + Tag::BYTES + command.len());
        payload.put_u8(NAMED);
        payload.put_slice(&tag.to_bytes());
        payload.put_slice(command);
        payload.freeze()
    }

    fn apply_named(&mut self, tag: &Tag, command: Command) -> Result<Answer, StateMachineError> {
        let admitted = match self.sessions.admit(tag) {
            Verdict::Apply(admitted) => admitted,
            Verdict::Replay(Replayed::Kept(reply)) => {
                return Ok(Answer::Reply(Bytes::copy_from_slice(reply)));
            }
            Verdict::Replay(Replayed::NotKept) => return Ok(Answer::NotKept),
            Verdict::Refused(refusal) => return Ok(Answer::Refused(refusal)),
        };
        let last = command.id;
        let reply = self.machine.apply(&Batch { commands: vec![command], last })?.pop();
        let reply = reply.ok_or_else(|| StateMachineError::new("a command was given no reply"))?;
        self.sessions.record(admitted, &reply);
        Ok(Answer::Reply(reply))
    }

    /// Applies commands without a name together.
    fn apply_plain(
        &mut self,
        commands: &mut Vec<Command>,
        answers: &mut Vec<Answer>,
    ) -> Result<(), StateMachineError> {
        let Some(last) = commands.last().map(|command| command.id) else {
            return Ok(());
        };
        let batch = Batch { commands: std::mem::take(commands), last };
        answers.extend(self.machine.apply(&batch)?.into_iter().map(Answer::Reply));
        Ok(())
    }
}

/// The tag, if the payload has one, and the command.
fn split(payload: &Bytes) -> Option<(Option<Tag>, Bytes)> {
    match payload.split_first()? {
        (&PLAIN, _) => Some((None, payload.slice(1..))),
        (&NAMED, rest) => {
            let tag = Tag::from_bytes(rest.first_chunk()?).ok()?;
            Some((Some(tag), payload.slice(1 + Tag::BYTES..)))
        }
        _ => None,
    }
}

impl<M: StateMachine<Reply = Bytes>> StateMachine for Once<M> {
    type Reply = Answer;

    fn applied(&self) -> LogId {
        self.machine.applied()
    }

    fn apply(&mut self, batch: &Batch) -> Result<Vec<Answer>, StateMachineError> {
        let mut answers = Vec::with_capacity(batch.commands.len());
        let mut plain = Vec::new();
        for command in &batch.commands {
            let id = command.id;
            match split(&command.payload) {
                Some((None, payload)) => plain.push(Command { id, payload }),
                Some((Some(tag), payload)) => {
                    self.apply_plain(&mut plain, &mut answers)?;
                    answers.push(self.apply_named(&tag, Command { id, payload })?);
                }
                None => {
                    self.apply_plain(&mut plain, &mut answers)?;
                    answers.push(Answer::Malformed);
                }
            }
        }
        self.apply_plain(&mut plain, &mut answers)?;
        self.machine.apply(&Batch { commands: Vec::new(), last: batch.last })?;
        Ok(answers)
    }

    /// Nothing here survives a restart: the log is replayed, and leads to the same sessions.
    fn checkpoint(&mut self) -> Result<LogId, StateMachineError> {
        Ok(LogId::ZERO)
    }

    fn snapshot(&mut self) -> Result<Box<dyn Snapshot>, StateMachineError> {
        Ok(Box::new(Frozen { sessions: self.sessions.encode(), machine: self.machine.snapshot()? }))
    }

    fn restore(&mut self, last: LogId, from: &mut dyn Read) -> Result<(), StateMachineError> {
        let failed = |error: std::io::Error| StateMachineError(error.into());
        let mut length = [0; 8];
        from.read_exact(&mut length).map_err(failed)?;
        let mut bytes = Vec::new();
        from.take(u64::from_le_bytes(length)).read_to_end(&mut bytes).map_err(failed)?;
        let sessions = SessionTable::decode(&bytes, self.sessions.limits());
        let sessions = sessions.map_err(|error| StateMachineError(error.into()))?;
        self.machine.restore(last, from)?;
        self.sessions = sessions;
        Ok(())
    }

    fn has_upkeep(&self) -> bool {
        self.machine.has_upkeep()
    }

    fn upkeep(&mut self) -> Result<(), StateMachineError> {
        self.machine.upkeep()
    }
}

struct Frozen {
    sessions: Vec<u8>,
    machine: Box<dyn Snapshot>,
}

impl Snapshot for Frozen {
    fn write_to(self: Box<Self>, out: &mut dyn Write) -> Result<(), StateMachineError> {
        let length = self.sessions.len() as u64;
        let written = out.write_all(&length.to_le_bytes()).and_then(|()| out.write_all(&self.sessions));
        written.map_err(|error| StateMachineError(error.into()))?;
        self.machine.write_to(out)
    }
}

#[cfg(test)]
mod tests {
    use floe_raft::{Index, Term};
    use floe_session::{ClientId, RequestId, Sequence};

    use super::*;

    const NOW_MS: u64 = 1_700_000_000_000;

    /// Adds up, and replies with the sum.
    #[derive(Default)]
    struct Sum {
        sum: u64,
        applied: LogId,
    }

    impl StateMachine for Sum {
        type Reply = Bytes;

        fn applied(&self) -> LogId {
            self.applied
        }

        fn apply(&mut self, batch: &Batch) -> Result<Vec<Bytes>, StateMachineError> {
            let mut add = |command: &Command| {
                self.sum += u64::from(command.payload[0]);
                Bytes::from(self.sum.to_string())
            };
            let replies = batch.commands.iter().map(&mut add).collect();
            self.applied = batch.last;
            Ok(replies)
        }

        fn checkpoint(&mut self) -> Result<LogId, StateMachineError> {
            Ok(LogId::ZERO)
        }

        fn snapshot(&mut self) -> Result<Box<dyn Snapshot>, StateMachineError> {
            Ok(Box::new(FrozenSum(self.sum)))
        }

        fn restore(&mut self, last: LogId, from: &mut dyn Read) -> Result<(), StateMachineError> {
            let mut bytes = [0; 8];
            from.read_exact(&mut bytes).map_err(|error| StateMachineError(error.into()))?;
            *self = Self { sum: u64::from_le_bytes(bytes), applied: last };
            Ok(())
        }
    }

    struct FrozenSum(u64);

    impl Snapshot for FrozenSum {
        fn write_to(self: Box<Self>, out: &mut dyn Write) -> Result<(), StateMachineError> {
            out.write_all(&self.0.to_le_bytes()).map_err(|error| StateMachineError(error.into()))
        }
    }

    fn named(sequence: u64, add: u8) -> Bytes {
        let sequence = Sequence::new(sequence).expect("not zero");
        let request = RequestId { client: ClientId::new(NOW_MS, 1), sequence };
        Once::<Sum>::named(&Tag { request, stamp_ms: NOW_MS }, &[add])
    }

    fn apply(machine: &mut Once<Sum>, payloads: &[Bytes]) -> Vec<Answer> {
        let first = machine.applied().index.0 + 1;
        let id = |index| LogId::new(Term(1), Index(index));
        let commands: Vec<Command> = (first..)
            .zip(payloads)
            .map(|(index, payload)| Command { id: id(index), payload: payload.clone() })
            .collect();
        // An entry of the protocol itself ends the batch.
        let last = id(first + payloads.len() as u64);
        let answers = machine.apply(&Batch { commands, last }).expect("it cannot fail");
        assert_eq!(machine.applied(), last);
        answers
    }

    fn reply(text: &'static str) -> Answer {
        Answer::Reply(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn a_named_command_is_applied_once_also_within_one_batch() {
        let mut machine = Once::new(Sum::default(), Limits::default()).expect("it is empty");
        let plain = Once::<Sum>::plain(&[1]);
        let payloads =
            [plain.clone(), plain.clone(), named(1, 10), plain, named(1, 10), Bytes::from_static(b"?")];
        let expected = [reply("1"), reply("2"), reply("12"), reply("13"), reply("12"), Answer::Malformed];
        assert_eq!(apply(&mut machine, &payloads), expected);
        assert_eq!(apply(&mut machine, &[named(1, 10), named(2, 10)]), [reply("12"), reply("23")]);
    }

    #[test]
    fn a_snapshot_carries_the_sessions() {
        let mut machine = Once::new(Sum::default(), Limits::default()).expect("it is empty");
        apply(&mut machine, &[named(1, 10), named(2, 10)]);
        let mut bytes = Vec::new();
        machine.snapshot().expect("frozen").write_to(&mut bytes).expect("written");
        let mut other = Once::new(Sum::default(), Limits::default()).expect("it is empty");
        other.restore(machine.applied(), &mut &bytes[..]).expect("restored");
        assert_eq!(other.sessions, machine.sessions);
        assert_eq!(apply(&mut other, &[named(1, 99), named(3, 1)]), [reply("10"), reply("21")]);
        for end in 0..bytes.len() {
            other.restore(machine.applied(), &mut &bytes[..end]).expect_err("it is cut");
        }
    }

    #[test]
    fn a_state_machine_that_keeps_its_state_is_refused() {
        let applied = LogId::new(Term(1), Index(7));
        let refused = Once::new(Sum { sum: 1, applied }, Limits::default());
        assert_eq!(refused.err(), Some(NotInMemory(applied)));
    }
}
