//! The bytes of a [`Command`] in the log: `docs/design/mvcc.md`, "Commands".
//!
//! The first byte is the layout's version, the second the command's kind. Decoding slices the payload and copies
//! nothing. It allocates no more than a small multiple of the input, recurses no deeper than [`MAX_DEPTH`], and refuses
//! whatever it does not know: a replica that guessed could hold other data than its peers.

use bytes::Bytes;
use floe_session::Tag;

use crate::command::{
    Command, Compare, CompareOperand, CompareResult, DeleteRange, MemberInfo, Put, Range, SortOrder,
    SortTarget, Txn, TxnOp,
};
use crate::error::MalformedCommand;
use crate::kv::KeyRange;

/// The layout of a command alone.
const VERSION: u8 = 1;
/// The layout of a command that carries a tag: the tag comes before the kind.
const TAGGED: u8 = 2;

/// How deep transactions nest at most. The API edge stops earlier: each level costs one of a transaction's operations.
pub(crate) const MAX_DEPTH: usize = 128;

const PUT: u8 = 1;
const DELETE_RANGE: u8 = 2;
const TXN: u8 = 3;
const COMPACT: u8 = 4;
const LEASE_GRANT: u8 = 5;
const LEASE_REVOKE: u8 = 6;
const PUBLISH_MEMBER: u8 = 7;
const ALARM: u8 = 8;
/// Only inside a transaction.
const RANGE: u8 = 9;
const RETRACT_MEMBER: u8 = 10;

impl Command {
    /// The command as a log entry's payload.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.size_hint());
        out.push(VERSION);
        self.write(&mut out);
        Bytes::from(out)
    }

    /// The command as a log entry's payload that is applied once, however often it is in the log under the tag's request.
    pub fn encode_tagged(&self, tag: &Tag) -> Bytes {
        let mut out = Vec::with_capacity(Tag::BYTES + self.size_hint());
        out.push(TAGGED);
        out.extend_from_slice(&tag.to_bytes());
        self.write(&mut out);
        Bytes::from(out)
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Put(put) => {
                out.push(PUT);
                write_put(out, put);
            }
            Self::DeleteRange(delete) => {
                out.push(DELETE_RANGE);
                write_delete(out, delete);
            }
            Self::Txn(txn) => {
                out.push(TXN);
                write_txn(out, txn);
            }
            Self::Compact { revision } => {
                out.push(COMPACT);
                write_int(out, *revision);
            }
            Self::LeaseGrant { id, ttl } => {
                out.push(LEASE_GRANT);
                write_int(out, *id);
                write_int(out, *ttl);
            }
            Self::LeaseRevoke { id } => {
                out.push(LEASE_REVOKE);
                write_int(out, *id);
            }
            Self::PublishMember(member) => {
                out.push(PUBLISH_MEMBER);
                write_member(out, member);
            }
            Self::RetractMember { id } => {
                out.push(RETRACT_MEMBER);
                write_uint(out, *id);
            }
            Self::Alarm { member, alarm, raise } => {
                out.push(ALARM);
                write_uint(out, *member);
                write_int(out, i64::from(*alarm));
                out.push(u8::from(*raise));
            }
        }
    }

    /// The command that `payload` holds, and its tag if it has one. Keys and values are slices of the payload.
    pub fn decode(payload: &Bytes) -> Result<(Self, Option<Tag>), MalformedCommand> {
        let mut input = Input::new(payload);
        let tag = match input.byte()? {
            VERSION => None,
            TAGGED => Some(input.tag()?),
            version => return Err(MalformedCommand::Version(version)),
        };
        let command = match input.byte()? {
            PUT => Self::Put(input.put()?),
            DELETE_RANGE => Self::DeleteRange(input.delete()?),
            TXN => Self::Txn(input.txn(MAX_DEPTH)?),
            COMPACT => Self::Compact { revision: input.int()? },
            LEASE_GRANT => Self::LeaseGrant { id: input.int()?, ttl: input.int()? },
            LEASE_REVOKE => Self::LeaseRevoke { id: input.int()? },
            PUBLISH_MEMBER => Self::PublishMember(input.member()?),
            RETRACT_MEMBER => Self::RetractMember { id: input.uint()? },
            ALARM => Self::Alarm { member: input.uint()?, alarm: input.small_int()?, raise: input.flag()? },
            _ => return Err(MalformedCommand::Unknown("kind")),
        };
        if !input.is_at_end() {
            return Err(MalformedCommand::Trailing);
        }
        Ok((command, tag))
    }

    /// Enough for the common commands to be encoded without growing the buffer.
    fn size_hint(&self) -> usize {
        match self {
            Self::Put(put) => 32 + put.key.len() + put.value.len(),
            Self::Txn(txn) => {
                64 * (1 + txn.compare.len() + txn.failure.len())
                    + txn.success.iter().map(txn_op_size_hint).sum::<usize>()
            }
            _ => 64,
        }
    }
}

