//! Membership changes: those that callers wait for, whom to keep connections to, and the end of a member that is out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use floe_raft::{Entry, EntryKind, LogId, Membership, MembershipChange, Node, NodeId, Status, Time};
use tokio::sync::watch;

use crate::completion::Completer;
use crate::contacts::Contacts;
use crate::error::{ChangeError, UnknownCause};

use super::Driver;

/// A change that somebody waits for.
pub(super) struct Change {
    /// Its entry in the log.
    id: LogId,
    /// Its entry is committed and made the membership joint: the caller waits for the next, which leaves it.
    is_joint: bool,
    /// When it is given up, since whoever appended it does not lead any more.
    pub(super) deadline: Option<Time>,
    waiter: Completer<Result<Membership, ChangeError>>,
}

/// What is remembered of the other members, and what the sockets' side is told of them.
pub(crate) struct Peers {
    own: NodeId,
    /// Until a member that joined has the membership that it is in: whom it knows from its start.
    initial: BTreeMap<NodeId, String>,
    /// Where each was reached last, those too that have left: the membership in force has them no more.
    addresses: BTreeMap<NodeId, String>,
    /// What was committed when it was known that this member belongs to the cluster.
    joined: LogId,
    wanted: watch::Sender<Arc<Contacts>>,
    /// A membership came into force that is not known to be committed.
    unsettled: bool,
}

impl Peers {
    /// `initial` are the members that this one knows from its first start, itself too.
    pub(crate) fn new(
        own: NodeId,
        initial: BTreeMap<NodeId, String>,
        joined: Option<LogId>,
        wanted: watch::Sender<Arc<Contacts>>,
    ) -> Self {
        let addresses = initial.clone();
        let joined = joined.unwrap_or(LogId::ZERO);
        Self { own, initial, addresses, joined, wanted, unsettled: true }
    }

    /// Works out anew whom to keep connections to: the members, those who leave and are still spoken to, and, as long
    /// as this member is in no membership that it knows, those whom it knew at its start.
    pub(crate) fn refresh(&mut self, membership: &Membership, leaving: &BTreeSet<NodeId>) {
        for (id, address) in &membership.addresses {
            self.addresses.insert(*id, text(address));
        }
        let mut others = membership.members();
        others.extend(leaving);
        if !membership.contains(self.own) {
            others.extend(self.initial.keys());
        }
        others.remove(&self.own);
        let others = others
            .into_iter()
            .filter_map(|id| Some((id, self.addresses.get(&id)?.clone())))
            .collect::<BTreeMap<_, _>>();
        let own = self.addresses.get(&self.own).cloned().unwrap_or_default();
        let contacts = Contacts { own, others };
        self.wanted.send_if_modified(|wanted| {
            let is_new = **wanted != contacts;
            if is_new {
                *wanted = Arc::new(contacts);
            }
            is_new
        });
    }

    /// Where the member is reached: one address or several, separated by commas.
    pub(super) fn address(&self, member: NodeId) -> Option<&str> {
        self.addresses.get(&member).map(String::as_str)
    }

    /// The membership in force, if it is new since the last call that gave one, and everything up to it is given out.
    fn settle(&mut self, node: &Node, given: LogId) -> Option<Settled> {
        if !self.unsettled {
            return None;
        }
        let status = node.status();
        // One that came with a snapshot is in force since then at the latest.
        let at = status.membership_at.max(status.base.index);
        if given.index < at {
            return None;
        }
        self.unsettled = false;
        let membership = status.membership;
        let knows_members = !membership.voters.is_empty();
        // A member that joined comes past memberships of a time when it was not there.
        let is_out = knows_members && !membership.contains(self.own) && at > self.joined.index;
        Some(Settled { membership: Arc::new(membership), is_out })
    }
}

/// A membership that is committed, and applied here.
struct Settled {
    membership: Arc<Membership>,
    /// This member was removed by it.
    is_out: bool,
}

