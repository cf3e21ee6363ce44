//! The real key-value store beside each host's map, in the worlds that ask for it ([`Restrictions::store`]).
//!
//! It is given what the map is given, on a disk that crashes with the host, and sent to others when the map is. So the map,
//! whose history the checkers compare at every index, says of each command what the store must answer; a store that was
//! restarted must stand exactly where its last checkpoint was; and stores that have applied the same must have the same
//! hash. Nothing of this shows in the history: the same seed has the same hash with and without it.
//!
//! [`Restrictions::store`]: crate::Restrictions::store

use std::collections::BTreeMap;

use bytes::Bytes;
use floe_mvcc::{
    Applied, Command as Change, Compare, CompareOperand, CompareResult, HashKv, KeyRange, MemoryDisk,
    Outcome, Put, Range, Reply as Said, Store, StoreOptions, Txn, TxnOp, TxnOpReply,
};
use floe_raft::{Index, LogId};

use crate::check::{Checked, Invariant, Violation, broken};
use crate::machine::{Command, Key, OpId, Reply};
use crate::rng::{Rng, Stream};

/// Every so many entries the history below is compacted, but for some revisions.
const COMPACT_EVERY: u64 = 64;
const REVISIONS_KEPT: i64 = 10;

/// A command that was done, where, and what the map answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    pub(crate) id: LogId,
    pub(crate) command: Command,
    pub(crate) reply: Reply,
}

/// The stores of all hosts, by position.
pub(crate) struct Stores {
    hosts: Vec<Host>,
    /// The state of a place in the log, as who came there first had it.
    hashes: BTreeMap<Index, HashKv>,
    /// What was sent, by its place in the log.
    snapshots: BTreeMap<LogId, Bytes>,
    rng: Rng,
}

#[derive(Default)]
struct Host {
    disk: MemoryDisk,
    /// While the host runs.
    store: Option<Store>,
    /// What the map has done since the last batch.
    done: Vec<Done>,
}

fn applied(id: LogId) -> Applied {
    Applied { term: id.term.0, index: id.index.0 }
}

fn name(key: Key) -> Bytes {
    Bytes::from(format!("key-{}", key.0))
}

fn value(op: OpId) -> Bytes {
    Bytes::copy_from_slice(&op.0.to_le_bytes())
}

fn different(node: usize, at: impl std::fmt::Display, what: impl std::fmt::Display) -> Box<Violation> {
    broken(Invariant::StateMatches, format!("the store of the host at place {node} {what}, at {at}"))
}

impl Stores {
    /// Empty stores.
    pub(crate) fn new(hosts: usize, seed: u64) -> Option<Box<Self>> {
        let hosts = (0..hosts).map(|_| Host::default()).collect();
        let rng = Rng::new(seed, Stream::Store);
        Some(Box::new(Self { hosts, hashes: BTreeMap::new(), snapshots: BTreeMap::new(), rng }))
    }

    /// The process runs, and its map stands here.
    pub(crate) fn started(&mut self, host: usize, at: LogId) -> Checked {
        let options = StoreOptions { cache_bytes: 1 << 20, ..StoreOptions::default() };
        let opened = Store::open_in_memory(&self.hosts[host].disk, options);
        let store = opened.map_err(|error| different(host, at, error))?;
        if store.applied() != applied(at) {
            return Err(different(host, at, format!("came back with {:?}", store.applied())));
        }
        self.hosts[host].store = Some(store);
        self.compare(host, at)
    }

    /// The process is dead.
    pub(crate) fn crashed(&mut self, host: usize) {
        let Self { hosts, rng, .. } = self;
        let host = &mut hosts[host];
        host.disk.crash(|| rng.coin());
        // It writes to nowhere when it is closed.
        host.store = None;
        host.done.clear();
    }

    /// The map has done a command.
    pub(crate) fn done(&mut self, host: usize, done: Done) {
        self.hosts[host].done.push(done);
    }

    /// The map has applied all up to `last`.
    pub(crate) fn apply(&mut self, host: usize, last: LogId) -> Checked {
        let done = std::mem::take(&mut self.hosts[host].done);
        let mut done = &done[..];
        // What is compacted follows from the place in the log alone, and not from how the entries came in batches.
        while let Some(at) = done.iter().position(|done| done.id.index.0.is_multiple_of(COMPACT_EVERY)) {
            let (first, rest) = done.split_at(at + 1);
            let id = first[at].id;
            self.apply_batch(host, first, id)?;
            self.compact(host, id)?;
            done = rest;
        }
        self.apply_batch(host, done, last)?;
        self.compare(host, last)
    }

