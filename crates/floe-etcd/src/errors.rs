//! Every error that etcd's clients know, with its code and its text. The text is the contract: clients find the typed
//! error by the exact message, and take the code from a table of their own.

use tonic::{Code, Status};

macro_rules! errors {
    ($( $(#[$doc:meta])* $name:ident = $code:ident, $text:literal; )*) => {
        /// What a client is told, as etcd tells it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum EtcdError { $( $(#[$doc])* $name, )* }

        impl EtcdError {
            /// Every one of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The gRPC code that goes over the wire.
            pub fn code(self) -> Code {
                match self { $(Self::$name => Code::$code,)* }
            }

            /// The message that goes over the wire, to the byte.
            pub fn message(self) -> &'static str {
                match self { $(Self::$name => concat!("etcdserver: ", $text),)* }
            }
        }
    };
}

errors! {
    /// A key is empty.
    EmptyKey = InvalidArgument, "key is not provided";
    /// A put that keeps value or lease of a key that is not there; also an operation of a txn without content.
    KeyNotFound = InvalidArgument, "key not found";
    /// A put that keeps the value, and brings one.
    ValueProvided = InvalidArgument, "value is provided";
    /// A put that keeps the lease, and brings one.
    LeaseProvided = InvalidArgument, "lease is provided";
    /// A txn with more comparisons or operations than the limit.
    TooManyOps = InvalidArgument, "too many operations in txn request";
    /// A txn that would change one key twice.
    DuplicateKey = InvalidArgument, "duplicate key given in txn request";
    /// The client's version is not text.
    InvalidClientApiVersion = InvalidArgument, "invalid client api version";
    /// A sort order or target that does not exist.
    InvalidSortOption = InvalidArgument, "invalid sort option";
    /// The revision is below the compaction.
    Compacted = OutOfRange, "mvcc: required revision has been compacted";
    /// The revision lies ahead.
    FutureRevision = OutOfRange, "mvcc: required revision is a future revision";
    /// The quota is used up.
    NoSpace = ResourceExhausted, "mvcc: database space exceeded";
    /// No such lease.
    LeaseNotFound = NotFound, "requested lease not found";
    /// The lease's id is taken.
    LeaseExists = FailedPrecondition, "lease already exists";
    /// The lease would live for more than 285 years.
    LeaseTtlTooLarge = OutOfRange, "too large lease TTL";
    /// The watch stream was closed by its client.
    WatchCanceled = Cancelled, "watch canceled";
    /// The member's id is taken.
    MemberExists = FailedPrecondition, "member ID already exist";
    /// A peer URL is taken.
    PeerUrlExists = FailedPrecondition, "Peer URLs already exists";
    /// Goes out as `Unknown`: etcd's server maps it to the client's own error type, which carries no code.
    MemberNotEnoughStarted = Unknown, "re-configuration failed due to not enough started members";
    /// A peer URL is no URL.
    MemberBadUrls = InvalidArgument, "given member URLs are invalid";
    /// No such member.
    MemberNotFound = NotFound, "member not found";
    /// A voter cannot be promoted.
    MemberNotLearner = FailedPrecondition, "can only promote a learner member";
    /// The learner lags.
    LearnerNotReady = FailedPrecondition, "can only promote a learner member which is in sync with leader";
    /// As many learners as allowed are there.
    TooManyLearners = FailedPrecondition, "too many learner members in cluster";
    /// Another cluster.
    ClusterIdMismatch = FailedPrecondition, "cluster ID mismatch";
    /// The request is larger than the limit.
    RequestTooLarge = InvalidArgument, "request is too large";
    /// Goes out as `Unknown`, as in etcd (etcd-io/etcd#7025); clients recover the code from the text.
    TooManyRequests = Unknown, "too many requests";
    /// Auth: no root user.
    RootUserNotExist = FailedPrecondition, "root user does not exist";
    /// Auth: the root user lacks the root role.
    RootRoleNotExist = FailedPrecondition, "root user does not have root role";
    /// Auth: the name is taken.
    UserAlreadyExists = FailedPrecondition, "user name already exists";
    /// Auth: no user name.
    UserEmpty = InvalidArgument, "user name is empty";
    /// Auth: no such user.
    UserNotFound = FailedPrecondition, "user name not found";
    /// Auth: the name is taken.
    RoleAlreadyExists = FailedPrecondition, "role name already exists";
    /// Auth: no such role.
    RoleNotFound = FailedPrecondition, "role name not found";
    /// Auth: no role name.
    RoleEmpty = InvalidArgument, "role name is empty";
    /// Auth: wrong name or password.
    AuthFailed = InvalidArgument, "authentication failed, invalid user ID or password";
    /// Auth: nothing to grant.
    PermissionNotGiven = InvalidArgument, "permission not given";
    /// Auth: not allowed.
    PermissionDenied = PermissionDenied, "permission denied";
    /// Auth: the user lacks the role.
    RoleNotGranted = FailedPrecondition, "role is not granted to the user";
    /// Auth: the role lacks the permission.
    PermissionNotGranted = FailedPrecondition, "permission is not granted to the role";
    /// Auth: switched off.
    AuthNotEnabled = FailedPrecondition, "authentication is not enabled";
    /// Auth: the token is not known.
    InvalidAuthToken = Unauthenticated, "invalid auth token";
    /// Auth: a change that would lock everybody out, or makes no sense.
    InvalidAuthManagement = InvalidArgument, "invalid auth management";
    /// Auth: the token is older than the last change.
    AuthOldRevision = InvalidArgument, "revision of auth store is old";
    /// No leader is known.
    NoLeader = Unavailable, "no leader";
    /// The request is for the leader, and this member is not it.
    NotLeader = FailedPrecondition, "not leader";
    /// The leader changed while the request was under way.
    LeaderChanged = Unavailable, "leader changed";
    /// The cluster's version does not have the feature.
    NotCapable = FailedPrecondition, "not capable";
    /// This member is stopping.
    Stopped = Unavailable, "server stopped";
    /// No answer in time; a write may have happened.
    Timeout = Unavailable, "request timed out";
    /// As `Timeout`, and the leader failed meanwhile.
    TimeoutDueToLeaderFail = Unavailable, "request timed out, possibly due to previous leader failure";
    /// As `Timeout`, and a connection between members was lost meanwhile.
    TimeoutDueToConnectionLost = Unavailable, "request timed out, possibly due to connection lost";
    /// A read was confirmed, but this member did not catch up in time.
    TimeoutWaitAppliedIndex = Unavailable,
        "request timed out, waiting for the applied index took too long";
    /// Too few members are connected.
    Unhealthy = Unavailable, "unhealthy cluster";
    /// An alarm forbids all writes.
    Corrupt = DataLoss, "corrupt cluster";
    /// A learner does not answer this.
    NotSupportedForLearner = FailedPrecondition, "rpc not supported for learner";
    /// Leadership cannot go there.
    BadLeaderTransferee = FailedPrecondition, "bad leader transferee";
    /// Downgrade: not a version.
    WrongDowngradeVersionFormat = InvalidArgument, "wrong downgrade target version format";
    /// Downgrade: not the minor version below.
    InvalidDowngradeTargetVersion = InvalidArgument, "invalid downgrade target version";
    /// Downgrade: the cluster has no version yet.
    ClusterVersionUnavailable = FailedPrecondition, "cluster version not found during downgrade";
    /// Downgrade: one is under way.
    DowngradeInProcess = FailedPrecondition, "cluster has a downgrade job in progress";
    /// Downgrade: none is under way.
    NoInflightDowngrade = FailedPrecondition, "no inflight downgrade job";
    /// The client gave up.
    Canceled = Cancelled, "request canceled";
    /// The client's deadline passed.
    DeadlineExceeded = DeadlineExceeded, "context deadline exceeded";
}

impl From<EtcdError> for Status {
    fn from(error: EtcdError) -> Self {
        Self::new(error.code(), error.message())
    }
}

/// What a call of a later version of floe is answered with: a plain refusal, so that nobody takes it for done.
pub(crate) fn not_yet(method: &'static str) -> Status {
    Status::unimplemented(format!("floe does not serve {method} yet"))
}

/// The store's file failed under a read. `Unavailable`, so that clients try another member, whose file may be sound.
pub(crate) fn storage(error: &(dyn std::error::Error + 'static)) -> Status {
    tracing::error!("the store cannot be read: {error}");
    Status::unavailable("etcdserver: the store of this member cannot be read")
}
