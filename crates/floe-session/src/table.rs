//! All sessions of a state machine.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{ClientId, RequestId};
use crate::limits::Limits;
use crate::session::{Position, Reply, SESSION_BYTES, SMALL_REPLY_BYTES, Session, reply_bytes};
use crate::tag::Tag;
use crate::verdict::{Admitted, Refusal, Replayed, Verdict};

/// How many sessions one request may make the table forget. More than one, so that the table shrinks faster than it
/// grows; few, so that a hundred thousand that end together do not hold up one command.
const EXPIRED_PER_REQUEST: usize = 64;

/// The sessions of a state machine: part of its state, equal on all replicas, and changed by commands only.
#[derive(Clone, Debug)]
pub struct SessionTable {
    pub(crate) limits: Limits,
    pub(crate) now_ms: u64,
    pub(crate) sessions: BTreeMap<ClientId, Session>,
    /// The sessions by the second in which they may be forgotten.
    pub(crate) expiries: BTreeSet<(u64, ClientId)>,
    /// What all of it takes in memory, about.
    pub(crate) bytes: u64,
    /// What changed, for hosts that store row by row.
    changes: Option<Changes>,
}

/// What changed in a table: the names of rows that are to be written again, or removed if the table does not have them
/// any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Sessions that were opened, prolonged or forgotten.
    pub sessions: BTreeSet<ClientId>,
    /// Replies that were recorded or forgotten.
    pub replies: BTreeSet<RequestId>,
}

impl Changes {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.replies.is_empty()
    }
}

impl PartialEq for SessionTable {
    /// Whether two replicas hold the same; what changed lately is the host's affair.
    fn eq(&self, other: &Self) -> bool {
        (self.limits, self.now_ms, &self.sessions) == (other.limits, other.now_ms, &other.sessions)
    }
}

impl Eq for SessionTable {}