    fn apply_batch(&mut self, host: usize, done: &[Done], last: LogId) -> Checked {
        let Some(store) = self.hosts[host].store.as_mut() else { return Ok(()) };
        let changes: Vec<Bytes> = done.iter().map(|done| change(&done.command).encode()).collect();
        let said = store.apply(&changes, applied(last)).map_err(|error| different(host, last, error))?;
        for (done, said) in done.iter().zip(&said) {
            check_reply(done, said).map_err(|what| different(host, done.id, what))?;
        }
        Ok(())
    }

    fn compact(&mut self, host: usize, id: LogId) -> Checked {
        let Some(store) = self.hosts[host].store.as_mut() else { return Ok(()) };
        let revision = store.reader().revision() - REVISIONS_KEPT;
        if revision <= store.reader().compact_revision() {
            return Ok(());
        }
        let said = store.apply(&[Change::Compact { revision }.encode()], applied(id));
        match said.map_err(|error| different(host, id, error))?.first().map(|said| &said.outcome) {
            Some(Ok(Outcome::Done)) => Ok(()),
            other => Err(different(host, id, format!("answers a compaction with {other:?}"))),
        }
    }

    /// Who has applied the same has the same store.
    fn compare(&mut self, host: usize, at: LogId) -> Checked {
        let Some(store) = self.hosts[host].store.as_ref() else { return Ok(()) };
        let hash = store.reader().hash_kv(0).map_err(|error| different(host, at, error))?;
        let first = *self.hashes.entry(at.index).or_insert(hash);
        if first == hash {
            Ok(())
        } else {
            Err(different(host, at, format!("is {hash:?}, another's was {first:?}")))
        }
    }

    /// The map is durable as it is.
    pub(crate) fn saved(&mut self, host: usize, at: LogId) -> Checked {
        let Some(store) = self.hosts[host].store.as_mut() else { return Ok(()) };
        let saved = store.checkpoint().map_err(|error| different(host, at, error))?;
        if saved == applied(at) { Ok(()) } else { Err(different(host, at, format!("has saved {saved:?}"))) }
    }

    /// The map is sent to another host as it is.
    pub(crate) fn sent(&mut self, host: usize, at: LogId) -> Checked {
        let Some(store) = self.hosts[host].store.as_ref() else { return Ok(()) };
        let mut bytes = Vec::new();
        let written = store.snapshot().and_then(|snapshot| snapshot.write_to(&mut bytes));
        written.map_err(|error| different(host, at, error))?;
        self.snapshots.insert(at, bytes.into());
        Ok(())
    }

    /// The map was replaced by what was sent, durably.
    pub(crate) fn installed(&mut self, host: usize, at: LogId) -> Checked {
        let Some(store) = self.hosts[host].store.as_mut() else { return Ok(()) };
        let Some(sent) = self.snapshots.get(&at) else {
            return Err(different(host, at, "is replaced by what nobody sent"));
        };
        let restored = store.restore(&mut &sent[..]).map_err(|error| different(host, at, error))?;
        if restored != applied(at) {
            return Err(different(host, at, format!("was replaced by {restored:?}")));
        }
        self.compare(host, at)
    }

    /// A read was answered from the map.
    pub(crate) fn read(&self, host: usize, at: LogId, key: Key, expected: OpId) -> Checked {
        let Some(store) = self.hosts[host].store.as_ref() else { return Ok(()) };
        let request = Range { range: KeyRange::key(name(key)), ..Range::default() };
        let found = store.reader().range(&request).map_err(|error| different(host, at, error))?;
        let found = found.kvs.first().map(|kv| &kv.value);
        if is(found, expected) {
            Ok(())
        } else {
            Err(different(host, at, format!("has {found:?} where the map has {expected:?}")))
        }
    }
}

fn is(found: Option<&Bytes>, expected: OpId) -> bool {
    found.map_or(expected == OpId(0), |found| *found == value(expected))
}

