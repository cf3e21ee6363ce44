//! The store as simply as it can be said: a list of all changes ever, replayed for every question.

use std::collections::BTreeMap;

use bytes::Bytes;
use floe_mvcc::{
    ApplyError, Command, Compare, CompareOperand, CompareResult, DeleteRange, Event, KeyRange, KeyValue,
    Outcome, Put, Range, RangeReply, Reply, RequestId, SortOrder, SortTarget, Txn, TxnOp, TxnOpReply,
    TxnReply,
};

#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) revision: i64,
    pub(crate) compact_revision: i64,
    /// In order; each event knows its revision.
    pub(crate) log: Vec<Event>,
    pub(crate) leases: BTreeMap<i64, i64>,
    pub(crate) alarms: Vec<(u64, i32)>,
    /// The first reply to each named request.
    pub(crate) replies: BTreeMap<RequestId, Reply>,
    /// Changes that the present command has made.
    changed: bool,
}

type Keys = BTreeMap<Bytes, KeyValue>;

impl Model {
    pub(crate) fn new() -> Self {
        Self { revision: 1, compact_revision: -1, ..Self::default() }
    }

    /// The pairs at a revision.
    pub(crate) fn at(&self, revision: i64) -> Keys {
        let mut keys = Keys::new();
        for event in self.log.iter().filter(|event| event.kv().mod_revision <= revision) {
            match event {
                Event::Put(kv) => keys.insert(kv.key.clone(), kv.clone()),
                Event::Delete(kv) => keys.remove(&kv.key),
            };
        }
        keys
    }

    fn latest(&self) -> Keys {
        self.at(i64::MAX)
    }

    fn now(&self) -> i64 {
        self.revision + i64::from(self.changed)
    }

    /// Applies a command unless its request was applied before.
    pub(crate) fn apply_once(&mut self, request: Option<RequestId>, command: &Command) -> Reply {
        let Some(request) = request else {
            return self.apply(command);
        };
        if let Some(first) = self.replies.get(&request) {
            return first.clone();
        }
        let reply = self.apply(command);
        self.replies.insert(request, reply.clone());
        reply
    }

    pub(crate) fn apply(&mut self, command: &Command) -> Reply {
        let outcome = self.command(command);
        self.revision = self.now();
        self.changed = false;
        Reply { revision: self.revision, outcome }
    }

    fn command(&mut self, command: &Command) -> Result<Outcome, ApplyError> {
        let no_space = self.alarms.iter().any(|&(_, alarm)| alarm == 1);
        match command {
            Command::Put(put) => {
                if no_space {
                    return Err(ApplyError::NoSpace);
                }
                self.check_put(put)?;
                Ok(Outcome::Put { prev_kv: self.put(put) })
            }
            Command::DeleteRange(delete) => {
                let (deleted, prev_kvs) = self.delete(delete);
                Ok(Outcome::DeleteRange { deleted, prev_kvs })
            }
            Command::Txn(txn) => {
                if no_space && puts(txn) {
                    return Err(ApplyError::NoSpace);
                }
                let before = self.latest();
                self.check_txn(&before, txn)?;
                Ok(Outcome::Txn(self.txn(&before, txn)))
            }
            Command::Compact { revision } => {
                if *revision <= self.compact_revision {
                    return Err(ApplyError::Compacted { compact_revision: self.compact_revision });
                }
                if *revision > self.revision {
                    return Err(ApplyError::FutureRevision);
                }
                self.compact_revision = *revision;
                Ok(Outcome::Done)
            }
            Command::LeaseGrant { id, ttl } => {
                if no_space {
                    return Err(ApplyError::NoSpace);
                }
                if self.leases.contains_key(id) {
                    return Err(ApplyError::LeaseExists);
                }
                self.leases.insert(*id, *ttl);
                Ok(Outcome::LeaseGranted { id: *id, ttl: *ttl })
            }
            Command::LeaseRevoke { id } => {
                self.leases.remove(id).ok_or(ApplyError::LeaseNotFound)?;
                for (key, kv) in self.latest() {
                    if kv.lease == *id {
                        self.record_delete(&key);
                    }
                }
                Ok(Outcome::Done)
            }
            Command::Alarm { member, alarm, raise } => {
                let was_raised = self.alarms.contains(&(*member, *alarm));
                self.alarms.retain(|raised| raised != &(*member, *alarm));
                if *raise {
                    self.alarms.push((*member, *alarm));
                }
                Ok(Outcome::Alarm { was_raised })
            }
            Command::PublishMember(_) | Command::RetractMember { .. } => Ok(Outcome::Done),
        }
    }

