//! What a node is told once, at its birth.

use std::time::Duration;

use crate::error::ConfigError;
use crate::id::NodeId;
use crate::mutant::{Mutant, Mutation};

/// How a group reads by lease. See `docs/design/reads.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// A lease ends this much before the election timeout that voters wait. It covers the difference of two clocks'
    /// rates: with a margin of a tenth of the election timeout, a voter's clock may run a ninth faster than the
    /// leader's, or the leader's a tenth slower than the voter's.
    pub drift_margin: Duration,
}

/// The configuration of one node in one group.
#[derive(Clone, Debug)]
pub struct Config {
    /// This node.
    pub id: NodeId,
    /// This node is a witness: it votes, and keeps of the log all but the commands. It is one for ever; its membership
    /// must say the same.
    pub witness: bool,
    /// How often a leader shows that it is there.
    pub heartbeat_interval: Duration,
    /// A follower that hears no leader for a random time in `[1, 2)` times this starts an election.
    pub election_timeout: Duration,
    /// How gladly this node leads. With 255, the default, it waits for nobody; with less it waits longer before it
    /// campaigns, by up to one election timeout, and hands over to a caught-up voter that has more. Never a reason for a
    /// group to be without a leader.
    pub priority: u8,
    /// Ask before campaigning (thesis 9.6).
    pub pre_vote: bool,
    /// A leader that no majority answers for an election timeout steps down, and with it voters that hear a leader
    /// refuse elections.
    pub check_quorum: bool,
    /// Reads by lease, off by default. Every member of a group must be told the same: a leader's lease is worth what
    /// the voters promise for it.
    pub lease: Option<Lease>,
    /// Appends under way to one peer, in messages.
    pub inflight_messages: usize,
    /// Appends under way to one peer, in bytes.
    pub inflight_bytes: u64,
    /// Payload of one append; a single larger entry still goes alone.
    pub append_bytes: u64,
    /// Entries kept in memory for peers and for applying, in bytes.
    pub tail_bytes: u64,
    /// Proposals that wait for their commit, in bytes; beyond it the answer is `Busy`. One is always admitted.
    pub uncommitted_bytes: u64,
    /// Entries given to the host to apply and not reported applied, in bytes.
    pub apply_bytes: u64,
    /// The largest command accepted.
    pub command_bytes: u64,
    /// How far a learner may be behind to be promoted, in entries.
    pub promotion_lag: u64,
    /// The old bug that this node has, for the ledger of bugs; never set outside of it.
    #[cfg(feature = "mutants")]
    #[doc(hidden)]
    pub mutant: Option<Mutant>,
}

impl Config {
    /// The defaults of the design: heartbeat 30 ms, election 300-600 ms, PreVote and CheckQuorum on.
    pub fn new(id: NodeId) -> Self {
        Self {
            id,
            witness: false,
            heartbeat_interval: Duration::from_millis(30),
            election_timeout: Duration::from_millis(300),
            priority: u8::MAX,
            pre_vote: true,
            check_quorum: true,
            lease: None,
            inflight_messages: 256,
            inflight_bytes: 16 << 20,
            append_bytes: 1 << 20,
            tail_bytes: 32 << 20,
            uncommitted_bytes: 256 << 20,
            apply_bytes: 8 << 20,
            command_bytes: 16 << 20,
            promotion_lag: 1_000,
            #[cfg(feature = "mutants")]
            mutant: None,
        }
    }

    /// Whether this node has that old bug.
    pub(crate) fn mutated(&self, mutant: Mutant) -> bool {
        self.mutation().is(mutant)
    }

    /// For the parts of a node that do not see its configuration.
    #[cfg(feature = "mutants")]
    pub(crate) fn mutation(&self) -> Mutation {
        Mutation(self.mutant)
    }

    /// None, without the feature.
    #[cfg(not(feature = "mutants"))]
    pub(crate) const fn mutation(&self) -> Mutation {
        Mutation()
    }

    /// Refuses what cannot work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let check = |ok: bool, reason| if ok { Ok(()) } else { Err(ConfigError::Invalid(reason)) };
        check(self.id.0 != 0, "a node id is never zero")?;
        check(!self.heartbeat_interval.is_zero(), "the heartbeat interval is zero")?;
        check(
            self.election_timeout >= self.heartbeat_interval * 2,
            "the election timeout is below two heartbeat intervals",
        )?;
        check(
            self.lease.is_none_or(|lease| lease.drift_margin < self.election_timeout),
            "the drift margin leaves nothing of the lease",
        )?;
        check(self.inflight_messages > 0, "no append may be under way")?;
        check(self.append_bytes > 0 && self.inflight_bytes > 0, "a window of no bytes")
    }
}
