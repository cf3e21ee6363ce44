//! Why something is refused or failed: one enum an operation.
//!
//! Every refusal of a proposal says whether the command may have happened. A caller may always repeat what
//! certainly did not happen, and must never blindly repeat what may have (thesis 6.3).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use floe_raft::{Index, LogId, NodeId};

/// Why a proposal has no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// No leader took the command: none is known, or leadership has just moved. Nothing happened; try again.
    #[error("no leader took the command; nothing happened")]
    NotLeader {
        /// Who leads, as far as this member knows.
        hint: Option<NodeId>,
    },
    /// Too much waits, or leadership is being handed over. Nothing happened; try again a little later.
    #[error("too many commands wait; nothing happened")]
    Busy,
    /// The command is larger than the limit. Nothing happened, and never will.
    #[error("the command has {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// The size of the command.
        bytes: u64,
        /// The largest size accepted.
        limit: u64,
    },
    /// A leader appended the command and lost its leadership before it committed; another entry stands in its
    /// place. Nothing happened; try again.
    #[error("the command was overwritten by a new leader; nothing happened")]
    Lost,
    /// This member is a witness: it could not tell what becomes of a command. Nothing happened; ask another member.
    #[error("a witness takes no commands; nothing happened")]
    Witness,
    /// This node is stopping or stopped. Nothing happened; try another member.
    #[error("the node is stopping; nothing happened")]
    Shutdown,
    /// The command may or may not have been applied, or may be later.
    #[error("the outcome is unknown: {0}")]
    Unknown(UnknownCause),
}

impl ProposeError {
    /// Whether the command certainly was not and will not be applied, so that repeating it is safe.
    pub fn nothing_happened(&self) -> bool {
        !matches!(self, Self::Unknown(_))
    }
}

/// Why the outcome of a command is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownCause {
    /// The leader changed or was not heard of while the command was under way.
    #[error("the leader changed")]
    LeaderChanged,
    /// This node stopped while the command was under way.
    #[error("the node stopped")]
    Shutdown,
}

/// Why a linearizable read was not confirmed. It may always be asked for again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No leader is known.
    #[error("no leader is known")]
    NoLeader,
    /// Too many reads wait.
    #[error("too many reads wait")]
    Busy,
    /// The leader changed while the read was under way.
    #[error("the leader changed")]
    LeaderChanged,
    /// This node is stopping or stopped.
    #[error("the node is stopping")]
    Shutdown,
    /// This member is a witness, and holds no state to read from.
    #[error("a witness holds no state to read from")]
    Witness,
}

/// Why leadership was not handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// This node does not lead.
    #[error("not the leader")]
    NotLeader {
        /// Who leads, if known.
        hint: Option<NodeId>,
    },
    /// The target is not a voter, is a witness, or is this node.
    #[error("node {0} cannot lead")]
    BadTarget(NodeId),
    /// Another handover is under way.
    #[error("a handover is under way")]
    Busy,
    /// The target did not take over within two election timeouts; this node may still lead.
    #[error("the target did not take over in time")]
    TimedOut,
    /// This node is stopping or stopped.
    #[error("the node is stopping")]
    Shutdown,
}

/// Why the membership was not changed, or is not known to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// This node does not lead. Nothing happened; ask the leader.
    #[error("not the leader; nothing happened")]
    NotLeader {
        /// Who leads, if known.
        hint: Option<NodeId>,
    },
    /// An earlier change, or the first entry of this leader's term, is not committed yet. Nothing happened; try again.
    #[error("an earlier change is not committed yet; nothing happened")]
    Pending,
    /// Leadership is being handed over, or too much waits. Nothing happened; try again.
    #[error("the node is busy; nothing happened")]
    Busy,
    /// The learner to be promoted is too far behind. Nothing happened; try again later.
    #[error("member {node} holds entries up to {matched}, and needs those up to {needed}; nothing happened")]
    NotCaughtUp {
        /// The learner.
        node: NodeId,
        /// The last entry that it is known to hold.
        matched: Index,
        /// The entry that it must hold.
        needed: Index,
    },
    /// The learner to be promoted did not answer within the last election timeout. Nothing happened.
    #[error("member {node} does not answer; nothing happened")]
    Silent {
        /// The learner.
        node: NodeId,
    },
    /// Too few of the voters to be answer: the change could not be committed now. Nothing happened.
    #[error("only {active} voters answer of the {needed} that the change needs; nothing happened")]
    Unhealthy {
        /// The voters that answer.
        active: usize,
        /// The majority.
        needed: usize,
    },
    /// The change makes no sense for the present membership. Nothing happened, and never will.
    #[error("the change is not valid: {0}; nothing happened")]
    Invalid(&'static str),
    /// The leader lost its leadership before the change was committed, and another entry stands in its place.
    /// Nothing happened; ask the next leader.
    #[error("the change was overwritten by a new leader; nothing happened")]
    Lost,
    /// This node is stopping or stopped. Nothing happened; ask another member.
    #[error("the node is stopping; nothing happened")]
    Shutdown,
    /// The change may or may not have happened, or may happen later: the membership in force tells.
    #[error("the outcome is unknown: {0}")]
    Unknown(UnknownCause),
}