    fn check_put(&self, put: &Put) -> Result<(), ApplyError> {
        if put.lease != 0 && !self.leases.contains_key(&put.lease) {
            return Err(ApplyError::LeaseNotFound);
        }
        if (put.ignore_lease || put.ignore_value) && !self.latest().contains_key(&put.key) {
            return Err(ApplyError::KeyNotFound);
        }
        Ok(())
    }

    fn put(&mut self, put: &Put) -> Option<KeyValue> {
        let old = self.latest().remove(&put.key);
        let mod_revision = self.revision + 1;
        let mut kv = KeyValue {
            key: put.key.clone(),
            create_revision: old.as_ref().map_or(mod_revision, |old| old.create_revision),
            mod_revision,
            version: old.as_ref().map_or(1, |old| old.version + 1),
            value: put.value.clone(),
            lease: put.lease,
        };
        if let Some(old) = &old {
            if put.ignore_value {
                kv.value = old.value.clone();
            }
            if put.ignore_lease {
                kv.lease = old.lease;
            }
        }
        self.log.push(Event::Put(kv));
        self.changed = true;
        old.filter(|_| put.prev_kv)
    }

    fn record_delete(&mut self, key: &Bytes) {
        let mod_revision = self.revision + 1;
        self.log.push(Event::Delete(KeyValue { key: key.clone(), mod_revision, ..KeyValue::default() }));
        self.changed = true;
    }

    fn delete(&mut self, delete: &DeleteRange) -> (i64, Vec<KeyValue>) {
        let gone: Vec<KeyValue> =
            self.latest().into_values().filter(|kv| contains(&delete.range, &kv.key)).collect();
        for kv in &gone {
            self.record_delete(&kv.key);
        }
        (gone.len() as i64, if delete.prev_kv { gone } else { Vec::new() })
    }

    fn check_txn(&self, before: &Keys, txn: &Txn) -> Result<(), ApplyError> {
        for op in branch(before, txn).1 {
            match op {
                TxnOp::Range(range) if range.revision > self.revision => {
                    return Err(ApplyError::FutureRevision);
                }
                TxnOp::Range(range) if range.revision != 0 && range.revision < self.compact_revision => {
                    return Err(ApplyError::Compacted { compact_revision: self.compact_revision });
                }
                TxnOp::Put(put) => self.check_put(put)?,
                TxnOp::Txn(txn) => self.check_txn(before, txn)?,
                TxnOp::Range(_) | TxnOp::DeleteRange(_) => {}
            }
        }
        Ok(())
    }

    fn txn(&mut self, before: &Keys, txn: &Txn) -> TxnReply {
        let (succeeded, ops) = branch(before, txn);
        let mut responses = Vec::new();
        for op in ops {
            responses.push(match op {
                TxnOp::Range(range) => TxnOpReply::Range(self.answer(range, self.now())),
                TxnOp::Put(put) => {
                    let prev_kv = self.put(put);
                    TxnOpReply::Put { revision: self.now(), prev_kv }
                }
                TxnOp::DeleteRange(delete) => {
                    let (deleted, prev_kvs) = self.delete(delete);
                    TxnOpReply::DeleteRange { revision: self.now(), deleted, prev_kvs }
                }
                TxnOp::Txn(txn) => TxnOpReply::Txn(self.txn(before, txn)),
            });
        }
        TxnReply { succeeded, responses, revision: self.now() }
    }

    /// What a range of its own must answer: none if the revision cannot be read.
    pub(crate) fn range(&self, range: &Range) -> Option<RangeReply> {
        let readable = range.revision <= 0
            || (range.revision >= self.compact_revision && range.revision <= self.revision);
        readable.then(|| self.answer(range, self.revision))
    }

