//! Snapshots: the leader asks its host to send one, the follower its host to install one. State never passes the
//! core.

use crate::effect::{Alarm, Effect};
use crate::id::{Index, LogId, NodeId, Term};
use crate::input::SnapshotOutcome;
use crate::membership::Membership;
use crate::mutant::Mutant;
use crate::node::Node;
use crate::replication::progress::Mode;
use crate::role::Role;

/// A snapshot that the host is putting in place of the state machine.
#[derive(Clone, Debug)]
pub(crate) struct Installing {
    last: LogId,
    membership: Membership,
    /// The term that it came in.
    term: Term,
    /// A newer one that arrived meanwhile. Its sender waits for it to be acknowledged, so that it is not dropped.
    following: Option<Box<Self>>,
}

impl Node {
    /// What became of a snapshot that this leader asked for.
    pub(crate) fn snapshot_sent(&mut self, to: NodeId, outcome: SnapshotOutcome) {
        let Role::Leader(leader) = &mut self.role else { return };
        let Some(progress) = leader.progress.get_mut(&to) else { return };
        // The peer itself may have ended it by an acknowledgement.
        if progress.mode != Mode::Snapshot {
            return;
        }
        match outcome {
            // Where the peer stands is for the peer to say: the next probe follows the snapshot.
            SnapshotOutcome::Installed(id) => {
                progress.probe(id.index.min(self.log.last().index).next(), false);
            }
            // Paused until the peer shows that it lives, so that a dead one is not streamed to again and again.
            SnapshotOutcome::Failed if self.config.mutated(Mutant::LostSnapshotAwaited) => {}
            SnapshotOutcome::Failed => progress.probe(progress.matched.next(), true),
        }
    }

    /// A whole snapshot arrived at the host, from the leader of this term.
    pub(crate) fn handle_snapshot(&mut self, from: NodeId, last: LogId, membership: Membership) {
        if !self.follow(from) {
            return;
        }
        let arrived = Installing { last, membership, term: self.hard_state.term, following: None };
        match &mut self.installing {
            Some(installing) if last.index > installing.last.index => {
                installing.following = Some(Box::new(arrived));
            }
            Some(_) => {}
            None => self.take_up(from, arrived),
        }
    }

    fn take_up(&mut self, from: NodeId, snapshot: Installing) {
        let last = snapshot.last;
        let known = self.log.term_at(last.index);
        let is_known =
            known == Some(last.term) || (known.is_some() && self.config.mutated(Mutant::SnapshotKeepsTail));
        let is_old = last.index <= self.commit && !self.config.mutated(Mutant::OldSnapshotTaken);
        if last.index <= self.commit && known.is_some_and(|term| term != last.term) {
            self.outbox.alarm(Alarm::CommittedConflict { from, index: last.index });
        } else if is_old || is_known {
            // Nothing in it that is not here: an old one, or one of entries that are only not known to be committed.
            // The log stays, with all that follows them (etcd #1763).
            self.commit = self.commit.max(last.index);
            self.owe(last.index);
        } else {
            // The log ends before it, or holds another entry there, and then nothing after that can be right: the
            // whole log goes (hashicorp/raft #697). Until the host is done, nothing is appended, applied or
            // acknowledged.
            self.outbox.push(Effect::InstallSnapshot { last, membership: snapshot.membership.clone() });
            self.installing = Some(snapshot);
        }
    }

    /// The host applied up to `index`: whether that is the snapshot under way. The log starts anew after it; the
    /// write that says so comes only now, for a log that starts after entries which the state machine lacks would be
    /// of no use.
    pub(crate) fn finish_install(&mut self, index: Index) -> bool {
        let Some(Installing { last, membership, term, following }) =
            self.installing.take_if(|installing| index >= installing.last.index)
        else {
            return false;
        };
        self.log.restart(last);
        let is_changed = membership != *self.members.current();
        if !self.config.mutated(Mutant::SnapshotKeepsMembership) {
            self.members.restart(membership);
        }
        self.commit = last.index;
        self.apply.restart(last.index);
        self.fetches.forget_apply();
        if is_changed {
            self.outbox.push(Effect::MembershipChanged(self.members.current().clone()));
        }
        if term == self.hard_state.term {
            self.owe(last.index);
        }
        // One of a deposed leader is dropped: its successor probes, and sends its own if need be.
        if let Some(following) = following
            && following.term == self.hard_state.term
            && let Some(leader) = self.leader()
        {
            self.take_up(leader, *following);
        }
        true
    }

    /// What is committed agrees with every leader; this one has not heard yet that it is here.
    fn owe(&mut self, index: Index) {
        if let Role::Follower(follower) = &mut self.role {
            follower.verified = follower.verified.max(index);
            follower.owed = follower.owed.max(Some(index));
        }
    }
}
