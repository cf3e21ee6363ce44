//! A sum that nothing is added to twice, though its client tries again whenever it is in doubt.
//!
//! ```text
//! cargo run -p floe --example once
//! ```
//!
//! Three members run in this process. A client adds one a hundred times; in the middle of that the leader dies. Whatever
//! goes wrong, the client proposes the same command under the same name again, on the next member, until somebody
//! answers. Without names it would have to choose between adding twice and not knowing.
#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use floe::session::{ClientId, Limits, RequestId, Sequence, Tag};
use floe::{
    Answer, Batch, Builder, Command, Handle, LogId, NodeConfig, NodeId, Once, Snapshot, StateMachine,
    StateMachineError,
};

/// Adds up, and replies with the sum so far.
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
        let add = |command: &Command| {
            // A command that means nothing must mean nothing on every member.
            let number = std::str::from_utf8(&command.payload).ok().and_then(|text| text.parse::<u64>().ok());
            self.sum = self.sum.wrapping_add(number.unwrap_or(0));
            Bytes::from(self.sum.to_string())
        };
        let replies = batch.commands.iter().map(add).collect();
        self.applied = batch.last;
        Ok(replies)
    }

    fn checkpoint(&mut self) -> Result<LogId, StateMachineError> {
        Ok(LogId::ZERO)
    }

    fn snapshot(&mut self) -> Result<Box<dyn Snapshot>, StateMachineError> {
        Ok(Box::new(Frozen(self.sum)))
    }

    fn restore(&mut self, last: LogId, from: &mut dyn Read) -> Result<(), StateMachineError> {
        let mut bytes = [0; 8];
        from.read_exact(&mut bytes).map_err(|error| StateMachineError(error.into()))?;
        *self = Self { sum: u64::from_le_bytes(bytes), applied: last };
        Ok(())
    }
}

struct Frozen(u64);

impl Snapshot for Frozen {
    fn write_to(self: Box<Self>, out: &mut dyn Write) -> Result<(), StateMachineError> {
        out.write_all(&self.0.to_le_bytes()).map_err(|error| StateMachineError(error.into()))
    }
}

type Failed = Box<dyn std::error::Error>;

fn start(
    id: NodeId,
    members: &[String],
    listener: TcpListener,
    data: &Path,
) -> Result<Handle<Answer>, Failed> {
    let mut config = NodeConfig::new(id, 0x5E5510, data.join(id.to_string()));
    config.members = (1..).map(NodeId).zip(members.iter().cloned()).collect();
    let machine = Once::new(Sum::default(), Limits::default())?;
    Ok(Builder::new(config).listener(listener).start_blocking(machine)?)
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or_default()
}

/// Adds one under a name, on one member after another, until somebody says what the sum was then.
async fn add_one(members: &[Handle<Answer>], request: RequestId) -> (Answer, usize) {
    for (tries, member) in (1..).zip(members.iter().cycle()) {
        // The stamp may differ from try to try: it tells what time it is, and is no part of the name.
        let tag = Tag { request, stamp_ms: now_ms() };
        match member.propose(Once::<Sum>::named(&tag, b"1")).await {
            Ok(applied) => return (applied.reply, tries),
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
        }
    }
    unreachable!("the members are tried in turn for ever")
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failed> {
    let data = tempfile::tempdir()?;
    let listeners = (0..3).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<Vec<_>, _>>()?;
    let addresses = listeners
        .iter()
        .map(|listener| Ok(listener.local_addr()?.to_string()))
        .collect::<Result<Vec<_>, Failed>>()?;
    let mut members = Vec::new();
    for (id, listener) in (1..).map(NodeId).zip(listeners) {
        members.push(start(id, &addresses, listener, data.path())?);
    }
    let client = ClientId::new(now_ms(), rand::random());
    let (mut sequence, mut last) = (Sequence::FIRST, None);
    for count in 1..=100 {
        let request = RequestId { client, sequence };
        if count == 50
            && let Some(leader) = members.iter().position(Handle::is_leader)
        {
            // It ends without handing over, as if it had died.
            drop(members.remove(leader));
            println!("the leader is gone");
        }
        let (answer, tries) = add_one(&members, request).await;
        if tries > 1 {
            println!("{request}: {answer:?} after {tries} tries");
        }
        last = Some((request, answer));
        sequence = sequence.next();
    }
    if let Some((request, answer)) = last {
        let (again, _) = add_one(&members, request).await;
        println!("the last of a hundred: {answer:?}; asked once more: {again:?}");
    }
    for member in members {
        member.shutdown().await;
    }
    Ok(())
}
