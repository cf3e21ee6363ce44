//! One group on one machine, beside its node: what the host of the group keeps, and what the checker was told.

use std::collections::{BTreeMap, VecDeque};

use floe_raft::{GroupId, Index, LogId, Membership, ProposalId, ReadId, Term};

use crate::check::Checker;
use crate::image::LogImage;
use crate::machine::{Machine, OpId, Reply};

/// How many replies to applied commands are kept.
const REPLIES: usize = 64;

/// A group in the life of a process.
#[derive(Debug, Default)]
pub(crate) struct GroupLife {
    /// The log as the core has asked for it to be written.
    pub(crate) log: LogImage,
    pub(crate) machine: Machine,
    pub(crate) term: Term,
    pub(crate) leads: bool,
    pub(crate) commit: Index,
    pub(crate) proposed: BTreeMap<Index, Vec<(Term, OpId)>>,
    pub(crate) forwarded: BTreeMap<ProposalId, OpId>,
    /// Each with what was committed when it was asked for.
    pub(crate) reads: BTreeMap<ReadId, (OpId, Index)>,
    pub(crate) replies: VecDeque<(LogId, OpId, Reply)>,
}

impl GroupLife {
    pub(crate) fn keep_reply(&mut self, id: LogId, op: OpId, reply: Reply) {
        if self.replies.len() == REPLIES {
            self.replies.pop_front();
        }
        self.replies.push_back((id, op, reply));
    }

    /// The reply to the command at `id`, while it is remembered.
    pub(crate) fn reply_at(&self, id: LogId) -> Option<(OpId, Reply)> {
        let (_, op, reply) = self.replies.iter().find(|(known, _, _)| *known == id)?;
        Some((*op, *reply))
    }
}

/// A group of the world, whoever is a member of it.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) id: GroupId,
    pub(crate) membership: Membership,
    pub(crate) check: Checker,
    /// What was committed when the faults were over.
    pub(crate) at_heal: Index,
}