impl SessionTable {
    /// A table without sessions, at time 0.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits: Limits { window: limits.window.max(1), ..limits },
            now_ms: 0,
            sessions: BTreeMap::new(),
            expiries: BTreeSet::new(),
            bytes: 0,
            changes: None,
        }
    }

    /// The same table, which notes from now on what changes, for [`SessionTable::changes`].
    pub fn noting_changes(mut self) -> Self {
        self.changes = Some(Changes::default());
        self
    }

    /// Decides about a request, at its place in the log. Moves the log's time to the tag's stamp if that is later, and
    /// forgets sessions that are over by then.
    pub fn admit(&mut self, tag: &Tag) -> Verdict<'_> {
        self.now_ms = self.now_ms.max(tag.stamp_ms);
        self.expire();
        let RequestId { client, sequence } = tag.request;
        let is_over_hard_bound = self.bytes >= self.limits.max_bytes.saturating_mul(2);
        // Looked up twice, because the compiler does not see that the first loan ends where nothing is returned.
        let position =
            self.sessions.get(&client).map(|session| session.position(sequence.get(), self.limits.window));
        match position {
            Some(Position::Known(at)) => match self.sessions.get(&client).map(|session| &session.replies[at])
            {
                Some((_, Some(reply))) => Verdict::Replay(Replayed::Kept(reply)),
                Some((_, None)) | None => Verdict::Replay(Replayed::NotKept),
            },
            Some(Position::Below) => {
                let highest = self.sessions.get(&client).map_or(0, Session::highest);
                Verdict::Refused(Refusal::TooOld { highest })
            }
            Some(Position::New) if is_over_hard_bound => Verdict::Refused(Refusal::Busy),
            Some(Position::New) => Verdict::Apply(Admitted { request: tag.request }),
            None => match self.may_open(client) {
                Ok(()) => Verdict::Apply(Admitted { request: tag.request }),
                Err(refusal) => Verdict::Refused(refusal),
            },
        }
    }

    fn may_open(&self, client: ClientId) -> Result<(), Refusal> {
        let now_ms = self.now_ms;
        // An id that was forgotten was that old then, and the log's time never goes back: see `expiry_s`.
        if client.birth_ms().saturating_add(self.limits.fresh_ms) <= now_ms {
            return Err(Refusal::Expired { now_ms });
        }
        if client.birth_ms() > now_ms.saturating_add(self.limits.ahead_ms) {
            return Err(Refusal::Early { now_ms });
        }
        if self.sessions.len() >= self.limits.max_sessions as usize || self.bytes >= self.limits.max_bytes {
            return Err(Refusal::Busy);
        }
        Ok(())
    }

    /// Remembers the reply to a request that was admitted. Its session begins now, if this is its first, and lives on
    /// for the retention.
    pub fn record(&mut self, admitted: Admitted, reply: &[u8]) {
        let RequestId { client, sequence } = admitted.request;
        let has_room = self.bytes < self.limits.max_bytes;
        let is_kept = reply.len() <= self.limits.max_reply_bytes as usize
            && (has_room || reply.len() <= SMALL_REPLY_BYTES);
        let reply: Reply = is_kept.then(|| reply.into());
        let expires_s = self.expiry_s(client);
        let session = self.sessions.entry(client).or_insert_with(|| {
            self.bytes += SESSION_BYTES;
            Session { expires_s: 0, replies: Vec::new() }
        });
        self.bytes += reply_bytes(&reply);
        let gone = session.insert(sequence.get(), reply, self.limits.window);
        for (_, reply) in &gone {
            self.bytes -= reply_bytes(reply);
        }
        let before_s = session.expires_s;
        session.expires_s = before_s.max(expires_s);
        if session.expires_s != before_s {
            self.expiries.remove(&(before_s, client));
            self.expiries.insert((session.expires_s, client));
        }
        let is_prolonged = session.expires_s != before_s;
        self.note(|changes| {
            if is_prolonged {
                changes.sessions.insert(client);
            }
            changes.replies.insert(admitted.request);
            changes.replies.extend(gone.iter().filter_map(|(number, _)| request(client, *number)));
        });
    }

    /// When a session may be forgotten that has a request now: after the retention, and not before its id is too old to
    /// open it again.
    fn expiry_s(&self, client: ClientId) -> u64 {
        let retained_ms = self.now_ms.saturating_add(self.limits.retention_ms);
        let stale_ms = client.birth_ms().saturating_add(self.limits.fresh_ms);
        retained_ms.max(stale_ms).div_ceil(1000)
    }

    fn expire(&mut self) {
        for _ in 0..EXPIRED_PER_REQUEST {
            let Some(&(expires_s, client)) = self.expiries.first() else {
                return;
            };
            if expires_s.saturating_mul(1000) > self.now_ms {
                return;
            }
            self.expiries.pop_first();
            let Some(session) = self.sessions.remove(&client) else {
                continue;
            };
            self.bytes -=
                SESSION_BYTES + session.replies.iter().map(|(_, reply)| reply_bytes(reply)).sum::<u64>();
            self.note(|changes| {
                changes.sessions.insert(client);
                changes
                    .replies
                    .extend(session.replies.iter().filter_map(|(number, _)| request(client, *number)));
            });
        }
    }

    fn note(&mut self, note: impl FnOnce(&mut Changes)) {
        if let Some(changes) = &mut self.changes {
            note(changes);
        }
    }

    /// The first reply to a request, if it was applied and is remembered. Asks without changing anything, so any replica
    /// may answer a retry by it without a command.
    pub fn replayed(&self, request: RequestId) -> Option<Replayed<'_>> {
        let session = self.sessions.get(&request.client)?;
        match session.position(request.sequence.get(), self.limits.window) {
            Position::Known(at) => match &session.replies[at].1 {
                Some(reply) => Some(Replayed::Kept(reply)),
                None => Some(Replayed::NotKept),
            },
            Position::New | Position::Below => None,
        }
    }

    /// When a session may be forgotten, in seconds of the log's time, if it is there.
    pub fn expires_s(&self, client: ClientId) -> Option<u64> {
        self.sessions.get(&client).map(|session| session.expires_s)
    }

    /// What changed since the last call; nothing if the table does not note it.
    pub fn changes(&mut self) -> Changes {
        self.changes.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The log's time: the latest stamp of any request so far, in milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// What the sessions take in memory, about, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The bounds.
    pub fn limits(&self) -> Limits {
        self.limits
    }
}

fn request(client: ClientId, number: u64) -> Option<RequestId> {
    Some(RequestId { client, sequence: crate::id::Sequence::new(number)? })
}
