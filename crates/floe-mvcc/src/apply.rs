//! One batch of commands, applied in order within one transaction of the file.
//!
//! What a batch writes goes to the file at once and to the index only when the batch is committed. In between it is
//! staged here, so that later commands of the batch see it and readers do not.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use redb::{ReadableTable, Table, WriteTransaction};

use crate::codec;
use crate::command::{Command, DeleteRange, MemberInfo, Outcome, Put, Reply, Txn, TxnOp};
use crate::error::{ApplyError, StorageError};
use crate::key_index::{Change, Head, Place, Visit};
use crate::kv::{Event, KeyRange, KeyValue};
use crate::record::{self, PutRecord, ROW_OVERHEAD_BYTES, Record, State};
use crate::roster::{CORRUPT, NO_SPACE, Roster};
use crate::shared::{Shared, Tables};
use crate::txn::{Plan, Space};
use crate::watch::Changed;

/// The changes of one key in a batch, oldest first.
pub(crate) struct Staged {
    earlier: Vec<Head>,
    newest: Head,
}

impl Staged {
    fn at(&self, revision: i64) -> Option<Change> {
        let heads = self.earlier.iter().chain([&self.newest]).rev();
        heads.map(|head| head.change).find(|change| change.place.revision <= revision)
    }

    /// The changes, oldest first.
    pub(crate) fn heads(&self) -> impl Iterator<Item = Head> + '_ {
        self.earlier.iter().chain([&self.newest]).copied()
    }
}

/// What a batch leaves to be published once it is committed.
pub(crate) struct Applied {
    pub(crate) state: State,
    pub(crate) staged: BTreeMap<Bytes, Staged>,
    /// Keys and how many of their oldest changes the sweep removed.
    pub(crate) swept: Vec<(Bytes, usize)>,
    /// What changed, in order; none when nobody watched as the batch began.
    pub(crate) changes: Option<Vec<Changed>>,
    /// How much more the rows take.
    pub(crate) row_bytes: i64,
}

/// A batch while it is applied.
pub(crate) struct Batch<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) tables: Arc<Tables>,
    pub(crate) txn: &'a WriteTransaction,
    pub(crate) rows: Table<'a, u128, &'static [u8]>,
    pub(crate) applied: Applied,
    /// How many changes the present command has made. They are at the revision after the store's.
    sub: u32,
    /// Whether a command of the batch carried a tag.
    pub(crate) has_sessions: bool,
    /// A row while it is encoded.
    pub(crate) scratch: Vec<u8>,
    no_space: bool,
    corrupt: bool,
}

impl<'a> Batch<'a> {
    /// Begins a batch in `txn`. `state` is what the batches before have led to.
    pub(crate) fn new(
        shared: &'a Shared,
        txn: &'a WriteTransaction,
        state: State,
    ) -> Result<Self, StorageError> {
        let changes = shared.hub.is_watched().then(Vec::new);
        let roster = shared.roster.read().unwrap_or_else(PoisonError::into_inner);
        Ok(Self {
            shared,
            tables: shared.tables(),
            txn,
            rows: txn.open_table(record::REVISIONS).map_err(StorageError::redb)?,
            applied: Applied { state, staged: BTreeMap::new(), swept: Vec::new(), changes, row_bytes: 0 },
            sub: 0,
            has_sessions: false,
            scratch: Vec::new(),
            no_space: roster.is_raised(NO_SPACE),
            corrupt: roster.is_raised(CORRUPT),
        })
    }

    /// Writes the state row and ends the batch. The transaction is still to be committed.
    pub(crate) fn finish(mut self) -> Result<Applied, StorageError> {
        self.write_sessions()?;
        let mut meta = self.txn.open_table(record::META).map_err(StorageError::redb)?;
        meta.insert(record::STATE_KEY, &self.applied.state.encode()[..]).map_err(StorageError::redb)?;
        Ok(self.applied)
    }

    /// Applies one command. A payload that is no command changes nothing, on every replica alike.
    pub(crate) fn apply(&mut self, payload: &Bytes) -> Result<Reply, StorageError> {
        match Command::decode(payload) {
            Ok((command, None)) => self.run(&command),
            Ok((command, Some(tag))) => self.apply_once(&tag, &command),
            Err(_) => {
                Ok(Reply { revision: self.applied.state.revision, outcome: Err(ApplyError::Malformed) })
            }
        }
    }

