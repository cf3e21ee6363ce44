//! Transactions: which branch, whether all of it can be done, then the doing.
//!
//! All comparisons, those of nested transactions included, are decided against the store as it was before the
//! transaction; a nested comparison that saw the writes of its parent would be a thirteenth way for a clone of etcd to
//! differ. All requirements of the branch taken are checked before its first write, so a transaction is done wholly or
//! not at all (etcd #18667: one that failed half-way left its members with different data).

use std::cmp::Ordering;
use std::ops::ControlFlow;

use crate::apply::Batch;
use crate::command::{
    Compare, CompareOperand, CompareResult, Put, Range, RangeReply, Txn, TxnOp, TxnOpReply, TxnReply,
};
use crate::error::{ApplyError, ReadError, StorageError};
use crate::key_index::{Change, Head, Place, Visit};
use crate::kv::{KeyRange, KeyValue};
use crate::range::{self, Collector};
use crate::reader::View;

/// Keys at revisions: a reader's view of the store, or the writer's with what its batch has not published yet.
pub(crate) trait Space {
    /// Visits each key of the range that has a change at or below `revision`, until the visitor breaks.
    fn visit<V: Visit>(&self, range: &KeyRange, revision: i64, visitor: &mut V) -> ControlFlow<V::Break>;

    /// Reads the row of a put that `visit` named.
    fn read(&self, place: Place) -> Result<KeyValue, StorageError>;

    /// Answers a range request that was checked. `revision` is the space's newest.
    fn range(&self, request: &Range, revision: i64) -> Result<RangeReply, StorageError> {
        let mut collector = Collector::new(request);
        let at = if request.revision <= 0 { revision } else { request.revision };
        let ControlFlow::Continue(()) = self.visit(&request.range, at, &mut collector);
        range::answer(request, revision, collector, |place| self.read(place))
    }
}

impl Space for View<'_> {
    fn visit<V: Visit>(&self, range: &KeyRange, revision: i64, visitor: &mut V) -> ControlFlow<V::Break> {
        Self::visit(self, range, revision, visitor)
    }

    fn read(&self, place: Place) -> Result<KeyValue, StorageError> {
        Self::read(self, place)
    }
}

/// The branch that a transaction takes, and those of the transactions nested in it.
pub(crate) struct Plan<'a> {
    succeeded: bool,
    ops: &'a [TxnOp],
    /// One for each nested transaction of `ops`, in order.
    nested: Vec<Self>,
}

impl<'a> Plan<'a> {
    /// Decides all comparisons against the space at `revision`.
    pub(crate) fn new(space: &impl Space, revision: i64, txn: &'a Txn) -> Result<Self, StorageError> {
        let mut succeeded = true;
        for compare in &txn.compare {
            if !holds(space, revision, compare)? {
                succeeded = false;
                break;
            }
        }
        let ops = if succeeded { &txn.success } else { &txn.failure };
        let mut nested = Vec::new();
        for op in ops {
            if let TxnOp::Txn(txn) = op {
                nested.push(Self::new(space, revision, txn)?);
            }
        }
        Ok(Self { succeeded, ops, nested })
    }