impl ChangeError {
    /// Whether the change certainly did not and will not happen.
    pub fn nothing_happened(&self) -> bool {
        !matches!(self, Self::Unknown(_))
    }
}

impl From<floe_raft::MembershipError> for ChangeError {
    fn from(error: floe_raft::MembershipError) -> Self {
        use floe_raft::MembershipError as Core;
        match error {
            Core::NotLeader { hint } => Self::NotLeader { hint },
            Core::Pending { .. } => Self::Pending,
            Core::Busy => Self::Busy,
            Core::NotCaughtUp { node, matched, needed } => Self::NotCaughtUp { node, matched, needed },
            Core::Silent { node } => Self::Silent { node },
            Core::Unhealthy { active, needed } => Self::Unhealthy { active, needed },
            Core::Invalid(reason) => Self::Invalid(reason),
        }
    }
}

/// Why nobody said who is in the cluster.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// The address does not answer.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// It took too long.
    #[error("no answer")]
    TimedOut,
    /// Something answers that is no member of any cluster.
    #[error("what answers is no floe member")]
    NotAPeer,
    /// The member refused, and says why.
    #[error("it refuses: {0}")]
    Refused(String),
}

/// Why a state machine was not made durable on demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Too much waits. Try again.
    #[error("too many requests wait")]
    Busy,
    /// This node is stopping or stopped. A node that is asked to stop makes its state durable by itself.
    #[error("the node is stopping")]
    Shutdown,
}

/// Why a question to the leader has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// No leader is known, or there is no connection to it. It did not see the question.
    #[error("no leader can be asked")]
    NoLeader,
    /// The member that was asked does not lead any more.
    #[error("the member that was asked does not lead")]
    NotLeader,
    /// Too many questions wait, here or there.
    #[error("too many questions wait")]
    Busy,
    /// The question is larger than a frame may be.
    #[error("the question is too large")]
    TooLarge,
    /// The leader has nothing that answers questions.
    #[error("the leader answers no questions")]
    Unanswered,
    /// The connection broke or the leader took too long; it may have seen the question.
    #[error("the leader did not answer in time")]
    TimedOut,
    /// This node is stopping or stopped.
    #[error("the node is stopping")]
    Shutdown,
}

/// Why the state machine cannot go on. The node stops.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StateMachineError(#[from] pub Box<dyn std::error::Error + Send + Sync>);

impl StateMachineError {
    /// An error from a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into().into())
    }
}

/// Why a running node stopped by itself. It takes no part in the cluster any more; the process should end.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// The log could not be written. A write that failed is never repeated: the kernel may have dropped the pages
    /// and report success the second time.
    #[error("the log cannot be written: {reason}")]
    Log {
        /// What the log said.
        reason: String,
    },
    /// The state machine refused a committed command or could not be made durable.
    #[error("the state machine failed: {0}")]
    StateMachine(Arc<StateMachineError>),
    /// A thread of the node ended by a panic.
    #[error("the {0} thread panicked")]
    Panic(&'static str),
    /// The operating system refused something that the node cannot do without.
    #[error("{doing}: {error}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        error: Arc<std::io::Error>,
    },
    /// The member was removed from the cluster. Its data directory is of no use any more.
    #[error(
        "this member was removed from the cluster; to come back it must be added as a new member, with an empty data directory"
    )]
    Removed,
    /// Other members remember of this one what its disk does not hold, or know that the cluster goes on without it. Its
    /// vote could elect a leader that lacks what was committed, so it takes part in nothing any more.
    #[error(
        "other members refuse this one: {reason}. Remove it from the cluster and add a new member with an empty data \
         directory"
    )]
    Fenced {
        /// What they say.
        reason: String,
    },
    /// A snapshot that arrived cannot be put in place.
    #[error("the snapshot cannot be put in place: {reason}")]
    Snapshot {
        /// What is wrong.
        reason: String,
    },
}

