//! What every service works with: the replicated log, the store, who this member is, and the rules of waiting.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use floe::{Handle, Index, ProposeError, ReadError, Term, UnknownCause};
use floe_mvcc::{ApplyError, Command, Outcome, Reader, Reply, RequestId, Tag};
use tokio::sync::watch;
use tokio::time::{sleep, timeout, timeout_at};
use tonic::Status;

use crate::config::{Config, Identity};
use crate::convert;
use crate::errors::{self, EtcdError};
use crate::proto::etcdserverpb::ResponseHeader;
use crate::sessions::{self, Stamps};

/// Shared by all services and connections of a member.
pub(crate) struct Engine {
    pub(crate) config: Config,
    pub(crate) identity: Identity,
    pub(crate) handle: Handle<Reply>,
    pub(crate) reader: Reader,
    /// Turns true when the server stops: streams that would run for ever end then.
    pub(crate) stopping: watch::Receiver<bool>,
    pub(crate) clock: Clock,
    /// What named commands are stamped with.
    pub(crate) stamps: Stamps,
}

/// Milliseconds since the start of the process: what leases are counted in. Never the time of day, which jumps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub(crate) fn now_ms(self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A command that was applied: the store's revision after it, and what it answered.
pub(crate) struct Done {
    pub(crate) revision: i64,
    pub(crate) outcome: Outcome,
}

/// When a command is proposed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repeat {
    /// When it certainly did not happen.
    IfRefused,
    /// Also when it may have happened: it carries a name, so it happens once.
    UntilKnown,
}

/// How long to wait before something that was refused is tried again.
const PAUSE: Duration = Duration::from_millis(5);
/// How long a full queue is waited for before the client is told to come back later.
const BUSY_PATIENCE: Duration = Duration::from_secs(1);

impl Engine {
    /// The header of an answer that shows the store at `revision`.
    pub(crate) fn header(&self, revision: i64) -> ResponseHeader {
        ResponseHeader {
            cluster_id: self.identity.cluster,
            member_id: self.identity.member,
            revision,
            raft_term: self.handle.term().0,
        }
    }

    /// The header of an answer that shows the store as it is now.
    pub(crate) fn header_now(&self) -> ResponseHeader {
        self.header(self.reader.revision())
    }

    /// Replicates a command and gives what it did. What certainly did not happen is tried again until the request's
    /// time is over; what may have happened never is.
    pub(crate) async fn propose(&self, command: &Command) -> Result<Done, Status> {
        self.check_lag()?;
        if !self.has_room(command).await? {
            return Err(EtcdError::NoSpace.into());
        }
        answer(self.replicate(command.encode(), Repeat::IfRefused).await?)
    }

    /// Replicates a command that was decided on while this member led in `term`, unless it does not lead in that term any
    /// more. Tried once: whoever decided looks again.
    pub(crate) async fn propose_in_term(&self, term: Term, command: &Command) -> Result<(), ProposeError> {
        self.handle.propose_in_term(term, command.encode()).await.map(|_| ())
    }

    /// As [`Engine::propose`], but at most once under the name that the client gave, on whatever member and however often
    /// it asks; a retry gets the first answer. So an outcome that is unknown is no reason to stop trying.
    pub(crate) async fn propose_once(
        &self,
        command: &Command,
        request: Option<RequestId>,
    ) -> Result<Done, Status> {
        let Some(request) = request else {
            return self.propose(command).await;
        };
        if let Some(reply) = self.reader.replay(request).map_err(unreadable)? {
            return answer(reply);
        }
        self.check_lag()?;
        // If there is none, the alarm is raised by now, and the store refuses the command by itself - unless it was
        // applied before. Refused here, a retry would be told that nothing happened.
        self.has_room(command).await?;
        let tag = Tag { request, stamp_ms: self.stamps.next(self.reader.session_time_ms()) };
        answer(self.replicate(command.encode_tagged(&tag), Repeat::UntilKnown).await?)
    }

