//! A store in a directory of its own, and short names for requests.

use std::path::PathBuf;

use bytes::Bytes;
use floe_mvcc::{
    Applied, ApplyError, Command, Compare, CompareOperand, CompareResult, DeleteRange, KeyRange, Outcome,
    Put, Range, RangeReply, Reader, Reply, Store, StoreOptions, Txn, TxnOp, TxnReply,
};
use tempfile::TempDir;

/// A store that applies one command a batch unless told otherwise.
pub(crate) struct Bed {
    pub(crate) dir: TempDir,
    pub(crate) store: Store,
    pub(crate) index: u64,
}

impl Bed {
    pub(crate) fn new() -> Self {
        Self::with(StoreOptions::default())
    }

    pub(crate) fn with(options: StoreOptions) -> Self {
        let dir = TempDir::new().unwrap();
        let store = Store::open(&dir.path().join("kv"), options).unwrap();
        let index = store.applied().index;
        Self { dir, store, index }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("kv")
    }

    pub(crate) fn reader(&self) -> Reader {
        self.store.reader()
    }

    /// Applies commands as one batch.
    pub(crate) fn batch(&mut self, commands: &[Command]) -> Vec<Reply> {
        self.index += commands.len() as u64;
        let payloads: Vec<Bytes> = commands.iter().map(Command::encode).collect();
        self.store.apply(&payloads, Applied { term: 1, index: self.index }).unwrap()
    }

    pub(crate) fn apply(&mut self, command: Command) -> Reply {
        self.batch(&[command]).remove(0)
    }

    /// Applies a command that must succeed.
    pub(crate) fn done(&mut self, command: Command) -> Reply {
        let reply = self.apply(command);
        assert!(reply.outcome.is_ok(), "{reply:?}");
        reply
    }

    /// Applies a command that must be refused, and checks that it changed nothing.
    pub(crate) fn refused(&mut self, command: Command) -> ApplyError {
        let before = (self.reader().revision(), self.all());
        let reply = self.apply(command);
        assert_eq!((self.reader().revision(), self.all()), before, "a refused command changed the store");
        reply.outcome.unwrap_err()
    }

    pub(crate) fn put(&mut self, key: &str, value: &str) -> i64 {
        self.done(put(key, value)).revision
    }

    pub(crate) fn delete(&mut self, key: &str) -> i64 {
        self.done(delete(KeyRange::key(bytes(key)))).revision
    }

    pub(crate) fn txn(&mut self, txn: Txn) -> TxnReply {
        match self.done(Command::Txn(txn)).outcome.unwrap() {
            Outcome::Txn(reply) => reply,
            other => panic!("not a transaction's reply: {other:?}"),
        }
    }

    pub(crate) fn compact(&mut self, revision: i64) {
        self.done(Command::Compact { revision });
    }

    pub(crate) fn all(&self) -> RangeReply {
        self.reader().range(&range(KeyRange::all())).unwrap()
    }

    pub(crate) fn value(&self, key: &str) -> Option<String> {
        let reply = self.reader().range(&range(KeyRange::key(bytes(key)))).unwrap();
        reply.kvs.first().map(|kv| text(&kv.value))
    }
}

pub(crate) fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(crate) fn text(bytes: &Bytes) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub(crate) fn put(key: &str, value: &str) -> Command {
    Command::Put(Put { key: bytes(key), value: bytes(value), ..Put::default() })
}

pub(crate) fn put_op(key: &str, value: &str) -> TxnOp {
    TxnOp::Put(Put { key: bytes(key), value: bytes(value), ..Put::default() })
}

pub(crate) fn leased(key: &str, value: &str, lease: i64) -> Command {
    Command::Put(Put { key: bytes(key), value: bytes(value), lease, ..Put::default() })
}

pub(crate) fn delete(range: KeyRange) -> Command {
    Command::DeleteRange(DeleteRange { range, prev_kv: false })
}

pub(crate) fn range(range: KeyRange) -> Range {
    Range { range, ..Range::default() }
}

pub(crate) fn key(text: &str) -> KeyRange {
    KeyRange::key(bytes(text))
}

pub(crate) fn at(key: &str, revision: i64) -> Range {
    Range { range: KeyRange::key(bytes(key)), revision, ..Range::default() }
}

pub(crate) fn compare(key: &str, result: CompareResult, operand: CompareOperand) -> Compare {
    Compare { range: KeyRange::key(bytes(key)), result, operand }
}

pub(crate) fn keys(reply: &RangeReply) -> Vec<String> {
    reply.kvs.iter().map(|kv| text(&kv.key)).collect()
}
