//! The only place where etcd's messages and the store's types meet. Keys and values pass through as `Bytes`: nothing is
//! copied but the handles.

use floe_mvcc::{
    Command, Compare, CompareOperand, CompareResult, DeleteRange, Event, KeyRange, KeyValue, Put, Range,
    RangeReply, SortOrder, SortTarget, Txn, TxnOp, TxnOpReply, TxnReply,
};

use crate::proto::etcdserverpb as pb;
use crate::proto::etcdserverpb::compare::{CompareResult as PbResult, CompareTarget, TargetUnion};
use crate::proto::etcdserverpb::range_request::{SortOrder as PbOrder, SortTarget as PbTarget};
use crate::proto::etcdserverpb::request_op::Request;
use crate::proto::etcdserverpb::response_op::Response;
use crate::proto::mvccpb;

/// A header that carries a revision alone, as those inside a txn's answer do.
fn revision_header(revision: i64) -> Option<pb::ResponseHeader> {
    Some(pb::ResponseHeader { revision, ..Default::default() })
}

pub(crate) fn key_value(kv: KeyValue) -> mvccpb::KeyValue {
    mvccpb::KeyValue {
        key: kv.key,
        create_revision: kv.create_revision,
        mod_revision: kv.mod_revision,
        version: kv.version,
        value: kv.value,
        lease: kv.lease,
    }
}

pub(crate) fn key_values(kvs: Vec<KeyValue>) -> Vec<mvccpb::KeyValue> {
    kvs.into_iter().map(key_value).collect()
}