    /// Applies a command as the next revision, if it changes something.
    pub(crate) fn run(&mut self, command: &Command) -> Result<Reply, StorageError> {
        let outcome = self.command(command)?;
        if self.sub > 0 {
            self.applied.state.revision += 1;
            self.sub = 0;
        }
        Ok(Reply { revision: self.applied.state.revision, outcome })
    }

    fn command(&mut self, command: &Command) -> Result<Result<Outcome, ApplyError>, StorageError> {
        if let Err(error) = self.permitted(command) {
            return Ok(Err(error));
        }
        Ok(match command {
            Command::Put(put) => match self.check_put(put) {
                Ok(()) => Ok(Outcome::Put { prev_kv: self.put(put)? }),
                Err(error) => Err(error),
            },
            Command::DeleteRange(delete) => {
                let (deleted, prev_kvs) = self.delete_range(delete)?;
                Ok(Outcome::DeleteRange { deleted, prev_kvs })
            }
            Command::Txn(txn) => return self.txn(txn),
            Command::Compact { revision } => self.compact(*revision).map(|()| Outcome::Done),
            Command::LeaseGrant { id, ttl } => return self.lease_grant(*id, *ttl),
            Command::LeaseRevoke { id } => return self.lease_revoke(*id),
            Command::PublishMember(member) => {
                self.publish_member(member)?;
                Ok(Outcome::Done)
            }
            Command::RetractMember { id } => {
                self.retract_member(*id)?;
                Ok(Outcome::Done)
            }
            Command::Alarm { member, alarm, raise } => {
                Ok(Outcome::Alarm { was_raised: self.alarm(*member, *alarm, *raise)? })
            }
        })
    }

    /// Whether the alarms let the command through.
    fn permitted(&self, command: &Command) -> Result<(), ApplyError> {
        match command {
            // What ends an alarm must pass it.
            Command::Alarm { .. } | Command::PublishMember(_) | Command::RetractMember { .. } => Ok(()),
            _ if self.corrupt => Err(ApplyError::Corrupt),
            Command::Put(_) | Command::LeaseGrant { .. } if self.no_space => Err(ApplyError::NoSpace),
            Command::Txn(txn) if self.no_space && has_put(txn) => Err(ApplyError::NoSpace),
            Command::Put(_)
            | Command::DeleteRange(_)
            | Command::Txn(_)
            | Command::Compact { .. }
            | Command::LeaseGrant { .. }
            | Command::LeaseRevoke { .. } => Ok(()),
        }
    }

    /// The store's revision as the present command sees it: the next one as soon as it has changed something.
    pub(crate) fn now(&self) -> i64 {
        self.applied.state.revision + i64::from(self.sub > 0)
    }

    /// The key's newest change, a deletion included.
    fn head(&self, key: &[u8]) -> Option<Head> {
        match self.applied.staged.get(key) {
            Some(staged) => Some(staged.newest),
            None => self.tables.published().index.head(key),
        }
    }

    fn live_head(&self, key: &[u8]) -> Option<Head> {
        self.head(key).filter(Head::is_live)
    }

    /// The requirements of a put: first its lease, then its key.
    fn check_put(&self, put: &Put) -> Result<(), ApplyError> {
        if put.lease != 0 && !self.shared.lessor.contains(put.lease) {
            return Err(ApplyError::LeaseNotFound);
        }
        if (put.ignore_value || put.ignore_lease) && self.live_head(&put.key).is_none() {
            return Err(ApplyError::KeyNotFound);
        }
        Ok(())
    }

    /// Does a put that was checked. Gives the previous pair, if asked for and present.
    pub(crate) fn put(&mut self, put: &Put) -> Result<Option<KeyValue>, StorageError> {
        let previous = self.live_head(&put.key);
        let mut prev_kv = None;
        if (put.prev_kv || put.ignore_value || put.ignore_lease)
            && let Some(head) = previous
        {
            prev_kv = Some(self.read(head.change.place)?);
        }
        let mut value = &put.value;
        let mut lease = put.lease;
        if let Some(kv) = &prev_kv {
            if put.ignore_value {
                value = &kv.value;
            }
            if put.ignore_lease {
                lease = kv.lease;
            }
        }
        self.write_put(&put.key, value, lease, previous)?;
        Ok(if put.prev_kv { prev_kv } else { None })
    }

