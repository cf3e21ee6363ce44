//! The state machine of the world: a small map whose every state has a hash, so that replicas can be compared at
//! each index at the cost of one comparison.

use bytes::Bytes;
use floe_raft::{Index, LogId};
use floe_session::{Limits, MalformedTable, Replayed, RequestId, SessionTable, Tag, Verdict};

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
    /// The attempt: each is in the log once at most.
    pub(crate) op: OpId,
    /// What to write: the operation's first attempt.
    pub(crate) value: OpId,
    /// The key to write.
    pub(crate) key: Key,
    /// Write only if this is the value; `None` writes in any case.
    pub(crate) expect: Option<OpId>,
    /// By which the state machine knows the request again, where clients have sessions.
    pub(crate) tag: Option<Tag>,
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
    const LEN: usize = 27;

    /// The command as bytes, followed by `padding` zeros: sizes matter to windows, batches and compaction.
    pub(crate) fn encode(&self, padding: usize) -> Bytes {
        let mut bytes = Vec::with_capacity(Self::LEN + Tag::BYTES + padding);
        bytes.extend_from_slice(&self.op.0.to_le_bytes());
        bytes.extend_from_slice(&self.value.0.to_le_bytes());
        bytes.push(self.key.0);
        bytes.push(u8::from(self.expect.is_some()));
        bytes.extend_from_slice(&self.expect.unwrap_or_default().0.to_le_bytes());
        bytes.push(u8::from(self.tag.is_some()));
        if let Some(tag) = self.tag {
            bytes.extend_from_slice(&tag.to_bytes());
        }
        bytes.resize(bytes.len() + padding, 0);
        Bytes::from(bytes)
    }

    /// The command of these bytes; `None` if no `encode` made them.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let op = OpId(u64::from_le_bytes(bytes.get(0..8)?.try_into().ok()?));
        let value = OpId(u64::from_le_bytes(bytes.get(8..16)?.try_into().ok()?));
        let key = Key(*bytes.get(16)?);
        let conditional = *bytes.get(17)?;
        let expect = OpId(u64::from_le_bytes(bytes.get(18..26)?.try_into().ok()?));
        let expect = match conditional {
            0 => None,
            1 => Some(expect),
            _ => return None,
        };
        let tag = match *bytes.get(26)? {
            0 => None,
            1 => Some(Tag::from_bytes(bytes.get(Self::LEN..)?.first_chunk()?).ok()?),
            _ => return None,
        };
        (key.0 < KEYS).then_some(Self { op, value, key, expect, tag })
    }
}

/// What became of a command at its place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It was done here.
    Done(Reply),
    /// An earlier attempt was done; this is the reply to that one.
    Replayed(Reply),
    /// Its session refuses it: nothing was done here. The time is that of the log, in milliseconds.
    Refused { now_ms: u64 },
}

impl Effect {
    /// What the client is told, if it is told a result.
    pub(crate) fn reply(self) -> Option<Reply> {
        match self {
            Self::Done(reply) | Self::Replayed(reply) => Some(reply),
            Self::Refused { .. } => None,
        }
    }
}

impl Reply {
    fn to_bytes(self) -> [u8; 9] {
        let mut bytes = [0; 9];
        bytes[..8].copy_from_slice(&self.previous.0.to_le_bytes());
        bytes[8] = u8::from(self.wrote);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (previous, wrote) = bytes.split_first_chunk::<8>()?;
        Some(Self { previous: OpId(u64::from_le_bytes(*previous)), wrote: wrote == [1] })
    }
}

/// The map.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    applied: LogId,
    values: [OpId; KEYS as usize],
    /// A hash of every command applied and its result, in order.
    history: u64,
    /// The sessions of the clients, where they have some.
    sessions: Option<SessionTable>,
}

impl Machine {
    /// The empty map.
    pub(crate) fn new(sessions: Option<Limits>) -> Self {
        let sessions = sessions.map(SessionTable::new);
        Self { applied: LogId::ZERO, values: [OpId(0); KEYS as usize], history: 0, sessions }
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
        Self { applied, ..Self::new(None) }
    }

    /// Applies an entry that is no command: a no-op or a membership.
    pub(crate) fn skip(&mut self, id: LogId) {
        self.applied = id;
        self.history = mix(self.history, id.index.0, id.term.0);
    }

    /// Applies a command, unless its session knows it.
    pub(crate) fn apply(&mut self, id: LogId, command: &Command) -> Effect {
        let admitted = match (&mut self.sessions, &command.tag) {
            (Some(table), Some(tag)) => {
                let now_ms = table.now_ms().max(tag.stamp_ms);
                match table.admit(tag) {
                    Verdict::Apply(admitted) => Some(admitted),
                    Verdict::Replay(replayed) => {
                        let reply = kept(replayed);
                        self.note(id, command, 1);
                        return reply.map_or(Effect::Refused { now_ms }, Effect::Replayed);
                    }
                    Verdict::Refused(_) => {
                        self.note(id, command, 2);
                        return Effect::Refused { now_ms };
                    }
                }
            }
            (None, _) | (_, None) => None,
        };
        let slot = &mut self.values[usize::from(command.key.0)];
        let reply = Reply { previous: *slot, wrote: command.expect.is_none_or(|expect| expect == *slot) };
        if reply.wrote {
            *slot = command.value;
        }
        if let (Some(table), Some(admitted)) = (&mut self.sessions, admitted) {
            table.record(admitted, &reply.to_bytes());
        }
        self.note(id, command, reply.previous.0 << 2 | u64::from(reply.wrote));
        Effect::Done(reply)
    }