fn txn_op_size_hint(op: &TxnOp) -> usize {
    match op {
        TxnOp::Put(put) => 32 + put.key.len() + put.value.len(),
        TxnOp::Range(_) | TxnOp::DeleteRange(_) | TxnOp::Txn(_) => 64,
    }
}

/// Writes a member as the log and the members table hold it.
pub(crate) fn write_member(out: &mut Vec<u8>, member: &MemberInfo) {
    write_uint(out, member.id);
    write_bytes(out, member.name.as_bytes());
    write_uint(out, member.client_urls.len() as u64);
    for url in &member.client_urls {
        write_bytes(out, url.as_bytes());
    }
}

/// Reads what [`write_member`] wrote.
pub(crate) fn read_member(bytes: &Bytes) -> Result<MemberInfo, MalformedCommand> {
    Input::new(bytes).member()
}

/// Writes an unsigned integer in LEB128: seven bits a byte, lowest first.
pub(crate) fn write_uint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Writes a signed integer as zigzag LEB128, so that small negatives stay small.
pub(crate) fn write_int(out: &mut Vec<u8>, value: i64) {
    write_uint(out, ((value << 1) ^ (value >> 63)) as u64);
}

pub(crate) fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_uint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn write_key_range(out: &mut Vec<u8>, range: &KeyRange) {
    write_bytes(out, &range.start);
    write_bytes(out, &range.end);
}

fn flags<const N: usize>(bits: [bool; N]) -> u8 {
    bits.iter().enumerate().fold(0, |flags, (at, &bit)| flags | (u8::from(bit) << at))
}

fn write_put(out: &mut Vec<u8>, put: &Put) {
    out.push(flags([put.prev_kv, put.ignore_value, put.ignore_lease]));
    write_int(out, put.lease);
    write_bytes(out, &put.key);
    write_bytes(out, &put.value);
}

fn write_delete(out: &mut Vec<u8>, delete: &DeleteRange) {
    out.push(flags([delete.prev_kv]));
    write_key_range(out, &delete.range);
}

fn write_range(out: &mut Vec<u8>, range: &Range) {
    out.push(flags([range.keys_only, range.count_only]));
    out.push(match range.order {
        SortOrder::None => 0,
        SortOrder::Ascend => 1,
        SortOrder::Descend => 2,
    });
    out.push(match range.target {
        SortTarget::Key => 0,
        SortTarget::Version => 1,
        SortTarget::Create => 2,
        SortTarget::Mod => 3,
        SortTarget::Value => 4,
    });
    write_key_range(out, &range.range);
    for figure in [
        range.limit,
        range.revision,
        range.min_mod_revision,
        range.max_mod_revision,
        range.min_create_revision,
        range.max_create_revision,
    ] {
        write_int(out, figure);
    }
}