pub(crate) fn event(event: Event, prev_kv: Option<KeyValue>) -> mvccpb::Event {
    let (kind, kv) = match event {
        Event::Put(kv) => (mvccpb::event::EventType::Put, kv),
        Event::Delete(kv) => (mvccpb::event::EventType::Delete, kv),
    };
    mvccpb::Event { r#type: kind.into(), kv: Some(key_value(kv)), prev_kv: prev_kv.map(key_value) }
}

pub(crate) fn range(request: pb::RangeRequest) -> Range {
    let order = match request.sort_order() {
        PbOrder::None => SortOrder::None,
        PbOrder::Ascend => SortOrder::Ascend,
        PbOrder::Descend => SortOrder::Descend,
    };
    let target = match request.sort_target() {
        PbTarget::Key => SortTarget::Key,
        PbTarget::Version => SortTarget::Version,
        PbTarget::Create => SortTarget::Create,
        PbTarget::Mod => SortTarget::Mod,
        PbTarget::Value => SortTarget::Value,
    };
    Range {
        range: KeyRange { start: request.key, end: request.range_end },
        limit: request.limit,
        revision: request.revision,
        order,
        target,
        keys_only: request.keys_only,
        count_only: request.count_only,
        min_mod_revision: request.min_mod_revision,
        max_mod_revision: request.max_mod_revision,
        min_create_revision: request.min_create_revision,
        max_create_revision: request.max_create_revision,
    }
}

pub(crate) fn put(request: pb::PutRequest) -> Put {
    Put {
        key: request.key,
        value: request.value,
        lease: request.lease,
        prev_kv: request.prev_kv,
        ignore_value: request.ignore_value,
        ignore_lease: request.ignore_lease,
    }
}

pub(crate) fn delete_range(request: pb::DeleteRangeRequest) -> DeleteRange {
    DeleteRange { range: KeyRange { start: request.key, end: request.range_end }, prev_kv: request.prev_kv }
}

/// A txn that [`crate::validate::txn`] let pass.
pub(crate) fn txn(request: pb::TxnRequest) -> Txn {
    Txn {
        compare: request.compare.into_iter().map(compare).collect(),
        success: request.success.into_iter().filter_map(txn_op).collect(),
        failure: request.failure.into_iter().filter_map(txn_op).collect(),
    }
}

fn txn_op(op: pb::RequestOp) -> Option<TxnOp> {
    Some(match op.request? {
        Request::RequestRange(request) => TxnOp::Range(range(request)),
        Request::RequestPut(request) => TxnOp::Put(put(request)),
        Request::RequestDeleteRange(request) => TxnOp::DeleteRange(delete_range(request)),
        Request::RequestTxn(request) => TxnOp::Txn(txn(request)),
    })
}

/// The operand that belongs to another target, or is not there, counts as zero or empty, as in etcd.
fn compare(compare: pb::Compare) -> Compare {
    let result = match compare.result() {
        PbResult::Equal => CompareResult::Equal,
        PbResult::Greater => CompareResult::Greater,
        PbResult::Less => CompareResult::Less,
        PbResult::NotEqual => CompareResult::NotEqual,
    };
    let operand = match (compare.target(), compare.target_union) {
        (CompareTarget::Version, Some(TargetUnion::Version(n))) => CompareOperand::Version(n),
        (CompareTarget::Version, _) => CompareOperand::Version(0),
        (CompareTarget::Create, Some(TargetUnion::CreateRevision(n))) => CompareOperand::Create(n),
        (CompareTarget::Create, _) => CompareOperand::Create(0),
        (CompareTarget::Mod, Some(TargetUnion::ModRevision(n))) => CompareOperand::Mod(n),
        (CompareTarget::Mod, _) => CompareOperand::Mod(0),
        (CompareTarget::Value, Some(TargetUnion::Value(value))) => CompareOperand::Value(value),
        (CompareTarget::Value, _) => CompareOperand::Value(bytes::Bytes::new()),
        (CompareTarget::Lease, Some(TargetUnion::Lease(n))) => CompareOperand::Lease(n),
        (CompareTarget::Lease, _) => CompareOperand::Lease(0),
    };
    Compare { range: KeyRange { start: compare.key, end: compare.range_end }, result, operand }
}

/// Whether no branch of the txn can write. A nested txn makes it a write, as in etcd.
pub(crate) fn is_read_only(request: &pb::TxnRequest) -> bool {
    ops(request).all(|op| matches!(op.request, Some(Request::RequestRange(_))))
}

/// Whether every range of the txn may be answered from this member alone.
pub(crate) fn is_serializable(request: &pb::TxnRequest) -> bool {
    ops(request).all(|op| matches!(&op.request, Some(Request::RequestRange(range)) if range.serializable))
}

fn ops(request: &pb::TxnRequest) -> impl Iterator<Item = &pb::RequestOp> {
    request.success.iter().chain(&request.failure)
}

pub(crate) fn range_response(header: pb::ResponseHeader, reply: RangeReply) -> pb::RangeResponse {
    pb::RangeResponse {
        header: Some(header),
        kvs: key_values(reply.kvs),
        more: reply.more,
        count: reply.count,
    }
}

pub(crate) fn txn_response(header: pb::ResponseHeader, reply: TxnReply) -> pb::TxnResponse {
    pb::TxnResponse {
        header: Some(header),
        succeeded: reply.succeeded,
        responses: reply.responses.into_iter().map(response_op).collect(),
    }
}

fn response_op(reply: TxnOpReply) -> pb::ResponseOp {
    let response = match reply {
        TxnOpReply::Range(reply) => {
            let header = pb::ResponseHeader { revision: reply.revision, ..Default::default() };
            Response::ResponseRange(range_response(header, reply))
        }
        TxnOpReply::Put { revision, prev_kv } => Response::ResponsePut(pb::PutResponse {
            header: revision_header(revision),
            prev_kv: prev_kv.map(key_value),
        }),
        TxnOpReply::DeleteRange { revision, deleted, prev_kvs } => {
            Response::ResponseDeleteRange(pb::DeleteRangeResponse {
                header: revision_header(revision),
                deleted,
                prev_kvs: key_values(prev_kvs),
            })
        }
        // etcd fills the header of the outermost txn only; a nested one has an empty header.
        TxnOpReply::Txn(reply) => Response::ResponseTxn(txn_response(pb::ResponseHeader::default(), reply)),
    };
    pb::ResponseOp { response: Some(response) }
}

/// What a command may add to the store, in bytes, by etcd's rule of thumb: 256 for the bookkeeping of a key and 64 for
/// a lease. Zero for what cannot grow it.
pub(crate) fn growth_bytes(command: &Command) -> u64 {
    match command {
        Command::Put(put) => put_bytes(put),
        Command::Txn(txn) => txn_bytes(txn),
        Command::LeaseGrant { .. } => 64,
        Command::DeleteRange(_)
        | Command::Compact { .. }
        | Command::LeaseRevoke { .. }
        | Command::PublishMember(_)
        | Command::RetractMember { .. }
        | Command::Alarm { .. } => 0,
    }
}

fn put_bytes(put: &Put) -> u64 {
    256 + put.key.len() as u64 + put.value.len() as u64
}

fn txn_bytes(txn: &Txn) -> u64 {
    let branch = |ops: &[TxnOp]| ops.iter().map(op_bytes).sum::<u64>();
    branch(&txn.success).max(branch(&txn.failure))
}

fn op_bytes(op: &TxnOp) -> u64 {
    match op {
        TxnOp::Put(put) => put_bytes(put),
        TxnOp::Txn(txn) => txn_bytes(txn),
        TxnOp::Range(_) | TxnOp::DeleteRange(_) => 0,
    }
}