    /// An entry and what came of it become part of the history.
    fn note(&mut self, id: LogId, command: &Command, result: u64) {
        self.skip(id);
        self.history = mix(self.history, command.op.0, result);
    }

    /// The reply to a request that was applied before.
    pub(crate) fn known_reply(&self, request: RequestId) -> Option<Reply> {
        self.sessions.as_ref()?.replayed(request).and_then(kept)
    }

    /// The time of the log, in milliseconds.
    pub(crate) fn log_time_ms(&self) -> u64 {
        self.sessions.as_ref().map_or(0, SessionTable::now_ms)
    }

    /// What a process reads from its disk: the sessions were bytes there.
    pub(crate) fn reload(&mut self, limits: Option<Limits>) -> Result<(), MalformedTable> {
        if let (Some(table), Some(limits)) = (&mut self.sessions, limits) {
            *table = SessionTable::decode(&table.encode(), limits)?;
        }
        Ok(())
    }

    /// Does a command that was done before; only a mutant does.
    pub(crate) fn do_again(&mut self, command: &Command) {
        self.values[usize::from(command.key.0)] = command.value;
    }

    /// Loses the sessions; only a mutant does.
    pub(crate) fn forget_sessions(&mut self, limits: Option<Limits>) {
        self.sessions = limits.map(SessionTable::new);
    }

    /// A hash of the state and of how it came about. Equal at equal applied index on all replicas, or something is
    /// wrong.
    pub(crate) fn hash(&self) -> u64 {
        let values = self.values.iter().map(|value| value.0);
        let hash = values.fold(self.history, |hash, value| mix(hash, value, self.applied.index.0));
        let Some(table) = &self.sessions else { return hash };
        table.encode().chunks(8).fold(hash, |hash, chunk| {
            mix(hash, chunk.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)), chunk.len() as u64)
        })
    }

    /// Claims an applied index that the state does not have; only a mutant does.
    pub(crate) fn forge_applied(&mut self, applied: LogId) {
        self.applied = applied;
    }
}

impl Default for Machine {
    fn default() -> Self {
        Self::new(None)
    }
}

fn kept(replayed: Replayed<'_>) -> Option<Reply> {
    match replayed {
        Replayed::Kept(bytes) => Reply::from_bytes(bytes),
        Replayed::NotKept => None,
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

    fn put(op: u64, key: u8, expect: Option<u64>) -> Command {
        Command { op: OpId(op), value: OpId(op), key: Key(key), expect: expect.map(OpId), tag: None }
    }

    fn tag(sequence: u64, stamp_ms: u64) -> Tag {
        let client = floe_session::ClientId::new(1_000, 7);
        let sequence = floe_session::Sequence::new(sequence).unwrap();
        Tag { request: RequestId { client, sequence }, stamp_ms }
    }

    #[test]
    fn commands_survive_their_encoding() {
        for expect in [None, Some(0), Some(77)] {
            for tag in [None, Some(tag(3, 5_000))] {
                let command = Command { tag, value: OpId(4), ..put(9, 3, expect) };
                assert_eq!(Command::decode(&command.encode(100)), Some(command));
            }
        }
        assert_eq!(Command::decode(b"short"), None);
        assert_eq!(Command::decode(&[0xFF; 70]), None);
    }

    #[test]
    fn a_comparison_writes_only_over_what_it_expects() {
        let mut machine = Machine::new(None);
        let done = |previous, wrote| Effect::Done(Reply { previous: OpId(previous), wrote });
        assert_eq!(machine.apply(id(1), &put(1, 0, None)), done(0, true));
        assert_eq!(machine.apply(id(2), &put(2, 0, Some(0))), done(1, false));
        assert_eq!(machine.value(Key(0)), OpId(1));
    }

    #[test]
    fn a_second_attempt_is_answered_and_not_done_again() {
        let limits = Limits::default();
        let mut machine = Machine::new(Some(limits));
        let first = Command { tag: Some(tag(1, 1_000)), ..put(1, 0, None) };
        let reply = Reply { previous: OpId(0), wrote: true };
        assert_eq!(machine.apply(id(1), &first), Effect::Done(reply));
        machine.apply(id(2), &put(2, 0, None));
        machine.reload(Some(limits)).unwrap();
        let again = Command { op: OpId(3), ..first };
        assert_eq!(machine.apply(id(3), &again), Effect::Replayed(reply));
        assert_eq!(machine.value(Key(0)), OpId(2));
        let long_after = Command { op: OpId(4), tag: Some(tag(1, 10_000_000)), ..first };
        assert_eq!(machine.apply(id(4), &long_after), Effect::Refused { now_ms: 10_000_000 });
        let mut forgetful = machine.clone();
        forgetful.forget_sessions(Some(limits));
        assert_ne!(forgetful.hash(), machine.hash());
    }

    #[test]
    fn the_hash_tells_orders_and_states_apart() {
        let (a, b) = (put(1, 0, None), put(2, 1, None));
        let run = |commands: [&Command; 2]| {
            let mut machine = Machine::new(None);
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