fn write_txn(out: &mut Vec<u8>, txn: &Txn) {
    write_uint(out, txn.compare.len() as u64);
    for compare in &txn.compare {
        write_compare(out, compare);
    }
    for branch in [&txn.success, &txn.failure] {
        write_uint(out, branch.len() as u64);
        for op in branch {
            match op {
                TxnOp::Range(range) => {
                    out.push(RANGE);
                    write_range(out, range);
                }
                TxnOp::Put(put) => {
                    out.push(PUT);
                    write_put(out, put);
                }
                TxnOp::DeleteRange(delete) => {
                    out.push(DELETE_RANGE);
                    write_delete(out, delete);
                }
                TxnOp::Txn(txn) => {
                    out.push(TXN);
                    write_txn(out, txn);
                }
            }
        }
    }
}

fn write_compare(out: &mut Vec<u8>, compare: &Compare) {
    out.push(match compare.result {
        CompareResult::Equal => 0,
        CompareResult::Greater => 1,
        CompareResult::Less => 2,
        CompareResult::NotEqual => 3,
    });
    let (target, figure) = match &compare.operand {
        CompareOperand::Version(figure) => (0, *figure),
        CompareOperand::Create(figure) => (1, *figure),
        CompareOperand::Mod(figure) => (2, *figure),
        CompareOperand::Value(_) => (3, 0),
        CompareOperand::Lease(figure) => (4, *figure),
    };
    out.push(target);
    write_key_range(out, &compare.range);
    if let CompareOperand::Value(value) = &compare.operand {
        write_bytes(out, value);
    } else {
        write_int(out, figure);
    }
}