/// The command as the store's: a put, or a transaction that puts if the key has the expected value.
fn change(command: &Command) -> Change {
    let put = Put { key: name(command.key), value: value(command.value), prev_kv: true, ..Put::default() };
    let Some(expect) = command.expect else { return Change::Put(put) };
    let range = KeyRange::key(name(command.key));
    let operand = match expect {
        OpId(0) => CompareOperand::Version(0),
        expect => CompareOperand::Value(value(expect)),
    };
    let compare = vec![Compare { range: range.clone(), result: CompareResult::Equal, operand }];
    let failure = vec![TxnOp::Range(Range { range, ..Range::default() })];
    Change::Txn(Txn { compare, success: vec![TxnOp::Put(put)], failure })
}

/// Whether the store's answer is the map's.
fn check_reply(done: &Done, said: &Said) -> Result<(), String> {
    let Done { command, reply, .. } = done;
    let (wrote, before) = match &said.outcome {
        Ok(Outcome::Put { prev_kv }) => (true, prev_kv.as_ref().map(|kv| &kv.value)),
        Ok(Outcome::Txn(txn)) => match txn.responses.first() {
            Some(TxnOpReply::Put { prev_kv, .. }) => (true, prev_kv.as_ref().map(|kv| &kv.value)),
            Some(TxnOpReply::Range(found)) => (false, found.kvs.first().map(|kv| &kv.value)),
            other => return Err(format!("answers {command:?} with {other:?}")),
        },
        other => return Err(format!("answers {command:?} with {other:?}")),
    };
    if wrote == reply.wrote && is(before, reply.previous) {
        Ok(())
    } else {
        Err(format!("answers {command:?} with {said:?}, the map with {reply:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use floe_raft::Term;

    fn id(index: u64) -> LogId {
        LogId::new(Term(1), Index(index))
    }

    fn put(index: u64, value: u64, previous: u64) -> Done {
        let command = Command { op: OpId(value), value: OpId(value), key: Key(1), expect: None, tag: None };
        Done { id: id(index), command, reply: Reply { previous: OpId(previous), wrote: true } }
    }

    fn stores() -> Box<Stores> {
        let mut stores = Stores::new(2, 1).expect("they are built in");
        for host in 0..2 {
            stores.started(host, LogId::ZERO).expect("empty");
        }
        stores
    }

    #[test]
    fn a_store_that_agrees_survives_a_crash_a_snapshot_and_compactions() {
        let mut stores = stores();
        for index in 1..=200 {
            stores.done(0, put(index, index, index - 1));
            stores.apply(0, id(index)).expect("agrees");
            if index == 150 {
                stores.saved(0, id(index)).expect("saved");
            }
        }
        stores.read(0, id(200), Key(1), OpId(200)).expect("the last value");
        stores.sent(0, id(200)).expect("sent");
        stores.installed(1, id(200)).expect("installed");
        stores.crashed(0);
        stores.started(0, id(150)).expect("where it was saved");
        for index in 151..=200 {
            stores.done(0, put(index, index, index - 1));
        }
        // In one batch now.
        stores.apply(0, id(200)).expect("the same again");
    }

    #[test]
    fn what_differs_from_the_map_or_from_others_is_noticed() {
        let mut stores = stores();
        stores.done(0, put(1, 1, 0));
        stores.apply(0, id(1)).expect("agrees");
        stores.read(0, id(1), Key(1), OpId(7)).expect_err("another value");
        stores.done(0, put(2, 2, 7));
        stores.apply(0, id(2)).expect_err("another value before");
        // The other host did something else at the same place.
        stores.done(1, put(1, 5, 0));
        stores.apply(1, id(1)).expect_err("another store");
        stores.saved(1, id(3)).expect_err("not there yet");
        stores.crashed(0);
        stores.started(0, id(2)).expect_err("it was never saved");
        stores.installed(1, id(9)).expect_err("nobody sent it");
    }

    #[test]
    fn a_condition_means_the_same_in_both() {
        let mut stores = stores();
        let cases =
            [(None, 1, 0, true), (Some(0), 2, 1, false), (Some(1), 3, 1, true), (Some(1), 4, 3, false)];
        for (index, (expect, value, previous, wrote)) in (1..).zip(cases) {
            let mut done = put(index, value, previous);
            (done.command.expect, done.reply.wrote) = (expect.map(OpId), wrote);
            stores.done(0, done);
            stores.apply(0, id(index)).expect("agrees");
        }
    }
}