fn kind(witness: bool) -> &'static str {
    if witness { "a witness" } else { "a member with data" }
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration makes no sense.
    #[error("the configuration is not valid: {0}")]
    Config(String),
    /// The protocol core refuses its configuration or what was restored.
    #[error(transparent)]
    Core(#[from] floe_raft::ConfigError),
    /// The data directory belongs to another member or another cluster.
    #[error(
        "data directory {} belongs to member {found_member:x} of cluster {found_cluster:x}, \
         this is member {member:x} of cluster {cluster:x}",
        path.display()
    )]
    WrongOwner {
        /// The directory.
        path: PathBuf,
        /// The member that the directory belongs to.
        found_member: u64,
        /// The cluster that the directory belongs to.
        found_cluster: u64,
        /// This member.
        member: u64,
        /// This cluster.
        cluster: u64,
    },
    /// A member with data is started as a witness, or the other way round.
    #[error(
        "data directory {} belongs to member {member:x} of cluster {cluster:x}, {}, and cannot be started as {}; to change \
         that, remove the member and add another one with an empty directory",
        path.display(), kind(*witness), kind(!witness)
    )]
    OtherKind {
        /// The directory.
        path: PathBuf,
        /// The member.
        member: u64,
        /// The cluster.
        cluster: u64,
        /// Whether the directory is that of a witness.
        witness: bool,
    },
    /// Another process, or another node of this one, has the data directory open.
    #[error("data directory {} is in use by another process", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The identity file cannot be understood.
    #[error("{} is damaged: {reason}", path.display())]
    Identity {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
    /// There is a log but no identity beside it.
    #[error("data directory {} has a log but no identity file; it was changed by hand", path.display())]
    IdentityMissing {
        /// The directory.
        path: PathBuf,
    },
    /// The log of a member that may have voted is gone. Without it the member could vote a second time in a term, and
    /// two leaders could share it.
    #[error(
        "data directory {} has lost its log: member {member:x} must not vote again; remove it from the cluster and \
         add a new member with an empty directory",
        path.display()
    )]
    LogMissing {
        /// The directory.
        path: PathBuf,
        /// The member.
        member: u64,
    },
    /// The member was removed from the cluster. It would only disturb those who stayed, or be alone for ever.
    #[error(
        "member {member:x} was removed from cluster {cluster:x}: delete data directory {}, and add a new member if this \
         machine is to take part again",
        path.display()
    )]
    Removed {
        /// The directory.
        path: PathBuf,
        /// The member.
        member: u64,
        /// The cluster.
        cluster: u64,
    },
    /// The log cannot be opened.
    #[error("the log cannot be opened: {0}")]
    Log(#[from] floe_wal::OpenError),
    /// The first file of a new log cannot be written.
    #[error("the log cannot be begun: {0}")]
    LogBegin(#[from] floe_wal::AppendError),
    /// The state machine needs entries that the log does not hold any more.
    #[error("the state machine contains entries up to {applied}, but the log begins after {base}")]
    StateMachineBehind {
        /// What the state machine contains.
        applied: LogId,
        /// What the log's first entry follows.
        base: LogId,
    },
    /// The state machine contains what the log does not: the two are not of the same node.
    #[error("the state machine contains entry {applied}, which the log (up to {last}) does not hold")]
    StateMachineAhead {
        /// What the state machine contains.
        applied: LogId,
        /// The last entry in the log.
        last: LogId,
    },
    /// The snapshot that was being put in place when the node stopped is damaged.
    #[error(
        "the snapshot {} is damaged ({reason}) and this member has nothing else to go on from; remove it from the \
         cluster and add a new member with an empty directory",
        path.display()
    )]
    Snapshot {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
    /// The state machine refuses the snapshot that was being put in place when the node stopped.
    #[error("the state machine failed: {0}")]
    StateMachine(StateMachineError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: std::io::Error,
    },
    /// The operating system refused something else.
    #[error("{doing} {}: {error}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
}
