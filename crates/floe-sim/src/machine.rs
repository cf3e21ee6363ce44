//! The state machine of the world: a small map whose every state has a hash, so that replicas can be compared at
//! each index at the cost of one comparison.

use bytes::Bytes;
use floe_raft::{Index, LogId};

/// Names one operation of a client; also the value that it writes, so that every value is written once and a read
/// names the write that it saw. Zero is "never written".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OpId(pub(crate) u64);

/// One of the few keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(pub(crate) u8);

/// How many keys there are. Few, so that operations meet.
pub(crate) const KEYS: u8 = 8;

/// A command in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Command {
    /// The operation, and the value to write.
    pub(crate) op: OpId,
    /// The key to write.
    pub(crate) key: Key,
    /// Write only if this is the value; `None` writes in any case.
    pub(crate) expect: Option<OpId>,
}

/// What a command answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reply {
    /// The value before.
    pub(crate) previous: OpId,
    /// Whether it wrote.
    pub(crate) wrote: bool,
}

impl Command {
    const LEN: usize = 18;

    /// The command as bytes, followed by `padding` zeros: sizes matter to windows, batches and compaction.
    pub(crate) fn encode(&self, padding: usize) -> Bytes {
        let mut bytes = Vec::with_capacity(Self::LEN + padding);
        bytes.extend_from_slice(&self.op.0.to_le_bytes());
        bytes.push(self.key.0);
        bytes.push(u8::from(self.expect.is_some()));
        bytes.extend_from_slice(&self.expect.unwrap_or_default().0.to_le_bytes());
        bytes.resize(Self::LEN + padding, 0);
        Bytes::from(bytes)
    }

    /// The command of these bytes; `None` if no `encode` made them.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let op = OpId(u64::from_le_bytes(bytes.get(0..8)?.try_into().ok()?));
        let key = Key(*bytes.get(8)?);
        let conditional = *bytes.get(9)?;
        let expect = OpId(u64::from_le_bytes(bytes.get(10..18)?.try_into().ok()?));
        let expect = match conditional {
            0 => None,
            1 => Some(expect),
            _ => return None,
        };
        (key.0 < KEYS).then_some(Self { op, key, expect })
    }
}

/// The map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    applied: LogId,
    values: [OpId; KEYS as usize],
    /// A hash of every command applied and its result, in order.
    history: u64,
}

impl Machine {
    /// The empty map.
    pub(crate) fn new() -> Self {
        Self { applied: LogId::ZERO, values: [OpId(0); KEYS as usize], history: 0 }
    }

    /// The last entry that is in it.
    pub(crate) fn applied(&self) -> LogId {
        self.applied
    }

    /// The value of a key.
    pub(crate) fn value(&self, key: Key) -> OpId {
        self.values[usize::from(key.0)]
    }

    /// What a witness has of the state: how far it is.
    pub(crate) fn placed(applied: LogId) -> Self {
        Self { applied, ..Self::new() }
    }

    /// Applies an entry that is no command: a no-op or a membership.
    pub(crate) fn skip(&mut self, id: LogId) {
        self.applied = id;
        self.history = mix(self.history, id.index.0, id.term.0);
    }

    /// Applies a command.
    pub(crate) fn apply(&mut self, id: LogId, command: &Command) -> Reply {
        let slot = &mut self.values[usize::from(command.key.0)];
        let reply = Reply { previous: *slot, wrote: command.expect.is_none_or(|expect| expect == *slot) };
        if reply.wrote {
            *slot = command.op;
        }
        self.skip(id);
        self.history = mix(self.history, command.op.0, reply.previous.0 << 1 | u64::from(reply.wrote));
        reply
    }

    /// A hash of the state and of how it came about. Equal at equal applied index on all replicas, or something is
    /// wrong.
    pub(crate) fn hash(&self) -> u64 {
        self.values.iter().fold(self.history, |hash, value| mix(hash, value.0, self.applied.index.0))
    }

    /// Claims an applied index that the state does not have; only a mutant does.
    pub(crate) fn forge_applied(&mut self, applied: LogId) {
        self.applied = applied;
    }
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

/// One step of a 64-bit hash.
pub(crate) fn mix(hash: u64, a: u64, b: u64) -> u64 {
    let product = u128::from(hash ^ a ^ 0x9E37_79B9_7F4A_7C15)
        * u128::from(b ^ 0xD6E8_FEB8_6659_FD93 ^ a.rotate_left(32));
    (product as u64 ^ (product >> 64) as u64).wrapping_add(hash.rotate_left(17))
}

/// The value of each key at each index, for reads that come back later.
#[derive(Debug, Default)]
pub(crate) struct Versions {
    of_key: [Vec<(Index, OpId)>; KEYS as usize],
}

impl Versions {
    pub(crate) fn wrote(&mut self, key: Key, at: Index, value: OpId) {
        self.of_key[usize::from(key.0)].push((at, value));
    }

    pub(crate) fn value(&self, key: Key, at: Index) -> OpId {
        let versions = &self.of_key[usize::from(key.0)];
        let newer = versions.partition_point(|(index, _)| *index <= at);
        newer.checked_sub(1).map_or(OpId(0), |newest| versions[newest].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use floe_raft::Term;

    fn id(index: u64) -> LogId {
        LogId::new(Term(1), Index(index))
    }

    #[test]
    fn commands_survive_their_encoding() {
        for expect in [None, Some(OpId(0)), Some(OpId(77))] {
            let command = Command { op: OpId(9), key: Key(3), expect };
            assert_eq!(Command::decode(&command.encode(100)), Some(command));
        }
        assert_eq!(Command::decode(b"short"), None);
        assert_eq!(Command::decode(&[0xFF; 40]), None);
    }

    #[test]
    fn a_comparison_writes_only_over_what_it_expects() {
        let mut machine = Machine::new();
        let put = Command { op: OpId(1), key: Key(0), expect: None };
        assert_eq!(machine.apply(id(1), &put), Reply { previous: OpId(0), wrote: true });
        let stale = Command { op: OpId(2), key: Key(0), expect: Some(OpId(0)) };
        assert_eq!(machine.apply(id(2), &stale), Reply { previous: OpId(1), wrote: false });
        assert_eq!(machine.value(Key(0)), OpId(1));
    }

    #[test]
    fn the_hash_tells_orders_and_states_apart() {
        let (a, b) = (
            Command { op: OpId(1), key: Key(0), expect: None },
            Command { op: OpId(2), key: Key(1), expect: None },
        );
        let run = |commands: [&Command; 2]| {
            let mut machine = Machine::new();
            for (index, command) in commands.iter().enumerate() {
                machine.apply(id(index as u64 + 1), command);
            }
            machine.hash()
        };
        assert_eq!(run([&a, &b]), run([&a, &b]));
        assert_ne!(run([&a, &b]), run([&b, &a]));
    }

    #[test]
    fn versions_answer_at_any_index() {
        let mut versions = Versions::default();
        versions.wrote(Key(1), Index(3), OpId(30));
        versions.wrote(Key(1), Index(5), OpId(50));
        let seen: Vec<u64> = (1..=6).map(|at| versions.value(Key(1), Index(at)).0).collect();
        assert_eq!(seen, [0, 0, 30, 30, 50, 50]);
    }
}