fn text(address: &Bytes) -> String {
    String::from_utf8_lossy(address).into_owned()
}

impl<R: Send + 'static> Driver<R> {
    /// A caller wants another membership.
    pub(super) fn change_membership(
        &mut self,
        now: Time,
        change: &MembershipChange,
        waiter: Completer<Result<Membership, ChangeError>>,
    ) {
        if !self.phase.admits() {
            return waiter.complete(Err(ChangeError::Shutdown), &mut self.wakes);
        }
        if self.handover.is_some() {
            return waiter.complete(Err(ChangeError::Busy), &mut self.wakes);
        }
        match self.parts.node.change_membership(now, change) {
            Ok(id) => self.changes.push(Change { id, is_joint: false, deadline: None, waiter }),
            Err(error) => waiter.complete(Err(error.into()), &mut self.wakes),
        }
    }

    /// Answers those whose change is among these committed entries, or was overwritten by one of them.
    pub(super) fn settle_changes(&mut self, entries: &[Entry]) {
        if self.changes.is_empty() {
            return;
        }
        for entry in entries {
            for mut change in std::mem::take(&mut self.changes) {
                match outcome(&mut change, entry) {
                    Some(outcome) => change.waiter.complete(outcome, &mut self.wakes),
                    None => self.changes.push(change),
                }
            }
        }
    }

    /// This member does not lead any more: what it appended is in force or overwritten soon, and there is an end to
    /// waiting for that.
    pub(super) fn expect_lost_changes(&mut self, now: Time) {
        let deadline = now.plus(self.parts.limits.election_timeout * 4);
        for change in &mut self.changes {
            change.deadline.get_or_insert(deadline);
        }
    }

    pub(super) fn expire_changes(&mut self, now: Time) {
        let is_over = |change: &mut Change| change.deadline.is_some_and(|deadline| deadline <= now);
        for change in self.changes.extract_if(.., is_over) {
            let unknown = ChangeError::Unknown(UnknownCause::LeaderChanged);
            change.waiter.complete(Err(unknown), &mut self.wakes);
        }
    }

    /// Gives up everybody who waits for a change, because the node stops.
    pub(super) fn give_up_changes(&mut self) {
        for change in self.changes.drain(..) {
            let unknown = ChangeError::Unknown(UnknownCause::Shutdown);
            change.waiter.complete(Err(unknown), &mut self.wakes);
        }
    }

    /// Another membership is in force.
    pub(super) fn membership_changed(&mut self, membership: Membership) {
        self.parts.peers.unsettled = true;
        self.parts.tracer.membership(&membership);
        self.parts.publisher.membership(membership);
        self.refresh_peers();
    }

    /// Tells the sockets' side whom this member needs connections to, if that is new.
    pub(super) fn refresh_peers(&mut self) {
        let leaving = self.parts.publisher.leaving();
        self.parts.peers.refresh(self.parts.node.membership(), &leaving);
    }

    /// Publishes what is committed, and finds out whether this member is out.
    pub(super) fn settle_membership(&mut self) {
        let settled = self.parts.peers.settle(&self.parts.node, self.given);
        self.parts.publisher.stand(
            self.parts.node.last(),
            self.given,
            settled.as_ref().map(|s| &s.membership),
        );
        if settled.is_some_and(|settled| settled.is_out) {
            self.is_out = true;
            tracing::info!("this member was removed from the cluster");
        }
    }
}

/// What became of the change, if this entry tells.
fn outcome(change: &mut Change, entry: &Entry) -> Option<Result<Membership, ChangeError>> {
    if entry.id.index < change.id.index {
        return None;
    }
    if !change.is_joint && entry.id != change.id {
        return Some(Err(ChangeError::Lost));
    }
    if entry.kind != EntryKind::Membership {
        return None;
    }
    // The core decoded it when it came into the log.
    let membership = floe_raft::codec::decode_membership(entry.payload.clone()).ok()?;
    change.is_joint = membership.is_joint();
    (!change.is_joint).then_some(Ok(membership))
}