/// A payload and how far it has been read.
pub(crate) struct Input<'a> {
    bytes: &'a Bytes,
    at: usize,
}

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a Bytes) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    pub(crate) fn byte(&mut self) -> Result<u8, MalformedCommand> {
        let byte = *self.bytes.get(self.at).ok_or(MalformedCommand::Truncated)?;
        self.at += 1;
        Ok(byte)
    }

    fn tag(&mut self) -> Result<Tag, MalformedCommand> {
        let bytes = self.bytes[self.at..].first_chunk().ok_or(MalformedCommand::Truncated)?;
        let tag = Tag::from_bytes(bytes).map_err(|_| MalformedCommand::Unknown("tag"))?;
        self.at += Tag::BYTES;
        Ok(tag)
    }

    pub(crate) fn flag(&mut self) -> Result<bool, MalformedCommand> {
        let [flag] = self.flags()?;
        Ok(flag)
    }

    fn flags<const N: usize>(&mut self) -> Result<[bool; N], MalformedCommand> {
        let byte = self.byte()?;
        if byte >> N != 0 {
            return Err(MalformedCommand::Unknown("flag"));
        }
        Ok(std::array::from_fn(|at| byte >> at & 1 == 1))
    }

    fn uint(&mut self) -> Result<u64, MalformedCommand> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(MalformedCommand::Unknown("integer"))
    }

    pub(crate) fn int(&mut self) -> Result<i64, MalformedCommand> {
        let value = self.uint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn small_int(&mut self) -> Result<i32, MalformedCommand> {
        i32::try_from(self.int()?).map_err(|_| MalformedCommand::Unknown("integer"))
    }

    pub(crate) fn bytes(&mut self) -> Result<Bytes, MalformedCommand> {
        let len = usize::try_from(self.uint()?).map_err(|_| MalformedCommand::Truncated)?;
        let end = self.at.checked_add(len).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or(MalformedCommand::Truncated)?;
        let bytes = self.bytes.slice(self.at..end);
        self.at = end;
        Ok(bytes)
    }

    fn text(&mut self) -> Result<String, MalformedCommand> {
        String::from_utf8(self.bytes()?.into()).map_err(|_| MalformedCommand::Unknown("text"))
    }

    /// A count of things that take at least one byte each, so a forged one cannot make a list longer than the input.
    fn count(&mut self) -> Result<usize, MalformedCommand> {
        let count = usize::try_from(self.uint()?).map_err(|_| MalformedCommand::Truncated)?;
        if count > self.bytes.len() - self.at { Err(MalformedCommand::Truncated) } else { Ok(count) }
    }

    /// Reads `count` things. The list grows as they are found to be there, because one of them may take a hundred
    /// times its byte in memory.
    pub(crate) fn list<T>(
        &mut self,
        mut one: impl FnMut(&mut Self) -> Result<T, MalformedCommand>,
    ) -> Result<Vec<T>, MalformedCommand> {
        let count = self.count()?;
        let mut list = Vec::with_capacity(count.min(16));
        for _ in 0..count {
            list.push(one(self)?);
        }
        Ok(list)
    }

    fn member(&mut self) -> Result<MemberInfo, MalformedCommand> {
        Ok(MemberInfo { id: self.uint()?, name: self.text()?, client_urls: self.list(Self::text)? })
    }

    fn key_range(&mut self) -> Result<KeyRange, MalformedCommand> {
        Ok(KeyRange { start: self.bytes()?, end: self.bytes()? })
    }

    fn put(&mut self) -> Result<Put, MalformedCommand> {
        let [prev_kv, ignore_value, ignore_lease] = self.flags()?;
        let lease = self.int()?;
        let key = self.bytes()?;
        let value = self.bytes()?;
        Ok(Put { key, value, lease, prev_kv, ignore_value, ignore_lease })
    }

    fn delete(&mut self) -> Result<DeleteRange, MalformedCommand> {
        let [prev_kv] = self.flags()?;
        Ok(DeleteRange { range: self.key_range()?, prev_kv })
    }

    fn range(&mut self) -> Result<Range, MalformedCommand> {
        let [keys_only, count_only] = self.flags()?;
        let order = match self.byte()? {
            0 => SortOrder::None,
            1 => SortOrder::Ascend,
            2 => SortOrder::Descend,
            _ => return Err(MalformedCommand::Unknown("sort order")),
        };
        let target = match self.byte()? {
            0 => SortTarget::Key,
            1 => SortTarget::Version,
            2 => SortTarget::Create,
            3 => SortTarget::Mod,
            4 => SortTarget::Value,
            _ => return Err(MalformedCommand::Unknown("sort target")),
        };
        Ok(Range {
            range: self.key_range()?,
            limit: self.int()?,
            revision: self.int()?,
            order,
            target,
            keys_only,
            count_only,
            min_mod_revision: self.int()?,
            max_mod_revision: self.int()?,
            min_create_revision: self.int()?,
            max_create_revision: self.int()?,
        })
    }

    fn txn(&mut self, depth: usize) -> Result<Txn, MalformedCommand> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(MalformedCommand::TooDeep);
        };
        Ok(Txn {
            compare: self.list(Self::compare)?,
            success: self.list(|input| input.txn_op(depth))?,
            failure: self.list(|input| input.txn_op(depth))?,
        })
    }

    fn txn_op(&mut self, depth: usize) -> Result<TxnOp, MalformedCommand> {
        Ok(match self.byte()? {
            RANGE => TxnOp::Range(self.range()?),
            PUT => TxnOp::Put(self.put()?),
            DELETE_RANGE => TxnOp::DeleteRange(self.delete()?),
            TXN => TxnOp::Txn(self.txn(depth)?),
            _ => return Err(MalformedCommand::Unknown("operation")),
        })
    }

    fn compare(&mut self) -> Result<Compare, MalformedCommand> {
        let result = match self.byte()? {
            0 => CompareResult::Equal,
            1 => CompareResult::Greater,
            2 => CompareResult::Less,
            3 => CompareResult::NotEqual,
            _ => return Err(MalformedCommand::Unknown("relation")),
        };
        let target = self.byte()?;
        let range = self.key_range()?;
        let operand = match target {
            0 => CompareOperand::Version(self.int()?),
            1 => CompareOperand::Create(self.int()?),
            2 => CompareOperand::Mod(self.int()?),
            3 => CompareOperand::Value(self.bytes()?),
            4 => CompareOperand::Lease(self.int()?),
            _ => return Err(MalformedCommand::Unknown("compare target")),
        };
        Ok(Compare { range, result, operand })
    }
}
