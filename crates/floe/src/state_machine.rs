//! What a user of the library writes: the state machine, and the commands it is given.

use std::io::{Read, Write};

use bytes::Bytes;
use floe_raft::LogId;

use crate::error::StateMachineError;

/// A deterministic state machine. It lives on a thread of its own, which calls it in log order.
///
/// Determinism is the contract: two members that applied the same commands must hold the same state, so `apply`
/// reads no clock, no random source and nothing else that differs between machines.
pub trait StateMachine: Send + 'static {
    /// What the proposer of a command gets back.
    type Reply: Send + 'static;

    /// The last log entry that the state contains; [`LogId::ZERO`] for none. Asked once at the start: the log is
    /// replayed from there. A state machine that lives in memory alone says `ZERO` and gets the whole log again.
    fn applied(&self) -> LogId;

    /// Applies the commands in order and returns one reply for each, in order. When it returns, `applied()` is
    /// `batch.last`, also when the batch holds no command (an entry of the protocol itself has no command).
    ///
    /// An error stops the node: a member that cannot apply what the others applied must not go on.
    fn apply(&mut self, batch: &Batch) -> Result<Vec<Self::Reply>, StateMachineError>;

    /// Makes all that is applied durable and returns what is. Called every two seconds or 64 MiB of commands, and
    /// at a graceful stop. The log may drop what this returns and what lies before: one that lives in memory alone
    /// returns [`LogId::ZERO`], and the log keeps everything.
    fn checkpoint(&mut self) -> Result<LogId, StateMachineError>;

    /// Freezes the state as it is now, for a member that is too far behind the log. Called while nothing is applied, so
    /// it must be quick: a transaction that is copy-on-write, or a copy that is shared. The rest is done on another
    /// thread, while this one applies on.
    fn snapshot(&mut self) -> Result<Box<dyn Snapshot>, StateMachineError>;

    /// Replaces the state by what [`Snapshot::write_to`] wrote on another member; afterwards `applied()` is `last`.
    /// Nothing is applied meanwhile. What is read is whole and unchanged, and is to be read to its end.
    ///
    /// After a crash the state may be the old one or the new one; the old one gets the same snapshot again at the next
    /// start. So this need not make anything durable; [`Self::checkpoint`] is asked for that next.
    fn restore(&mut self, last: LogId, from: &mut dyn Read) -> Result<(), StateMachineError>;

    /// Whether there is work of its own that can wait, like freeing what nobody can see any more.
    fn has_upkeep(&self) -> bool {
        false
    }

    /// Does a little of that work: no more than the next command may wait for. Called while nothing is to be applied,
    /// and again as long as there is more. It must not change what commands do or reply.
    fn upkeep(&mut self) -> Result<(), StateMachineError> {
        Ok(())
    }
}

/// A state machine's state at one moment.
pub trait Snapshot: Send {
    /// Writes all of it, for [`StateMachine::restore`]. `out` is buffered.
    fn write_to(self: Box<Self>, out: &mut dyn Write) -> Result<(), StateMachineError>;
}

/// Commands to apply as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The commands, in log order. Entries of the protocol itself are left out, so their indexes may have gaps.
    pub commands: Vec<Command>,
    /// The last log entry that the batch covers: what `applied()` must say afterwards.
    pub last: LogId,
}

/// One committed command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Its place in the log; unique for ever, rising.
    pub id: LogId,
    /// What was proposed.
    pub payload: Bytes,
}
