//! Commands with a name, on real members: proposed again wherever and however often, they are applied once.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::time::Instant;

use bytes::Bytes;
use floe::session::{ClientId, Limits, RequestId, Sequence, Tag};
use floe::{
    Answer, Batch, Builder, Command, Handle, LogId, NodeConfig, NodeId, Once, Snapshot, StateMachine,
    StateMachineError,
};

use crate::support::{CLUSTER, PATIENCE, pause};

const NOW_MS: u64 = 1_700_000_000_000;

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
            self.sum +=
                std::str::from_utf8(&command.payload).expect("text").parse::<u64>().expect("a number");
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

fn start(id: u64, addresses: &[String], listener: TcpListener, data: &Path) -> Handle<Answer> {
    let mut config = NodeConfig::new(NodeId(id), CLUSTER, data.join(id.to_string()));
    config.members = (1..).map(NodeId).zip(addresses.iter().cloned()).collect();
    config.segment_bytes = 1 << 20;
    let machine = Once::new(Sum::default(), Limits::default()).expect("it is empty");
    Builder::new(config).listener(listener).start_blocking(machine).expect("it starts")
}

/// Proposes a command again and again, on one member after another, whatever the error says.
async fn insist(members: &[Option<Handle<Answer>>], first: usize, payload: &Bytes) -> Answer {
    let deadline = Instant::now() + PATIENCE;
    for member in members.iter().cycle().skip(first) {
        if let Some(member) = member
            && let Ok(applied) = member.propose(payload.clone()).await
        {
            return applied.reply;
        }
        assert!(Instant::now() < deadline, "nobody answers");
        pause().await;
    }
    unreachable!("the members are tried in turn for ever")
}

fn named(sequence: u64, add: &str) -> Bytes {
    let sequence = Sequence::new(sequence).expect("not zero");
    let request = RequestId { client: ClientId::new(NOW_MS, 7), sequence };
    Once::<Sum>::named(&Tag { request, stamp_ms: NOW_MS + sequence.get() }, add.as_bytes())
}

fn sum(value: u64) -> Answer {
    Answer::Reply(Bytes::from(value.to_string()))
}

async fn end(member: &mut Option<Handle<Answer>>) {
    let stopped = member.take().expect("it runs").stopped();
    stopped.await;
}

#[tokio::test]
async fn a_client_that_tries_again_over_lost_leaders_adds_each_number_once() {
    let data = tempfile::tempdir().expect("a directory");
    let listeners: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
    let addresses: Vec<_> =
        listeners.iter().map(|listener| listener.local_addr().expect("an address").to_string()).collect();
    let mut members: Vec<_> = (1..)
        .zip(listeners)
        .map(|(id, listener)| Some(start(id, &addresses, listener, data.path())))
        .collect();
    let again = |at: usize| {
        let listener = TcpListener::bind(&addresses[at]).expect("its own port");
        Some(start(at as u64 + 1, &addresses, listener, data.path()))
    };
    assert_eq!(insist(&members, 0, &named(1, "10")).await, sum(10));
    for other in [1, 2] {
        assert_eq!(
            insist(&members, other, &named(1, "10")).await,
            sum(10),
            "the first reply, whoever is asked"
        );
    }
    let mut gone = None;
    for sequence in 2..=60 {
        if sequence % 20 == 0 {
            let leads = |member: &Option<Handle<Answer>>| member.as_ref().is_some_and(Handle::is_leader);
            if let Some(leader) = members.iter().position(leads) {
                end(&mut members[leader]).await;
                gone = Some(leader);
            }
        }
        if sequence % 20 == 10
            && let Some(back) = gone.take()
        {
            members[back] = again(back);
        }
        let payload = named(sequence, "1");
        let at = sequence as usize;
        assert_eq!(insist(&members, at, &payload).await, sum(10 + sequence - 1), "sequence {sequence}");
        assert_eq!(
            insist(&members, at + 1, &payload).await,
            sum(10 + sequence - 1),
            "sequence {sequence} again"
        );
    }
    if let Some(back) = gone.take() {
        members[back] = again(back);
    }
    // The log is replayed into sum and sessions alike.
    for member in &mut members {
        end(member).await;
    }
    for (at, member) in members.iter_mut().enumerate() {
        *member = again(at);
    }
    assert_eq!(insist(&members, 0, &named(60, "1")).await, sum(69));
    assert_eq!(insist(&members, 1, &Once::<Sum>::plain(b"0")).await, sum(69));
    for member in members.into_iter().flatten() {
        member.shutdown().await;
    }
}
