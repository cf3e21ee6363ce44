//! What is refused before anything is done, in etcd's order of checks.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;

use crate::errors::EtcdError;
use crate::proto::etcdserverpb::compare::{CompareResult, CompareTarget};
use crate::proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use crate::proto::etcdserverpb::request_op::Request;
use crate::proto::etcdserverpb::{DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest};

/// A range must have a key and a sort that exists.
pub(crate) fn range(request: &RangeRequest) -> Result<(), EtcdError> {
    if request.key.is_empty() {
        return Err(EtcdError::EmptyKey);
    }
    let known =
        SortOrder::try_from(request.sort_order).is_ok() && SortTarget::try_from(request.sort_target).is_ok();
    if known { Ok(()) } else { Err(EtcdError::InvalidSortOption) }
}

/// A put must have a key, and bring nothing that it says to keep.
pub(crate) fn put(request: &PutRequest) -> Result<(), EtcdError> {
    if request.key.is_empty() {
        Err(EtcdError::EmptyKey)
    } else if request.ignore_value && !request.value.is_empty() {
        Err(EtcdError::ValueProvided)
    } else if request.ignore_lease && request.lease != 0 {
        Err(EtcdError::LeaseProvided)
    } else {
        Ok(())
    }
}

/// A delete must have a key.
pub(crate) fn delete_range(request: &DeleteRangeRequest) -> Result<(), EtcdError> {
    if request.key.is_empty() { Err(EtcdError::EmptyKey) } else { Ok(()) }
}

/// A txn must be small enough, consist of valid parts, and change no key twice. The duplicates are looked for last,
/// when the size is known to be bounded.
pub(crate) fn txn(request: &TxnRequest, max_ops: usize) -> Result<(), EtcdError> {
    txn_shape(request, max_ops)?;
    branch_changes(&request.success)?;
    branch_changes(&request.failure)?;
    Ok(())
}

/// A nested txn may hold what its parents leave of the limit, so that nesting cannot multiply the work.
fn txn_shape(request: &TxnRequest, max_ops: usize) -> Result<(), EtcdError> {
    let ops = request.compare.len().max(request.success.len()).max(request.failure.len());
    let Some(rest) = max_ops.checked_sub(ops) else {
        return Err(EtcdError::TooManyOps);
    };
    for compare in &request.compare {
        if compare.key.is_empty() {
            return Err(EtcdError::EmptyKey);
        }
        // A relation that this version does not know can be neither true nor false. (etcd takes it for true.)
        if CompareResult::try_from(compare.result).is_err()
            || CompareTarget::try_from(compare.target).is_err()
        {
            return Err(EtcdError::NotCapable);
        }
    }
    request.success.iter().chain(&request.failure).try_for_each(|op| op_shape(op, rest))
}

fn op_shape(op: &RequestOp, max_ops: usize) -> Result<(), EtcdError> {
    match &op.request {
        Some(Request::RequestRange(request)) => range(request),
        Some(Request::RequestPut(request)) => put(request),
        Some(Request::RequestDeleteRange(request)) => delete_range(request),
        Some(Request::RequestTxn(request)) => txn_shape(request, max_ops),
        None => Err(EtcdError::KeyNotFound),
    }
}

/// What a branch writes: no key may be put twice, nor be both put and deleted. The two branches of a nested txn
/// exclude each other, so those may put the same key.
fn branch_changes(ops: &[RequestOp]) -> Result<(HashSet<Bytes>, Intervals), EtcdError> {
    let mut deletes = Intervals::default();
    let mut puts = HashSet::new();
    for op in ops {
        if let Some(Request::RequestDeleteRange(request)) = &op.request {
            deletes.insert_range(&request.key, &request.range_end);
        }
    }
    for op in ops {
        let Some(Request::RequestTxn(nested)) = &op.request else { continue };
        let (then_puts, then_deletes) = branch_changes(&nested.success)?;
        let (else_puts, else_deletes) = branch_changes(&nested.failure)?;
        for key in then_puts.union(&else_puts) {
            if deletes.contains(key) || !puts.insert(key.clone()) {
                return Err(EtcdError::DuplicateKey);
            }
        }
        deletes.union(then_deletes);
        deletes.union(else_deletes);
    }
    for op in ops {
        let Some(Request::RequestPut(request)) = &op.request else { continue };
        if deletes.contains(&request.key) || !puts.insert(request.key.clone()) {
            return Err(EtcdError::DuplicateKey);
        }
    }
    Ok((puts, deletes))
}

/// Disjoint half-open intervals of keys, start to end; no end means every key from the start on. Kept merged, so that
/// a request of 100,000 nested deletes costs a search for each put and not a walk.
#[derive(Default)]
struct Intervals(BTreeMap<Bytes, Option<Bytes>>);

impl Intervals {
    /// Adds etcd's notation of a range: an empty end is the one key, a zero byte every key from `start` on.
    fn insert_range(&mut self, start: &Bytes, end: &Bytes) {
        let end = match end.as_ref() {
            [] => {
                let mut next = start.to_vec();
                next.push(0);
                Some(Bytes::from(next))
            }
            [0] => None,
            _ => Some(end.clone()),
        };
        self.insert(start.clone(), end);
    }

