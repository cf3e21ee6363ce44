//! What a witness has where other members have a state machine: the place in the log up to which it has followed.
//!
//! It is kept in memory alone. The commands of a witness's log have no content, so there is nothing that a restart could
//! lose: it begins again where the log begins, and follows from there. For the same reason the log may be dropped up to
//! whatever was followed. A place that a leader names, because it has dropped what the witness lacks, is durable with the
//! log that begins anew after it, in one write; until then a crash leaves the log as it was, and nothing was said of it.

use std::io::Read;
use std::marker::PhantomData;

use floe_raft::LogId;

use crate::error::StateMachineError;
use crate::state_machine::{Batch, Snapshot, StateMachine};

/// The place, as the thread that applies sees it.
pub(crate) struct Place<R> {
    applied: LogId,
    reply: PhantomData<fn() -> R>,
}

impl<R> Place<R> {
    /// Where the log begins.
    pub(crate) fn new(base: LogId) -> Self {
        Self { applied: base, reply: PhantomData }
    }
}

impl<R: Send + 'static> StateMachine for Place<R> {
    type Reply = R;

    fn applied(&self) -> LogId {
        self.applied
    }

    fn apply(&mut self, batch: &Batch) -> Result<Vec<R>, StateMachineError> {
        if let Some(command) = batch.commands.first() {
            // The core refuses what holds one, so the log is another member's.
            return Err(StateMachineError::new(format!(
                "a witness has the command {} in its log",
                command.id
            )));
        }
        self.applied = batch.last;
        Ok(Vec::new())
    }

    fn checkpoint(&mut self) -> Result<LogId, StateMachineError> {
        Ok(self.applied)
    }

    fn snapshot(&mut self) -> Result<Box<dyn Snapshot>, StateMachineError> {
        Err(StateMachineError::new("a witness has no state that others could begin with"))
    }

    fn restore(&mut self, last: LogId, _from: &mut dyn Read) -> Result<(), StateMachineError> {
        self.applied = last;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use floe_raft::{Index, Term};

    use super::*;
    use crate::state_machine::Command;

    #[test]
    fn it_follows_what_has_no_content_and_nothing_else() {
        let id = |index| LogId::new(Term(2), Index(index));
        let mut place = Place::<()>::new(id(5));
        place.apply(&Batch { commands: Vec::new(), last: id(9) }).expect("nothing in it");
        assert_eq!((place.applied(), place.checkpoint().expect("nothing to write")), (id(9), id(9)));
        let command = Command { id: id(10), payload: Bytes::from_static(b"data") };
        place.apply(&Batch { commands: vec![command], last: id(10) }).expect_err("a command");
        assert_eq!(place.applied(), id(9));
        place.restore(id(70), &mut std::io::empty()).expect("a place");
        assert_eq!(place.applied(), id(70));
        assert!(place.snapshot().is_err());
    }
}