    fn write_put(
        &mut self,
        key: &Bytes,
        value: &Bytes,
        lease: i64,
        previous: Option<Head>,
    ) -> Result<(), StorageError> {
        let place = self.next_place();
        let (create_revision, version) =
            previous.map_or((place.revision, 1), |head| (head.create_revision, head.version + 1));
        record::write_put(
            &mut self.scratch,
            place.revision,
            key,
            &PutRecord { create_revision, version, lease, value },
        );
        self.insert_row(place)?;
        let change = Change { place, tombstone: false, leased: lease != 0 };
        self.stage(key, Head { change, create_revision, version });
        if lease != 0 || previous.is_some_and(|head| head.change.leased) {
            self.shared.lessor.attach(key, lease);
        }
        if let Some(changes) = &mut self.applied.changes {
            let kv = KeyValue {
                key: key.clone(),
                create_revision,
                mod_revision: place.revision,
                version,
                value: value.clone(),
                lease,
            };
            changes.push(Changed { event: Event::Put(kv), previous: previous.map(|head| head.change.place) });
        }
        Ok(())
    }

    /// Deletes the keys of a range. Gives how many they were and, if asked for, what they held.
    pub(crate) fn delete_range(
        &mut self,
        delete: &DeleteRange,
    ) -> Result<(i64, Vec<KeyValue>), StorageError> {
        let mut found = Vec::new();
        let ControlFlow::Continue(()) =
            self.visit(&delete.range, self.now(), &mut |key: &[u8], change: Change, _: &Head| {
                if !change.tombstone {
                    found.push((Bytes::copy_from_slice(key), change));
                }
                ControlFlow::<Infallible>::Continue(())
            });
        let mut prev_kvs = Vec::new();
        if delete.prev_kv {
            prev_kvs.reserve_exact(found.len());
            for (_, change) in &found {
                prev_kvs.push(self.read(change.place)?);
            }
        }
        for (key, change) in &found {
            self.write_tombstone(key, *change)?;
        }
        Ok((found.len() as i64, prev_kvs))
    }

    fn write_tombstone(&mut self, key: &Bytes, previous: Change) -> Result<(), StorageError> {
        let place = self.next_place();
        record::write_tombstone(&mut self.scratch, key);
        self.insert_row(place)?;
        let change = Change { place, tombstone: true, leased: false };
        self.stage(key, Head { change, create_revision: 0, version: 0 });
        if previous.leased {
            self.shared.lessor.attach(key, 0);
        }
        if let Some(changes) = &mut self.applied.changes {
            let kv = KeyValue { key: key.clone(), mod_revision: place.revision, ..KeyValue::default() };
            changes.push(Changed { event: Event::Delete(kv), previous: Some(previous.place) });
        }
        Ok(())
    }

    fn txn(&mut self, txn: &Txn) -> Result<Result<Outcome, ApplyError>, StorageError> {
        let State { revision, compact_revision, .. } = self.applied.state;
        let plan = Plan::new(self, revision, txn)?;
        if let Err(error) = plan.check(revision, compact_revision, &|put| self.check_put(put)) {
            return Ok(Err(error));
        }
        Ok(Ok(Outcome::Txn(plan.execute(self)?)))
    }

    fn lease_grant(&mut self, id: i64, ttl: i64) -> Result<Result<Outcome, ApplyError>, StorageError> {
        if id == 0 {
            return Ok(Err(ApplyError::LeaseNotFound));
        }
        if !self.shared.lessor.grant(id, ttl) {
            return Ok(Err(ApplyError::LeaseExists));
        }
        let mut leases = self.txn.open_table(record::LEASES).map_err(StorageError::redb)?;
        leases.insert(id, ttl).map_err(StorageError::redb)?;
        Ok(Ok(Outcome::LeaseGranted { id, ttl }))
    }

    fn lease_revoke(&mut self, id: i64) -> Result<Result<Outcome, ApplyError>, StorageError> {
        let Some(keys) = self.shared.lessor.revoke(id) else {
            return Ok(Err(ApplyError::LeaseNotFound));
        };
        for key in &keys {
            if let Some(head) = self.live_head(key) {
                self.write_tombstone(key, head.change)?;
            }
        }
        let mut leases = self.txn.open_table(record::LEASES).map_err(StorageError::redb)?;
        leases.remove(id).map_err(StorageError::redb)?;
        Ok(Ok(Outcome::Done))
    }