    /// Refuses what would make a bad state worse: writes while many committed ones still wait to be applied.
    fn check_lag(&self) -> Result<(), Status> {
        let lag = self.handle.commit().0.saturating_sub(self.handle.applied().0);
        if lag > self.config.max_apply_lag {
            return Err(EtcdError::TooManyRequests.into());
        }
        Ok(())
    }

    /// Whether the command fits into the store. If not, the alarm is raised.
    async fn has_room(&self, command: &Command) -> Result<bool, Status> {
        let growth = convert::growth_bytes(command);
        let Some(quota) = self.config.quota().filter(|_| growth > 0) else {
            return Ok(true);
        };
        // The file keeps the room of what was compacted and uses it again, so what is in use is what counts.
        if self.reader.size().in_use.saturating_add(growth) < quota {
            return Ok(true);
        }
        // The alarm makes every member refuse until somebody has made room and says so.
        let member = self.identity.member;
        let alarm = Command::Alarm { member, alarm: ALARM_NO_SPACE, raise: true };
        if !self.reader.alarms().contains(&(member, ALARM_NO_SPACE)) {
            tracing::warn!(quota, "the store has reached its quota; raising the NOSPACE alarm");
            self.replicate(alarm.encode(), Repeat::IfRefused).await?;
        }
        Ok(false)
    }

    async fn replicate(&self, payload: Bytes, repeat: Repeat) -> Result<Reply, Status> {
        if payload.len() > self.config.max_request_bytes {
            return Err(EtcdError::RequestTooLarge.into());
        }
        let start = tokio::time::Instant::now();
        let deadline = start + self.config.request_timeout();
        let term = self.handle.term();
        loop {
            let Ok(answer) = timeout_at(deadline, self.handle.propose(payload.clone())).await else {
                let failed_over = self.handle.term() != term;
                let error = if failed_over { EtcdError::TimeoutDueToLeaderFail } else { EtcdError::Timeout };
                return Err(error.into());
            };
            let error = match answer {
                Ok(applied) => return Ok(applied.reply),
                Err(error) => error,
            };
            let give_up = match error {
                ProposeError::NotLeader { .. } | ProposeError::Lost => deadline,
                ProposeError::Busy => deadline.min(start + BUSY_PATIENCE),
                ProposeError::TooLarge { .. } => return Err(EtcdError::RequestTooLarge.into()),
                // A witness has no engine: it cannot come to that.
                ProposeError::Witness
                | ProposeError::Shutdown
                | ProposeError::Unknown(UnknownCause::Shutdown) => {
                    return Err(EtcdError::Stopped.into());
                }
                ProposeError::Unknown(UnknownCause::LeaderChanged) if repeat == Repeat::UntilKnown => {
                    deadline
                }
                ProposeError::Unknown(UnknownCause::LeaderChanged) => {
                    return Err(EtcdError::TimeoutDueToLeaderFail.into());
                }
            };
            if tokio::time::Instant::now() >= give_up {
                let busy = matches!(error, ProposeError::Busy);
                let error = if busy { EtcdError::TooManyRequests } else { EtcdError::Timeout };
                return Err(error.into());
            }
            self.wait_for_leader().await;
        }
    }

    /// Resolves when the store shows everything that was acknowledged to anybody before the call. May always be tried
    /// again, and is, until the request's time is over.
    pub(crate) async fn linearize(&self) -> Result<Index, Status> {
        let start = tokio::time::Instant::now();
        let deadline = start + self.config.request_timeout();
        loop {
            let Ok(answer) = timeout_at(deadline, self.handle.read()).await else {
                return Err(EtcdError::Timeout.into());
            };
            let give_up = match answer {
                Ok(index) => return Ok(index),
                Err(ReadError::NoLeader | ReadError::LeaderChanged) => deadline,
                Err(ReadError::Busy) => deadline.min(start + BUSY_PATIENCE),
                Err(ReadError::Shutdown | ReadError::Witness) => return Err(EtcdError::Stopped.into()),
            };
            if tokio::time::Instant::now() >= give_up {
                let busy = matches!(answer, Err(ReadError::Busy));
                let error = if busy { EtcdError::TooManyRequests } else { EtcdError::Timeout };
                return Err(error.into());
            }
            self.wait_for_leader().await;
        }
    }