    /// Whether every operation that will be done can be done, in the order in which it will be.
    pub(crate) fn check(
        &self,
        revision: i64,
        compact_revision: i64,
        put: &impl Fn(&Put) -> Result<(), ApplyError>,
    ) -> Result<(), ApplyError> {
        let mut nested = self.nested.iter();
        for op in self.ops {
            match op {
                TxnOp::Range(request) => check_range(revision, compact_revision, request)?,
                TxnOp::Put(request) => put(request)?,
                TxnOp::DeleteRange(_) => {}
                TxnOp::Txn(_) => {
                    if let Some(plan) = nested.next() {
                        plan.check(revision, compact_revision, put)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Does the branch in a batch. It was checked.
    pub(crate) fn execute(&self, batch: &mut Batch<'_>) -> Result<TxnReply, StorageError> {
        let mut responses = Vec::with_capacity(self.ops.len());
        let mut nested = self.nested.iter();
        for op in self.ops {
            responses.push(match op {
                TxnOp::Range(request) => TxnOpReply::Range(batch.range(request, batch.now())?),
                TxnOp::Put(request) => {
                    let prev_kv = batch.put(request)?;
                    TxnOpReply::Put { revision: batch.now(), prev_kv }
                }
                TxnOp::DeleteRange(request) => {
                    let (deleted, prev_kvs) = batch.delete_range(request)?;
                    TxnOpReply::DeleteRange { revision: batch.now(), deleted, prev_kvs }
                }
                TxnOp::Txn(_) => {
                    let Some(plan) = nested.next() else {
                        continue;
                    };
                    TxnOpReply::Txn(plan.execute(batch)?)
                }
            });
        }
        Ok(TxnReply { succeeded: self.succeeded, responses, revision: batch.now() })
    }
}

/// Evaluates a transaction that only reads.
pub(crate) fn read(view: &View<'_>, txn: &Txn) -> Result<TxnReply, ReadError> {
    let ranges_only = |ops: &[TxnOp]| ops.iter().all(|op| matches!(op, TxnOp::Range(_)));
    if !ranges_only(&txn.success) || !ranges_only(&txn.failure) {
        return Err(ReadError::NotReadOnly);
    }
    let plan = Plan::new(view, view.current, txn)?;
    let mut responses = Vec::with_capacity(plan.ops.len());
    for op in plan.ops {
        if let TxnOp::Range(request) = op {
            check_range(view.current, view.compact_revision, request).map_err(|error| match error {
                ApplyError::Compacted { compact_revision } => ReadError::Compacted { compact_revision },
                _ => ReadError::FutureRevision,
            })?;
        }
    }
    for op in plan.ops {
        if let TxnOp::Range(request) = op {
            responses.push(TxnOpReply::Range(view.range(request, view.current)?));
        }
    }
    Ok(TxnReply { succeeded: plan.succeeded, responses, revision: view.current })
}

/// etcd's check of a range in a transaction: unlike a range of its own, only revision 0 always means the latest.
fn check_range(revision: i64, compact_revision: i64, request: &Range) -> Result<(), ApplyError> {
    if request.revision == 0 {
        Ok(())
    } else if request.revision > revision {
        Err(ApplyError::FutureRevision)
    } else if request.revision < compact_revision {
        Err(ApplyError::Compacted { compact_revision })
    } else {
        Ok(())
    }
}

/// Whether a comparison holds for every key of its range. Without a key it is made with zeros, but a value is never
/// equal, greater or anything to a missing one.
fn holds(space: &impl Space, revision: i64, compare: &Compare) -> Result<bool, StorageError> {
    let mut any = false;
    // Values and leases are in the rows. They are read after the walk, not in it, because a walk may hold a lock.
    let mut to_read = Vec::new();
    let walk = space.visit(&compare.range, revision, &mut |_: &[u8], change: Change, newest: &Head| {
        if change.tombstone {
            return ControlFlow::Continue(());
        }
        any = true;
        let order = match &compare.operand {
            CompareOperand::Version(figure) => newest.version.cmp(figure),
            CompareOperand::Create(figure) => newest.create_revision.cmp(figure),
            CompareOperand::Mod(figure) => change.place.revision.cmp(figure),
            CompareOperand::Lease(figure) if !change.leased => 0.cmp(figure),
            CompareOperand::Lease(_) | CompareOperand::Value(_) => {
                to_read.push(change.place);
                return ControlFlow::Continue(());
            }
        };
        if is(order, compare.result) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    if walk.is_break() {
        return Ok(false);
    }
    for place in to_read {
        let kv = space.read(place)?;
        let order = match &compare.operand {
            CompareOperand::Value(value) => kv.value.cmp(value),
            CompareOperand::Lease(figure) => kv.lease.cmp(figure),
            CompareOperand::Version(_) | CompareOperand::Create(_) | CompareOperand::Mod(_) => continue,
        };
        if !is(order, compare.result) {
            return Ok(false);
        }
    }
    Ok(any || holds_for_missing(compare))
}

fn holds_for_missing(compare: &Compare) -> bool {
    match compare.operand {
        CompareOperand::Version(figure)
        | CompareOperand::Create(figure)
        | CompareOperand::Mod(figure)
        | CompareOperand::Lease(figure) => is(0.cmp(&figure), compare.result),
        CompareOperand::Value(_) => false,
    }
}

fn is(order: Ordering, result: CompareResult) -> bool {
    match result {
        CompareResult::Equal => order.is_eq(),
        CompareResult::Greater => order.is_gt(),
        CompareResult::Less => order.is_lt(),
        CompareResult::NotEqual => order.is_ne(),
    }
}