/// Those whom a leader still speaks to although they are out.
pub(super) fn leaving(status: &Status) -> BTreeSet<NodeId> {
    status.progress.iter().filter(|(_, progress)| progress.leaving).map(|(id, _)| *id).collect()
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use floe_raft::{Index, Term};

    use super::*;
    use crate::completion::completion;

    fn entry(term: u64, index: u64, voters: &[u64], outgoing: &[u64]) -> Entry {
        let mut membership = Membership::of_voters(voters.iter().copied().map(NodeId));
        membership.outgoing = outgoing.iter().copied().map(NodeId).collect();
        let mut payload = BytesMut::new();
        floe_raft::codec::encode_membership(&membership, &mut payload);
        let id = LogId::new(Term(term), Index(index));
        Entry { id, kind: EntryKind::Membership, payload: payload.freeze() }
    }

    fn change(term: u64, index: u64) -> Change {
        let (waiter, _) = completion();
        Change { id: LogId::new(Term(term), Index(index)), is_joint: false, deadline: None, waiter }
    }

    #[test]
    fn a_change_is_done_when_its_own_entry_is_committed_and_no_joint_membership_is_left_to_leave() {
        let mut direct = change(2, 7);
        assert_eq!(outcome(&mut direct, &entry(2, 6, &[1], &[])), None);
        let done = outcome(&mut direct, &entry(2, 7, &[1, 2], &[])).expect("it is committed");
        assert_eq!(done.map(|membership| membership.voters.len()), Ok(2));

        let mut joint = change(2, 7);
        assert_eq!(outcome(&mut joint, &entry(2, 7, &[3, 4], &[1, 2])), None);
        let command = Entry { kind: EntryKind::Command, ..entry(2, 8, &[], &[]) };
        assert_eq!(outcome(&mut joint, &command), None);
        // The leader that leaves it may be another.
        let done = outcome(&mut joint, &entry(3, 9, &[3, 4], &[])).expect("it is left");
        assert_eq!(done.map(|membership| membership.voters.len()), Ok(2));

        let mut overwritten = change(2, 7);
        assert_eq!(outcome(&mut overwritten, &entry(3, 7, &[1], &[])), Some(Err(ChangeError::Lost)));
    }

    #[test]
    fn those_who_leave_are_reached_where_they_were_and_a_newcomer_begins_with_whom_it_was_told() {
        let told = [(NodeId(1), "a:1".to_owned()), (NodeId(9), "me:9".to_owned())].into();
        let (wanted, contacts) = watch::channel(Arc::default());
        let joined = Some(LogId::new(Term(1), Index(5)));
        let mut peers = Peers::new(NodeId(9), told, joined, wanted);
        let others = || contacts.borrow().others.keys().map(|id| id.0).collect::<Vec<_>>();
        peers.refresh(&Membership::default(), &BTreeSet::new());
        assert_eq!(others(), [1]);
        assert_eq!(contacts.borrow().own, "me:9");

        let mut membership = Membership::of_voters([NodeId(2), NodeId(3)]);
        membership.addresses =
            [2, 3, 9].into_iter().map(|id| (NodeId(id), Bytes::from(format!("h{id}:1")))).collect();
        peers.refresh(&membership, &BTreeSet::new());
        assert_eq!(others(), [1, 2, 3], "it is not in that one: it may be an old one");
        membership.learners.insert(NodeId(9));
        peers.refresh(&membership, &BTreeSet::new());
        assert_eq!(others(), [2, 3]);
        assert_eq!(contacts.borrow().own, "h9:1");

        membership.voters.remove(&NodeId(3));
        membership.addresses.remove(&NodeId(3));
        peers.refresh(&membership, &[NodeId(3)].into());
        assert_eq!(contacts.borrow().others[&NodeId(3)], "h3:1");
        peers.refresh(&membership, &BTreeSet::new());
        assert_eq!(others(), [2]);
    }
}