    fn publish_member(&mut self, member: &MemberInfo) -> Result<(), StorageError> {
        self.scratch.clear();
        codec::write_member(&mut self.scratch, member);
        let mut members = self.txn.open_table(record::MEMBERS).map_err(StorageError::redb)?;
        members.insert(member.id, &self.scratch[..]).map_err(StorageError::redb)?;
        self.change_roster(|roster| {
            roster.members.insert(member.id, member.clone());
        });
        Ok(())
    }

    fn retract_member(&mut self, id: u64) -> Result<(), StorageError> {
        let mut members = self.txn.open_table(record::MEMBERS).map_err(StorageError::redb)?;
        members.remove(id).map_err(StorageError::redb)?;
        self.change_roster(|roster| {
            roster.members.remove(&id);
        });
        Ok(())
    }

    /// Says whether the alarm was raised before.
    fn alarm(&mut self, member: u64, alarm: i32, raise: bool) -> Result<bool, StorageError> {
        let mut alarms = self.txn.open_table(record::ALARMS).map_err(StorageError::redb)?;
        let was_raised = if raise {
            alarms.insert((member, alarm), ()).map_err(StorageError::redb)?.is_some()
        } else {
            alarms.remove((member, alarm)).map_err(StorageError::redb)?.is_some()
        };
        drop(alarms);
        self.change_roster(|roster| {
            if raise {
                roster.alarms.insert((member, alarm));
            } else {
                roster.alarms.remove(&(member, alarm));
            }
        });
        Ok(was_raised)
    }

    fn change_roster(&mut self, change: impl FnOnce(&mut Roster)) {
        let mut roster = self.shared.roster.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut roster);
        self.no_space = roster.is_raised(NO_SPACE);
        self.corrupt = roster.is_raised(CORRUPT);
    }

    fn next_place(&mut self) -> Place {
        let place = Place { revision: self.applied.state.revision + 1, sub: self.sub };
        self.sub += 1;
        place
    }

    fn insert_row(&mut self, place: Place) -> Result<(), StorageError> {
        self.rows.insert(record::row_key(place), &self.scratch[..]).map_err(StorageError::redb)?;
        self.applied.row_bytes += (self.scratch.len() as u64 + ROW_OVERHEAD_BYTES) as i64;
        Ok(())
    }

    fn stage(&mut self, key: &Bytes, head: Head) {
        if let Some(staged) = self.applied.staged.get_mut(&key[..]) {
            staged.earlier.push(staged.newest);
            staged.newest = head;
        } else {
            self.applied.staged.insert(key.clone(), Staged { earlier: Vec::new(), newest: head });
        }
    }
}

impl Space for Batch<'_> {
    fn visit<V: Visit>(&self, range: &KeyRange, revision: i64, visitor: &mut V) -> ControlFlow<V::Break> {
        if range.is_empty() {
            return ControlFlow::Continue(());
        }
        // Held for the whole walk: only this thread ever wants to publish, so it keeps nobody waiting.
        let published = self.tables.published();
        let mut staged = self.applied.staged.range::<[u8], _>(range.bounds()).peekable();
        let mut indexed = published.index.range(range, None);
        while let Some((key, history)) = indexed.next() {
            while let Some((key, staged)) = staged.next_if(|(staged, _)| &staged[..] < key) {
                if let Some(change) = staged.at(revision) {
                    visitor.visit(key, change, &staged.newest)?;
                }
            }
            let own = staged.next_if(|(staged, _)| &staged[..] == key).map(|(_, staged)| staged);
            let change = own.and_then(|staged| staged.at(revision)).or_else(|| history.at(revision));
            if let Some(change) = change {
                visitor.visit(key, change, own.map_or(history.newest(), |staged| &staged.newest))?;
            }
        }
        for (key, staged) in staged {
            if let Some(change) = staged.at(revision) {
                visitor.visit(key, change, &staged.newest)?;
            }
        }
        ControlFlow::Continue(())
    }

    fn read(&self, place: Place) -> Result<KeyValue, StorageError> {
        let row_key = record::row_key(place);
        let row = self.rows.get(row_key).map_err(StorageError::redb)?;
        let row = row.ok_or(StorageError::Invalid("the index names a row that is missing"))?;
        Record::read(row_key, row.value())?
            .key_value()
            .ok_or(StorageError::Invalid("the index names a deletion as a put"))
    }
}

fn has_put(txn: &Txn) -> bool {
    txn.success.iter().chain(&txn.failure).any(|op| match op {
        TxnOp::Put(_) => true,
        TxnOp::Txn(txn) => has_put(txn),
        TxnOp::Range(_) | TxnOp::DeleteRange(_) => false,
    })
}
