//! The store as floe's state machine: translates between a log position and the store's own record of it.

use std::io::{Read, Write};

use bytes::Bytes;
use floe::{Batch, Index, LogId, Snapshot, StateMachine, StateMachineError, Term};
use floe_mvcc::{Applied, Reader, Reply, StorageError, Store};

/// The store, owned by the thread that applies.
pub(crate) struct Machine {
    store: Store,
    reader: Reader,
}

/// How many rows of a compaction are removed at a time while there is nothing else to do. About a millisecond.
const ROWS_PER_UPKEEP: usize = 256;

impl Machine {
    pub(crate) fn new(store: Store) -> Self {
        let reader = store.reader();
        Self { store, reader }
    }
}

/// The store at one moment, held by a transaction of its file.
struct Frozen(floe_mvcc::Snapshot);

impl Snapshot for Frozen {
    fn write_to(self: Box<Self>, out: &mut dyn Write) -> Result<(), StateMachineError> {
        self.0.write_to(out).map_err(failed)
    }
}

fn log_id(applied: Applied) -> LogId {
    LogId::new(Term(applied.term), Index(applied.index))
}

/// The store's file failed. A member that cannot apply what the others applied must stop.
fn failed(error: StorageError) -> StateMachineError {
    StateMachineError(Box::new(error))
}

impl StateMachine for Machine {
    type Reply = Reply;

    fn applied(&self) -> LogId {
        log_id(self.store.applied())
    }

    fn apply(&mut self, batch: &Batch) -> Result<Vec<Reply>, StateMachineError> {
        let commands: Vec<Bytes> = batch.commands.iter().map(|command| command.payload.clone()).collect();
        let last = Applied { term: batch.last.term.0, index: batch.last.index.0 };
        self.store.apply(&commands, last).map_err(failed)
    }

    fn checkpoint(&mut self) -> Result<LogId, StateMachineError> {
        self.store.checkpoint().map(log_id).map_err(failed)
    }

    fn snapshot(&mut self) -> Result<Box<dyn Snapshot>, StateMachineError> {
        Ok(Box::new(Frozen(self.store.snapshot().map_err(failed)?)))
    }

    fn restore(&mut self, last: LogId, from: &mut dyn Read) -> Result<(), StateMachineError> {
        let applied = log_id(self.store.restore(from).map_err(failed)?);
        if applied == last {
            return Ok(());
        }
        Err(StateMachineError::new(format!("the snapshot ends with {applied}, not with {last}")))
    }

    fn has_upkeep(&self) -> bool {
        self.reader.is_sweeping()
    }

    fn upkeep(&mut self) -> Result<(), StateMachineError> {
        self.store.maintain(ROWS_PER_UPKEEP).map(drop).map_err(failed)
    }
}