    fn answer(&self, range: &Range, revision: i64) -> RangeReply {
        let at = if range.revision <= 0 { revision } else { range.revision };
        let mut kvs: Vec<KeyValue> =
            self.at(at).into_values().filter(|kv| contains(&range.range, &kv.key)).collect();
        let count = kvs.len() as i64;
        if range.count_only {
            return RangeReply { revision, kvs: Vec::new(), more: false, count };
        }
        let bounds = [
            (range.max_mod_revision, range.min_mod_revision),
            (range.max_create_revision, range.min_create_revision),
        ];
        let filtered = bounds != [(0, 0); 2];
        let in_key_order = range.order == SortOrder::None
            || (range.order == SortOrder::Ascend && range.target == SortTarget::Key);
        let limit = if range.limit <= 0 { usize::MAX } else { range.limit as usize };
        if in_key_order && !filtered {
            kvs.truncate(limit.saturating_add(1));
        }
        kvs.retain(|kv| {
            let figures = [kv.mod_revision, kv.create_revision];
            figures
                .iter()
                .zip(bounds)
                .all(|(&figure, (max, min))| (max == 0 || figure <= max) && (min == 0 || figure >= min))
        });
        let by = |kv: &KeyValue| match range.target {
            SortTarget::Key => (0, kv.key.clone()),
            SortTarget::Version => (kv.version, Bytes::new()),
            SortTarget::Create => (kv.create_revision, Bytes::new()),
            SortTarget::Mod => (kv.mod_revision, Bytes::new()),
            SortTarget::Value => (0, kv.value.clone()),
        };
        match range.order {
            SortOrder::Descend => kvs.sort_by_key(|kv| std::cmp::Reverse(by(kv))),
            SortOrder::None | SortOrder::Ascend => kvs.sort_by_key(by),
        }
        let more = kvs.len() > limit;
        kvs.truncate(limit);
        for kv in kvs.iter_mut().filter(|_| range.keys_only) {
            kv.value = Bytes::new();
            if range.target != SortTarget::Value {
                kv.lease = 0;
            }
        }
        RangeReply { revision, kvs, more, count }
    }

    pub(crate) fn attached(&self, lease: i64) -> Vec<Bytes> {
        self.latest().into_values().filter(|kv| kv.lease == lease).map(|kv| kv.key).collect()
    }
}

fn puts(txn: &Txn) -> bool {
    txn.success.iter().chain(&txn.failure).any(|op| match op {
        TxnOp::Put(_) => true,
        TxnOp::Txn(txn) => puts(txn),
        TxnOp::Range(_) | TxnOp::DeleteRange(_) => false,
    })
}

fn branch<'a>(before: &Keys, txn: &'a Txn) -> (bool, &'a [TxnOp]) {
    let succeeded = txn.compare.iter().all(|compare| holds(before, compare));
    (succeeded, if succeeded { &txn.success } else { &txn.failure })
}

fn holds(keys: &Keys, compare: &Compare) -> bool {
    let found: Vec<&KeyValue> = keys.values().filter(|kv| contains(&compare.range, &kv.key)).collect();
    if found.is_empty() {
        let is_value = matches!(compare.operand, CompareOperand::Value(_));
        return !is_value && holds_for(&KeyValue::default(), compare);
    }
    found.into_iter().all(|kv| holds_for(kv, compare))
}

fn holds_for(kv: &KeyValue, compare: &Compare) -> bool {
    let order = match &compare.operand {
        CompareOperand::Version(figure) => kv.version.cmp(figure),
        CompareOperand::Create(figure) => kv.create_revision.cmp(figure),
        CompareOperand::Mod(figure) => kv.mod_revision.cmp(figure),
        CompareOperand::Value(value) => kv.value.cmp(value),
        CompareOperand::Lease(figure) => kv.lease.cmp(figure),
    };
    match compare.result {
        CompareResult::Equal => order.is_eq(),
        CompareResult::Greater => order.is_gt(),
        CompareResult::Less => order.is_lt(),
        CompareResult::NotEqual => order.is_ne(),
    }
}

pub(crate) fn contains(range: &KeyRange, key: &[u8]) -> bool {
    match &range.end[..] {
        b"" => key == &range.start[..],
        b"\0" => key >= &range.start[..],
        end => key >= &range.start[..] && key < end,
    }
}
