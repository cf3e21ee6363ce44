//! A counter that survives the loss of any one of three processes. In three terminals:
//!
//! ```text
//! cargo run -p floe --example counter 1      (and 2, and 3)
//! ```
//!
//! Each line on standard input adds its number; each answer was applied by a majority first. The counter lives in
//! memory alone, so it says that it contains nothing, and the log is replayed into it at each start.
#![forbid(unsafe_code)]

use std::io::{Read, Write};

use floe::{Batch, Builder, LogId, NodeConfig, NodeId, Snapshot, StateMachine, StateMachineError};

#[derive(Default)]
struct Counter {
    value: i64,
    applied: LogId,
}

impl StateMachine for Counter {
    type Reply = i64;

    fn applied(&self) -> LogId {
        self.applied
    }

    fn apply(&mut self, batch: &Batch) -> Result<Vec<i64>, StateMachineError> {
        let add = |command: &floe::Command| {
            // A command that means nothing must mean nothing on every member.
            let number =
                std::str::from_utf8(&command.payload).ok().and_then(|text| text.trim().parse::<i64>().ok());
            self.value = self.value.wrapping_add(number.unwrap_or(0));
            self.value
        };
        let replies = batch.commands.iter().map(add).collect();
        self.applied = batch.last;
        Ok(replies)
    }

    fn checkpoint(&mut self) -> Result<LogId, StateMachineError> {
        Ok(LogId::ZERO)
    }

    fn snapshot(&mut self) -> Result<Box<dyn Snapshot>, StateMachineError> {
        Ok(Box::new(Frozen(self.value)))
    }

    fn restore(&mut self, last: LogId, from: &mut dyn Read) -> Result<(), StateMachineError> {
        let mut bytes = [0; 8];
        from.read_exact(&mut bytes).map_err(|error| StateMachineError(error.into()))?;
        *self = Self { value: i64::from_le_bytes(bytes), applied: last };
        Ok(())
    }
}

struct Frozen(i64);

impl Snapshot for Frozen {
    fn write_to(self: Box<Self>, out: &mut dyn Write) -> Result<(), StateMachineError> {
        out.write_all(&self.0.to_le_bytes()).map_err(|error| StateMachineError(error.into()))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let id = NodeId(std::env::args().nth(1).unwrap_or("1".into()).parse()?);
    let address = |id: u64| format!("127.0.0.1:{}", 7100 + id);
    let mut config = NodeConfig::new(id, 0xC0FFEE, format!("counter-data/{id}"));
    config.listen = vec![address(id.0).parse()?];
    config.members = (1..=3).map(|id| (NodeId(id), address(id))).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let node = Builder::new(config).start_blocking(Counter::default())?;
    for line in std::io::stdin().lines() {
        match runtime.block_on(node.propose(line?.into())) {
            Ok(applied) => println!("{} (entry {})", applied.reply, applied.id),
            Err(error) => println!("{error}"),
        }
    }
    runtime.block_on(node.shutdown());
    Ok(())
}