    /// Waits until there may be a leader to try again with: until leadership changes if none is known, and a moment in
    /// any case, so that a refusal that repeats does not turn into a busy loop.
    pub(crate) async fn wait_for_leader(&self) {
        if self.handle.leader().is_none() {
            let mut leadership = self.handle.leadership();
            // Both ends of the wait lead to another try, so how it ended does not matter.
            let _ = timeout(20 * PAUSE, leadership.wait_for(|now| now.leader.is_some())).await;
        }
        sleep(PAUSE).await;
    }

    /// Resolves when the rows of all compactions so far are gone from this member's store.
    pub(crate) async fn swept(&self) -> Result<(), Status> {
        while self.reader.is_sweeping() {
            if *self.stopping.borrow() {
                return Err(EtcdError::Stopped.into());
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Resolves when the server begins to stop.
    pub(crate) async fn stopped(&self) {
        // The sender is dropped only after it said so.
        let _ = self.stopping.clone().wait_for(|stopping| *stopping).await;
    }

    /// Resolves when this member has known no leader for three election timeouts: what a stream waits for that was
    /// asked to end then.
    pub(crate) async fn leaderless(self: Arc<Self>) {
        let patience = Duration::from_millis(3 * self.config.election_timeout_ms);
        let mut leadership = self.handle.leadership();
        loop {
            if leadership.wait_for(|now| now.leader.is_none()).await.is_err() {
                return;
            }
            if timeout(patience, leadership.wait_for(|now| now.leader.is_some())).await.is_err() {
                return;
            }
        }
    }
}

/// etcd's number of the alarm that says the store is full.
pub(crate) const ALARM_NO_SPACE: i32 = 1;

fn answer(reply: Reply) -> Result<Done, Status> {
    match reply.outcome {
        Ok(outcome) => Ok(Done { revision: reply.revision, outcome }),
        Err(error) => Err(refusal(error)),
    }
}

/// What a client hears when a command changed nothing.
fn refusal(error: ApplyError) -> Status {
    let error = match error {
        ApplyError::KeyNotFound => EtcdError::KeyNotFound,
        ApplyError::LeaseNotFound => EtcdError::LeaseNotFound,
        ApplyError::LeaseExists => EtcdError::LeaseExists,
        ApplyError::Compacted { .. } => EtcdError::Compacted,
        ApplyError::FutureRevision => EtcdError::FutureRevision,
        ApplyError::NoSpace => EtcdError::NoSpace,
        ApplyError::Corrupt => EtcdError::Corrupt,
        // Only a member of an older version can meet a command that it does not understand.
        ApplyError::Malformed => EtcdError::NotCapable,
        ApplyError::Session(refusal) => return sessions::refusal(refusal),
        ApplyError::ReplyNotKept => return Status::already_exists(format!("floe: {error}")),
    };
    error.into()
}

/// What a client hears when a read gives no answer.
pub(crate) fn unreadable(error: floe_mvcc::ReadError) -> Status {
    match error {
        floe_mvcc::ReadError::Compacted { .. } => EtcdError::Compacted.into(),
        floe_mvcc::ReadError::FutureRevision => EtcdError::FutureRevision.into(),
        // The edge sends only what reads to a reader.
        floe_mvcc::ReadError::NotReadOnly => Status::internal(error.to_string()),
        floe_mvcc::ReadError::Storage(error) => errors::storage(&error),
    }
}