    fn insert(&mut self, mut start: Bytes, mut end: Option<Bytes>) {
        if end.as_ref().is_some_and(|end| *end <= start) {
            return;
        }
        // The last interval that begins at or before the new end may reach into it; so may those before, until one
        // ends short of the new start.
        loop {
            let before = match &end {
                Some(end) => self.0.range(..=end.clone()).next_back(),
                None => self.0.iter().next_back(),
            };
            let Some((other_start, other_end)) = before.map(|(s, e)| (s.clone(), e.clone())) else { break };
            if other_end.as_ref().is_some_and(|other_end| *other_end < start) {
                break;
            }
            self.0.remove(&other_start);
            start = start.min(other_start);
            end = match (end, other_end) {
                (Some(a), Some(b)) => Some(a.max(b)),
                _ => None,
            };
        }
        self.0.insert(start, end);
    }

    fn union(&mut self, other: Self) {
        for (start, end) in other.0 {
            self.insert(start, end);
        }
    }

    fn contains(&self, key: &Bytes) -> bool {
        let before = self.0.range(..=key.clone()).next_back();
        before.is_some_and(|(_, end)| end.as_ref().is_none_or(|end| key < end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put_op(key: &str) -> RequestOp {
        let put = PutRequest { key: Bytes::copy_from_slice(key.as_bytes()), ..Default::default() };
        RequestOp { request: Some(Request::RequestPut(put)) }
    }

    fn delete_op(key: &str, end: &str) -> RequestOp {
        let delete = DeleteRangeRequest {
            key: Bytes::copy_from_slice(key.as_bytes()),
            range_end: Bytes::copy_from_slice(end.as_bytes()),
            ..Default::default()
        };
        RequestOp { request: Some(Request::RequestDeleteRange(delete)) }
    }

    fn txn_op(success: Vec<RequestOp>, failure: Vec<RequestOp>) -> RequestOp {
        RequestOp { request: Some(Request::RequestTxn(TxnRequest { compare: vec![], success, failure })) }
    }

    fn check(success: Vec<RequestOp>) -> Result<(), EtcdError> {
        txn(&TxnRequest { compare: vec![], success, failure: vec![] }, 128)
    }

    #[test]
    fn a_key_is_changed_once() {
        let duplicate = Err(EtcdError::DuplicateKey);
        assert_eq!(check(vec![put_op("a"), put_op("b")]), Ok(()));
        assert_eq!(check(vec![put_op("a"), put_op("a")]), duplicate);
        assert_eq!(check(vec![put_op("a"), delete_op("a", "")]), duplicate);
        assert_eq!(check(vec![delete_op("a", "c"), put_op("b")]), duplicate);
        assert_eq!(check(vec![delete_op("a", "c"), put_op("c")]), Ok(()));
        assert_eq!(check(vec![delete_op("b", "\0"), put_op("z")]), duplicate);
        assert_eq!(check(vec![delete_op("b", "\0"), put_op("a")]), Ok(()));
        assert_eq!(check(vec![delete_op("a", "c"), delete_op("b", "d")]), Ok(()));
    }

    #[test]
    fn branches_of_a_nested_txn_exclude_each_other() {
        let duplicate = Err(EtcdError::DuplicateKey);
        assert_eq!(check(vec![txn_op(vec![put_op("a")], vec![put_op("a")])]), Ok(()));
        assert_eq!(check(vec![txn_op(vec![put_op("a")], vec![]), put_op("a")]), duplicate);
        assert_eq!(
            check(vec![txn_op(vec![put_op("a")], vec![]), txn_op(vec![], vec![put_op("a")])]),
            duplicate
        );
        assert_eq!(check(vec![txn_op(vec![], vec![delete_op("a", "c")]), put_op("b")]), duplicate);
        assert_eq!(check(vec![delete_op("a", "c"), txn_op(vec![put_op("b")], vec![])]), duplicate);
    }

    #[test]
    fn nested_txns_share_the_limit() {
        let ops = |n: usize| (0..n).map(|i| put_op(&i.to_string())).collect::<Vec<_>>();
        let of = |success| TxnRequest { compare: vec![], success, failure: vec![] };
        assert_eq!(txn(&of(ops(128)), 128), Ok(()));
        assert_eq!(txn(&of(ops(129)), 128), Err(EtcdError::TooManyOps));
        assert_eq!(txn(&of(vec![txn_op(ops(127), vec![])]), 128), Ok(()));
        assert_eq!(txn(&of(vec![txn_op(ops(128), vec![])]), 128), Err(EtcdError::TooManyOps));
        assert_eq!(txn(&of(vec![RequestOp { request: None }]), 128), Err(EtcdError::KeyNotFound));
    }

    #[test]
    fn intervals_merge() {
        let mut set = Intervals::default();
        let key = |s: &'static str| Bytes::from_static(s.as_bytes());
        set.insert(key("d"), Some(key("f")));
        set.insert(key("a"), Some(key("b")));
        set.insert(key("b"), Some(key("d")));
        assert_eq!(set.0.len(), 1);
        assert!(set.contains(&key("a")) && set.contains(&key("e")) && !set.contains(&key("f")));
        set.insert(key("x"), None);
        set.insert(key("c"), None);
        assert_eq!(set.0, BTreeMap::from([(key("a"), None)]));
        set.insert(key("z"), Some(key("y")));
        assert_eq!(set.0.len(), 1);
    }
}
