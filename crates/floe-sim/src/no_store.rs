//! What stands in the store's place where it is not built in: there is none.

use floe_raft::LogId;

use crate::check::Checked;
use crate::machine::{Command, Key, OpId, Reply};

/// See `store.rs`.
#[expect(dead_code, reason = "nobody reads it here")]
pub(crate) struct Done {
    pub(crate) id: LogId,
    pub(crate) command: Command,
    pub(crate) reply: Reply,
}

/// See `store.rs`. There can be none.
#[derive(Debug)]
pub(crate) enum Stores {}

impl Stores {
    pub(crate) fn new(_hosts: usize, _seed: u64) -> Option<Box<Self>> {
        None
    }

    pub(crate) fn started(&mut self, _host: usize, _at: LogId) -> Checked {
        match *self {}
    }

    pub(crate) fn crashed(&mut self, _host: usize) {
        match *self {}
    }

    pub(crate) fn done(&mut self, _host: usize, _done: Done) {
        match *self {}
    }

    pub(crate) fn apply(&mut self, _host: usize, _last: LogId) -> Checked {
        match *self {}
    }

    pub(crate) fn saved(&mut self, _host: usize, _at: LogId) -> Checked {
        match *self {}
    }

    pub(crate) fn sent(&mut self, _host: usize, _at: LogId) -> Checked {
        match *self {}
    }

    pub(crate) fn installed(&mut self, _host: usize, _at: LogId) -> Checked {
        match *self {}
    }

    pub(crate) fn read(&self, _host: usize, _at: LogId, _key: Key, _expected: OpId) -> Checked {
        match *self {}
    }
}
